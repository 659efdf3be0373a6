"""Listeners that begin with the last messages, and that learn how old an end is."""

from __future__ import annotations

import asyncio
from typing import Any, Iterator, List

import pytest

import msgstream
from conftest import DEADLINE, QUICK, Broker, Queue, eventually
from msgstream import Ended, Event, Header, Lost, Message, RemoteStream, aio, wire
from msgstream.contrib.progress import State
from msgstream.listens import Listens
from proxy import Proxy

codec = msgstream.JsonCodec()


@pytest.fixture
def publisher(broker: Broker) -> Iterator[RemoteStream]:
    """Whose streams have had some messages."""
    with broker.remote() as remote:
        for stream in ("fit", "other"):
            remote[stream] = "header"
            for k in range(4):
                remote.put(stream, k)
        assert remote.flush()
        yield remote


def several(listener: msgstream.Listener, count: int) -> List[Event]:
    return [next(listener) for _ in range(count)]


def test_a_loop_begins_with_the_last_messages_of_each_stream(broker: Broker, publisher: RemoteStream) -> None:
    with broker.listen("fit", last=2) as listener:
        assert several(listener, 3) == [Header("fit", "header"), Message("fit", 2), Message("fit", 3)]
        publisher.put("fit", 4)
        assert next(listener) == Message("fit", 4)
    with broker.listen("fit", "other", last=1) as listener:
        seen = several(listener, 4)
        for stream in ("fit", "other"):
            assert [event for event in seen if event.stream == stream][0] == Header(stream, "header")
        assert Message("fit", 4) in seen and Message("other", 3) in seen
    with broker.listen("fit", last=99) as listener:
        assert several(listener, 6)[1:] == [Message("fit", k) for k in range(5)]
    publisher.close("fit", "end")
    assert publisher.flush()
    assert list(broker.listen("fit", last=1)) == [Header("fit", "header"), Message("fit", 4), Ended("fit", "end")]
    assert list(broker.listen("fit", last=0)) == [Header("fit", "header"), Ended("fit", "end")]


def test_a_loop_of_asyncio_does_too(broker: Broker, publisher: RemoteStream) -> None:
    async def main() -> None:
        listener = aio.listen("fit", server=broker.address, timeout=DEADLINE, options=QUICK, last=2)
        publisher.close("fit")
        assert publisher.flush()
        seen = [event async for event in listener]
        assert seen == [Header("fit", "header"), Message("fit", 2), Message("fit", 3), Ended("fit")]
        assert isinstance(seen[-1], Ended) and seen[-1].age is not None

    asyncio.run(main())


def test_a_loop_that_began_with_the_last_messages_goes_on_after_an_outage(broker: Broker, publisher: RemoteStream) -> None:
    with Proxy(broker.port) as network:
        listener = broker.listen("fit", server=network.address, last=1)
        assert several(listener, 2) == [Header("fit", "header"), Message("fit", 3)]
        network.refuse()
        publisher.put("fit", 4)
        assert publisher.flush()
        network.allow()
        assert next(listener) == Message("fit", 4)


def test_earlier_messages_are_only_for_the_queue_that_asks_for_them(broker: Broker, publisher: RemoteStream) -> None:
    with broker.remote() as remote:
        first, second = Queue(), Queue()
        remote.listen("fit", first)
        assert first.get() == "header"
        publisher.put("fit", 4)
        assert first.get() == 4
        remote.listen("fit", second, last=3)
        assert second.several(4) == ["header", 2, 3, 4]
        publisher.put("fit", 5)
        publisher.close("fit", "end")
        assert first.several(2) == second.several(2) == [5, ("closed", "end")]


@pytest.mark.parametrize("last", [-1, 1.5, "1", True])
def test_what_is_no_number_of_messages_is_refused(broker: Broker, last: Any) -> None:
    with pytest.raises(ValueError, match="a whole number from 0"):
        broker.listen("fit", last=last)
    with broker.remote() as remote, pytest.raises(ValueError, match="a whole number from 0"):
        remote.listen("fit", Queue(), last=last)


def test_an_end_that_was_found_has_an_age_and_one_that_was_heard_has_none(broker: Broker, publisher: RemoteStream) -> None:
    with broker.remote() as remote:
        heard, found = Queue(), Queue()
        remote.listen("fit", heard, events=True)
        assert heard.get() == Header("fit", "header")
        publisher.close("fit")
        assert heard.get().age is None
        remote.listen("fit", found, events=True)
        assert found.get() == Header("fit", "header")
        end = found.get()
        assert end == Ended("fit") and 0 <= end.age < DEADLINE


def test_people_are_told_how_long_ago_a_stream_has_ended() -> None:
    assert State("fit").take(Ended("fit")) == "ended"
    assert State("fit").take(Ended("fit", None, 0.9)) == "ended just now"
    assert State("fit").take(Ended("fit", None, 200.0)) == "ended 3 min ago"
    failed = State("fit")
    assert failed.take(Ended("fit", msgstream.monitor.Error("no data"), 7 * 86_400.0)) == "ended 7 d ago: failed: no data"
    assert failed.outcome == "failed"


