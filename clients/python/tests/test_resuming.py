"""A listener that comes back goes on where it was: every message once, whatever the network does."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import socket
import threading
from typing import Any, Callable, Iterator, List

import pytest

import msgstream
from conftest import DEADLINE, QUICK, Broker, Queue, eventually
from msgstream import CutOff, Ended, Event, Header, Lost, Message, Options, RemoteStream, Undecodable, aio, wire
from msgstream.listens import Listens
from msgstream.patience import Retry
from proxy import Proxy

#: Many outages in a short time.
HASTY = Options(first_pause=0.001, longest_pause=0.01, exit_time=DEADLINE)

#: One that notices soon that nothing comes any more.
IMPATIENT = Options(first_pause=0.001, longest_pause=0.01, exit_time=DEADLINE, idle_time=0.05, answer_time=0.1, connect_time=0.2)


@pytest.fixture
def network(broker: Broker) -> Iterator[Proxy]:
    with Proxy(broker.port) as proxy:
        yield proxy


@pytest.fixture
def publisher(broker: Broker) -> Iterator[RemoteStream]:
    """Whose own connection holds."""
    with broker.remote() as remote:
        remote["fit"] = "header"
        assert remote.flush()
        yield remote


def cuts() -> Iterator[int]:
    """Far enough for some messages, and anywhere within a line."""
    numbers = random.Random(7)
    return (numbers.randrange(600, 6000) for _ in itertools.count())


COUNT = 3000


class Paced:
    """Publishes as long as the listener is not further behind than the broker's window reaches."""

    def __init__(self, remote: RemoteStream) -> None:
        self._remote = remote
        self._ahead = threading.Semaphore(300)
        self._thread = threading.Thread(target=self._publish)

    def __enter__(self) -> "Paced":
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._thread.join(DEADLINE)

    def took_one(self) -> None:
        self._ahead.release()

    def _publish(self) -> None:
        for k in range(COUNT):
            if not self._ahead.acquire(timeout=DEADLINE):
                return
            self._remote.put("fit", k, header=k)
        self._remote.close("fit", "end")


ALL = [Header("fit", "header"), *(Message("fit", k) for k in range(COUNT)), Ended("fit", "end")]


def test_a_loop_over_a_bad_network_has_every_message_once(broker: Broker, publisher: RemoteStream) -> None:
    with Proxy(broker.port, cuts()) as proxy:
        listener = broker.listen("fit", server=proxy.address, options=HASTY)
        seen = [listener.next(DEADLINE)]
        with Paced(publisher) as paced:
            for event in listener:
                seen.append(event)
                paced.took_one()
        assert seen == ALL and proxy.resets > 20


