"""What people see of streams, on a model of the screen."""

from __future__ import annotations

import datetime
import io
import os
import re
import subprocess
import sys
import threading
import time
from typing import Any, Callable, List, Optional

import pytest
from rich.console import Console
from rich.progress import track

from conftest import DEADLINE, Broker
from msgstream import CutOff, Ended, Header, Job, Lost, Message, monitor
from msgstream.contrib import amounts, progress, rich, text
from msgstream.contrib.progress import State
from msgstream.monitor import Abort, Complete, Error, Improvement, Join, Log, Progress, Start
from proxy import Proxy
from terminal import Terminal, screen

BEGUN = "2026-11-28T12:00:00+00:00"
LATER = "2026-11-28T12:00:12Z"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is twelve seconds after noon."""
    monkeypatch.setattr(progress, "_now", lambda: monitor.time_of(LATER))


@pytest.mark.parametrize(
    ("k", "total", "units", "shown"),
    [
        (3, 10, "steps", "3/10 steps"),
        (0.1 + 0.2, 0.9, "", "0.3/0.9"),
        (1_234_567, 99_999_999, "bytes", "1.23M/100M bytes"),
        (0, 99_999_999.0, "", "0/100M"),
        (12_345, None, "", "12345"),
        (2.5, 1000, "", "2/1000"),
        (999_999, 1e6, "", "1M/1M"),
        (-1, None, "", "-1"),
        (10**30, None, "", "1e+30"),
    ],
)
def test_amounts_are_rounded(k: Any, total: Any, units: str, shown: str) -> None:
    assert amounts.amount(k, total, units) == shown


def test_rates_and_times_read_as_people_write_them() -> None:
    rates = [amounts.rate(2.5, "steps"), amounts.rate(0.25, "steps"), amounts.rate(0.1), amounts.rate(2_500_000, "bytes")]
    assert rates == ["2.5 steps/s", "4 s/step", "10 s/it", "2.5M bytes/s"]
    assert [amounts.words(each) for each in (0, 59, 60, 125, 12_000, 183_600)] == ["0 s", "59 s", "1 min", "2 min 5 s", "3 h 20 min", "2 d 3 h"]
    assert [amounts.words_of_age(each) for each in (59, 125, 12_000, 183_600)] == ["59 s", "2 min", "3 h", "2 d"]
    assert [amounts.running(each) for each in (12, 3723)] == ["00:12", "1:02:03"]


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert text.lines("a\x1b[2Jb\r\nc\x9bd\t\u00e9\x7f\n") == ["a\u241b[2Jb", "c\ufffdd\t\u00e9\u2421"]
    assert text.lines("10%\r20%\r") == ["10%", "20%"]
    assert text.lines("\x1b[1;31mred\x1b[0m\x1b[?25l") == ["red\u241b[?25l"]
    assert text.lines("\u202egnp.exe\ud800") == ["\ufffdgnp.exe\ufffd"]
    assert text.inline("a\nb\tc") == "a b c"


def feed(state: State, *events: Any) -> List[Optional[str]]:
    return [state.take(event) for event in events]


def test_what_the_messages_of_a_stream_add_up_to() -> None:
    state = State("fit")
    assert (state.label, state.summary) == ("fit", "waiting")
    join = Join("Fit", 2, 10, "steps", BEGUN, more={"text": "hot", "improvement": {"value": 1.5}})
    feed(state, Header("fit", join))
    assert (state.label, state.percent, state.summary) == ("fit Fit", "20%", "2/10 steps [00:12<00:48, 6 s/step] best 1.5, hot")
    assert feed(state, Message("fit", Log("line", "info")), Message("fit", {"free": 1})) == ["info: line", "{'free': 1}"]
    feed(state, Message("fit", Progress(3)), Message("fit", Improvement(1)))
    assert state.summary == "3/10 steps [00:12<00:28, 4 s/step] best 1"
    assert feed(state, Lost("fit", "gone", True)) == ["gone; messages may be missing"]
    assert (state.outcome, state.over) == ("gone", False) and state.summary.endswith("no news")
    feed(state, Header("fit", Join("Fit", 4, 10, "steps")))
    assert (state.outcome, state.summary) == ("running", "4/10 steps")
    failed = Error("no data", "line 1\nline 2\n", started=BEGUN, ended=LATER)
    assert feed(state, Message("fit", failed), Ended("fit")) == ["line 1\nline 2\nfailed after 12 s: no data", None]
    assert (state.outcome, state.over, state.summary) == ("failed", True, "failed after 12 s: no data")


def test_streams_that_say_little_or_nonsense() -> None:
    odd = State("odd")
    feed(odd, Message("odd", Progress("many", total=[1])), Ended("odd", Complete()))  # type: ignore[arg-type]
    assert (odd.outcome, odd.k, odd.summary) == ("complete", None, "done")
    # A job in another language, which says it as ``msgstream listen`` reads it.
    bare = State("bare")
    step = {"title": "Fit", "k": 3, "total": 10, "units": "steps", "text": "hot"}
    assert feed(bare, Message("bare", step), Message("bare", {"k": 4})) == [None, None]
    assert (bare.label, bare.summary) == ("bare Fit", "4/10 steps")
    assert feed(bare, Message("bare", {"k": "four"})) == ["{'k': 'four'}"]
    assert feed(State("silent"), Ended("silent")) == ["ended"]
    # Who comes after the end is not told how far the job was.
    late = State("late")
    assert feed(late, Header("late", Complete()), Ended("late")) == ["done", None]
    assert feed(State("late"), Header("late", Abort(started=BEGUN, ended="2026-11-28T12:00:04Z"))) == ["ended 8 s ago: aborted after 4 s"]
    nonsense = State("fit")
    for message in (
        Start(7, float("inf"), 1, 5),  # type: ignore[arg-type]
        Progress(10**400, text=5),  # type: ignore[arg-type]
        Log(3),  # type: ignore[arg-type]
        Error(5, 6, 7, 8, 9),  # type: ignore[arg-type]
    ):
        line = nonsense.take(Message("fit", message))
        assert line is None or isinstance(line, str)
        assert nonsense.summary is not None and nonsense.label in ("fit 7")


def test_a_stream_that_begins_again_after_its_end_is_another_job() -> None:
    for begin in (Message("fit", Start("Two", 5)), Header("fit", Join("Two", 0, 5))):
        state = State("fit")
        feed(state, Message("fit", Start("One", 10, "steps", BEGUN)), Message("fit", Error("why")), begin)
        assert (state.outcome, state.told, state.count(), state.label) == ("running", "", "0/5", "fit Two")


def test_what_comes_late_does_not_change_how_a_job_ended() -> None:
    state = State("fit")
    feed(state, Message("fit", Start("One", 10, "steps", BEGUN)), Message("fit", Error("why")))
    told = state.told
    late = [Progress(1), {"k": 2, "title": "Two"}, Complete("fine"), Abort()]
    assert feed(state, *[Message("fit", message) for message in late], Message("fit", Log("last"))) == [None] * 4 + ["last"]
    assert feed(state, Ended("fit", Complete())) == [None]
    assert (state.outcome, state.told, state.label) == ("failed", told, "fit One")


def test_elapsed_is_the_jobs_own() -> None:
    late = State("fit")
    feed(late, Header("fit", Join(None, 5, 10, started="2026-11-28T11:00:12Z")))
    assert (late.elapsed, late.left, late.times(with_rate=True)) == (3600, 3600, "[1:00:00<1:00:00, 720 s/it]")
    # A job that does not say when it began is measured from where it was first seen.
    assert State("fit").times() == ""


class Trouble:
    """What a listener tells beside its events."""

    def __init__(self, trouble: Optional[str]) -> None:
        self.trouble = trouble


def shown(events: List[Any], rows: int = 12, columns: int = 100, streams: "tuple[str, ...]" = ("fit",)) -> List[str]:
    """The screen while these streams go on."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=columns, height=rows, color_system="truecolor")
    with rich.View(streams, console) as view:
        for event in events:
            if isinstance(event, Trouble):
                view.away(event.trouble)
            else:
                view.put(event)
        view.refresh()
        seen = screen(output.getvalue(), rows, columns)
    return seen


