"""A ``tqdm`` that publishes too: ``from msgstream.contrib.tqdm import tqdm``.

    for k in tqdm(range(1000), stream="fit-42"):
        ...

Without ``stream`` it is plain tqdm. With it, ``disable`` hides the bar and not the publishing, so that a job without a terminal
can still be watched.
"""

from __future__ import annotations

import io
import sys
import threading
import weakref
from types import TracebackType
from typing import Any, Callable, Dict, Iterable, Iterator, Optional, Type

from .extras import needed

try:
    from tqdm import std
except ImportError as error:
    raise needed("tqdm", "tqdm", error) from error

from .. import Job, RemoteStream, lifetime
from ..address import Address
from . import loops

_UNITS = "it"

#: How long the end of a bar waits for the end of the program, which may say more, in seconds.
_GRACE = 1.0

#: One client for all bars with the same broker. It says the last that is to be said at the end of the program.
_remotes: Dict[Address, RemoteStream] = {}


class tqdm(std.tqdm):  # type: ignore[misc]
    """``tqdm.tqdm`` with the parameters ``stream``, ``server`` (or a ``remote`` to share) and ``strict``.

    What it shows, it publishes, as often as it shows it (``mininterval``): the count, total and unit, and the description
    and postfix as text. How it ends is how the code ends, whatever the count:

    - A loop that has gone through everything, that ``break`` or ``return`` leaves, and ``close()``, are a ``Complete``.
    - An exception, of the loop's body, of the iterable or in a ``with`` block, is an ``Error``, and Ctrl-C an ``Abort``. Python does
      not tell an iterator which exception left the loop; so it is named if it ends the program too, or leaves a ``with`` block.
    - A bar that nobody has closed is a ``Complete`` if it is full, and an ``Abort`` otherwise.
    """

    # Of the class, for tqdm also closes bars that are only half made.
    _job: Optional[Job] = None
    _told: Any = None
    _hidden: Optional[io.StringIO] = None
    #: How many loops and blocks are under way, whose end is still to come.
    _within = 0

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
            self._publish(stream, server, remote, strict)

    def _publish(self, stream: str, server: Optional[str], remote: Optional[RemoteStream], strict: bool) -> None:
        # The end of a bar before it must not come after this one has begun.
        undecided = _undecided.get(stream)
        if undecided is not None:
            undecided.close()
        if remote is None and not strict:
            remote = _remote(server)
        units = None if self.unit == _UNITS else self.unit
        self._job = Job(stream, self.desc or None, self.total, units, server=server, remote=remote, strict=strict, nan="null")
        self._before = (sys.exc_info()[1], loops.last_uncaught())
        self._at_exit = _AtExit(self)
        self._tell()

    def display(self, *args: Any, **kwargs: Any) -> Any:
        """Shows and publishes how far it is. tqdm calls this whenever it is time to."""
        shown = super().display(*args, **kwargs)
        if self._hidden is not None:
            # A long job must not collect what nobody will read.
            self._hidden.seek(0)
            self._hidden.truncate()
        self._tell()
        return shown

    def __iter__(self) -> Iterator[Any]:
        if self._job is None:
            yield from super().__iter__()
            return
        loop = loops.Loop(sys._getframe(1))
        self._within += 1
        try:
            yield from super().__iter__()
        except GeneratorExit:
            self._within -= 1
            frame = sys._getframe(1)
            self._left(loop.left(frame), f", {frame.f_code.co_filename}:{frame.f_lineno}")
            raise
        except BaseException as error:
            self._within -= 1
            self._end(type(error), error, error.__traceback__)
            raise
        self._within -= 1
        self._end()

    def __enter__(self) -> "tqdm":
        self._within += 1
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        self._within -= 1
        self._end(kind, error, traceback)
        super().__exit__(kind, error, traceback)

    def close(self) -> None:
        """Ends the bar, and the stream; in a loop or block the stream ends with that."""
        kind, error, traceback = sys.exc_info()
        if self._job is not None and error is not None and error is not self._before[0] and not isinstance(error, StopIteration):
            # As in a finally.
            self._end(kind, error, traceback)
        else:
            self._end()
        super().close()

    def __del__(self) -> None:
        if self._job is not None:
            self._within = 0
            self._left(loops.UNKNOWN)
        super().__del__()

    def _tell(self) -> None:
        if self._job is None or self._job.ended:
            return
        said = ", ".join(part for part in (self.desc.rstrip(": ") if self.desc else "", self.postfix or "") if part)
        now = (self.n, self.total, said)
        # tqdm shows the same again when only the time has changed.
        if now != self._told:
            self._told = now
            self._job.progress(self.n, self.total, text=said or None)

    def _end(
        self,
        kind: Optional[Type[BaseException]] = None,
        error: Optional[BaseException] = None,
        traceback: Optional[TracebackType] = None,
    ) -> None:
        """The end, unless a loop or block around it is still to end."""
        self._tell()
        if self._within > 0:
            return
        job, self._job = self._job, None
        if job is not None and not job.ended and not job.inherited:
            job.conclude(kind, error, traceback)
            _leave(job)

    def _left(self, how: str, where: str = "") -> None:
        """The end of which it is not known what brought it about."""
        if how == loops.ORDERLY:
            self._end()
            return
        self._tell()
        job = self._job
        if self._within > 0 or job is None:
            return
        self._job = None
        if job.ended or job.inherited:
            return
        at = f"at {self.n}" if self.total is None else f"at {self.n} of {self.total}"
        if how == loops.EXCEPTION:
            otherwise: Callable[[], None] = lambda: job.error(f"an exception left the loop {at}{where}")
        elif how == loops.ENDED or (self.total is not None and self.n >= self.total):
            otherwise = job.complete
        else:
            otherwise = lambda: job.abort(f"left open {at}")
        _Undecided(job, self._before[1], otherwise)


