"""The queue of a client, against a model that goes through all of it each time."""

from __future__ import annotations

import json
import random
from typing import Dict, Iterator, List, Optional, Tuple

import pytest

from msgstream import wire
from msgstream.entries import CLOSE, CONTROL, HANGUP, HEADER, MARK, PUT, Entry, Waiting, weight
from msgstream.outgoing import Outgoing


def text(k: int, stream: str = "s") -> str:
    return wire.put(stream, str(k))


def progress(k: int, stream: str = "s") -> Entry:
    return Entry(PUT, wire.put(stream, str(k), str(k)), stream, str(k), False)


def header(k: int, stream: str = "s") -> Entry:
    return Entry(HEADER, wire.header(stream, str(k)), stream, str(k))


def close(stream: str = "s") -> Entry:
    return Entry(CLOSE, wire.close(stream), stream)


def essential(k: int, stream: str = "s") -> Entry:
    return Entry(PUT, wire.put(stream, str(k)), stream)


def lines(entries: "List[Waiting] | Outgoing") -> List[str]:
    return [entry if isinstance(entry, str) else entry.line for entry in entries]


def lost(outgoing: Outgoing) -> None:
    """The connection is gone, and the broker of the next one knows nothing of the client's session."""
    outgoing.disconnected()
    outgoing.take_up(None)


class Model:
    """What waits, as a list."""

    def __init__(self) -> None:
        self.waiting: List[Waiting] = []
        self.sent: List[Tuple[int, List[Waiting]]] = []
        self.away = True

    def add(self, entry: Waiting) -> None:
        if self.away and isinstance(entry, Entry):
            if entry.kind == HANGUP:
                self.waiting = [one for one in self.waiting if not (isinstance(one, Entry) and one.kind == CONTROL and one.stream == entry.stream)]
                return
            before = self.last(entry.stream) if entry.header is not None else None
            listens = [index for index, one in enumerate(self.waiting) if isinstance(one, Entry) and one.kind == CONTROL]
            if before is not None and before > max(listens, default=-1):
                replaced = self.waiting[before]
                if isinstance(replaced, Entry) and replaced.kind == HEADER and not replaced.sent:
                    del self.waiting[before]
        self.waiting.append(entry)

    def last(self, stream: str) -> Optional[int]:
        setting = [i for i, one in enumerate(self.waiting) if isinstance(one, Entry) and one.header is not None and one.stream == stream]
        return setting[-1] if setting else None

    def disconnected(self) -> None:
        entries = [one for _, sent in self.sent for one in sent if isinstance(one, str) or one.kind not in (CONTROL, HANGUP)] + self.waiting
        self.sent, self.waiting, self.away = [], [], True
        for entry in entries:
            self.add(entry)


@pytest.mark.parametrize("seed", range(200))
def test_it_does_as_the_model_does(seed: int) -> None:
    chance = random.Random(seed)
    outgoing, model = Outgoing(10**9), Model()
    for k in range(chance.randrange(10, 300)):
        stream = chance.choice("ab")
        what = chance.randrange(12)
        if what < 8:
            make = [text, text, text, progress, header, essential, None, None][what]
            entry: Waiting
            if make is not None:
                entry = make(k, stream)
            elif what == 6:
                entry = close(stream)
            else:
                kind = chance.choice([CONTROL, HANGUP])
                entry = Entry(kind, f"{kind} {stream} {k}\n", stream)
            outgoing.add(entry)
            model.add(entry)
        elif what == 8:
            taken = outgoing.take(chance.randrange(1, 400))
            count = taken.count("\n") - 1
            assert taken.splitlines()[:-1] == [line.rstrip("\n") for line in lines(model.waiting[:count])]
            model.sent.append((outgoing._pings, model.waiting[:count]))
            del model.waiting[:count]
        elif what == 9 and model.sent:
            ping = chance.choice(model.sent)[0]
            outgoing.confirm(ping)
            model.sent = [one for one in model.sent if one[0] > ping]
        elif what == 10:
            lost(outgoing)
            model.disconnected()
        else:
            outgoing.connected(lambda stream, count: None)
            model.away = False
        assert lines(outgoing) == lines(model.waiting)
        assert bool(outgoing.waiting) == bool(model.waiting)
        assert outgoing.size == sum(map(weight, [*model.waiting, *(one for _, sent in model.sent for one in sent)]))
        assert outgoing.controls() == {one.line for one in model.waiting if isinstance(one, Entry) and one.kind == CONTROL}
        assert {stream: one.line for stream, one in outgoing._last.items()} == {
            stream: model.waiting[at].line for stream in "ab" for at in [model.last(stream)] if at is not None  # type: ignore[union-attr]
        }


