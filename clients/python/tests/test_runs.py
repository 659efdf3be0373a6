"""Actions that depend on how a stream stands: they begin it if nobody has, or are for one run of it and touch no other."""

from __future__ import annotations

import asyncio
import pickle

import pytest

import msgstream
from conftest import DEADLINE, QUICK, Broker, eventually, messages
from msgstream import BrokerError, Header, Message, Options, Publisher, Stale, aio, listen
from msgstream.entries import CLOSE, HEADER, PUT, Entry
from msgstream.outgoing import Outgoing
from msgstream import wire
from proxy import Proxy


def test_of_several_who_begin_a_stream_one_does(broker: Broker) -> None:
    with broker.remote() as one, broker.remote() as other:
        run = one.begin("fit", "mine")
        assert run == one.epoch("fit") == other.epoch("fit")
        with pytest.raises(Stale) as raised:
            other.begin("fit", "theirs")
        assert raised.value.code == "stale" and raised.value.stream == "fit" and isinstance(raised.value, BrokerError)
        assert isinstance(pickle.loads(pickle.dumps(raised.value)), Stale)
        assert other.flush(), "it was told already"
        other.header("fit", "theirs", if_absent=True)
        assert not other.flush()
        assert broker.header_of("fit") == "mine"
        one.close("fit")
        assert one.flush()
        with pytest.raises(Stale):
            other.begin("fit", "over")


def test_what_is_for_one_run_touches_no_other(broker: Broker) -> None:
    with broker.remote() as one, broker.remote() as other:
        first = one.begin("fit", 0)
        listener = broker.joined("fit")
        one.put("fit", 1, of=first)
        one.put("fit", 2, header=2, of=first)
        one.header("fit", 3, of=first)
        one.close("fit", "end", of=first)
        assert one.flush() and messages(listener) == [1, 2]
        other["fit"] = "another"
        assert other.flush()
        listener = broker.joined("fit")
        one.put("fit", 4, of=first)
        one.put("fit", 5, header=5, of=first)
        one.header("fit", 6, of=first)
        one.close("fit", of=first)
        one.delete("fit", of=first)
        assert not one.flush() and one.flush(), "told once"
        second = other.epoch("fit")
        assert second not in (None, first)
        other.put("fit", 7, of=second)
        other.delete("fit", of=second)
        assert other.flush() and messages(listener) == [7]


def test_strict_clients_raise_it(broker: Broker) -> None:
    remote = broker.remote(strict=True)
    run = remote.begin("fit", 0)
    with pytest.raises(Stale):
        remote.begin("fit", 0)
    remote.put("fit", 1, of=run)
    assert remote.flush(), "it was raised already"
    remote.put("fit", 1, of="another")
    with pytest.raises(Stale):
        remote.flush()
    remote.close()


def test_publishers_do_the_same(broker: Broker) -> None:
    with Publisher("fit", broker.address, options=QUICK) as publisher:
        run = publisher.begin("header")
        listener = broker.joined("fit")
        publisher.put(1, of=run)
        publisher.header("later", of=run)
        publisher.header("never", if_absent=True)
        assert not publisher.flush()
        publisher.end("end", of=run)
        assert publisher.flush() and messages(listener) == [1]
        publisher.delete(of=run)
        assert publisher.flush() and publisher.begin("again") != run


def test_so_do_those_of_asyncio(broker: Broker) -> None:
    async def main() -> None:
        async with aio.Publisher("fit", broker.address, options=QUICK) as publisher:
            run = await publisher.begin("header")
            assert run == await publisher.remote.epoch("fit")
            with pytest.raises(Stale):
                await publisher.begin("again")
            listener = broker.joined("fit")
            await publisher.put(1, of=run)
            await publisher.header("later", of=run)
            await publisher.header("never", if_absent=True)
            assert not await publisher.flush()
            await publisher.end(of=run)
            assert await publisher.flush() and messages(listener) == [1]
            await publisher.delete(of=run)
            assert await publisher.flush()
            assert await publisher.begin("again") != run

    asyncio.run(main())


def test_who_begins_waits_no_longer_than_asked(away: Broker) -> None:
    with away.remote(options=Options(first_pause=0.01, exit_time=0.0)) as remote:
        with pytest.raises(TimeoutError, match="has not answered within 0.01 s"):
            remote.begin("fit", 0, timeout=0.01)
        assert remote._out.empty, "it is not set later"