class Between:
    """Another thread does something after this one has made a line, and before it writes it."""

    def __init__(self, does: Callable[[], None] = lambda: None) -> None:
        self.other = threading.Thread(target=does)
        #: How often this thread has drawn.
        self.draws = 0

    def process_renderables(self, renderables: List[Any]) -> List[Any]:
        if threading.current_thread() is threading.main_thread():
            self.draws += 1
            if self.other.ident is None:
                self.other.start()
                # It has to wait for the line, and this for it as long as a fault would take to show.
                self.other.join(0.3)
        return renderables


@pytest.mark.parametrize("by", ["the view", "the program"])
def test_a_line_stays_whatever_is_drawn_while_the_next_one_is_printed(by: str) -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=80, height=10)
    with rich.View(("a", "b", "c"), console) as view:
        for stream in view.states:
            view.put(Message(stream, Start("fit")))
        view.refresh()
        view.put(Message("a", Complete()))
        between = Between(view.refresh)
        console.push_render_hook(between)
        if by == "the view":
            view.put(Message("b", Complete()))
        else:
            print("said: a line")
        between.other.join(DEADLINE)
        console.pop_render_hook()
    lines = [row.split(":")[0] for row in screen(output.getvalue(), 10, 80) if ": " in row]
    assert lines == ["a fit", "b fit" if by == "the view" else "said"]