@pytest.mark.parametrize("seed", range(100))
def test_what_is_given_up_is_the_oldest_that_may_go_and_is_counted(seed: int) -> None:
    chance = random.Random(seed)
    outgoing = Outgoing(20_000)
    added: List[Waiting] = []
    for k in range(chance.randrange(50, 400)):
        stream = chance.choice("ab")
        # Few streams, so that their headers have room.
        make = chance.choice([text, text, text, progress, essential, header])
        entry = make(k, stream)
        added.append(entry)
        outgoing.add(entry)
        outgoing.trim()
        assert outgoing.size <= outgoing.limit
        assert outgoing.size == sum(map(weight, outgoing))
    last: Dict[str, str] = {one.stream: str(one.header) for one in added if isinstance(one, Entry) and one.header is not None}
    kept = {one.stream: str(one.header) for one in outgoing if isinstance(one, Entry) and one.header is not None}
    assert kept == last, "the last header of each stream stays"
    was_light = [one for one in added if isinstance(one, str) or not one.essential]
    stays = [one for one in outgoing if isinstance(one, str) or not one.essential]
    assert stays == was_light[len(was_light) - len(stays) :], "the oldest go first"
    if outgoing.dropped and any(isinstance(one, Entry) and one.kind == PUT and one.header is None for one in added):
        assert stays or not was_light or outgoing._drop_oldest() is not None


def test_its_cost_does_not_grow_with_what_waits() -> None:
    """Counts steps rather than time: nothing goes through all that waits for one entry."""
    outgoing = Outgoing(1 << 20)
    steps = 0
    refill = outgoing._refill

    def counted(entries: "List[Waiting]") -> None:
        nonlocal steps
        steps += len(entries)
        refill(entries)

    outgoing._refill = counted  # type: ignore[method-assign]
    for k in range(20_000):
        outgoing.add(header(k, f"stream {k}"))
        outgoing.trim()
    assert steps == 0
    # Headers leave half of the room to messages.
    assert outgoing.size <= outgoing.limit
    before = sum(outgoing.dropped.values())
    for k in range(300):
        outgoing.add(progress(k))
        outgoing.trim()
    assert sum(outgoing.dropped.values()) == before, "there is room for three hundred small messages"


def test_runs_that_came_and_went_without_a_broker_leave_room_for_those_that_go_on() -> None:
    outgoing, told = Outgoing(100_000), []
    outgoing.add(header(0, "known"))
    outgoing.add(header(0, "sent"))
    outgoing.take(1000)
    outgoing.confirm(1)
    outgoing.add(header(1, "sent"))
    outgoing.take(1000)
    lost(outgoing)
    for stream in ("known", "sent"):
        outgoing.add(close(stream))
    for k in range(5000):
        name = f"run {k}"
        outgoing.add(Entry(PUT, wire.put(name, "1", "1"), name, "1"))
        outgoing.add(Entry(CLOSE, wire.close(name), name, when_over=lambda: told.append(1)))
        outgoing.trim()
    assert outgoing.size <= outgoing.limit
    for k in range(100):
        outgoing.add(text(k, "live"))
        outgoing.trim()
    assert "live" not in outgoing.dropped, "there is room for a hundred small messages"
    kept = lines(outgoing)
    # What the broker may know of is still ended, and so are the latest runs.
    assert all(close(stream).line in kept for stream in ("known", "sent", "run 4999"))
    assert len(told) > 4000 and outgoing.size == sum(map(weight, outgoing))


def test_what_a_new_connection_costs_does_not_multiply() -> None:
    """Counts steps: what waits is gone through once, and not for each stream of which a header is known."""

    class Counted(Outgoing):
        steps = 0

        def __iter__(self) -> Iterator[Waiting]:
            for entry in super().__iter__():
                self.steps += 1
                yield entry

    outgoing = Counted(1 << 20)
    for k in range(1000):
        outgoing.add(header(k, f"stream {k}"))
    outgoing.take(1 << 20)
    outgoing.confirm(1)
    for k in range(1000):
        outgoing.add(text(k))
    lost(outgoing)
    doubtful = outgoing.doubtful()
    assert len(doubtful) == 1000
    for stream in doubtful:
        outgoing.reconcile(stream, "running", outgoing.headers[stream])
    assert outgoing.steps < 5000