def test_a_queue_on_a_bad_network_gets_every_message_once(broker: Broker, publisher: RemoteStream) -> None:
    with Proxy(broker.port, cuts()) as proxy, RemoteStream(proxy.address, options=HASTY) as remote:
        fit = Queue()
        remote.listen("fit", fit, events=True)
        seen, joiners = [fit.get()], [Queue() for _ in range(30)]
        with Paced(publisher) as paced:
            while not isinstance(seen[-1], Ended):
                seen.append(fit.get())
                paced.took_one()
                if len(seen) % 90 == 0 and len(seen) <= 2700:
                    # Others join, whatever the connection does meanwhile.
                    remote.listen("fit", joiners[len(seen) // 90 - 1], events=True)
        assert seen == ALL and proxy.resets > 20
        for joined in joiners:
            events = [joined.get()]
            while not isinstance(events[-1], Ended):
                events.append(joined.get())
            # Before it has joined it may be told that there is no connection.
            first = next(k for k, event in enumerate(events) if not isinstance(event, Lost))
            header, *following = events[first:]
            assert isinstance(header, Header) and header.message >= 0
            assert following == ALL[header.message + 2 :]


def test_a_loop_of_asyncio_on_a_bad_network_has_every_message_once(broker: Broker, publisher: RemoteStream) -> None:
    async def main(proxy: Proxy) -> None:
        listener = aio.listen("fit", server=proxy.address, timeout=DEADLINE, options=HASTY)
        seen = [await listener.next(DEADLINE)]
        with Paced(publisher) as paced:
            async for event in listener:
                seen.append(event)
                paced.took_one()
        assert seen == ALL and proxy.resets > 20

    with Proxy(broker.port, cuts()) as proxy:
        asyncio.run(main(proxy))


@pytest.mark.parametrize("kind", ["loop", "queue", "asyncio"])
def test_after_a_connection_that_brought_something_the_pause_is_the_first(
    kind: str, broker: Broker, publisher: RemoteStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: List[int] = []
    retried = Retry.pause

    def pause(options: Options, attempt: int) -> float:
        attempts.append(attempt)
        return 0.001

    def retry(retry: Retry, is_told: bool = False) -> float:
        # One whose bytes went with its reset has brought nothing.
        has_moved = retry._has_moved and not is_told
        found = retried(retry, is_told)
        after.append((has_moved, attempts[-1]))
        return found

    after: List[Any] = []
    # Only a connection that held for this long would have served.
    options = Options(first_pause=DEADLINE, longest_pause=DEADLINE, exit_time=DEADLINE)
    for k in range(1000):
        publisher.put("fit", k)
    publisher.close("fit", "end")
    assert publisher.flush()
    monkeypatch.setattr(Options, "pause", pause)
    monkeypatch.setattr(Retry, "pause", retry)
    with Proxy(broker.port, itertools.repeat(4000)) as proxy:

        async def main() -> List[Event]:
            return [event async for event in aio.listen("fit", server=proxy.address, timeout=DEADLINE, options=options, last=1000)]

        if kind == "loop":
            seen: List[Any] = list(msgstream.listen("fit", server=proxy.address, options=options, last=1000))
        elif kind == "asyncio":
            seen = asyncio.run(main())
        else:
            queue = Queue()
            with RemoteStream(proxy.address, options=options) as remote:
                remote.listen("fit", queue, events=True, last=1000)
                seen = [queue.get()]
                while not isinstance(seen[-1], Ended):
                    seen.append(queue.get())
    assert seen[1:-1] == [Message("fit", k) for k in range(1000)]
    moved = [attempt for has_moved, attempt in after if has_moved]
    assert len(moved) > 5 and not any(moved)


def until_trouble(listener: msgstream.Listener) -> str:
    """Waits until it has noticed; nothing is told meanwhile."""

    def noticed() -> "str | None":
        with pytest.raises(TimeoutError):
            listener.next(0.02)
        return listener.trouble

    trouble: str = eventually(noticed)
    return trouble


def test_a_broker_that_is_restarted_does_not_know_what_is_missing(broker: Broker, network: Proxy, publisher: RemoteStream) -> None:
    listener = broker.joined("fit", server=network.address)
    troubles: List[Any] = []
    listener.when_trouble(troubles.append)
    publisher.put("fit", 1)
    assert listener.next() == Message("fit", 1)
    network.refuse()
    until_trouble(listener)
    broker.kill()
    broker.start()
    publisher.put("fit", 2, header="second")
    assert publisher.flush()
    network.allow()
    lost = listener.next()
    assert isinstance(lost, Lost) and lost.reconnecting and lost.missed is None
    publisher.put("fit", 3)
    assert [listener.next(), listener.next()] == [Header("fit", "second"), Message("fit", 3)]
    assert [trouble is None for trouble in troubles] == [False, True]


def test_what_the_window_has_no_more_is_counted(away: Broker) -> None:
    broker = away.start(REPLAY__STREAM="1KiB")
    with Proxy(broker.port) as network, broker.remote() as publisher, RemoteStream(network.address, options=QUICK) as remote:
        publisher["fit"] = 0
        assert publisher.flush()
        listener, fit = broker.joined("fit", server=network.address), Queue()
        remote.listen("fit", fit, events=True)
        assert fit.get() == Header("fit", 0)
        publisher.put("fit", 1, header=1)
        assert (listener.next(), fit.get()) == (Message("fit", 1), Message("fit", 1))
        network.refuse()
        until_trouble(listener)
        eventually(lambda: remote.trouble)
        for k in range(2, 102):
            publisher.put("fit", k, header=k)
        assert publisher.flush()
        network.allow()
        for lost in (listener.next(), fit.get()):
            assert isinstance(lost, Lost) and lost.reconnecting and lost.missed == 100
        publisher.put("fit", 102)
        for following in ([listener.next(), listener.next()], fit.several(2)):
            assert following == [Header("fit", 101), Message("fit", 102)]


def test_a_network_that_carries_nothing_is_noticed_and_nothing_is_missed(broker: Broker, network: Proxy, publisher: RemoteStream) -> None:
    with RemoteStream(network.address, options=IMPATIENT) as remote:
        listener, fit = broker.joined("fit", server=network.address, options=IMPATIENT), Queue()
        remote.listen("fit", fit, events=True)
        assert fit.get() == Header("fit", "header")
        network.freeze()
        for k in range(10):
            publisher.put("fit", k, header=k)
        assert "not answer" in until_trouble(listener)
        eventually(lambda: remote.trouble)
        network.thaw()
        expected = [Message("fit", k) for k in range(10)]
        assert [listener.next() for _ in range(10)] == expected and fit.several(10) == expected


def test_a_stream_that_has_ended_meanwhile_is_heard_to_its_end(broker: Broker, network: Proxy, publisher: RemoteStream) -> None:
    listener = broker.joined("fit", server=network.address)
    network.refuse()
    until_trouble(listener)
    publisher.put("fit", 1)
    publisher.close("fit", "end")
    assert publisher.flush()
    network.allow()
    assert list(listener) == [Message("fit", 1), Ended("fit", "end")]


def test_another_run_is_not_taken_for_the_one_that_was_heard(broker: Broker, network: Proxy, publisher: RemoteStream) -> None:
    listener = broker.joined("fit", server=network.address)
    network.refuse()
    until_trouble(listener)
    publisher.close("fit", "end")
    publisher["fit"] = "again"
    assert publisher.flush()
    network.allow()
    lost, header = listener.next(), listener.next()
    assert isinstance(lost, Lost) and lost.missed is None and header == Header("fit", "again")


def test_one_that_joins_while_others_are_away_gets_the_header(broker: Broker, network: Proxy, publisher: RemoteStream) -> None:
    with RemoteStream(network.address, options=QUICK) as remote:
        first, second = Queue(), Queue()
        remote.listen("fit", first, events=True)
        assert first.get() == Header("fit", "header")
        network.refuse()
        eventually(lambda: remote.trouble)
        remote.listen("fit", second, events=True)
        for k in range(5):
            publisher.put("fit", k, header=k)
        assert publisher.flush()
        network.allow()
        expected: List[Event] = [Message("fit", k) for k in range(6)]
        joined = second.get()
        while isinstance(joined, Lost):
            # It has joined when there was no connection.
            joined = second.get()
        publisher.put("fit", 5)
        assert joined == Header("fit", 4) and second.get() == Message("fit", 5)
        assert first.several(6) == expected
        # And both go on where they are.
        network.refuse()
        publisher.put("fit", 6)
        network.allow()
        assert first.get() == second.get() == Message("fit", 6)


def test_what_is_called_in_case_of_trouble_may_fail(broker: Broker, network: Proxy, publisher: RemoteStream, caplog: pytest.LogCaptureFixture) -> None:
    with RemoteStream(network.address, options=QUICK) as remote:
        fit, troubles = Queue(), Queue()
        remote.listen("fit", fit)
        assert fit.get() == "header"

        def fail(trouble: Any) -> None:
            raise ValueError("a mistake")

        remote.when_trouble(fail)
        remote.when_trouble(troubles.put)
        network.refuse()
        assert troubles.get() is not None
        publisher.put("fit", 1)
        network.allow()
        assert troubles.get() is None and fit.get() == 1
    assert "a mistake" in caplog.text


def test_whoever_fails_when_told_of_trouble_misses_nothing(
    broker: Broker, network: Proxy, publisher: RemoteStream, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(trouble: Any) -> None:
        raise ValueError("a mistake")

    async def listen() -> None:
        async with aio.listen("fit", server=network.address, options=QUICK) as listener:
            listener.when_trouble(fail)
            assert isinstance(await listener.next(DEADLINE), Header)
            network.refuse()
            publisher.put("fit", 1)
            publisher.put("fit", 2)
            assert publisher.flush()
            network.allow()
            assert [await listener.next(DEADLINE), await listener.next(DEADLINE)] == [Message("fit", 1), Message("fit", 2)]

    asyncio.run(listen())
    assert "a mistake" in caplog.text


@pytest.mark.parametrize("last", ["1" * 5000, "[" * 5000 + "]" * 5000])
def test_an_end_that_cannot_be_decoded_is_an_end_all_the_same(broker: Broker, publisher: RemoteStream, last: str) -> None:
    listener = broker.joined("fit")
    with socket.create_connection(("127.0.0.1", broker.port)) as connection:
        connection.sendall(f'{{"action":"close","stream":"fit","message":{last}}}\n'.encode())
        ended = listener.next(DEADLINE)
        assert isinstance(ended, Ended) and isinstance(ended.message, Undecodable)
    assert listener.trouble is None


# What the lines mean, without a broker.

codec = msgstream.JsonCodec()


def receipt(number: int, state: str = "running", sequence: int = 0, resumed: "bool | None" = None, epoch: str = "e") -> str:
    told = "" if resumed is None else f',"resumed":{"true" if resumed else "false"}'
    position = f'{{"epoch":"{epoch}","sequence":{sequence}}}'
    return f'{{"action":"receipt","receipt":"listen {number}","state":"{state}"{told},"position":{position}}}'


def heard(listens: "Listens[str]", *lines: str) -> List[Any]:
    parser = wire.Parser()
    return [delivery for line in lines for delivery in listens.settle(parser.line(line.rstrip("\n")))]


def test_a_header_whose_receipt_was_lost_is_no_message() -> None:
    listens: Listens[str] = Listens(codec.decode)
    listens.join("s", "one")
    heard(listens, wire.put("s", "0"), receipt(1, sequence=4))
    listens.join("s", "two")
    heard(listens, wire.put("s", "5"), wire.put("s", '"header"'))
    assert listens.interrupted(None, "gone", True) == [(("two",), Lost("s", "gone", True))]
    assert listens.again() == [wire.listen("s", "listen 3", ("e", 5)), wire.listen("s", "listen 4")]


def test_a_second_outage_before_the_answer_changes_no_position() -> None:
    listens: Listens[str] = Listens(codec.decode)
    listens.join("s", "one")
    heard(listens, wire.put("s", "0"), receipt(1, sequence=4))
    listens.interrupted(None, "gone", True)
    assert listens.again() == [wire.listen("s", "listen 2", ("e", 4))]
    # The broker could not resume, and its header came, but no receipt.
    assert heard(listens, wire.put("s", '"header"'), '{"action":"pong"}') == []
    assert listens.interrupted(None, "gone again", True) == []
    assert listens.again() == [wire.listen("s", "listen 3", ("e", 4))]
    assert heard(listens, wire.put("s", "9"), receipt(3, sequence=9, resumed=False), wire.put("s", "10")) == [
        (("one",), Lost("s", "gone", True)),
        (("one",), Header("s", 9)),
        (("one",), Message("s", 10)),
    ]


def test_a_question_about_a_stream_moves_nobody() -> None:
    listens: Listens[str] = Listens(codec.decode)
    listens.join("s", "one")
    heard(listens, wire.put("s", "0"), receipt(1, sequence=4))
    listens.ask("s")
    told = heard(listens, wire.put("s", "5"), wire.put("s", '"header"'), receipt(2, sequence=5), wire.put("s", "6"))
    assert told == [(("one",), Message("s", 5)), (("one",), Message("s", 6))]
    listens.interrupted(None, "gone", True)
    assert listens.again() == [wire.listen("s", "listen 3", ("e", 6))]


def test_of_a_question_that_is_refused_it_is_known_whether_that_was_for_want_of_a_right() -> None:
    listens: Listens[str] = Listens(codec.decode)
    for number, code in enumerate(["denied", "limit", ""], 1):
        listens.ask("s")
        message = json.dumps({"code": code, "reason": "no"})
        assert heard(listens, f'{{"action":"error","message":{message},"stream":"s","receipt":"listen {number}"}}') == []
    assert listens.standings == [("s", "", None, None, True), ("s", "", None, None, False), ("s", "", None, None, False)]


def test_who_has_left_while_away_is_not_taken_back() -> None:
    listens: Listens[str] = Listens(codec.decode)
    listens.join("s", "one")
    listens.join("s", "two")
    heard(listens, receipt(1, "waiting"), receipt(2, "waiting"), wire.put("s", "1"))
    listens.interrupted("slow_listener", "too slow", True)
    assert listens.leave("s", lambda target: target == "one") == []
    assert listens.again() == [wire.listen("s", "listen 3", ("e", 1))]
    assert heard(listens, wire.put("s", "9"), receipt(3, sequence=7, resumed=False)) == [
        (("two",), CutOff("s", "slow_listener", "too slow", True)),
        (("two",), Header("s", 9)),
    ]
    listens.interrupted(None, "gone", True)
    assert listens.leave("s", None) == ["s"]
    listens.join("s", "three")
    assert listens.again() == [wire.listen("s", "listen 5")], "it is no former listener"


def test_a_broker_that_does_not_count_is_as_good_as_it_was() -> None:
    listens: Listens[str] = Listens(codec.decode)
    listens.join("s", "one")
    heard(listens, '{"action":"receipt","receipt":"listen 1","state":"waiting"}')
    assert listens.interrupted(None, "gone", True) == [(("one",), Lost("s", "gone", True))]
    assert listens.again() == [wire.listen("s", "listen 2")]


def test_ctrl_c_between_any_two_steps_doubles_and_loses_nothing(broker: Broker, publisher: RemoteStream) -> None:
    listener = broker.joined("fit")
    troubles: List[Any] = []
    listener.when_trouble(troubles.append)
    count: "Callable[[str], None]" = listener._listens.count

    def interrupted(stream: str) -> None:
        listener._listens.count = count  # type: ignore[method-assign]
        raise KeyboardInterrupt

    def interrupted_after(stream: str) -> None:
        count(stream)
        interrupted(stream)

    for k, step in enumerate([interrupted, interrupted_after]):
        for message in (3 * k, 3 * k + 1, 3 * k + 2):
            publisher.put("fit", message)
        listener._listens.count = step  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            listener.next()
        assert [listener.next() for _ in range(3)] == [Message("fit", 3 * k + each) for each in range(3)]
    assert troubles == [], "it has asked for that itself"


FORKS = """
import os, msgstream
from msgstream import Header, Message
remote = msgstream.RemoteStream(options=msgstream.Options(exit_time=20.0))
remote["fit"] = 0
assert remote.flush()
listener = msgstream.listen("fit", timeout=20)
listener.when_trouble(print)
assert next(listener) == Header("fit", 0)
count = listener._listens.count
forked = []

def fork(stream):
    # As if another thread forked while this one takes what has come.
    listener._listens.count = count
    if not forked:
        forked.append(stream)
        child = os.fork()
        if child == 0:
            assert [next(listener) for _ in range(3)] == [Message("fit", k) for k in range(3)]
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    count(stream)

for k in range(3):
    remote.put("fit", k)
listener._listens.count = fork
assert [next(listener) for _ in range(3)] == [Message("fit", k) for k in range(3)]
"""


def test_a_fork_in_the_midst_of_taking_messages_doubles_and_loses_none(script: Callable[..., Any]) -> None:
    ended = script(FORKS)
    assert (ended.returncode, ended.stdout) == (0, "7\n"), ended.stderr