def test_a_stream_is_begun_by_the_connection_after(broker: Broker) -> None:
    with Proxy(broker.port) as network, msgstream.RemoteStream(network.address, options=QUICK) as remote:
        assert remote.epoch("other") is not None
        network.refuse()
        eventually(lambda: remote.trouble)
        network.allow()
        assert remote.begin("fit", "header", DEADLINE) == remote.epoch("fit")
    with listen("fit", server=broker.address, timeout=DEADLINE) as listener:
        assert next(listener) == Header("fit", "header")


# The queue, without a broker.


def conditional(out: Outgoing, kind: str, receipt: str, header: "str | None") -> Entry:
    condition = wire.condition(receipt, "e", False)
    line = {
        HEADER: wire.header("s", header or "", condition),
        PUT: wire.put("s", "1", header, condition),
        CLOSE: wire.close("s", None, condition),
    }[kind]
    entry = Entry(kind, line, "s", header, False, condition=condition, receipt=receipt)
    out.add(entry)
    return entry


def test_a_refused_header_is_neither_repeated_nor_anybodys() -> None:
    out = Outgoing(10_000)
    out.connected(lambda stream, count: None)
    out.add(Entry(HEADER, wire.header("s", "0"), "s", "0"))
    conditional(out, HEADER, "action 1", "1")
    out.take(1000)
    out.answered("action 1", None, Stale("stale", "another run", "s"))
    out.confirm(1)
    assert out.headers == {"s": "0"} and out.empty and out.size == 0

    conditional(out, PUT, "action 2", "2")
    close = conditional(out, CLOSE, "action 3", None)
    out.take(1000)
    out.answered("action 2", None, Stale("stale", "another run", "s"))
    out.disconnected()
    out.take_up(None)
    assert list(out) == [close] and list(out.conditional) == ["action 3"]


def test_what_was_refused_is_one_of_the_lines_that_the_broker_counts() -> None:
    out = Outgoing(10_000)
    out.take_up(wire.Session(False, 0, "life"))
    out.connected(lambda stream, count: None)
    conditional(out, PUT, "action 1", "1")
    for k in (2, 3):
        out.add(wire.put("s", str(k)))
    out.take(1000)
    out.answered("action 1", None, Stale("stale", "another run", "s"))
    out.disconnected()
    out.take_up(wire.Session(True, 2, "life"))
    assert list(out) == [wire.put("s", "3")] and out.doubtful() == []


def test_of_a_beginning_whose_answer_was_lost_the_stream_tells() -> None:
    for state, found, position, refused, again in [
        ("running", "1", ("e", 0), False, False),
        ("running", "theirs", ("e", 0), True, False),
        ("waiting", None, None, False, True),
    ]:
        out, told = Outgoing(10_000), []
        out.take_up(wire.Session(False, 0, "life"))
        out.connected(lambda stream, count: None)
        entry = conditional(out, HEADER, "action 1", "1")
        entry.awaited, entry.when_over = True, lambda: told.append(1)
        out.add(wire.put("s", "2"))
        out.take(1000)
        out.disconnected()
        out.take_up(wire.Session(True, 2, "life"))
        assert out.doubtful() == ["s"] and not told
        out.reconcile("s", state, found, position)
        out.connected(lambda stream, count: None)
        assert (entry.position, entry.refusal is not None, bool(told)) == (position if not refused else None, refused, not again)
        assert list(out) == ([entry] if again else []) and out.repeated == 0


def test_what_waits_keeps_its_condition() -> None:
    out = Outgoing(600)
    first = conditional(out, HEADER, "action 1", "1")
    second = conditional(out, HEADER, "action 2", "2")
    assert list(out) == [first, second], "each may be the one that is taken"
    progress = conditional(out, PUT, "action 3", '"long"' * 10)
    out.trim()
    assert progress.kind == HEADER and progress.line == wire.header("s", '"long"' * 10, progress.condition)


def test_what_somebody_else_has_changed_is_stale() -> None:
    out = Outgoing(10_000)
    out.connected(lambda stream, count: None)
    told = []
    entry = conditional(out, HEADER, "action 1", "1")
    entry.when_over = lambda: told.append(entry.refusal)
    out.take(1000)
    out.disconnected()
    out.take_up(None)
    out.reconcile("s", "running", "theirs")
    assert isinstance(told[0], Stale) and out.conditional == {} and out.empty
    # What had taken effect is known to, and where the stream stands.
    out.connected(lambda stream, count: None)
    entry = conditional(out, HEADER, "action 2", "2")
    out.take(1000)
    out.disconnected()
    out.take_up(None)
    out.reconcile("s", "running", "2", ("e", 0))
    assert entry.done and entry.position == ("e", 0) and out.conditional == {}