def test_listening_and_hanging_up_while_away_leaves_nothing() -> None:
    outgoing = Outgoing(1 << 20)
    for k in range(20_000):
        outgoing.add(Entry(CONTROL, wire.listen("s", f"r{k}"), "s"))
        outgoing.add(Entry(HANGUP, wire.hangup("s"), "s"))
    assert outgoing.size == 0 and not outgoing.waiting


def test_dead_places_do_not_pile_up() -> None:
    outgoing = Outgoing(1 << 20)
    outgoing.add(text(0))
    for k in range(100_000):
        outgoing.add(header(k))
    assert len(outgoing.waiting) < 200
    assert lines(outgoing) == [text(0), header(99_999).line]


def test_confirmed_headers_are_bounded_and_counted() -> None:
    outgoing = Outgoing(100_000)
    for k in range(10_000):
        outgoing.add(header(k, f"stream {k}"))
        if k % 100 == 0:
            outgoing.take(1 << 20)
            outgoing.confirm(k + 1)
    outgoing.confirm(10**6)
    assert len(outgoing.headers) < 1000 and outgoing.headers.forgotten > 9000
    assert "stream 9900" in outgoing.headers, "the newest stay"


def test_a_mark_that_nobody_waits_for_is_not_kept() -> None:
    for is_sent in (False, True):
        outgoing, told = Outgoing(10_000), []
        marks = [Entry(MARK, "", when_over=lambda: told.append("over")) for _ in range(2)]
        outgoing.add(text(1))
        for mark in marks:
            outgoing.add(mark)
        if is_sent:
            outgoing.take(1000)
        outgoing.withdraw(marks[0])
        lost(outgoing)
        assert list(outgoing) == [text(1), marks[1]]
        assert outgoing.size == weight(text(1)) + weight(marks[1])
        outgoing.release()
        assert told == ["over"]


# After a connection has failed: what the broker says of a stream decides.


def reconnected(outgoing: Outgoing, state: str, found: Optional[str]) -> List[str]:
    """What is sent on the next connection if the broker says so of the stream."""
    lost(outgoing)
    for stream in outgoing.doubtful():
        outgoing.reconcile(stream, state, found)
    outgoing.connected(lambda stream, count: None)
    return lines(outgoing)


def test_a_confirmed_header_is_sent_again_only_to_a_broker_that_has_lost_it() -> None:
    for state, found, again in [("running", "1", False), ("running", "2", False), ("ended", "1", False), ("waiting", None, True)]:
        outgoing = Outgoing(10_000)
        outgoing.add(header(1))
        outgoing.take(1000)
        outgoing.confirm(1)
        assert reconnected(outgoing, state, found) == ([header(1).line] if again else []), state


def test_an_end_that_may_have_taken_effect_ends_no_other_run() -> None:
    # The broker has our header: it is our run, and its end has yet to come. Another header: somebody has begun anew.
    for state, found, again in [("running", "1", True), ("running", "2", False), ("ended", "1", False), ("waiting", None, True)]:
        outgoing = Outgoing(10_000)
        outgoing.add(header(1))
        outgoing.take(1000)
        outgoing.confirm(1)
        outgoing.add(text(2))
        outgoing.add(close())
        outgoing.take(1000)
        assert reconnected(outgoing, state, found) == [text(2), *([close().line] if again else [])], (state, found)
        outgoing.take(1000)
        outgoing.confirm(99)
        assert outgoing.size == 0 and outgoing.empty


def test_headers_that_may_have_taken_effect_replace_no_newer_one() -> None:
    put, bare = wire.put("s", '"x"', "2"), wire.put("s", '"x"')
    for found, again in [("2", []), ("1", [put]), ("9", [bare])]:
        outgoing = Outgoing(10_000)
        outgoing.add(header(1))
        outgoing.take(1000)
        outgoing.confirm(1)
        outgoing.add(Entry(PUT, wire.put("s", '"x"', "2"), "s", "2", False))
        outgoing.take(1000)
        assert reconnected(outgoing, "running", found) == again
        assert outgoing.size == sum(map(weight, outgoing))


