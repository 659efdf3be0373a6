"""The integrations, on the real packages and the real broker."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, List, Optional

import pytest
import tqdm as plain
from rich.console import Console
from scipy import optimize

from conftest import DEADLINE, QUICK, Broker, eventually
from msgstream import Ended, Header, Job, Listener, Lost, Message, monitor
from msgstream.contrib import jupyter, rich
from msgstream.contrib.logging import Handler
from msgstream.contrib.progress import State
from msgstream.contrib.scipy import callback, minimum_callback
from msgstream.contrib.tqdm import tqdm, trange
from msgstream.monitor import Abort, Complete, Error, Improvement, Join, Log, Progress, Start


@pytest.fixture
def listener(broker: Broker) -> Listener:
    """Somebody who listens to "fit" since before it began."""
    with broker.remote() as remote:
        remote["fit"] = "ready"
        assert remote.flush()
        return broker.joined("fit")


def messages(listener: Listener) -> List[Any]:
    return [event.message for event in listener if isinstance(event, Message)]


def test_tqdm_publishes_what_it_shows(broker: Broker, listener: Listener) -> None:
    shown = io.StringIO()
    bar = tqdm(range(5), desc="Fitting", file=shown, mininterval=0, miniters=1, stream="fit", server=broker.address)
    assert isinstance(bar, plain.tqdm)
    assert list(bar) == [0, 1, 2, 3, 4]
    assert "5/5" in shown.getvalue()
    start, *middle, end = messages(listener)
    assert start == Start("Fitting", 5) and end == Complete()
    assert [message.k for message in middle] == [0, 1, 2, 3, 4, 5]
    assert {(message.total, message.text) for message in middle} == {(5, "Fitting")}


def test_tqdm_by_hand_tells_its_unit_and_postfix(broker: Broker, listener: Listener) -> None:
    with tqdm(total=4, unit="files", file=io.StringIO(), mininterval=0, miniters=1, stream="fit", server=broker.address) as bar:
        bar.update(3)
        bar.set_postfix(chisq=1.5)
        bar.update(1)
    told = messages(listener)
    assert told[0] == Start(None, 4, "files")
    assert Progress(3, 4, "files", "chisq=1.5") in told
    assert told[-2:] == [Progress(4, 4, "files", "chisq=1.5"), Complete()]


@pytest.mark.parametrize("disable", [True, None])
def test_tqdm_hides_the_bar_and_not_the_publishing(
    broker: Broker, listener: Listener, disable: Optional[bool], capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in trange(3, disable=disable, mininterval=0, miniters=1, stream="fit", server=broker.address):
        pass
    assert [message.k for message in messages(listener) if isinstance(message, Progress)] == [0, 1, 2, 3]
    assert capfd.readouterr().err == ""


def test_tqdm_without_a_stream_is_plain(capfd: pytest.CaptureFixture[str]) -> None:
    bar = tqdm(range(3), disable=True)
    assert list(bar) == [0, 1, 2] and bar._job is None
    assert list(trange(2, file=io.StringIO())) == [0, 1]


def test_the_optimisers_of_scipy_tell_their_iterations(broker: Broker, listener: Listener) -> None:
    with Job("fit", server=broker.address, options=QUICK) as job:
        result = optimize.minimize(optimize.rosen, [1.3, 0.7], method="BFGS", callback=callback(job))
    told = messages(listener)
    steps = [message for message in told if isinstance(message, Progress)]
    better = [message for message in told if isinstance(message, Improvement)]
    assert [message.k for message in steps] == list(range(1, result.nit + 1))
    assert steps[0].units == "iterations"
    assert better[-1].value == pytest.approx(result.fun) and better[-1].more["x"] == pytest.approx(list(result.x))
    values = [message.value for message in better]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("method", ["Nelder-Mead", "trust-constr", "differential_evolution", "fmin", "dual_annealing", "basinhopping"])
def test_other_optimisers_do_too(broker: Broker, listener: Listener, method: str) -> None:
    bounds = [(-2, 2), (-2, 2)]
    with Job("fit", server=broker.address, options=QUICK) as job:
        if method == "differential_evolution":
            optimize.differential_evolution(optimize.rosen, bounds, maxiter=3, callback=callback(job, 3))
        elif method == "fmin":
            optimize.fmin(optimize.rosen, [1.3, 0.7], maxiter=5, callback=callback(job), disp=False)
        elif method == "dual_annealing":
            optimize.dual_annealing(optimize.rosen, bounds, maxiter=5, callback=minimum_callback(job))
        elif method == "basinhopping":
            optimize.basinhopping(optimize.rosen, [1.3, 0.7], niter=3, callback=minimum_callback(job))
        else:
            optimize.minimize(optimize.rosen, [1.3, 0.7], method=method, options={"maxiter": 5}, callback=callback(job))
    told = messages(listener)
    assert any(isinstance(message, Progress) for message in told)
    assert any(isinstance(message, Improvement) for message in told)


def test_a_callback_with_the_parameters_alone_is_progress(broker: Broker, listener: Listener) -> None:
    with Job("fit", server=broker.address, options=QUICK) as job:
        tell = callback(job, total=2)
        tell([1.0, 2.0])
        tell([1.0, 3.0])
        worse = minimum_callback(job)
        worse([1.0], float("inf"))
        worse([1.0], float("nan"))
    _, *told, _ = messages(listener)
    assert [message.k for message in told] == [1, 2, 1, 2] and {type(message) for message in told} == {Progress}


def feed(state: State, *events: Any) -> List[Optional[str]]:
    return [state.take(event) for event in events]


def test_what_the_messages_of_a_stream_add_up_to() -> None:
    state = State("fit")
    assert (state.label, state.summary) == ("fit", "waiting")
    feed(state, Header("fit", Join("Fit", 2, 10, "steps", more={"text": "hot", "improvement": {"value": 1.5}})))
    assert (state.label, state.summary) == ("Fit", "2/10 steps, best 1.5, hot")
    assert feed(state, Message("fit", Log("line", "info")), Message("fit", {"free": 1})) == ["info: line", "{'free': 1}"]
    feed(state, Message("fit", Progress(3)), Message("fit", Improvement(1)))
    assert state.summary == "3/10 steps, best 1"
    assert feed(state, Lost("fit", "gone", True)) == ["gone"]
    assert (state.outcome, state.over) == ("gone", False)
    feed(state, Header("fit", Join("Fit", 4, 10, "steps")))
    assert (state.outcome, state.summary) == ("running", "4/10 steps")
    assert feed(state, Message("fit", Error("no data", "line 1\nline 2")), Ended("fit")) == ["line 1\nline 2", None]
    assert (state.outcome, state.over, state.summary) == ("failed", True, "4/10 steps, failed, no data")
    odd = State("odd")
    feed(odd, Message("odd", Progress("many", total=[1])), Ended("odd", monitor.Complete()))  # type: ignore[arg-type]
    assert (odd.outcome, odd.k) == ("complete", 0)
    # All digits of a count tell how far it is: 1.23457e+06 does not move for a long time.
    many = State("many")
    feed(many, Message("many", Progress(1_234_567, 20_000_000.0)))
    assert many.summary == "1234567/20000000"
    feed(many, Message("many", Progress(0.25, 1e300)))
    assert many.summary == "0.25/1e+300"
    # A job in another language, which says it as ``msgstream listen`` reads it.
    bare = State("bare")
    step = {"title": "Fit", "k": 3, "total": 10, "units": "steps", "text": "hot"}
    assert feed(bare, Message("bare", step), Message("bare", {"k": 4})) == [None, None]
    assert (bare.label, bare.summary) == ("Fit", "4/10 steps")
    assert feed(bare, Message("bare", {"k": "four"})) == ["{'k': 'four'}"]
    plain_end = State("plain")
    feed(plain_end, Ended("plain"))
    assert plain_end.outcome == "ended"
    # Who comes after the end is not told how far the job was: that is not 0.
    late = State("late")
    feed(late, Header("late", monitor.Complete()), Ended("late"))
    assert late.summary == "complete"


def test_rich_shows_bars_and_the_lines_above_them(broker: Broker) -> None:
    with broker.remote() as remote:
        with Job("fit", "Fit [42]", total=10, units="steps", remote=remote) as job:
            job.progress(7, text="[red] is no markup")
            remote["other"] = Join("Other", 1, 4)
            remote.put("other", 1)
            assert job.flush()
            shown = io.StringIO()
            console = Console(file=shown, force_terminal=True, width=120)
            view = rich.View(["fit", "other"], console)
            with view, broker.listen("fit", "other") as events:
                view.put(events.next())
                view.put(events.next())
                assert view.states["fit"].k == 7
                job.log("a line", "info")
                job.complete()
                remote.close("other")
                for event in events:
                    view.put(event)
    text = shown.getvalue()
    assert "Fit [42]" in text and "10/10 steps" in text and "complete" in text and "Other" in text
    assert "info: a line" in text
    states = rich.watch("fit", "other", server=broker.address, console=Console(file=io.StringIO()))
    assert (states["fit"].outcome, states["other"].outcome) == ("complete", "ended")


def test_rich_shows_no_control_characters() -> None:
    shown = io.BytesIO()
    terminal = io.TextIOWrapper(shown, encoding="utf-8")
    with rich.View(["fit"], Console(file=terminal, force_terminal=True, width=120)) as view:
        view.put(Message("fit", Start("a title\x1b[2J", total=2)))
        view.put(Message("fit", Progress(1, text="a text\x1b[3J\nin two lines")))
        view.put(Message("fit", Log("a line\x1b]0;\x9b4J\x07, \ud800, and\n\tanother")))
    terminal.flush()
    text = shown.getvalue().decode()
    assert "a title\ufffd[2J" in text and "a text\ufffd[3J\ufffdin two lines" in text
    assert "a line\ufffd]0;\ufffd4J\ufffd, \ufffd, and\n" in text and "another" in text


def test_rich_is_a_command(broker: Broker, tmp_path: Path) -> None:
    def command(*streams: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "MSGSTREAM_SERVER": broker.address}
        return subprocess.run(
            [sys.executable, "-m", "msgstream.contrib.rich", *streams], env=environment, capture_output=True, text=True, timeout=DEADLINE
        )

    with broker.remote() as remote:
        Job("good", remote=remote).complete()
        Job("bad", remote=remote).error("no data")
        assert remote.flush()
    good, bad, wrong = command("good"), command("bad"), command()
    assert (good.returncode, bad.returncode, wrong.returncode) == (0, 1, 64)
    assert "complete" in good.stdout and "no data" in bad.stdout and "usage" in wrong.stderr


def test_jupyter_shows_bars_that_move(broker: Broker) -> None:
    with Job("fit", "Fit", total=10, units="steps", server=broker.address, options=QUICK) as job:
        job.progress(2)
        assert job.flush()
        view = jupyter.watch("fit", server=broker.address, options=QUICK)
        bar, label = view.bars["fit"], view.labels["fit"]
        eventually(lambda: label.value == "2/10 steps", "the header")
        assert (bar.value, bar.max, bar.description, bar.bar_style) == (2.0, 10.0, "Fit", "")
        job.progress(15, 20)
        job.log("<b>line</b>", "info")
        eventually(lambda: "&lt;b&gt;line" in view.lines.value, "the line")
        assert (bar.value, bar.max) == (15.0, 20.0)
        job.progress(5, 8)
        job.complete()
        eventually(lambda: view.states["fit"].over, "the end")
        eventually(lambda: label.value == "8/8 steps, complete", "the end")
        assert (bar.value, bar.max, bar.bar_style) == (8.0, 8.0, "success")
        view.stop()


def test_a_view_shows_whatever_another_program_sent() -> None:
    state = State("fit")
    for message in (
        Start(7, float("inf"), 1),  # type: ignore[arg-type]
        Progress(10**400, text=5),  # type: ignore[arg-type]
        Log(3),  # type: ignore[arg-type]
        Error(5, 6),  # type: ignore[arg-type]
    ):
        line = state.take(Message("fit", message))
        assert line is None or isinstance(line, str)
        assert state.summary is not None and state.label == "7"