# Seen to fail: rows that went without a line of their own were still there for what was printed next, which erased the line above.
@pytest.mark.parametrize("how", ["the broker is back", "a listener is cut off"])
def test_a_line_stays_when_rows_have_gone_without_one(how: str) -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=80, height=10)
    with rich.View(("a", "b", "c"), console) as view:
        if how == "the broker is back":
            # Three that are not heard of are one row again.
            view.away("no broker")
            view.refresh()
            view.away(None)
        else:
            view.put(Message("a", Start("fit")))
            view.refresh()
            view.put(CutOff("a", "slow_listener", "too slow"))
        between = Between(view.refresh)
        console.push_render_hook(between)
        print("said: a line")
        between.other.join(DEADLINE)
        console.pop_render_hook()
    seen = [row for row in screen(output.getvalue(), 10, 80) if row]
    before = "connected again" if how == "the broker is back" else "a fit: too slow"
    assert before in seen and seen[seen.index(before) + 1] == "said: a line", seen


def test_streams_that_begin_do_not_have_all_rows_drawn_once_more() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=10)
    with rich.View(console=console) as view:
        between = Between()
        console.push_render_hook(between)
        for number in range(100):
            view.put(Header(f"fit-{number}", Join("fit", 1, 10)))
        console.pop_render_hook()
    assert between.draws == 0


def test_rows_are_drawn_however_much_is_said() -> None:
    draws: List[threading.Thread] = []

    class Elsewhere:
        """Notes which draws are not those of this thread."""

        def process_renderables(self, renderables: List[Any]) -> List[Any]:
            if threading.current_thread() is not threading.main_thread():
                draws.append(threading.current_thread())
            return renderables

    # To write to a terminal lets other threads go on, just while nobody else may draw.
    with open(os.devnull, "w") as terminal:
        console = Console(file=terminal, force_terminal=True, width=80, height=10)
        with rich.View(("a",), console) as view:
            view.put(Header("a", Join("fit", 1, 10)))
            console.push_render_hook(Elsewhere())
            deadline = time.monotonic() + DEADLINE
            while len(draws) <= 2 and time.monotonic() < deadline:
                view.put(Message("a", Log("a line")))
            console.pop_render_hook()
    # Ten times a second, in which some hundred lines are said.
    assert len(draws) > 2