def test_of_two_runs_only_what_was_not_taken_is_sent_again() -> None:
    """One client runs the same job twice, and its connection fails when all of that was sent and nothing confirmed."""
    ended, begun = Entry(PUT, wire.put("s", '"over"', "2"), "s", "2"), Entry(PUT, wire.put("s", '"begun"', "3"), "s", "3")
    sent = [ended.line, close().line, begun.line]
    for state, found, again in [
        ("running", "1", sent),
        # The end of the first run must not come into the second, and the second must not be lost.
        ("running", "2", sent[1:]),
        ("ended", "2", sent[2:]),
        ("running", "3", []),
        # Somebody else: the messages, and nothing that sets or ends anything.
        ("running", "9", [wire.put("s", '"over"'), wire.put("s", '"begun"')]),
    ]:
        outgoing = Outgoing(10_000)
        outgoing.add(header(1))
        outgoing.take(1000)
        outgoing.confirm(1)
        for entry in (ended, close(), begun):
            outgoing.add(Entry(entry.kind, entry.line, "s", entry.header))
        outgoing.take(1000)
        assert reconnected(outgoing, state, found) == again, (state, found)
        assert outgoing.size == sum(map(weight, outgoing))
        assert outgoing.withheld == ({"s": 3} if found == "9" else {})
        assert outgoing.headers.get("s") == {"1": "1", "2": None if state == "ended" else "2", "3": "3", "9": None}[found]


def test_a_run_of_which_nothing_was_taken_is_sent_again_after_one_that_has_ended() -> None:
    for is_own in (True, False):
        outgoing = Outgoing(10_000)
        if is_own:
            outgoing.add(header(1))
            outgoing.add(close())
            outgoing.take(1000)
            outgoing.confirm(1)
        outgoing.add(header(2))
        outgoing.add(close())
        outgoing.take(1000)
        assert reconnected(outgoing, "ended", "1") == [header(2).line, close().line]
        assert outgoing.withheld == {}


def test_a_header_that_was_sent_and_replaced_is_still_known_as_ones_own() -> None:
    outgoing = Outgoing(10_000)
    outgoing.connected(lambda stream, count: None)
    for entry in (header(1), close(), header(2)):
        outgoing.add(entry)
    outgoing.take(1000)
    assert reconnected(outgoing, "ended", "1") == [header(2).line]
    assert outgoing.withheld == {}


@pytest.mark.parametrize("seed", range(200))
def test_wherever_connections_break_each_header_takes_effect_once_and_in_order(seed: int) -> None:
    """Runs of one job, one after the other, and a broker that takes some of what was sent before each connection breaks."""
    chance = random.Random(seed)
    outgoing, taken = Outgoing(10**9), []
    state, found, meant = "waiting", None, ("waiting", None)

    def take(lines: List[str]) -> None:
        nonlocal state, found
        for line in map(json.loads, lines):
            if line["action"] == "close":
                state = "ended"
            elif "header" in line or line["action"] == "header":
                state, found = "running", str(line.get("header", line["message"]))
                taken.append(int(found))

    for k in range(200):
        what = chance.randrange(10)
        if what < 6:
            entry = close() if what == 0 else header(k) if what == 1 else progress(k)
            if entry.kind != CLOSE or meant[0] == "running":
                outgoing.add(entry)
                meant = ("ended", meant[1]) if entry.kind == CLOSE else ("running", entry.header)
        elif what < 8:
            outgoing.confirm(outgoing._pings)
            sent = outgoing.take(chance.randrange(1, 1000)).splitlines()[:-1]
            take(sent)
        else:
            sent = outgoing.take(chance.randrange(1, 1000)).splitlines()[:-1]
            take(sent[: chance.randrange(len(sent) + 1)])
            lost(outgoing)
            for stream in outgoing.doubtful():
                outgoing.reconcile(stream, state, found)
            outgoing.connected(lambda stream, count: None)
    take(outgoing.take(10**9).splitlines()[:-1])
    assert (state, found) == meant
    assert taken == sorted(set(taken)) and outgoing.withheld == {}


def test_what_was_never_sent_is_always_sent() -> None:
    outgoing = Outgoing(10_000)
    lost(outgoing)
    outgoing.add(header(1))
    outgoing.add(close())
    assert outgoing.doubtful() == []
    outgoing.connected(lambda stream, count: None)
    assert lines(outgoing) == [header(1).line, close().line]
