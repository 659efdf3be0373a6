"""A client that comes back goes on where the broker is: each line takes effect once, whatever the network does."""

from __future__ import annotations

import itertools
import json
import random
import socket
import threading
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest

import msgstream
from conftest import DEADLINE, QUICK, Broker, Queue, eventually, messages
from msgstream import Ended, Header, Job, Message, Options, RemoteStream, wire
from msgstream.entries import CLOSE, CONTROL, DELETE, HEADER, MARK, PUT, WILL, Entry
from msgstream.errors import Stale, refusal
from msgstream.outgoing import Outgoing
from msgstream.run import Run
from msgstream.sent import Sent
from proxy import Proxy

#: Many outages in a short time.
HASTY = Options(first_pause=0.001, longest_pause=0.01, exit_time=DEADLINE)

COUNT = 1500


def known(taken: int, broker: str = "life") -> wire.Session:
    return wire.Session(True, taken, broker)


def unknown(broker: str = "life") -> wire.Session:
    return wire.Session(False, 0, broker)


def begun(limit: int = 10**9) -> Outgoing:
    """A client on its first connection."""
    outgoing = Outgoing(limit)
    outgoing.take_up(unknown())
    outgoing.connected(lambda stream, count: None)
    return outgoing


def text(k: int, stream: str = "s") -> str:
    return wire.put(stream, str(k))


def progress(k: int, stream: str = "s") -> Entry:
    return Entry(PUT, wire.put(stream, str(k), str(k)), stream, str(k), False)


def close(k: int, stream: str = "s") -> Entry:
    return Entry(CLOSE, wire.close(stream, str(k)), stream)


def will(k: int, stream: str = "s") -> Entry:
    return Entry(WILL, wire.will(stream, str(k)), stream)


def back(outgoing: Outgoing, said: Optional[wire.Session], *standings: Tuple[Any, ...]) -> List[str]:
    """What is sent on the next connection."""
    outgoing.disconnected()
    outgoing.take_up(said)
    assert sorted(outgoing.doubtful()) == sorted(standing[0] for standing in standings)
    for standing in standings:
        outgoing.reconcile(*standing)
    outgoing.connected(lambda stream, count: None)
    return [line + "\n" for line in outgoing.take(10**9).splitlines()[:-1]]


# What is sent again, without a broker.


@pytest.mark.parametrize("seed", range(300))
def test_wherever_connections_break_each_line_takes_effect_once_and_in_order(seed: int) -> None:
    chance = random.Random(seed)
    outgoing = begun()
    meant: List[str] = []
    taken: List[str] = []
    count = 0
    marks: List[Tuple[int, List[int]]] = []

    def arrive(lines: List[str]) -> None:
        nonlocal count
        count += len(lines)
        taken.extend(line for line in lines if "listen" not in line and "hangup" not in line and "ping" not in line)

    for k in range(chance.randrange(10, 200)):
        what = chance.randrange(11)
        if what < 6:
            entry = [text(k), text(k), progress(k), Entry(HEADER, wire.header("s", str(k)), "s", str(k)), close(k), will(k)][what]
            outgoing.add(entry)
            meant.append((entry if isinstance(entry, str) else entry.line).rstrip("\n"))
        elif what == 6:
            outgoing.add(Entry(CONTROL, wire.listen("s", f"listen {k}"), "s"))
        elif what == 7:
            told: List[int] = []
            marks.append((len(meant), told))
            outgoing.add(Entry(MARK, "", when_over=lambda told=told: told.append(len(taken))))  # type: ignore[misc]
        elif what == 8:
            arrive(outgoing.take(chance.randrange(1, 500)).splitlines())
            if chance.randrange(2):
                outgoing.confirm(outgoing._pings)
        else:
            if chance.randrange(2):
                joins = wire.listen("s", "listen") * chance.randrange(3)
                outgoing.wrote(joins)
                arrive(joins.splitlines())
            lines = outgoing.take(chance.randrange(1, 500)).splitlines()
            arrive(lines[: chance.randrange(len(lines) + 1)])
            outgoing.disconnected()
            outgoing.take_up(known(count))
            assert outgoing.doubtful() == []
            outgoing.connected(lambda stream, count: None)
    arrive(outgoing.take(10**9).splitlines())
    outgoing.confirm(outgoing._pings)
    # A header that waited when another came need not be sent, and neither a will, nor one that waited when the stream ended.
    spared = set(meant) - set(taken)
    assert all('"will"' in line or '"action":"header"' in line for line in spared)
    assert taken == [line for line in meant if line not in spared]
    for place, told in marks:
        assert len(told) == 1 and told[0] >= sum(line not in spared for line in meant[:place])
    assert outgoing.repeated == 0 and outgoing.empty and outgoing.size == 0


