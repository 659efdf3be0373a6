"""Callbacks for ``scipy.optimize`` and the like, which need not be there::

    with Job("fit-42") as job:
        minimize(chisq, start, callback=callback(job))
"""

from __future__ import annotations

import math
import sys
from typing import Any, Callable, Optional

from .. import Job


def callback(job: Job, total: Optional[int] = None) -> Callable[[Any], None]:
    """A callback that tells each iteration as progress, of at most ``total``, and each better value as an improvement.

    For ``minimize``, ``differential_evolution`` and whatever else calls with one argument. Where that is the parameters alone, as
    in SciPy before 1.11, there is no value and so no improvement. It never stops the optimiser; with ``Job(..., nan="null")``,
    not even for parameters that are NaN.
    """
    told = _Iterations(job, total)
    if _is_old():

        def tell_more(x: Any, state: Any = None, **unused: Any) -> None:
            told.iteration(x, getattr(state, "fun", None))

        return tell_more

    # SciPy looks at the name of the parameter: for this one it passes the value as well.
    def tell(intermediate_result: Any) -> None:
        told.iteration(getattr(intermediate_result, "x", intermediate_result), getattr(intermediate_result, "fun", None))

    return tell


def minimum_callback(job: Job, total: Optional[int] = None) -> Callable[..., None]:
    """The same for ``basinhopping`` and ``dual_annealing``, which call with the parameters, the value, and more."""
    told = _Iterations(job, total)

    def tell(x: Any, fun: Any, *unused: Any) -> None:
        told.iteration(x, fun)

    return tell


def _is_old() -> bool:
    """Whether this SciPy gives some callbacks more than one argument, which newer ones do not."""
    version = getattr(sys.modules.get("scipy"), "__version__", "")
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    return bool(numbers) and numbers < [1, 11]


class _Iterations:
    def __init__(self, job: Job, total: Optional[int]) -> None:
        self._job = job
        self._total = total
        self._k = 0
        self._best = math.inf

    def iteration(self, x: Any, fun: Any) -> None:
        self._k += 1
        self._job.progress(self._k, self._total, "iterations")
        if fun is None:
            return
        value = float(fun)
        # An infinity or NaN is never better, so neither is sent.
        if value < self._best and math.isfinite(value):
            self._best = value
            self._job.improvement(value, x=x.tolist() if hasattr(x, "tolist") else x)
