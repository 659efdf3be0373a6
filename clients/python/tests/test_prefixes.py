"""Those who listen to all streams whose names begin so: the ones that there are, and the ones to come."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from typing import Any, Dict, Iterator, List

import pytest

import msgstream
from conftest import DEADLINE, QUICK, Broker, Queue, eventually
from msgstream import CutOff, Ended, Event, Header, Lost, Message, Options, RemoteStream, Skipped, aio
from proxy import Proxy


@pytest.fixture
def publisher(broker: Broker) -> Iterator[RemoteStream]:
    """Who has begun two streams of the prefix, and another."""
    with broker.remote() as remote:
        for stream in ("fit-2", "fit-10", "other"):
            remote[stream] = f"header of {stream}"
        assert remote.flush()
        yield remote


BEGUN = [Header("fit-10", "header of fit-10"), Header("fit-2", "header of fit-2")]


def test_a_queue_gets_the_streams_that_there_are_and_those_to_come(broker: Broker, publisher: RemoteStream) -> None:
    with broker.remote() as remote:
        queue = Queue()
        remote.listen_prefix("fit-", queue)
        assert queue.several(2) == BEGUN
        publisher.put("other", "not for it")
        publisher.put("fit-2", 1)
        publisher["fit-3"] = "begun"
        publisher.put("fit-3", 2)
        publisher.put("fit-4", "without a header")
        publisher.put("fit-5", 3, header="three")
        publisher.close("fit-3", "end")
        publisher["fit-3"] = "begun anew"
        assert publisher.flush()
        assert queue.several(7) == [
            Message("fit-2", 1),
            Header("fit-3", "begun"),
            Message("fit-3", 2),
            Message("fit-4", "without a header"),
            Header("fit-5", "three"),
            Ended("fit-3", "end"),
            Header("fit-3", "begun anew"),
        ]


def test_a_queue_may_get_messages_alone(broker: Broker, publisher: RemoteStream) -> None:
    with broker.remote() as remote:
        queue = Queue()
        remote.listen_prefix("fit-2", queue, events=False)
        assert queue.get() == "header of fit-2"
        publisher.put("fit-2", 1)
        assert queue.get() == 1


def test_a_loop_does_too(broker: Broker, publisher: RemoteStream) -> None:
    with broker.listen(prefix="fit-") as listener:
        assert [next(listener), next(listener)] == BEGUN
        publisher.put("fit-3", 1)
        publisher.close("fit-3")
        publisher["fit-2"] = "not told"
        publisher.put("fit-2", 2)
        assert [next(listener) for _ in range(3)] == [Message("fit-3", 1), Ended("fit-3"), Message("fit-2", 2)]
        # It has no end of its own.
        with pytest.raises(TimeoutError):
            listener.next(0.01)


def test_a_loop_of_asyncio_does_too(broker: Broker, publisher: RemoteStream) -> None:
    async def main() -> None:
        async with aio.listen(prefix="fit-", server=broker.address, timeout=DEADLINE, options=QUICK) as listener:
            assert [await listener.next(), await listener.next()] == BEGUN
            publisher.put("fit-3", 1)
            publisher.close("fit-3")
            assert publisher.flush()
            assert [await listener.next(), await listener.next()] == [Message("fit-3", 1), Ended("fit-3")]

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_a_loop_may_listen_by_names_as_well(broker: Broker, publisher: RemoteStream) -> None:
    with broker.listen("fit-2", "other", prefix="fit-") as listener:
        begun = {next(listener).stream for _ in range(3)}
        assert begun == {"fit-2", "fit-10", "other"}
        publisher.put("fit-2", 1)
        publisher.close("other")
        publisher.close("fit-2")
        publisher["fit-2"] = "anew"
        rest = [Message("fit-2", 1), Ended("other"), Ended("fit-2"), Header("fit-2", "anew")]
        assert [next(listener) for _ in rest] == rest


def test_all_goes_on_after_an_outage_and_nothing_is_told(broker: Broker, publisher: RemoteStream) -> None:
    with Proxy(broker.port) as network, RemoteStream(network.address, options=QUICK) as remote:
        queue = Queue()
        remote.listen_prefix("fit-", queue)
        with broker.listen(prefix="fit-", server=network.address) as listener:
            for get in (queue.get, listener.__next__):
                assert [get(), get()] == BEGUN
            publisher.put("fit-2", 1)
            publisher.put("silent", 1)
            publisher.put("fit-silent", 1)
            for get in (queue.get, listener.__next__):
                assert [get(), get()] == [Message("fit-2", 1), Message("fit-silent", 1)]
            network.refuse()
            publisher.put("fit-2", 2)
            publisher.put("fit-2", 3)
            publisher.put("fit-silent", 2)
            publisher.close("fit-10", "end")
            publisher["fit-3"] = "new"
            assert publisher.flush()
            network.allow()
            for get in (queue.get, listener.__next__):
                assert [get() for _ in range(5)] == [
                    Ended("fit-10", "end"),
                    Message("fit-2", 2),
                    Message("fit-2", 3),
                    Header("fit-3", "new"),
                    Message("fit-silent", 2),
                ]
            publisher.put("fit-3", 1)
            for get in (queue.get, listener.__next__):
                assert get() == Message("fit-3", 1)


def began_in_an_outage(broker: Broker, publisher: RemoteStream, whole: bool) -> None:
    with Proxy(broker.port) as network, RemoteStream(network.address, options=QUICK) as remote:
        queue = Queue()
        remote.listen_prefix("fit-", queue)
        with broker.listen(prefix="fit-", server=network.address) as listener:
            for get in (queue.get, listener.__next__):
                assert [get(), get()] == BEGUN
            network.refuse()
            publisher["fit-3"] = "new"
            publisher["fit-4"] = "new"
            for stream in ("fit-4", "fit-ended"):
                publisher.put(stream, 1)
                publisher.put(stream, 2)
            publisher.close("fit-ended", "end")
            assert publisher.flush()
            network.allow()
            for get in (queue.get, listener.__next__):
                assert get() == Header("fit-3", "new")
                told = [get() for _ in range(6 if whole else 3)]
                if whole:
                    four, ended = ([Message(stream, 1), Message(stream, 2)] for stream in ("fit-4", "fit-ended"))
                    assert told == [Header("fit-4", "new"), *four, *ended, Ended("fit-ended", "end")]
                else:
                    gap = told[0]
                    assert isinstance(gap, Lost) and gap == Lost("fit-4", gap.reason, True, 2)
                    # Such a broker counts nothing of a stream that has only messages.
                    assert told[1:] == [Header("fit-4", "new"), Ended("fit-ended", "end")]
            # Who is new, or was there, has missed nothing.
            other = Queue()
            remote.listen_prefix("fit-", other)
            assert other.several(5) == [*BEGUN, Header("fit-3", "new"), Header("fit-4", "new"), Ended("fit-ended", "end")]
            publisher.put("fit-3", 1)
            for get in (queue.get, listener.__next__, other.get):
                assert get() == Message("fit-3", 1)


def test_what_a_stream_said_that_began_in_an_outage_is_told(broker: Broker, publisher: RemoteStream) -> None:
    began_in_an_outage(broker, publisher, True)


def test_what_a_stream_said_that_began_in_an_outage_is_told_to_be_missing(away: Broker) -> None:
    broker = away.start(REPLAY__STREAM="0")
    with broker.remote() as publisher:
        for stream in ("fit-10", "fit-2"):
            publisher[stream] = f"header of {stream}"
        assert publisher.flush()
        began_in_an_outage(broker, publisher, False)


def test_an_end_that_was_told_is_not_told_again_after_an_outage(broker: Broker, publisher: RemoteStream) -> None:
    with Proxy(broker.port) as network, RemoteStream(network.address, options=QUICK) as remote:
        queue, other = Queue(), Queue()
        remote.listen_prefix("fit-", queue)
        assert queue.several(2) == BEGUN
        publisher.close("fit-10", "end")
        publisher.close("fit-2", "end")
        assert queue.several(2) == [Ended("fit-10", "end"), Ended("fit-2", "end")]
        network.refuse()
        # Another run of that name is another end.
        publisher["fit-2"] = "again"
        publisher.close("fit-2", "end")
        assert publisher.flush()
        network.allow()
        assert queue.several(2) == [Header("fit-2", "again"), Ended("fit-2", "end")]
        # And who is new is told of all.
        remote.listen_prefix("fit-", other)
        assert other.several(4) == [BEGUN[0], Ended("fit-10", "end"), Header("fit-2", "again"), Ended("fit-2", "end")]
        publisher["fit-10"] = "again"
        assert queue.get() == other.get() == Header("fit-10", "again")


def test_what_is_missing_is_told_of_those_streams_alone(away: Broker) -> None:
    broker = away.start(REPLAY__STREAM="0")
    with Proxy(broker.port) as network, broker.remote() as publisher, RemoteStream(network.address, options=QUICK) as remote:
        for stream in ("fit-1", "fit-2", "fit-3"):
            publisher[stream] = 0
        queue = Queue()
        assert publisher.flush()
        remote.listen_prefix("fit-", queue)
        assert queue.several(3) == [Header("fit-1", 0), Header("fit-2", 0), Header("fit-3", 0)]
        network.refuse()
        publisher.put("fit-2", 1, header=1)
        publisher.put("fit-2", 2, header=2)
        publisher.delete("fit-3")
        assert publisher.flush()
        network.allow()
        gap, header, gone = queue.several(3)
        assert isinstance(gap, Lost) and gap == Lost("fit-2", gap.reason, True, 2) and header == Header("fit-2", 2)
        # One that is not there any more has ended, and its end was missed.
        assert gone == Lost("fit-3", gap.reason, True)
        publisher.put("fit-1", 1)
        publisher["fit-3"] = "anew"
        assert queue.several(2) == [Message("fit-1", 1), Header("fit-3", "anew")]


def test_of_a_restarted_broker_all_streams_are_others(broker: Broker, publisher: RemoteStream) -> None:
    with broker.remote() as remote:
        queue = Queue()
        remote.listen_prefix("fit-", queue)
        assert queue.several(2) == BEGUN
        publisher.put("fit-2", 1)
        assert queue.get() == Message("fit-2", 1)
        broker.kill()
        broker.start()
        told = queue.several(4)
        # Its publisher may come back earlier or later.
        assert {event.stream for event in told if isinstance(event, Lost) and event.missed is None} == {"fit-10", "fit-2"}
        assert sorted((event for event in told if isinstance(event, Header)), key=lambda event: event.stream) == BEGUN


def test_a_prefix_is_hung_up(broker: Broker, publisher: RemoteStream) -> None:
    with broker.remote() as remote:
        one, other = Queue(), Queue()
        remote.listen_prefix("fit-", one)
        remote.listen_prefix("fit-", other)
        assert one.several(2) == other.several(2) == BEGUN
        remote.hangup("fit-2", one)
        remote.hangup("fit-")
        remote.hangup(prefix="fit")
        publisher.put("fit-2", 1)
        assert one.get() == other.get() == Message("fit-2", 1)
        remote.hangup(prefix="fit-", queue=one)
        publisher.put("fit-2", 2)
        assert other.get() == Message("fit-2", 2)
        remote.hangup(queue=other)
        assert remote.flush()
        assert remote._listens.active == {} and not remote._listens.wanted
        publisher.put("fit-2", 3)
        publisher.begin("fit-3", "header")
        assert one.items.empty() and other.items.empty()
        assert listeners(publisher, "fit-2") == 0
        with pytest.raises(TypeError, match="either"):
            remote.hangup("fit-2", prefix="fit-")


def listeners(remote: RemoteStream, stream: str) -> int:
    """How many connections listen to it, as the directory says."""
    queue = Queue()
    remote.listen(f"$streams/{stream}", queue)
    count = queue.get()["listeners"]
    remote.hangup(queue=queue)
    assert isinstance(count, int)
    return count


def test_what_is_listened_to_twice_comes_once_to_each_queue(broker: Broker, publisher: RemoteStream) -> None:
    with broker.remote() as remote:
        both, named, prefixed = Queue(), Queue(), Queue()
        remote.listen("fit-2", both, events=True)
        remote.listen("fit-2", named, events=True)
        assert both.get() == named.get() == BEGUN[1]
        remote.listen_prefix("fit-", both)
        remote.listen_prefix("fit-2", both)
        remote.listen_prefix("fit-", prefixed)
        assert both.get() == BEGUN[0]
        assert prefixed.several(2) == BEGUN
        assert remote.flush()
        publisher.put("fit-2", 1)
        publisher["fit-22"] = "born"
        for queue in (both, named, prefixed):
            assert queue.get() == Message("fit-2", 1)
        for queue in (both, prefixed):
            assert queue.get() == Header("fit-22", "born")
        # What is not hung up goes on.
        remote.hangup("fit-2")
        remote.hangup(prefix="fit-2")
        publisher.put("fit-2", 2)
        for queue in (both, prefixed):
            assert queue.get() == Message("fit-2", 2)
        remote.listen("fit-2", named, events=True)
        assert named.get() == BEGUN[1]
        remote.hangup(prefix="fit-")
        publisher.put("fit-2", 3)
        assert named.get() == Message("fit-2", 3)
        assert both.items.empty() and prefixed.items.empty()


def test_a_header_that_comes_unasked_is_no_message(broker: Broker, publisher: RemoteStream) -> None:
    with broker.remote() as remote, broker.remote() as third:
        queue = Queue()
        remote.listen_prefix("fit-", queue)
        assert queue.several(2) == BEGUN
        # While somebody waits for it, the stream is there, and then it is forgotten without a word.
        third.listen("fit-3", Queue())
        assert third.flush()
        eventually(lambda: "fit-3" in remote._listens.silent)
        third.hangup()
        assert third.flush()
        publisher["fit-3"] = "header"
        assert queue.get() == Header("fit-3", "header")
        publisher.put("fit-3", 1)
        assert queue.get() == Message("fit-3", 1)


def test_a_message_that_might_have_been_a_header_comes_though_nothing_follows(broker: Broker) -> None:
    async def main() -> None:
        async with aio.listen(prefix="fit-", server=broker.address, timeout=DEADLINE, options=QUICK) as listener:
            with pytest.raises(TimeoutError):
                await listener.next(0.2)
            remote.put("fit-1", 3)
            assert await listener.next() == Message("fit-1", 3)

    with broker.remote() as remote, broker.remote() as listening, broker.listen(prefix="fit-") as listener:
        queue = Queue()
        listening.listen_prefix("fit-", queue)
        assert listening.flush()
        with pytest.raises(TimeoutError):
            listener.next(0.01)
        for k in (1, 2):
            remote.put("fit-1", k)
            assert queue.get() == listener.next(DEADLINE) == Message("fit-1", k)
        remote.close("fit-1")
        remote.delete("fit-1")
        assert remote.flush()
        asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_what_could_not_be_joined_is_told(away: Broker) -> None:
    broker = away.start(LIMITS__LISTENS="2")
    with broker.remote() as publisher, broker.remote() as remote:
        publisher["fit-1"] = 1
        publisher["fit-2"] = 2
        assert publisher.flush()
        queue = Queue()
        remote.listen_prefix("fit-", queue)
        assert queue.get() == Header("fit-1", 1)
        cut = queue.get()
        assert isinstance(cut, CutOff) and (cut.stream, cut.code, cut.reconnecting) == ("fit-2", "limit", False)
        # And so is a prefix for which there is no room.
        remote.listen_prefix("x", queue)
        cut = queue.get()
        assert isinstance(cut, CutOff) and (cut.stream, cut.code, cut.reconnecting) == ("x", "limit", False)
        publisher.put("fit-1", 3)
        assert queue.get() == Message("fit-1", 3)


def test_before_there_is_a_broker_the_prefix_is_told_of(away: Broker) -> None:
    with away.remote() as remote:
        queue = Queue()
        remote.listen_prefix("fit-", queue)
        lost = queue.get()
        assert isinstance(lost, Lost) and lost.stream == "fit-" and lost.reconnecting
        remote["fit-1"] = "header"
        away.start()
        remote.put("fit-1", 1)
        assert queue.get() == Header("fit-1", "header") and queue.get() == Message("fit-1", 1)


def test_without_reconnecting_the_end_of_the_connection_is_the_end_of_all(broker: Broker, publisher: RemoteStream) -> None:
    with broker.listen(prefix="fit-", reconnect=False) as listener:
        assert [next(listener), next(listener)] == BEGUN
        broker.stop()
        ends = list(listener)
        assert [(type(event), event.stream) for event in ends] == [(CutOff, "fit-10"), (CutOff, "fit-2"), (CutOff, "fit-")]
        assert all(msgstream.is_last(event) for event in ends)


def test_a_queue_that_fails_is_given_up_at_that_stream_until_it_ends(broker: Broker, publisher: RemoteStream) -> None:
    got = Queue()

    class Fails:
        def put(self, event: Event) -> None:
            got.put(event)
            if event == Message("fit-2", "bad"):
                raise OSError("full")

    with broker.remote() as remote:
        remote.listen_prefix("fit-", Fails())
        assert got.several(2) == BEGUN
        publisher.put("fit-2", "bad")
        assert got.get() == Message("fit-2", "bad")
        cut = got.get()
        assert isinstance(cut, CutOff) and (cut.stream, cut.code) == ("fit-2", "listener_failed")
        eventually(lambda: "fit-2" not in remote._listens.active)
        publisher.put("fit-2", "unheard")
        publisher.put("fit-10", "heard")
        publisher.close("fit-2")
        publisher["fit-2"] = "anew"
        assert got.several(2) == [Message("fit-10", "heard"), Header("fit-2", "anew")]


def test_a_queue_that_takes_nothing_is_given_up_at_all_streams_of_the_prefix_at_once(broker: Broker, publisher: RemoteStream) -> None:
    let_go = threading.Event()

    class Stuck(Queue):
        def put(self, message: Any) -> None:
            super().put(message)
            assert let_go.wait(DEADLINE)

    stuck, other = Stuck(), Queue()
    with broker.remote(options=Options(queue=1)) as remote:
        remote.listen("other", other)
        remote.listen_prefix("fit-", stuck)
        remote.listen("mine", stuck)
        remote.listen_prefix("no-", stuck)
        assert remote.flush()
        for number in range(100):
            publisher[f"fit-{number}"] = "x" * 20_000
        publisher.put("other", 1)
        # It is waited for once, not for each of the streams.
        assert other.several(2) == ["header of other", 1]
        assert [prefix for prefix, _ in remote._listens._prefixes] == ["no-"]
        assert remote.flush()
        let_go.set()
        publisher.put("no-1", 1)
        told = []
        while not told or told[-1] != Message("no-1", 1):
            told.append(stuck.get())
        *_, last, cut, all_cut, _ = told
        assert isinstance(cut, CutOff) and isinstance(all_cut, CutOff) and isinstance(last, Header)
        assert all_cut == CutOff("fit-", "slow_listener", cut.reason) and cut.stream.startswith("fit-")
        assert len([event for event in told if isinstance(event, CutOff)]) == 2


def test_only_the_newest_message_of_each_stream(broker: Broker, publisher: RemoteStream) -> None:
    with broker.listen(prefix="fit-", latest=True) as listener:
        assert [next(listener), next(listener)] == BEGUN
        for k in range(100):
            publisher.put("fit-2", k)
            publisher.put("fit-10", k)
            assert publisher.flush()
        told = [next(listener) for _ in range(4)]
        for stream in ("fit-2", "fit-10"):
            assert [event for event in told if event.stream == stream] == [Skipped(stream, 99), Message(stream, 99)]


def test_the_directory_is_a_prefix_like_others(broker: Broker, publisher: RemoteStream) -> None:
    with broker.remote() as remote:
        queue = Queue()
        remote.listen_prefix("$streams/fit-", queue)
        for stream in ("$streams/fit-10", "$streams/fit-2"):
            entry = queue.get()
            assert isinstance(entry, Header) and entry.stream == stream and entry.message["state"] == "running"
        publisher.delete("fit-2")
        ended = queue.get()
        while isinstance(ended, Message):
            ended = queue.get()
        assert ended == Ended("$streams/fit-2")


def test_an_entry_of_the_directory_tells_after_an_outage_how_it_stands(broker: Broker, publisher: RemoteStream) -> None:
    with Proxy(broker.port) as network, RemoteStream(network.address, options=QUICK) as remote:
        queue = Queue()
        remote.listen_prefix("$streams/fit-2", queue)
        assert queue.get().message["messages"] == 0
        network.refuse()
        publisher.put("fit-2", 1)
        assert publisher.flush()
        network.allow()
        told = queue.get()
        while isinstance(told, Message):
            # It may have been told before the connection was lost.
            told = queue.get()
        assert isinstance(told, Lost) and told.missed is None
        header = queue.get()
        assert isinstance(header, Header) and header.message["messages"] == 1


@pytest.mark.parametrize("prefix", [7, None, "x" * 1025, "\ud800"])
def test_what_is_no_prefix_is_refused(broker: Broker, prefix: Any) -> None:
    with broker.remote() as remote, pytest.raises(ValueError):
        remote.listen_prefix(prefix, Queue())


@pytest.mark.parametrize("seed", range(3))
def test_on_a_network_that_breaks_again_and_again_nothing_is_missing(broker: Broker, seed: int) -> None:
    drawn = random.Random(seed)
    cuts = (drawn.randrange(200, 4000) for _ in itertools.count())
    streams = [f"fit-{number}" for number in range(5)]
    with Proxy(broker.port, cuts) as network, broker.remote() as publisher, RemoteStream(network.address, options=QUICK) as remote:
        queue = Queue()
        remote.listen_prefix("fit-", queue)
        last: Dict[str, int] = {}
        seen: Dict[str, List[Any]] = {stream: [] for stream in streams}

        def hear() -> Any:
            event = queue.get()
            if event.stream != "fit-":
                seen[event.stream].append(event)
            return event

        for k in range(300):
            stream = drawn.choice(streams)
            last[stream] = last.get(stream, 0) + 1
            if drawn.random() < 0.8:
                publisher.put(stream, last[stream], header=last[stream])
            else:
                publisher.put(stream, last[stream])
                publisher.header(stream, last[stream])
            if k % 10 == 0:
                assert publisher.flush()
            if k % 30 == 0:
                # It hears most of them as they come, so that there are connections to break.
                while not any(event.message == last[stream] for event in seen[stream][-1:]):
                    hear()
        for stream in last:
            publisher.close(stream, "end")
        assert publisher.flush()
        ended = 0
        while ended < len(last):
            ended += isinstance(hear(), Ended)
        assert network.resets > 3
        for stream, events in seen.items():
            numbers = [event.message for event in events[:-1]]
            assert isinstance(events[0], (Header, Message)) and all(isinstance(event, Message) for event in events[1:-1]), events
            assert numbers == list(range(numbers[0], last[stream] + 1))
            assert events[-1] == Ended(stream, "end")
