"""The progress of joblib::

    from msgstream.contrib.joblib import Parallel

    with Job("fit-42") as job:
        results = Parallel(n_jobs=4, job=job)(delayed(fit)(sample) for sample in samples)
"""

from __future__ import annotations

from typing import Any, Iterable, Optional, Sized

from .. import Job
from .extras import needed

try:
    import joblib
except ImportError as error:
    raise needed("joblib", "joblib", error) from error


class Parallel(joblib.Parallel):  # type: ignore[misc]
    """``joblib.Parallel`` with a ``job`` that is told how many tasks are done. ``total`` is how many there are; a list of tasks says
    so itself. Without a job it is plain joblib."""

    def __init__(self, *args: Any, job: Optional[Job] = None, total: Optional[int] = None, units: str = "tasks", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._job = job
        self._total = total
        self._units = units

    def __call__(self, iterable: Iterable[Any]) -> Any:
        self._counted = len(iterable) if self._total is None and isinstance(iterable, Sized) else self._total
        if self._job is not None:
            self._job.progress(0, self._counted, self._units)
        return super().__call__(iterable)

    def print_progress(self) -> None:
        """Tells how many tasks are done. joblib calls this whenever some are, in a thread of its own."""
        super().print_progress()
        if self._job is not None and not self._job.ended:
            self._job.progress(self.n_completed_tasks, self._counted, self._units)