# What the lines mean, without a broker.


def receipt(number: int, sequence: int, more: str = "") -> str:
    position = f'{{"epoch":"e","sequence":{sequence}}}'
    return f'{{"action":"receipt","receipt":"listen {number}","state":"waiting"{more},"position":{position}}}'


def heard(listens: "Listens[str]", *lines: str) -> List[Any]:
    parser = wire.Parser()
    return [delivery for line in lines for delivery in listens.settle(parser.line(line.rstrip("\n")))]


def ahead() -> "Listens[str]":
    """One has had seven messages, and another begins again with the sixth."""
    listens: Listens[str] = Listens(codec.decode)
    listens.join("s", "one")
    heard(listens, receipt(1, 7))
    assert listens.join("s", "two", 2) == wire.listen("s", "listen 2", last=2)
    assert heard(listens, receipt(2, 5), wire.put("s", "6")) == [(("two",), Message("s", 6))]
    assert listens.unsettled
    return listens


def test_who_is_ahead_waits_for_the_others() -> None:
    listens = ahead()
    told = heard(listens, wire.put("s", "7"), wire.put("s", "8"), wire.close("s"))
    assert told == [(("two",), Message("s", 7)), (("one", "two"), Message("s", 8)), (("one", "two"), Ended("s"))]
    assert not listens.unsettled and listens.streams == []


def test_who_is_ahead_stays_so_over_an_outage() -> None:
    listens = ahead()
    assert listens.interrupted(None, "gone", True) == []
    assert listens.again() == [wire.listen("s", "listen 3", ("e", 6))]
    told = heard(listens, receipt(3, 6, ',"resumed":true'), wire.put("s", "7"), wire.put("s", "8"))
    assert told == [(("two",), Message("s", 7)), (("one", "two"), Message("s", 8))]
    assert not listens.unsettled


def test_after_a_gap_nobody_is_ahead() -> None:
    listens = ahead()
    listens.interrupted(None, "gone", True)
    listens.again()
    told = heard(listens, receipt(3, 9, ',"resumed":false,"missed":3'), wire.put("s", "10"))
    # It has missed one message less, since it had had the seventh.
    gaps = [(("one",), Lost("s", "gone", True, 2)), (("two",), Lost("s", "gone", True, 3))]
    assert told == [*gaps, (("one", "two"), Message("s", 10))]
    assert not listens.unsettled


def test_who_is_ahead_and_has_missed_nothing_is_told_nothing() -> None:
    listens = ahead()
    listens.interrupted(None, "gone", True)
    listens.again()
    answer = receipt(3, 7, ',"resumed":false,"missed":1').replace("waiting", "running")
    told = heard(listens, wire.put("s", "0"), answer, wire.put("s", "8"))
    assert told == [(("two",), Lost("s", "gone", True, 1)), (("two",), Header("s", 0)), (("one", "two"), Message("s", 8))]


def test_after_a_gap_of_unknown_length_all_are_told_of_it() -> None:
    listens = ahead()
    listens.interrupted(None, "gone", True)
    listens.again()
    told = heard(listens, receipt(3, 2, ',"resumed":false').replace('"e"', '"another"'), wire.put("s", "3"))
    assert told == [(("one", "two"), Lost("s", "gone", True)), (("one", "two"), Message("s", 3))]


def test_an_outage_that_is_told_twice_forgets_nobody() -> None:
    listens = ahead()
    assert listens.interrupted(None, "gone", True) == []
    listens.again()
    # Before anything was answered.
    assert listens.interrupted("shutdown", "stops", True) == []
    assert listens.again() == [wire.listen("s", "listen 4", ("e", 6))]
    told = heard(listens, receipt(4, 6, ',"resumed":true'), wire.put("s", "7"), wire.put("s", "8"))
    assert told == [(("two",), Message("s", 7)), (("one", "two"), Message("s", 8))]


def test_who_is_ahead_may_leave() -> None:
    listens = ahead()
    assert listens.leave("s", lambda target: target == "one") == []
    assert heard(listens, wire.put("s", "7"), wire.put("s", "8")) == [(("two",), Message("s", 7)), (("two",), Message("s", 8))]
    assert not listens.unsettled
    listens = ahead()
    assert listens.leave("s", lambda target: target == "two") == []
    assert heard(listens, wire.put("s", "7"), wire.put("s", "8")) == [(("one",), Message("s", 8))]


def test_who_was_not_answered_asks_for_the_same_again() -> None:
    listens: Listens[str] = Listens(codec.decode)
    listens.join("s", "one", 3)
    listens.join("s", "two")
    listens.join("s", "three", 3)
    listens.interrupted(None, "gone", True)
    assert listens.again() == [wire.listen("s", "listen 4", last=3), wire.listen("s", "listen 5")]
    heard(listens, receipt(4, 0), receipt(5, 0))
    assert {target for target in listens.active["s"]} == {"one", "two", "three"}
    listens.interrupted(None, "gone", True)
    assert listens.again() == [wire.listen("s", "listen 6", ("e", 0))]