def test_a_view_goes_with_other_live_displays() -> None:
    before = (sys.stdout, sys.stderr)
    view = rich.View(("a",), Console(force_terminal=True))
    for _ in range(2):
        with view:
            view.put(Header("a", Join("fit", 1, 10)))
            assert list(track(range(3), console=Console(force_terminal=True))) == [0, 1, 2]
        assert (sys.stdout, sys.stderr) == before


def test_rich_shows_a_bar_with_all_there_is_to_know() -> None:
    events = [Header("build-7", Join("make [all]", 3, 10, "steps", BEGUN)), Message("build-7", Log("[red] is\nno markup", "info"))]
    first, second, row, *rest = shown(events, streams=("build-7",))
    assert (first, second) == ("build-7 make [all]: info: [red] is", "build-7 make [all]: no markup")
    assert re.fullmatch(r"build-7 make \[all\]  30% [━╸╺ ]+ 3/10 steps \[00:12<00:28, 4 s/step\]", row) and "━" in row
    assert set(rest) == {""}


def test_rich_tells_each_end_for_good_and_who_is_waited_for() -> None:
    ended = dict(title="make all", started=BEGUN, ended="2026-11-28T12:00:04Z")
    events = [Message("build-7", Complete(**ended)), Ended("build-7"), Message("lint", Error("exit status 2", **ended)), Ended("lint")]
    rows = shown(events, streams=("build-7", "lint", "next", "after"))
    assert rows[:4] == [
        "build-7 make all: done in 4 s",
        "lint make all: failed after 4 s: exit status 2",
        "waiting for next, after",
        "4 more: 1 failed, 2 waiting, 1 done",
    ]


def test_a_job_that_is_lost_has_ended_and_is_counted_among_the_bad() -> None:
    lost = monitor.Lost(title="make all", started=BEGUN)
    rows = shown([Header("fit", Join("make all", 3, 10, started=BEGUN)), Ended("fit", lost)], streams=("fit", "next"))
    assert rows[:3] == ["fit make all: lost: no connection to the job any more", "waiting for next", "2 more: 1 lost, 1 waiting"]
    state = State("fit")
    assert feed(state, Ended("fit", monitor.Lost("its machine is gone"))) == ["lost: its machine is gone"]
    # What it says late changes nothing; what begins anew is another run.
    assert feed(state, Message("fit", Progress(4))) == [None] and state.outcome == "lost"
    assert feed(state, Message("fit", Start("Fit"))) == [None] and state.outcome == "running"


def test_rich_says_once_that_the_broker_is_away() -> None:
    names = ("a", "b")
    steps = [Header(name, Join(None, 3, 10, started=BEGUN)) for name in names]
    away, back = Trouble("the connection failed"), Trouble(None)
    rows = shown([*steps, away, away], streams=names)
    assert rows[0] == "the connection failed; trying again" and rows[1].endswith("no news") and rows[2].endswith("no news")
    # Back in time, nothing is missing, and the job may have nothing to say for long.
    rows = shown([*steps, away, back], streams=names)
    assert rows[:2] == ["the connection failed; trying again", "connected again"]
    assert "no news" not in "".join(rows) and sum("3/10" in row for row in rows) == 2


def test_rich_says_what_is_missing() -> None:
    names = ("a", "b")
    steps = [Header(name, Join(None, 3, 10, started=BEGUN)) for name in names]
    gaps = [event for name, step in zip(names, steps) for event in (Lost(name, "it failed", True), step)]
    for before in ([], [Trouble("it failed"), Trouble(None)]):
        rows = shown([*steps, *before, *gaps], streams=names)
        assert rows[len(before)] == "it failed; messages may be missing", "once for both"
        assert "no news" not in "".join(rows) and sum("missing" in row for row in rows) == 1
    rows = shown([*steps, *gaps, *gaps], streams=names)
    assert rows[:2] == ["it failed; messages may be missing"] * 2, "once for each outage"
    counted = [Lost("a", "it failed", True, 3), steps[0], CutOff("b", "slow_listener", "too slow", True, 1), steps[1]]
    assert shown([*steps, *counted], streams=names)[:2] == ["a: it failed; 3 messages are missing", "b: too slow; 1 message is missing"]
    assert shown([CutOff("fit", "limit", "too many")])[0] == "fit: too many"
    # There is no connection yet.
    assert shown([Trouble("no broker"), Lost("fit", "no broker", True)])[0:2] != ["no broker; trying again"] * 2