def test_lines_without_an_entry_and_entries_without_a_line_are_counted() -> None:
    sent = Sent()
    mark, ask = Entry(MARK, ""), Entry("ask", wire.listen("s", "r") + wire.hangup("s"), "s")
    sent.add(1, [], 0, 0.0, 2)
    sent.add(1, [text(1), ask, mark, text(2)], 0, 0.0, 5)
    for taken, done in [(2, []), (3, [text(1)]), (4, [text(1)]), (5, [text(1), ask, mark]), (6, [text(1), ask, mark, text(2)])]:
        assert sent.split(taken)[0] == done, taken
    assert sent.explains(7) and not sent.explains(8)
    assert sent.confirm(1) == [text(1), ask, mark, text(2)] and sent.taken == 7
    assert not sent.explains(6)


def test_what_was_taken_is_done_though_nobody_said_so() -> None:
    outgoing, over = begun(), []
    for entry in (progress(1), Entry(MARK, "", when_over=lambda: over.append(1)), text(2)):
        outgoing.add(entry)
    outgoing.take(1000)
    assert back(outgoing, known(1)) == [text(2)]
    assert over == [1] and outgoing.headers == {"s": "1"} and outgoing.repeated == 0


def test_a_broker_that_has_forgotten_the_session_may_get_messages_twice_which_is_counted() -> None:
    for said in (unknown(), unknown("another life"), None):
        outgoing = begun()
        for k in range(3):
            outgoing.add(text(k))
        outgoing.add(Entry(PUT, wire.put("s", "3"), "s"))
        outgoing.take(1000)
        outgoing.add(text(4))
        assert back(outgoing, said) == [text(k) for k in range(5)]
        assert outgoing.repeated == 4
        # That was once.
        assert back(outgoing, known(0, "any")) == [text(k) for k in range(5)] and outgoing.repeated == 4


def test_a_session_that_was_begun_anew_and_of_which_the_answer_was_lost_is_not_the_former_one() -> None:
    for confirmed in (False, True):
        outgoing = begun()
        outgoing.add(Entry(HEADER, wire.header("s", "1"), "s", "1"))
        outgoing.take(1000)
        if confirmed:
            outgoing.confirm(1)
        outgoing.add(text(2))
        outgoing.take(1000)
        outgoing.session.ask()
        outgoing.session.ask()
        assert back(outgoing, known(0, "another life"), ("s", "running", "1")) == [text(2)]
        assert outgoing.repeated == 1 and outgoing.headers == {"s": "1"}


def test_a_session_of_which_every_answer_was_heard_is_the_former_one() -> None:
    outgoing = begun()
    outgoing.add(text(1))
    outgoing.take(1000)
    for _ in range(2):
        outgoing.session.ask()
        assert back(outgoing, known(0)) == [text(1)] and outgoing.repeated == 0


def test_a_count_that_cannot_be_is_no_reason_to_lose_anything() -> None:
    for taken in (99, -1):
        outgoing = begun()
        outgoing.add(text(1))
        outgoing.take(1000)
        assert back(outgoing, known(taken)) == [text(1)] and outgoing.repeated == 1


def test_doubts_that_were_not_settled_stay_doubts() -> None:
    outgoing = begun()
    outgoing.add(progress(1))
    outgoing.take(1000)
    outgoing.disconnected()
    outgoing.take_up(unknown("another life"))
    assert outgoing.doubtful() == ["s"]
    outgoing.wrote(wire.listen("s", "listen 1") + wire.hangup("s"))
    assert back(outgoing, known(2, "another life"), ("s", "running", "1")) == []


def test_headers_are_sent_again_only_to_another_life_of_the_broker_and_in_nobodys_place() -> None:
    for said, standings, expected in [
        (known(2), [], []),
        (unknown(), [], []),
        (None, [("s", "waiting", None)], [wire.header("s", "1")]),
    ]:
        assert back(confirmed(), said, *standings) == expected, said
    # Should somebody else have begun the stream anew, it is not ours any more.
    outgoing = lost_once()
    outgoing.take(1000)
    outgoing.superseded("s")
    outgoing.confirm(99)
    assert outgoing.headers == {} and outgoing.size == 0


AGAIN = wire.header("s", "1", wire.condition("again 1", None, True))


# Seen to fail: the header was said again before the broker was asked, which opened what had ended.
@pytest.mark.parametrize(
    "state, header, is_lost",
    [
        ("waiting", None, True),
        ("running", "1", False),
        ("running", "0", True),
        # The run that began behind this end was lost.
        ("ended", "0", True),
        ("ended", None, True),
        # Somebody else has ended it.
        ("ended", "1", False),
    ],
)
def test_another_life_of_the_broker_is_asked_whether_it_has_lost_a_header(state: str, header: Optional[str], is_lost: bool) -> None:
    outgoing, is_mine = confirmed(), is_lost or state == "running"
    # This waits until it is told.
    outgoing.disconnected()
    outgoing.add(text(2))
    outgoing.add(progress(3))
    outgoing.take_up(unknown("another life"))
    assert outgoing.doubtful() == ["s"]
    assert outgoing.header_before("s", state, header) == (AGAIN if is_lost else "")
    if is_lost:
        assert outgoing.answered_first("again 1", ("e", 0), None) and outgoing.header_before("s", "running", "1") == ""
        outgoing.reconcile("s", "running", "1", ("e", 0))
    else:
        outgoing.reconcile("s", state, header, ("e", 0))
    assert goes_on(outgoing) == [text(2), progress(3).line if is_mine else text(3)]
    assert outgoing.headers == ({"s": "1"} if is_mine else {}) and outgoing.withheld == ({} if is_mine else {"s": 1})


