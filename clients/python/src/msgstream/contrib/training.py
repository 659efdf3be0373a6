"""What the callbacks for frameworks have in common: how far a training is, and its latest figures."""

from __future__ import annotations

import math
import time
from typing import Any, Dict, Mapping, Optional

from .. import Job


class Training:
    """Tells a job about a training."""

    def __init__(self, job: Job, every: float) -> None:
        self._job = job
        self._every = every
        self._due = 0.0
        self._scalars: Dict[str, float] = {}

    def step(self, k: float, total: Optional[float], units: str, final: bool = False) -> None:
        """How far it is: at most once in ``every`` seconds, unless it is final."""
        now = time.monotonic()
        if not self._job.ended and (final or now >= self._due):
            self._due = now + self._every
            known = total is not None and 0 < total < math.inf
            more = {"scalars": dict(self._scalars)} if self._scalars else {}
            self._job.progress(k, total if known else None, units, text=self._text() or None, **more)

    def figures(self, figures: Mapping[str, Any]) -> None:
        """New figures, of which those that are numbers go along with the next step."""
        for name, value in figures.items():
            number = value.item() if callable(getattr(value, "item", None)) else value
            if isinstance(number, (int, float)) and not isinstance(number, bool) and math.isfinite(number):
                self._scalars[str(name)] = number

    def _text(self) -> str:
        return ", ".join(f"{name} {value:.4g}" for name, value in self._scalars.items())
