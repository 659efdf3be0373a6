"""The integrations, on the real packages and the real broker."""

from __future__ import annotations

import io
from typing import Optional

import pytest
import tqdm as plain
import scipy
from scipy import optimize

from conftest import QUICK, Broker, eventually, messages
from msgstream import Job, Listener
from msgstream.contrib import jupyter
from msgstream.contrib.scipy import callback, minimum_callback
from msgstream.contrib.tqdm import tqdm, trange
from msgstream.monitor import Complete, Improvement, Lost, Progress, Start
from proxy import Proxy


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


#: Before that most of SciPy's callbacks get no values.
VALUES = tuple(int(part) for part in scipy.__version__.split(".")[:2]) >= (1, 11)


@pytest.mark.skipif(not VALUES, reason="an older SciPy")
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
    assert not VALUES or any(isinstance(message, Improvement) for message in told)


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


def test_the_callbacks_of_older_versions_of_scipy_get_more(
    broker: Broker, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scipy, "__version__", "1.8.1")
    with Job("fit", server=broker.address, options=QUICK) as job:
        tell = callback(job)
        tell([1.0, 2.0])
        # differential_evolution, and trust-constr.
        tell([1.0, 2.0], convergence=0.1)  # type: ignore[call-arg]
        tell([1.0, 2.0], optimize.OptimizeResult(fun=0.5))  # type: ignore[call-arg]
    told = messages(listener)
    assert [message.k for message in told if isinstance(message, Progress)] == [1, 2, 3]
    assert [message.value for message in told if isinstance(message, Improvement)] == [0.5]


def test_jupyter_shows_that_the_broker_is_away_and_back(broker: Broker) -> None:
    with Proxy(broker.port) as network, Job("fit", total=10, server=broker.address, options=QUICK) as job:
        job.progress(3)
        assert job.flush()
        view = jupyter.watch("fit", server=network.address, options=QUICK)
        label = view.labels["fit"]
        eventually(lambda: "3/10" in label.value, "the count")
        network.refuse()
        eventually(lambda: "no news" in label.value and view.bars["fit"].bar_style == "danger", "the trouble")
        assert "; trying again" in view.lines.value
        network.allow()
        eventually(lambda: "3/10" in label.value and "no news" not in label.value, "the return")
        assert "connected again" in view.lines.value and "missing" not in view.lines.value
        view.stop()


def test_jupyter_shows_that_a_job_is_lost(broker: Broker) -> None:
    with broker.remote() as remote:
        view = jupyter.watch("fit", server=broker.address, options=QUICK)
        remote.close("fit", Lost())
        eventually(lambda: view.states["fit"].over, "the end")
        eventually(lambda: view.labels["fit"].value.startswith("lost: no connection"), "the end")
        assert view.bars["fit"].bar_style == "danger"
        view.stop()


def test_jupyter_shows_bars_that_move(broker: Broker) -> None:
    with Job("fit", "Fit", total=10, units="steps", server=broker.address, options=QUICK) as job:
        job.progress(2)
        assert job.flush()
        view = jupyter.watch("fit", server=broker.address, options=QUICK)
        bar, label = view.bars["fit"], view.labels["fit"]
        eventually(lambda: label.value.startswith("20% 2/10 steps ["), "the header")
        assert (bar.value, bar.max, bar.description, bar.bar_style) == (2.0, 10.0, "Fit", "")
        job.progress(15, 20)
        job.log("<b>line</b>", "info")
        eventually(lambda: "&lt;b&gt;line" in view.lines.value, "the line")
        assert (bar.value, bar.max) == (15.0, 20.0)
        job.progress(5, 8)
        job.complete()
        eventually(lambda: view.states["fit"].over, "the end")
        eventually(lambda: label.value.startswith("done"), "the end")
        assert (bar.value, bar.max, bar.bar_style) == (8.0, 8.0, "success")
        view.stop()