@pytest.mark.parametrize("epoch", ["e", "another"])
def test_a_job_whose_run_was_ended_before_a_crash_does_not_begin_it_anew(epoch: str) -> None:
    outgoing, run = begun(), Run("s")
    for k in (1, 2):
        outgoing.add(Entry(PUT, wire.put("s", str(k), str(k)), "s", str(k), run=run))
        outgoing.take(1000)
        outgoing.told(f"run {id(run)}", "e")
    outgoing.confirm(99)
    outgoing.disconnected()
    outgoing.take_up(unknown("another life"))
    assert outgoing.header_before("s", "ended", "2") == ""
    outgoing.reconcile("s", "ended", "2", (epoch, 9))
    outgoing.connected(lambda stream, count: None)
    outgoing.add(Entry(PUT, wire.put("s", "3", "3"), "s", "3", run=run))
    assert (wire.of("e") in outgoing.take(1000)) == (epoch == "e")


def confirmed() -> Outgoing:
    """A client whose stream has a confirmed header."""
    outgoing = begun()
    outgoing.add(Entry(HEADER, wire.header("s", "1"), "s", "1"))
    outgoing.take(1000)
    outgoing.confirm(1)
    return outgoing


def test_what_is_sent_again_is_for_its_run_alone() -> None:
    of = wire.of("e")
    for said, header, expected in [
        (unknown(), "1", [text(0), progress(2).line[:-2] + of, close(3).line[:-2] + of]),
        # The first of them had been taken.
        (unknown(), "2", [text(0), close(3).line[:-2] + of]),
        (unknown("another life"), "1", [text(0), progress(2).line[:-2] + of, close(3).line[:-2] + of]),
    ]:
        outgoing = begun()
        outgoing.add(progress(1))
        outgoing.take(1000)
        outgoing.confirm(1)
        for entry in (text(0), progress(2), close(3)):
            outgoing.add(entry)
        outgoing.take(1000)
        assert back(outgoing, said, ("s", "running", header, ("e", 7))) == expected, (said, header)
        # What follows begins another run; and this one means nothing to another life of the broker.
        outgoing.add(progress(4))
        assert outgoing.take(1000).startswith(progress(4).line)
        again = back(outgoing, unknown("a third life"), ("s", "waiting", None))
        assert not any(of in line for line in again)


@pytest.mark.parametrize("found", [("waiting", None), ("running", "0"), ("ended", "0")])
def test_a_header_that_a_broker_has_lost_is_set_before_what_may_be_sent_again_is_judged(found: Tuple[str, Optional[str]]) -> None:
    for is_taken, state, header in [(True, "running", "1"), (False, "running", "theirs"), (False, "ended", "theirs"), (False, "running", "1")]:
        outgoing = begun()
        outgoing.add(progress(1))
        outgoing.take(1000)
        outgoing.confirm(1)
        outgoing.add(close(2))
        outgoing.take(1000)
        outgoing.disconnected()
        outgoing.take_up(unknown("another life"))
        assert outgoing.doubtful() == ["s"] and outgoing.header_before("s", *found) == AGAIN
        assert outgoing.answered_first("again 1", ("e", 0) if is_taken else None, None if is_taken else Stale("stale", "begun", "s"))
        assert outgoing.header_before("s", state, header) == "", "it is said once"
        assert outgoing.reconcile("s", state, header, ("e", 0)) == (0 if is_taken else 1)
        assert outgoing.headers == ({"s": "1"} if is_taken else {})
        # Should this connection be lost as well, the next one is only asked.
        outgoing.disconnected()
        outgoing.take_up(known(2, "another life"))
        assert outgoing.doubtful() == ["s"] and outgoing.header_before("s", state, header) == ""


def restarted(*entries: Any) -> Outgoing:
    """A client whose stream has a confirmed header, and a will, and which has sent these, on a broker that was restarted."""
    outgoing = begun()
    outgoing.add(progress(1))
    outgoing.add(will(7))
    outgoing.take(1000)
    outgoing.confirm(1)
    for entry in entries:
        outgoing.add(entry)
    outgoing.take(1000)
    outgoing.disconnected()
    outgoing.take_up(unknown("another life"))
    assert outgoing.doubtful() == ["s"]
    return outgoing


def goes_on(outgoing: Outgoing) -> List[str]:
    """What is sent once all doubts are settled."""
    outgoing.connected(lambda stream, count: None)
    return [line + "\n" for line in outgoing.take(10**9).splitlines()[:-1]]


DENIED = ("s", "", None, None, True)
UNTOLD = ("s", "", None, None, False)