def test_what_came_before_the_connection_was_lost_is_shown() -> None:
    state = State("fit")
    feed(state, Header("fit", Join(None, 3, 10)))
    state.away("it failed")
    assert (state.outcome, state.summary) == ("gone", "3/10 no news")
    feed(state, Message("fit", Progress(4, text="hot")))
    assert (state.outcome, state.summary) == ("gone", "4/10 no news")
    state.away(None)
    assert (state.outcome, state.summary) == ("running", "4/10 hot")
    waiting = State("fit")
    waiting.away("no broker")
    assert feed(waiting, Lost("fit", "no broker", True)) == [None] and waiting.outcome == "gone"
    waiting.away(None)
    assert waiting.outcome == "waiting"
    waiting.away("no broker")
    feed(waiting, Message("fit", Complete()), Ended("fit"))
    waiting.away(None)
    assert (waiting.outcome, waiting.over, waiting.summary) == ("complete", True, "done")
    ended = State("fit")
    ended.away("it failed")
    assert feed(ended, Ended("fit")) == ["ended"]
    ended.away(None)
    assert ended.outcome == "ended"


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_rows_are_in_columns_and_fit_on_any_terminal(columns: int) -> None:
    names = ("fit-1", "\u8a08\u7b97", "\U0001f680 launch")
    steps = [Header(name, Join("\u65e5\u672c\u8a9e\u306e\u984c", 5, 10, "steps", BEGUN, more={"text": "a long text " * 20})) for name in names]
    rows = shown(steps, columns=columns, streams=names)
    assert set(rows[3:]) == {""}, "one row for each"
    assert all("50%" in row for row in rows[:3])
    bars = [re.search("[━╸╺]+", row) for row in rows[:3]]
    assert all(bar is not None and 5 <= len(bar.group()) <= 40 for bar in bars), rows


def test_no_control_characters_are_shown() -> None:
    rows = shown(
        [
            Message("fit", Start("a title\x1b[2J", total=2)),
            Message("fit", Progress(1, text="a text\x1b[3J\nin two lines")),
            Message("fit", Log("a line\x1b]0;\x9b4J\x07, \ud800, and\n\tanother")),
        ]
    )
    assert rows[0] == "fit a title\u241b[2J: a line\u241b]0;\ufffd4J\u2407, \ufffd, and" and "another" in rows[1]
    assert "a text\u241b[3J in two lines" in rows[2]


def command(broker: Broker, *streams: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "MSGSTREAM_SERVER": broker.address}
    return subprocess.run(
        [sys.executable, "-m", "msgstream.contrib.rich", *streams], env=environment, capture_output=True, text=True, timeout=DEADLINE
    )


def watched(broker: Broker, *names: str) -> Terminal:
    return Terminal([sys.executable, "-m", "msgstream.contrib.rich", *names], 10, 80, {"MSGSTREAM_SERVER": broker.address})


def test_fifteen_streams_in_ten_rows_show_every_end(broker: Broker) -> None:
    names = [f"job-{k:02}" for k in range(15)]
    with broker.remote() as remote:
        jobs = [Job(name, total=10, remote=remote) for name in names]
        for job in jobs:
            job.progress(1)
        assert remote.flush()
        with watched(broker, *names) as watch:
            watch.shows("7 more: 7 running")
            for job in jobs[:13]:
                job.complete()
            jobs[14].error("no data")
            watch.shows("14 more: 1 failed, 13 done")
            jobs[13].abort("enough")
            assert watch.end() == 1
            ends = [row for row in watch.all if ": " in row]
    forms = [*(f"{name}: done in \\d+ s" for name in names[:13]), "job-14: failed after \\d+ s: no data", "job-13: aborted after \\d+ s: enough"]
    assert len(ends) == 15 and all(any(re.fullmatch(form, row) for row in ends) for form in forms), ends


