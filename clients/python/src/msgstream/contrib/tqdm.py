"""A ``tqdm`` that publishes too: ``from msgstream.contrib.tqdm import tqdm``.

    for k in tqdm(range(1000), stream="fit-42"):
        ...

Without ``stream`` it is plain tqdm. With it, ``disable`` hides the bar and not the publishing, so that a job without a terminal
can still be watched.
"""

from __future__ import annotations

import io
import sys
from typing import Any, Iterable, Optional

from tqdm import std

from .. import lifetime
from ..publisher import Job
from ..remote import RemoteStream

_UNITS = "it"


class tqdm(std.tqdm):  # type: ignore[misc]
    """``tqdm.tqdm`` with the parameters ``stream``, ``server`` (or a ``remote`` to share) and ``strict``.

    What it shows, it publishes, as often as it shows it (``mininterval``): the count, total and unit, and the description
    and postfix as text. When it is closed, a full count, or any count without a total, is a ``Complete``, and less is
    an ``Abort``; as a context manager that an exception leaves, it says ``Error``.
    """

    # Of the class, for tqdm also closes bars that are only half made.
    _job: Optional[Job] = None
    _told: Any = None
    _hidden: Optional[io.StringIO] = None

    def __init__(
        self,
        iterable: Optional[Iterable[Any]] = None,
        *args: Any,
        stream: Optional[str] = None,
        server: Optional[str] = None,
        remote: Optional[RemoteStream] = None,
        strict: bool = False,
        **kwargs: Any,
    ) -> None:
        if stream is not None:
            disable = kwargs.get("disable", False)
            file = kwargs.get("file") or sys.stderr
            if disable or (disable is None and not (hasattr(file, "isatty") and file.isatty())):
                # tqdm does nothing at all when it is disabled, so it shows itself to nobody instead.
                kwargs.update(disable=False, file=io.StringIO())
                self._hidden = kwargs["file"]
        super().__init__(iterable, *args, **kwargs)
        if stream is not None:
            units = None if self.unit == _UNITS else self.unit
            self._job = Job(stream, self.desc or None, self.total, units, server=server, remote=remote, strict=strict, nan="null")
            self._tell()
            lifetime.ends_first(self)

    def display(self, *args: Any, **kwargs: Any) -> Any:
        """Shows and publishes how far it is. tqdm calls this whenever it is time to."""
        shown = super().display(*args, **kwargs)
        if self._hidden is not None:
            # A long job must not collect what nobody will read.
            self._hidden.seek(0)
            self._hidden.truncate()
        self._tell()
        return shown

    def close(self) -> None:
        """Ends the bar and the stream."""
        if self._job is not None and not self._job.ended and not self._job.inherited:
            self._tell()
            if self.total is None or self.n >= self.total:
                self._job.complete()
            else:
                self._job.abort(f"ended at {self.n} of {self.total}")
        job, self._job = self._job, None
        super().close()
        if job is not None:
            job.disconnect()

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if self._job is not None and kind is not None and not self._job.inherited:
            self._tell()
            self._job.conclude(kind, error, traceback)
        super().__exit__(kind, error, traceback)

    def _tell(self) -> None:
        if self._job is None or self._job.ended:
            return
        said = ", ".join(part for part in (self.desc.rstrip(": ") if self.desc else "", self.postfix or "") if part)
        now = (self.n, self.total, said)
        # tqdm shows the same again when only the time has changed.
        if now != self._told:
            self._told = now
            self._job.progress(self.n, self.total, text=said or None)


def trange(*args: Any, **kwargs: Any) -> tqdm:
    """``tqdm(range(*args), **kwargs)``."""
    return tqdm(range(*args), **kwargs)