@pytest.mark.parametrize("standing", [DENIED, UNTOLD])
def test_where_the_broker_does_not_tell_how_a_stream_stands_the_answer_to_its_header_does(standing: Tuple[Any, ...]) -> None:
    of = wire.of("e")
    for is_broken in (False, True):
        last, run = close(4), Run("s")
        # Of a job that knows its run, which means nothing to that broker.
        run.began("former", "life")
        last.run = run
        outgoing = restarted(text(2), progress(3), last)
        assert outgoing.header_before(*standing[:3]) == AGAIN
        assert outgoing.sets_again("again 1") and outgoing.answered_first("again 1", ("e", 0), None)
        if is_broken:
            # What is known of it is known on the next connection too.
            outgoing.disconnected()
            outgoing.take_up(known(3, "another life"))
        assert outgoing.header_before(*standing[:3]) == ""
        assert outgoing.reconcile(*standing) == 0
        assert goes_on(outgoing) == [will(7).line, text(2), progress(3).line[:-2] + of, close(4).line[:-2] + of]
        assert outgoing.headers == {"s": "1"} and outgoing.withholdings == []
    assert not outgoing.answered_first("again 1", ("e", 0), None) and not outgoing.answered_first(None, None, None)


def test_a_header_that_was_set_again_in_one_life_of_the_broker_is_not_there_in_the_next() -> None:
    for refused, lines in [(None, [wire.put("s", "3")]), (refusal("stale", "begun", "s"), [wire.put("s", "3")])]:
        outgoing = restarted(progress(3), close(4))
        outgoing.header_before(*DENIED[:3])
        outgoing.answered_first("again 1", ("e", 0), refused)
        outgoing.disconnected()
        outgoing.take_up(unknown("a third life"))
        assert outgoing.header_before(*DENIED[:3]) == ("" if refused else wire.header("s", "1", wire.condition("again 2", None, True)))
        outgoing.reconcile(*DENIED)
        assert [line for line in goes_on(outgoing) if "will" not in line] == lines


@pytest.mark.parametrize("code", ["stale", "limit"])
@pytest.mark.parametrize("standing", [DENIED, ("s", "running", "1"), ("s", "waiting", None)])
def test_where_a_header_is_not_taken_again_the_rest_of_its_stream_is_withheld(code: str, standing: Tuple[Any, ...]) -> None:
    outgoing = restarted(progress(3), close(4))
    # These were never sent, and are of the same run.
    outgoing.add(progress(5))
    outgoing.add(will(8))
    outgoing.add(text(6, "other"))
    outgoing.add(Entry(HEADER, wire.header("s", "9", wire.condition("action 1", "e", False)), "s", "9", condition=wire.condition("action 1", "e", False)))
    assert outgoing.header_before(*DENIED[:3])
    outgoing.answered_first("again 1", None, refusal(code, "too much", "s"))
    assert outgoing.reconcile(*standing) == 2
    rest = goes_on(outgoing)
    assert rest == [wire.put("s", "3"), wire.put("s", "5"), text(6, "other"), wire.header("s", "9", wire.condition("action 1", "e", False))]
    assert outgoing.headers == outgoing.wills == {} and outgoing.withheld == {"s": 3}
    why = "somebody else" if code == "stale" else "the broker has not taken its header again: too much"
    assert [(stream, count, reason.startswith(why)) for stream, count, reason in outgoing.withholdings] == [("s", 2, True), ("s", 1, True)]
    # What comes next is for another run.
    outgoing.add(progress(10))
    assert outgoing.take(1000).startswith(progress(10).line)


def test_one_that_can_take_no_header_again_withholds_what_was_never_sent_too() -> None:
    outgoing = begun()
    outgoing.add(progress(1))
    outgoing.take(1000)
    outgoing.confirm(1)
    outgoing.disconnected()
    outgoing.add(close(2))
    outgoing.take_up(unknown("another life"))
    assert outgoing.doubtful() == ["s"] and outgoing.header_before("s", "running", "theirs") == AGAIN
    outgoing.answered_first("again 1", None, refusal("stale", "begun", "s"))
    assert outgoing.reconcile("s", "running", "theirs") == 0 and goes_on(outgoing) == [] and outgoing.withheld == {"s": 1}


def test_of_a_stream_of_which_nothing_is_confirmed_all_is_sent_to_a_broker_that_was_restarted() -> None:
    lines = [progress(1).line, close(2).line]
    for said, standing, expected in [
        (unknown("another life"), DENIED, lines),
        (unknown("another life"), UNTOLD, lines),
        (unknown(), UNTOLD, lines),
        # It may have taken it.
        (unknown(), DENIED, [wire.put("s", "1")]),
        (None, DENIED, [wire.put("s", "1")]),
    ]:
        outgoing = begun()
        outgoing.add(progress(1))
        outgoing.add(close(2))
        outgoing.take(1000)
        assert back(outgoing, said, standing) == expected, (said, standing)


