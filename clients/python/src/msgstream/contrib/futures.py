"""The progress of ``concurrent.futures``::

    with Job("fit-42") as job, ProcessPoolExecutor() as pool:
        futures = [pool.submit(fit, sample) for sample in samples]
        for future in as_completed(futures, job):
            ...

In place of ``as_completed``, ``follow(futures, job)`` tells progress wherever they are waited for.
"""

from __future__ import annotations

import concurrent.futures
import threading
from typing import Any, Iterable, Iterator, List, Optional, TypeVar

from .. import Job

T = TypeVar("T")


def follow(futures: Iterable["concurrent.futures.Future[T]"], job: Job, units: str = "tasks") -> "List[concurrent.futures.Future[T]]":
    """Tells how many of the futures are done, from now on, and how many of them have failed. Gives them back as a list."""
    followed = list(futures)
    count = _Count(job, len(followed), units)
    for future in followed:
        future.add_done_callback(count.done)
    return followed


def as_completed(
    futures: Iterable["concurrent.futures.Future[T]"], job: Job, timeout: Optional[float] = None, units: str = "tasks"
) -> "Iterator[concurrent.futures.Future[T]]":
    """``concurrent.futures.as_completed``, which also tells how many are done."""
    return concurrent.futures.as_completed(follow(futures, job, units), timeout)


class _Count:
    """How many are done. They are done in any thread, and are told in the order in which they are counted."""

    def __init__(self, job: Job, total: int, units: str) -> None:
        self._job = job
        self._units = units
        self._total = total
        self._done = self._failed = 0
        self._lock = threading.Lock()
        job.progress(0, total, units)

    def done(self, future: "concurrent.futures.Future[Any]") -> None:
        with self._lock:
            self._done += 1
            if future.cancelled() or future.exception() is not None:
                self._failed += 1
            text = f"{self._failed} failed" if self._failed else None
            if not self._job.ended:
                self._job.progress(self._done, self._total, self._units, text=text, failed=self._failed)