def trange(*args: Any, **kwargs: Any) -> tqdm:
    """``tqdm(range(*args), **kwargs)``."""
    return tqdm(range(*args), **kwargs)


class _Undecided:
    """The end of a bar, which may be the program's: then that says why. Otherwise it is what is known of the bar alone."""

    def __init__(self, job: Job, before: Optional[BaseException], otherwise: Callable[[], None]) -> None:
        self._job = job
        self._before = before
        self._otherwise = otherwise
        self._lock = threading.Lock()
        self._decided = False
        _undecided[job.stream] = self
        lifetime.ends_first(self)
        timer = threading.Timer(_GRACE, self.close)
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError:
            # The interpreter is ending already.
            self.close()

    def close(self) -> None:
        """Tells the end, once."""
        with self._lock:
            if self._decided:
                return
            self._decided = True
        if _undecided.get(self._job.stream) is self:
            del _undecided[self._job.stream]
        error = loops.last_uncaught()
        if self._job.inherited:
            pass
        elif error is not None and error is not self._before:
            self._job.conclude(type(error), error, error.__traceback__)
        else:
            self._otherwise()
        _leave(self._job)


_undecided: Dict[str, _Undecided] = {}


class _AtExit:
    """What closes a bar at the end of the program, if it is still there. That is no ``close()`` by the program's own code."""

    def __init__(self, bar: tqdm) -> None:
        self._bar = weakref.ref(bar)
        lifetime.ends_first(self)

    def close(self) -> None:
        """Ends the bar, and tells at once how."""
        bar = self._bar()
        job = bar._job if bar is not None else None
        if bar is None or job is None:
            return
        bar._within = 0
        bar._left(loops.UNKNOWN)
        undecided = _undecided.get(job.stream)
        if undecided is not None:
            undecided.close()
        bar.close()


def _remote(server: Optional[str]) -> RemoteStream:
    address = Address.of(server)
    remote = _remotes.get(address)
    if remote is None:
        remote = _remotes[address] = RemoteStream(server, nan="null")
    return remote


def _leave(job: Job) -> None:
    """Sends what waits, and ends the connection if it is the bar's own. The shared one goes on by itself."""
    if job.publisher.remote not in _remotes.values():
        job.close()