def test_where_a_broker_may_have_kept_an_older_header_the_last_one_is_said_again() -> None:
    of = wire.of("e")
    # (is_taken, found then): it had lost the last one, or somebody else has set another since.
    for is_taken, header in [(True, "1"), (False, "0")]:
        # The connection is lost on which it was said first.
        outgoing = restarted(progress(3), close(4))
        assert outgoing.header_before("s", "running", "0") == AGAIN
        outgoing.disconnected()
        outgoing.take_up(known(0, "another life"))
        assert outgoing.doubtful() == ["s"]
        assert outgoing.header_before("s", "running", "0") == wire.header("s", "1", wire.condition("again 2", None, True))
        outgoing.answered_first("again 2", ("e", 0) if is_taken else None, None if is_taken else refusal("stale", "begun", "s"))
        assert outgoing.header_before("s", "running", header) == ""
        assert outgoing.reconcile("s", "running", header, ("e", 0)) == (0 if is_taken else 2)
        lost = [will(7).line, progress(3).line[:-2] + of, close(4).line[:-2] + of] if is_taken else [wire.put("s", "3")]
        assert goes_on(outgoing) == lost and outgoing.headers == ({"s": "1"} if is_taken else {})


def test_a_header_that_stands_as_this_client_would_have_it_is_not_said_again() -> None:
    another = unknown("another life")
    mine = [(said, state, header) for said in (unknown(), another) for state in ("running", "ended") for header in ("1", "3")]
    for said, state, header in [*mine, (unknown(), "ended", "0"), (None, "running", "0")]:
        outgoing = begun()
        outgoing.add(progress(1))
        outgoing.take(1000)
        outgoing.confirm(1)
        outgoing.add(progress(3))
        outgoing.take(1000)
        outgoing.disconnected()
        outgoing.take_up(said)
        assert outgoing.doubtful() == ["s"] and outgoing.header_before("s", state, header) == ""


def test_a_header_of_which_nothing_is_confirmed_takes_the_place_of_a_former_run_that_the_broker_has_kept() -> None:
    of = wire.of("e")
    for kind in (PUT, HEADER):
        for is_taken in (True, False):
            first = progress(1) if kind == PUT else Entry(HEADER, wire.header("s", "1"), "s", "1")
            outgoing = begun()
            for entry in (first, text(2), close(3)):
                outgoing.add(entry)
            outgoing.take(1000)
            outgoing.disconnected()
            outgoing.take_up(unknown("another life"))
            assert outgoing.doubtful() == ["s"] and outgoing.header_before("s", "running", "former") == AGAIN
            outgoing.answered_first("again 1", ("e", 0) if is_taken else None, None if is_taken else refusal("stale", "begun", "s"))
            assert outgoing.reconcile("s", "running", "1" if is_taken else "former", ("e", 0)) == (0 if is_taken else 2)
            rest = [wire.put("s", "1"), text(2)] if kind == PUT else [text(2)]
            assert goes_on(outgoing) == ([first.line[:-2] + of, text(2), close(3).line[:-2] + of] if is_taken else rest)


def test_an_end_that_a_broker_has_kept_was_not_lost() -> None:
    outgoing = restarted(progress(3), close(4), progress(5))
    assert outgoing.header_before("s", "ended", "3") == ""
    assert outgoing.reconcile("s", "ended", "3", ("e", 1)) == 0
    # What is told after it begins another run.
    assert goes_on(outgoing) == [progress(5).line] and not outgoing.withheld and not outgoing.wills


def test_to_another_life_of_the_broker_which_knows_the_session_the_former_runs_mean_nothing() -> None:
    of = wire.of("e")
    for life, end in [("life", of), ("another life", "}\n")]:
        outgoing = begun()
        outgoing.add(progress(1))
        outgoing.take(1000)
        outgoing.confirm(1)
        last, run = close(4), Run("s")
        run.began("e", "life")
        last.run = run
        for entry in (Entry(DELETE, wire.delete("s"), "s"), last):
            outgoing.add(entry)
        outgoing.take(1000)
        # The session was forgotten, and so the first of them is for the run that is there.
        assert back(outgoing, unknown(), ("s", "running", "1", ("e", 7))) == [wire.delete("s")[:-2] + of, close(4).line[:-2] + of]
        assert back(outgoing, known(0, life)) == [wire.delete("s")[:-2] + end, close(4).line[:-2] + end], life
    # Nor does it matter where a header was set again.
    outgoing = restarted(close(3))
    outgoing.header_before(*UNTOLD[:3])
    outgoing.answered_first("again 1", ("e", 0), None)
    outgoing.disconnected()
    outgoing.take_up(known(0, "a third life"))
    outgoing.reconcile(*UNTOLD)
    assert not any(of in line for line in goes_on(outgoing))


def lost_once() -> Outgoing:
    """A client without a session whose stream has a confirmed header, which a broker has lost that gives it one."""
    outgoing = Outgoing(10**9)
    outgoing.take_up(None)
    outgoing.connected(lambda stream, count: None)
    outgoing.add(progress(1))
    outgoing.take(1000)
    outgoing.confirm(1)
    outgoing.disconnected()
    outgoing.take_up(unknown("another life"))
    assert outgoing.doubtful() == ["s"] and outgoing.header_before("s", "waiting", None) == ""
    outgoing.reconcile("s", "waiting", None)
    outgoing.connected(lambda stream, count: None)
    return outgoing


