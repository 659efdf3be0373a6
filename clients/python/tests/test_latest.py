"""Those who want only the newest message: it replaces the one that waits, and they are told how many it has replaced."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Iterator, List

import pytest

import msgstream
from conftest import DEADLINE, QUICK, Broker, Queue, eventually
from msgstream import CutOff, Ended, Event, Header, Lost, Message, Options, RemoteStream, Skipped, aio, wire
from msgstream.listens import Listens
from msgstream.newest import OnlyNewest
from proxy import Proxy

codec = msgstream.JsonCodec()


@pytest.fixture
def publisher(broker: Broker) -> Iterator[RemoteStream]:
    """Whose stream has a header and nothing more."""
    with broker.remote() as remote:
        remote["fit"] = "header"
        assert remote.flush()
        yield remote


class Slow:
    """Takes its first message when it is let go."""

    def __init__(self, first: Any) -> None:
        self.first = first
        self.busy = threading.Event()
        self.let_go = threading.Event()
        self.got = Queue()

    def put(self, event: Any) -> None:
        if event == self.first:
            self.busy.set()
            self.let_go.wait(DEADLINE)
        self.got.put(event)


def publish(remote: RemoteStream, first: int, last: int) -> None:
    """These have taken effect."""
    for k in range(first, last + 1):
        remote.put("fit", k)
    assert remote.flush()


def publish_much(remote: RemoteStream) -> Message:
    """A hundred messages, one by one, which are more than a socket holds. Returns the last."""
    for k in range(100):
        remote.put("fit", [k, "x" * 50_000])
        assert remote.flush()
    return Message("fit", [99, "x" * 50_000])


def test_a_queue_that_is_slow_gets_what_is_newest(broker: Broker, publisher: RemoteStream) -> None:
    slow, other = Slow(Message("fit", 0)), Queue()
    with broker.remote(options=Options(queue=1)) as remote:
        remote.listen("fit", slow, events=True, latest=True)
        remote.listen("fit", other, events=True)
        assert slow.got.get() == Header("fit", "header")
        publish(publisher, 0, 0)
        assert slow.busy.wait(DEADLINE)
        publish(publisher, 1, 1000)
        # The other one gets each, so the connection does.
        assert other.several(1002)[1:] == [Message("fit", k) for k in range(1001)]
        publisher.close("fit")
        assert isinstance(other.get(), Ended)
        slow.let_go.set()
        assert slow.got.several(3) == [Message("fit", 0), Skipped("fit", 999), Message("fit", 1000)]
        assert isinstance(slow.got.get(), Ended)


def test_it_is_never_cut_off_however_long_it_takes_and_however_long_messages_are(broker: Broker, publisher: RemoteStream) -> None:
    first = ["first", "x" * 1_000_000]
    slow = Slow(Message("fit", first))
    with broker.remote(options=Options(queue=1)) as remote:
        remote.listen("fit", slow, events=True, latest=True)
        assert slow.got.get() == Header("fit", "header")
        publisher.put("fit", first)
        assert slow.busy.wait(DEADLINE)
        for k in range(20):
            publisher.put("fit", [k, "x" * 1_000_000])
        publish(publisher, 20, 20)
        inbox = remote._deliveries._inboxes[id(slow)]
        eventually(lambda: remote._listens._positions["fit"][1] == 22)
        assert inbox.size < 1000 and len(inbox.items) == 1, "one message waits, and it is the last"
        slow.let_go.set()
        assert slow.got.several(3) == [Message("fit", first), Skipped("fit", 20), Message("fit", 20)]


def test_what_one_queue_has_not_taken_of_several_streams_is_bounded(broker: Broker, publisher: RemoteStream) -> None:
    slow = Slow(Message("fit", 0))
    with broker.remote(options=Options(queue=1)) as remote:
        for stream in ("fit", "one", "two"):
            remote.listen(stream, slow, events=True, latest=True)
        assert slow.got.get() == Header("fit", "header")
        publish(publisher, 0, 0)
        assert slow.busy.wait(DEADLINE)
        for stream in ("one", "two"):
            publisher.put(stream, "x" * 600_000)
            assert publisher.flush()
        inbox = remote._deliveries._inboxes[id(slow)]
        eventually(lambda: inbox.cut)
        slow.let_go.set()
        assert slow.got.get() == Message("fit", 0)
        kept, cut = slow.got.several(2)
        assert isinstance(kept, Message) and isinstance(cut, CutOff) and cut.code == "slow_listener"


def test_a_loop_gets_what_is_newest_when_it_asks(broker: Broker, publisher: RemoteStream) -> None:
    with broker.listen("fit", latest=True) as listener:
        assert next(listener) == Header("fit", "header")
        last = publish_much(publisher)
        assert [next(listener), next(listener)] == [Skipped("fit", 99), last]
        publish(publisher, 1001, 1001)
        assert next(listener) == Message("fit", 1001)
        with pytest.raises(TimeoutError):
            listener.next(0.01)
        publish(publisher, 1002, 1003)
        publisher.close("fit", "end")
        assert publisher.flush()
        assert list(listener) == [Skipped("fit", 1), Message("fit", 1003), Ended("fit", "end")]


def test_a_loop_gets_what_is_newest_of_each_stream_when_it_asks(broker: Broker, publisher: RemoteStream) -> None:
    publisher["other"] = "header"
    assert publisher.flush()
    with broker.listen("fit", "other", latest=True) as listener:
        assert [next(listener), next(listener)] == [Header("fit", "header"), Header("other", "header")]
        publisher.put("fit", 1)
        publisher.put("other", 1)
        assert publisher.flush()
        assert next(listener) == Message("fit", 1)
        # It has this one already when newer ones come.
        for k in range(2, 10):
            publisher.put("other", k)
            assert publisher.flush()
        assert [next(listener), next(listener)] == [Skipped("other", 8), Message("other", 9)]


def test_what_a_loop_has_not_taken_of_what_is_not_replaced_is_bounded(broker: Broker, publisher: RemoteStream) -> None:
    with broker.listen(prefix="", latest=True) as listener:
        assert next(listener) == Header("fit", "header")
        for k in range(40):
            for number in range(100):
                publisher.close(f"job-{k}-{number}")
            assert publisher.flush()
            assert next(listener) == Ended(f"job-0-{k}")
        assert 1000 <= len(listener._ready) < 2000


def test_a_loop_that_catches_up_does_not_wait_beyond_its_time(broker: Broker, publisher: RemoteStream) -> None:
    with broker.listen("fit", latest=True) as listener:
        assert next(listener) == Header("fit", "header")
        publish(publisher, 1, 1)
        broker.pause()
        assert listener.next(0.05) == Message("fit", 1)
        with pytest.raises(TimeoutError):
            listener.next(0.05)
        broker.resume()
        publish(publisher, 2, 2)
        assert next(listener) == Message("fit", 2)


def test_a_loop_of_asyncio_gets_what_is_newest(broker: Broker, publisher: RemoteStream) -> None:
    async def main() -> None:
        async with aio.listen("fit", server=broker.address, timeout=DEADLINE, options=QUICK, latest=True) as listener:
            assert await listener.next() == Header("fit", "header")
            last = publish_much(publisher)
            while listener._listens._positions["fit"][1] < 100:
                # It goes on reading, though nobody asks it for an event.
                await asyncio.sleep(0.002)
            assert [await listener.next(), await listener.next()] == [Skipped("fit", 99), last]
            publisher.close("fit")
            assert publisher.flush()
            assert [event async for event in listener] == [Ended("fit")]

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_after_an_outage_it_goes_on_where_it_was(broker: Broker, publisher: RemoteStream) -> None:
    with Proxy(broker.port) as network, RemoteStream(network.address, options=QUICK) as remote:
        queue = Queue()
        remote.listen("fit", queue, events=True, latest=True)
        with broker.listen("fit", server=network.address, latest=True) as listener:
            for get in (queue.get, listener.__next__):
                assert get() == Header("fit", "header")
            publish(publisher, 1, 1)
            for get in (queue.get, listener.__next__):
                assert get() == Message("fit", 1)
            network.refuse()
            publish(publisher, 2, 100)
            network.allow()
            for get in (queue.get, listener.__next__):
                assert [get(), get()] == [Skipped("fit", 98), Message("fit", 100)]


def test_after_a_gap_it_is_told_how_much_is_missing(away: Broker) -> None:
    broker = away.start(REPLAY__STREAM="0")
    with Proxy(broker.port) as network, broker.remote() as publisher, RemoteStream(network.address, options=QUICK) as remote:
        publisher["fit"] = "header"
        assert publisher.flush()
        queue = Queue()
        remote.listen("fit", queue, events=True, latest=True)
        assert queue.get() == Header("fit", "header")
        publish(publisher, 1, 1)
        assert queue.get() == Message("fit", 1)
        network.refuse()
        publish(publisher, 2, 100)
        network.allow()
        gap = queue.get()
        assert isinstance(gap, Lost) and gap.missed == 99
        assert queue.get() == Header("fit", "header")


def test_without_events_a_queue_gets_the_count_as_an_event(broker: Broker, publisher: RemoteStream) -> None:
    with broker.remote() as remote:
        publish(publisher, 1, 9)
        queue = Queue()
        remote.listen("fit", queue, last=5, latest=True)
        assert queue.several(3) == ["header", Skipped("fit", 4), 9]


# What the lines mean, without a broker.


def receipt(number: int, sequence: int) -> str:
    return f'{{"action":"receipt","receipt":"listen {number}","state":"waiting","position":{{"epoch":"e","sequence":{sequence}}}}}'


def skipped(messages: int) -> str:
    return f'{{"action":"skipped","stream":"s","messages":{messages}}}'


def heard(listens: "Listens[str]", *lines: str) -> List[Any]:
    parser = wire.Parser()
    return [delivery for line in lines for delivery in listens.settle(parser.line(line.rstrip("\n")))]


def newest() -> "Listens[str]":
    """Where those want only the newest whose names begin so."""
    return Listens(codec.decode, lambda target: target.startswith("new"))


def test_a_connection_gets_each_message_if_anybody_wants_each() -> None:
    listens = newest()
    assert listens.join("s", "new") == wire.listen("s", "listen 1", latest=True)
    assert listens.join("s", "new too") == wire.listen("s", "listen 2", latest=True)
    assert wire.listen("s", "r", latest=True) == '{"action":"listen","stream":"s","receipt":"r","mode":"latest"}\n'
    # To ask how the stream stands does not change that.
    assert listens.ask("s") == wire.listen("s", "listen 3", latest=True)
    assert listens.join("s", "each") == wire.listen("s", "listen 4")
    assert listens.join("s", "new again") == wire.listen("s", "listen 5")
    assert listens.again() == [wire.listen("s", "listen 6")]
    assert listens.leave("s", lambda target: target == "each") == []
    assert listens.again() == [wire.listen("s", "listen 7", latest=True)]
    assert listens.ask("other") == wire.listen("other", "listen 8") + wire.hangup("other")


def test_what_was_skipped_counts() -> None:
    listens = newest()
    listens.join("s", "new")
    told = heard(listens, receipt(1, 7), skipped(3), wire.put("s", "11"))
    assert told == [(("new",), Skipped("s", 3)), (("new",), Message("s", 11))]
    listens.interrupted(None, "gone", True)
    assert listens.again() == [wire.listen("s", "listen 2", ("e", 11), latest=True)]


def test_who_is_ahead_has_skipped_less() -> None:
    listens = newest()
    listens.join("s", "new")
    heard(listens, receipt(1, 7))
    listens.join("s", "new too", 3)
    told = heard(listens, receipt(2, 4), skipped(5), wire.put("s", "10"))
    assert told == [(("new too",), Skipped("s", 5)), (("new",), Skipped("s", 2)), (("new", "new too"), Message("s", 10))]
    assert not listens.unsettled


def test_who_is_ahead_and_has_had_all_of_it_is_not_told() -> None:
    listens = newest()
    listens.join("s", "new")
    heard(listens, receipt(1, 7))
    listens.join("s", "new too", 3)
    assert heard(listens, receipt(2, 4), skipped(2), wire.put("s", "7")) == [(("new too",), Skipped("s", 2)), (("new too",), Message("s", 7))]
    assert heard(listens, wire.put("s", "8")) == [(("new", "new too"), Message("s", 8))]


@pytest.mark.parametrize("messages", ["0", "-1", "true", "1.5", '"1"', "null"])
def test_a_count_that_is_none_is_passed_over(messages: str) -> None:
    listens = newest()
    listens.join("s", "new")
    line = f'{{"action":"skipped","stream":"s","messages":{messages}}}'
    assert heard(listens, receipt(1, 7), line, wire.put("s", "8")) == [(("new",), Message("s", 8))]


def test_the_newest_replaces_the_one_that_waits_in_its_place() -> None:
    ready = OnlyNewest()
    ready.extend([Header("s", 0), Message("s", 1), Message("t", 1), Message("s", 2), Skipped("s", 3), Message("s", 6)])
    assert len(ready) == 3 and list(ready) == [Header("s", 0), Skipped("s", 5), Message("s", 6), Message("t", 1)]
    assert [ready.popleft(), ready.popleft()] == [Header("s", 0), Skipped("s", 5)]
    # What follows a count that was told is not replaced any more, and what stands before an end is not either.
    ready.extend([Message("s", 7), Message("t", 2), Ended("t"), Message("t", 3)])
    rest = [Message("s", 6), Skipped("t", 1), Message("t", 2), Message("s", 7), Ended("t"), Message("t", 3)]
    assert [ready.popleft() for _ in rest] == rest and not ready
    ready.append(Skipped("s", 2))
    assert ready.popleft() == Skipped("s", 2)
    ready.append(Message("s", 1))
    ready.clear()
    ready.append(Message("s", 2))
    assert list(ready) == [Message("s", 2)]