def test_the_command_shows_that_the_broker_is_away_and_back(broker: Broker) -> None:
    with broker.remote() as remote, Proxy(broker.port) as network:
        job = Job("fit", total=10, remote=remote)
        job.progress(3)
        assert remote.flush()
        with Terminal([sys.executable, "-m", "msgstream.contrib.rich", "fit"], 10, 80, {"MSGSTREAM_SERVER": network.address}) as watch:
            watch.shows("3/10")
            network.refuse()
            watch.shows("trying again")
            watch.shows("no news")
            network.allow()
            watch.shows("connected again")
            job.complete()
            assert watch.end() == 0
            assert not any("missing" in row for row in watch.all)


def test_the_command_waits_for_a_stream_that_nobody_has_begun(broker: Broker) -> None:
    with watched(broker, "fit") as watch:
        watch.shows("waiting for fit")
        with broker.remote() as remote, Job("fit", remote=remote):
            pass
        assert watch.end() == 0
        rows = [row for row in watch.all if row]
    # It may have joined before the job or after it.
    assert len(rows) == 1 and re.fullmatch(r"fit: (ended \d+ s ago: )?done( in \d+ s)?", rows[0])


def test_rich_is_a_command(broker: Broker) -> None:
    with broker.remote() as remote:
        Job("good", remote=remote).complete()
        Job("bad", remote=remote).error("no data")
        Job("stopped", remote=remote).abort("enough")
        remote.close("lost", monitor.Lost())
        assert remote.flush()
    good, bad, stopped, wrong = command(broker, "good"), command(broker, "good", "bad"), command(broker, "stopped"), command(broker)
    assert [command(broker, "stopped", "lost").returncode, command(broker, "bad", "lost").returncode] == [3, 1]
    assert (good.returncode, bad.returncode, stopped.returncode, wrong.returncode) == (0, 1, 2, 64)
    assert "done" in good.stdout and "failed" in bad.stdout and ": no data" in bad.stdout and "usage" in wrong.stderr
    assert good.stdout.startswith("waiting for good\n")
    states = rich.watch("good", server=broker.address, console=Console(file=io.StringIO()))
    assert states["good"].outcome == "complete"


def test_times_are_read_as_other_programs_write_them() -> None:
    noon = datetime.datetime(2026, 11, 28, 12, tzinfo=datetime.timezone.utc)
    for written in (BEGUN, "2026-11-28T12:00:00Z", "2026-11-28 12:00:00.0", "2026-11-28T13:00:00.000000000+01:00"):
        assert monitor.time_of(written) == noon
    for nonsense in (None, 5, "yesterday", "2026-13-28T12:00:00Z", "2026-11-28T12:00:00+99:00"):
        assert monitor.time_of(nonsense) is None
    assert monitor.elapsed(Complete(started=BEGUN, ended=LATER)) == 12
    assert monitor.elapsed(Complete(started=BEGUN)) is None and monitor.elapsed(Progress(1)) is None
    assert monitor.elapsed(Join(started=monitor.now())) is not None


def test_an_end_takes_what_the_header_says() -> None:
    join = Join("Fit", started=BEGUN)
    assert monitor.stamped(Start("Fit"), join) == Start("Fit", started=BEGUN)
    end = monitor.stamped(Complete("out"), join)
    assert isinstance(end, Complete) and (end.result, end.title, end.started) == ("out", "Fit", BEGUN) and monitor.time_of(end.ended)
    assert monitor.stamped(Abort(title="Own", ended=LATER), join) == Abort(None, "Own", BEGUN, LATER)
    assert monitor.stamped(Progress(1), join) == Progress(1)