def test_a_header_that_is_not_taken_again_is_not_set_once_more() -> None:
    for code in ("stale", "limit"):
        outgoing = lost_once()
        outgoing.take(1000)
        assert outgoing.sets_again("again 1") and not outgoing.answered_first("again 1", None, None)
        outgoing.answered("again 1", None, refusal(code, "no", "s"))
        outgoing.confirm(99)
        assert outgoing.headers == {} and back(outgoing, unknown("a third life")) == []


def test_a_header_that_was_set_again_and_not_confirmed_is_made_anew() -> None:
    again = [wire.header("s", "1", wire.condition(f"again {k}", None, True)) for k in range(3)]
    for is_sent, said, standings, expected in [
        (True, known(0, "another life"), [], [again[1]]),
        (True, unknown("another life"), [("s", "running", "1", ("e", 0))], []),
        (True, unknown("another life"), [("s", "waiting", None)], [again[2]]),
        (True, unknown("a third life"), [("s", "running", "1", ("e", 0))], []),
        (False, unknown("another life"), [], [again[1]]),
        (False, unknown("a third life"), [("s", "running", "1", ("e", 0))], []),
    ]:
        outgoing = lost_once()
        if is_sent:
            assert outgoing.take(1000).startswith(again[1])
        assert back(outgoing, said, *standings) == expected, (is_sent, said, standings)
        outgoing.confirm(99)
        assert outgoing.headers == {"s": "1"} and outgoing.size == 0 and not outgoing.conditional, (is_sent, said, standings)


def test_what_was_sent_again_and_came_too_late_leaves_no_header_behind() -> None:
    outgoing = begun()
    outgoing.add(progress(1))
    outgoing.take(1000)
    outgoing.confirm(1)
    outgoing.add(progress(2))
    outgoing.take(1000)
    back(outgoing, unknown(), ("s", "running", "1", ("e", 7)))
    run = outgoing.runs["s"]
    assert run.is_of_repeated
    outgoing.superseded("s")
    outgoing.confirm(99)
    assert outgoing.headers == {} and outgoing.size == 0


def test_a_will_is_set_again_where_it_was_forgotten_and_the_stream_is_still_ones_own() -> None:
    for said, standings, expected in [
        (known(3), [], []),
        (unknown("another life"), [("s", "running", "1")], [will(7).line]),
        (unknown("another life"), [("s", "running", "2")], []),
        (unknown("another life"), [("s", "ended", "1")], []),
        # The time of the session was over, and the will has been carried out. Who is not lost begins anew.
        (unknown(), [("s", "ended", "1")], [will(7).line, wire.header("s", "1")]),
        (unknown(), [("s", "ended", "2")], []),
    ]:
        outgoing = begun()
        outgoing.add(progress(1))
        outgoing.add(will(7))
        outgoing.take(1000)
        outgoing.confirm(1)
        outgoing.disconnected()
        outgoing.take_up(said)
        for standing in standings:
            if outgoing.header_before(*standing):
                outgoing.answered_first("again 1", None, refusal("stale", "begun", "s"))
            outgoing.reconcile(*standing)
        assert goes_on(outgoing) == expected, (said, standings)
        outgoing.confirm(99)
        assert outgoing.wills == ({} if standings and not expected else {"s": will(7).line})


def test_a_will_without_a_session_is_none() -> None:
    """Each outage would be the end."""
    outgoing = Outgoing(10_000)
    outgoing.take_up(None)
    outgoing.connected(lambda stream, count: None)
    outgoing.add(progress(1))
    outgoing.add(will(7))
    assert "will" not in outgoing.take(1000)
    outgoing.confirm(1)
    assert outgoing.empty and outgoing.size == 0
    assert back(outgoing, unknown(), ("s", "running", "1")) == [will(7).line]


def test_with_its_stream_a_will_is_over() -> None:
    for end in (close(8), Entry(DELETE, wire.delete("s"), "s"), Entry(WILL, wire.will("s"), "s")):
        outgoing = begun()
        outgoing.add(will(7))
        outgoing.take(1000)
        outgoing.confirm(1)
        assert outgoing.wills == {"s": will(7).line}
        outgoing.add(end)
        outgoing.take(1000)
        outgoing.confirm(2)
        assert outgoing.wills == {}


def test_runs_that_came_and_went_leave_no_wills_behind() -> None:
    outgoing = Outgoing(100_000)
    for k in range(5000):
        outgoing.add(will(1, f"run {k}"))
        outgoing.add(close(k, f"run {k}"))
        outgoing.trim()
    assert outgoing.size <= outgoing.limit
    assert not any(isinstance(entry, Entry) and entry.kind == WILL for entry in outgoing)


def test_what_was_sent_leaves_room_for_what_is_new() -> None:
    outgoing = begun(20_000)
    for k in range(150):
        outgoing.add(text(k))
    outgoing.take(10**6)
    outgoing.disconnected()
    for k in range(1000, 1100):
        outgoing.add(text(k))
        outgoing.trim()
    assert outgoing.size <= outgoing.limit
    assert list(outgoing)[-1] == text(1099)
    dropped = outgoing.dropped["s"]
    # What of it had been taken is not known any more.
    assert back(outgoing, known(100)) == [text(k) for k in [*range(150), *range(1000, 1100)]][dropped:]
    assert outgoing.repeated == 150 - dropped


# With a broker.


def cuts(least: int, most: int) -> Iterator[int]:
    numbers = random.Random(7)
    return (numbers.randrange(least, most) for _ in itertools.count())


def test_a_client_on_a_bad_network_publishes_each_message_once(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    with broker.remote() as other, Proxy(broker.port, cuts(150, 350)) as proxy:
        other["fit"] = "header"
        assert other.flush()
        listener = broker.joined("fit")
        with RemoteStream(proxy.address, options=HASTY) as remote:
            for k in range(COUNT):
                remote.put("fit", k, **({"header": k} if k % 3 == 0 else {}))
                if k % 10 == 0:
                    assert remote.flush()
            remote.close("fit", "end")
            assert remote.flush()
            assert remote.repeated == 0
        assert list(listener) == [*(Message("fit", k) for k in range(COUNT)), Ended("fit", "end")]
        assert proxy.resets > 20
    assert "arrived twice" not in caplog.text


def test_a_client_that_publishes_and_listens_on_a_bad_network_misses_and_doubles_nothing(broker: Broker) -> None:
    with Proxy(broker.port, cuts(1000, 4000)) as proxy, RemoteStream(proxy.address, options=HASTY) as remote:
        remote["fit"] = "header"
        fit = Queue()
        remote.listen("fit", fit)
        assert fit.get() == "header"
        for k in range(COUNT):
            remote.put("fit", k)
            if k % 10 == 0:
                assert remote.flush()
        remote.close("fit", "end")
        assert fit.several(COUNT + 1) == [*range(COUNT), ("closed", "end")]
        assert proxy.resets > 20 and remote.repeated == 0


def test_fifteen_jobs_on_a_bad_network_publish_each_message_once(broker: Broker) -> None:
    names = [f"fit-{number}" for number in range(15)]
    with broker.remote() as other, Proxy(broker.port, cuts(150, 400)) as proxy:
        for name in names:
            other[name] = "ready"
        assert other.flush()
        listeners = [broker.joined(name) for name in names]
        with RemoteStream(proxy.address, options=HASTY) as remote:
            jobs = [Job(name, remote=remote).start() for name in names]
            for k in range(100):
                for job in jobs:
                    job.progress(k)
                assert remote.flush()
            for job in jobs:
                job.complete()
        for listener in listeners:
            heard = messages(listener)
            assert [message.k for message in heard[1:-1]] == list(range(100))
        assert proxy.resets > 20 and remote.repeated == 0


IMPATIENT = Options(first_pause=0.001, longest_pause=0.01, exit_time=DEADLINE, idle_time=0.05, answer_time=0.1, connect_time=0.2)


def test_messages_into_a_network_that_carries_nothing_arrive_once(broker: Broker, listener: msgstream.Listener) -> None:
    with Proxy(broker.port) as network, RemoteStream(network.address, options=IMPATIENT) as remote:
        remote.put("fit", 0)
        assert remote.flush()
        network.freeze()
        for k in range(1, 100):
            remote.put("fit", k)
        eventually(lambda: remote.trouble)
        for k in range(100, 200):
            remote.put("fit", k)
        network.thaw()
        remote.close("fit")
        assert remote.flush() and remote.repeated == 0
    assert messages(listener) == list(range(200))


def test_a_restarted_broker_may_get_messages_twice_and_that_is_said(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    with broker.remote() as remote:
        remote.put("fit", 0)
        assert remote.flush()
        broker.pause()
        remote.put("fit", 1)
        eventually(lambda: not remote._out.waiting)
        broker.kill()
        broker.start()
        remote.put("fit", 2)
        assert remote.flush()
        assert remote.repeated == 1
    assert "1 messages may have arrived twice" in caplog.text


def test_a_client_that_leaves_ends_its_session(broker: Broker) -> None:
    names = []
    for end in (lambda remote: remote.close(), lambda remote: remote.forget(), lambda remote: remote.__exit__(None, None, None)):
        remote = broker.remote()
        remote.put("fit", 1)
        assert remote.flush()
        names.append(remote._out.session.name)
        thread = remote._thread
        end(remote)
        eventually(lambda: not thread.is_alive())
    # One that is cut off has not left.
    remote = broker.remote()
    remote.put("fit", 1)
    assert remote.flush()
    names.append(remote._out.session.name)
    remote._connection.shutdown()
    assert [asked(broker, name)["known"] for name in names] == [False, False, False, True]
    remote.close()


def asked(broker: Broker, name: str) -> Dict[str, Any]:
    """What the broker knows of a session."""
    with socket.create_connection(("127.0.0.1", broker.port), DEADLINE) as connection, connection.makefile("rw", newline="\n") as file:
        file.write(wire.session(name))
        file.flush()
        said: Dict[str, Any] = json.loads(file.readline())
        return said


def test_a_client_that_was_forgotten_and_is_used_again_makes_another_session(broker: Broker, listener: msgstream.Listener) -> None:
    remote = broker.remote()
    remote.put("fit", 1)
    assert remote.flush()
    name = remote._out.session.name
    remote.forget()
    eventually(lambda: remote._thread is None)
    remote.put("fit", 2)
    remote.close("fit")
    assert remote.flush() and remote.repeated == 0 and remote._out.session.name != name
    assert messages(listener) == [1, 2]


def test_a_session_that_another_has_taken_is_given_up(broker: Broker, listener: msgstream.Listener) -> None:
    with broker.remote() as remote:
        remote.put("fit", 1, header="own")
        assert remote.flush()
        name = remote._out.session.name
        assert asked(broker, name)["known"] is True
        remote.put("fit", 2)
        remote.close("fit")
        assert remote.flush() and remote._out.session.name != name
    assert messages(listener) == [1, 2]


class Told(threading.Thread):
    """A broker that says so on its connections, one after the other, when it is asked for a session, and ends each."""

    def __init__(self, *answers: str) -> None:
        super().__init__(daemon=True)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.server.getsockname()[1]}"
        self.names: List[str] = []
        self._answers = answers

    def run(self) -> None:
        for answer in self._answers:
            peer, _ = self.server.accept()
            with peer, peer.makefile("r", newline="\n") as file:
                self.names.append(json.loads(file.readline())["session"])
                peer.sendall(answer.encode())
                peer.shutdown(socket.SHUT_WR)
                file.read()


TAKEN_OVER = """{"action":"session","session":"any","known":true,"taken":0,"broker":"life"}
{"action":"close","message":{"code":"taken_over","reason":"elsewhere"}}
"""


def test_a_session_that_an_earlier_connection_has_taken_is_taken_back() -> None:
    """What an earlier connection had sent came late, and took the session away from the later one: once for each such connection that is
    taken back. Another time it is a copy of this client."""
    broker = Told("", *[TAKEN_OVER] * 3)
    broker.start()
    with broker.server, RemoteStream(broker.address, options=Options(first_pause=0.001, longest_pause=0.01, exit_time=0.0)) as remote:
        remote.put("fit", 1)
        broker.join(DEADLINE)
    assert len(broker.names) == 4
    assert broker.names[0] == broker.names[1] == broker.names[2] != broker.names[3]


def test_a_broker_without_room_for_a_session_serves_all_the_same(away: Broker) -> None:
    away.start(LIMITS__SESSIONS="1")
    with away.remote() as first:
        first["fit"] = "ready"
        assert first.flush() and first._out.session.is_open
        listener = away.joined("fit")
        with Job("fit", server=away.address, options=QUICK) as job:
            job.progress(1)
            assert job.flush() and not job.publisher.remote._out.session.is_open
        assert len(messages(listener)) == 3


class Old(threading.Thread):
    """A broker that knows neither sessions nor wills, and takes messages."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.server.getsockname()[1]}"
        self.taken: List[Dict[str, Any]] = []

    def run(self) -> None:
        peer, _ = self.server.accept()
        with peer, peer.makefile("r", newline="\n") as file:
            for line in file:
                said = json.loads(line)
                answer = None
                if said["action"] == "ping":
                    answer = {"action": "pong", "receipt": said["receipt"]}
                elif said["action"] in ("session", "will"):
                    answer = {"action": "error", "message": {"code": "bad_action", "reason": f"{said['action']} is unknown"}}
                elif "receipt" in said:
                    answer = {"action": "receipt", "receipt": said["receipt"]}
                self.taken.append(said)
                if answer is not None:
                    peer.sendall(json.dumps(answer).encode() + b"\n")


def test_an_older_broker_serves_as_it_did() -> None:
    broker = Old()
    broker.start()
    with broker.server:
        with Job("fit", server=broker.address, options=QUICK) as job:
            job.progress(1)
            assert job.flush()
        broker.join(DEADLINE)
    said = [each["action"] for each in broker.taken if each["action"] != "ping"]
    assert said == ["session", "put", "put", "put", "close", "close"]


def test_a_broker_that_never_answers_holds_up_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with RemoteStream(address, options=Options(connect_time=0.05, exit_time=0.0, queue=10_000)) as remote:
            eventually(lambda: (remote.put("fit", 1), remote.trouble)[1])
            assert "does not answer" in str(remote.trouble)
            for k in range(1000):
                remote.put("fit", k)
            assert remote.dropped > 0


FORKS = """
import multiprocessing, os, pickle, sys
import msgstream

def tell(remote, name):
    remote.put("fit", "child")
    assert remote.flush()
    assert remote._out.session.name != name

if __name__ == "__main__":
    remote = msgstream.RemoteStream()
    remote.put("fit", "before")
    assert remote.flush()
    child = multiprocessing.get_context(sys.argv[1]).Process(target=tell, args=(remote, remote._out.session.name))
    child.start()
    child.join()
    assert child.exitcode == 0
    remote.put("fit", "after")
    remote.close("fit")
    assert remote.flush() and remote.repeated == 0
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_copy_in_another_process_has_a_session_of_its_own(listener: msgstream.Listener, script: Callable[..., Any], method: str) -> None:
    ended = script(FORKS, method)
    assert ended.returncode == 0, ended.stderr
    assert messages(listener) == ["before", "child", "after"]
