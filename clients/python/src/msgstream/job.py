"""A job that can be watched: ``Job``, a publisher of the messages of ``msgstream.monitor``."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import sys
import threading
import time
import traceback
from types import TracebackType
from typing import Any, Dict, Iterable, Iterator, Optional, Sized, Tuple, Type, TypeVar

from . import lifetime, wire
from .absent import ABSENT
from .access import File, Token
from .encoding import Codec
from .monitor import Abort, Complete, Error, Improvement, Join, Log, Lost, MonitorMessage, Progress, Start, check_numbers, now, stamped
from .options import Options
from .publisher import Publisher
from .remote import RemoteStream
from .run import Run

log = logging.getLogger("msgstream")

#: What a single value may take in a header that has become too large, and what is kept of a text that has.
_SMALL = 10_000

T = TypeVar("T")


class JobSettings:
    """What jobs are made from, whether they wait in threads or on an event loop."""

    def __init__(
        self,
        stream: str,
        title: Optional[str] = None,
        total: Optional[float] = None,
        units: Optional[str] = None,
        *,
        server: Optional[str] = None,
        remote: Optional[RemoteStream] = None,
        strict: bool = False,
        nan: str = "error",
        codec: Optional[Codec] = None,
        options: Optional[Options] = None,
        token: Optional[Token] = None,
        ca: Optional[File] = None,
        certificate: Optional[File] = None,
        key: Optional[File] = None,
        durable: bool = False,
    ) -> None:
        self._durable = durable
        settings: Dict[str, Any] = {"server": server, "remote": remote, "strict": strict, "nan": nan, "codec": codec, "options": options}
        settings.update({"token": token, "ca": ca, "certificate": certificate, "key": key})
        self._prepare(stream, Join(title=title, total=total, units=units), settings)

    def _prepare(self, stream: str, join: Join, settings: Dict[str, Any]) -> None:
        """``settings`` are those of its publisher."""
        raise NotImplementedError


class Job(JobSettings):
    """A job that can be watched::

        with Job("fit-42", title="Fit of sample 42", total=100) as job:
            for k in range(100):
                ...
                job.progress(k + 1)

    Who joins gets a ``Join`` that says how far it is, kept in step with each update. A clean end is told as ``Complete``,
    Ctrl-C as ``Abort``, an exception as ``Error``; then the stream ends. The parameters after ``units`` are those of ``Publisher``.

    The beginning and the end of a ``durable`` job are to outlive a crash of the broker: ``flush``, and the end of ``with``, wait until they
    are in its store, within ``options.exit_time``. See ``RemoteStream.header``.

    All methods may be called from any thread.
    """

    def _prepare(self, stream: str, join: Join, settings: Dict[str, Any]) -> None:
        self.publisher = Publisher(stream, **settings)
        self.stream = stream
        self._join = join
        # A signal handler runs in the middle of whatever its thread does, and may tell something as well.
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._run = Run(stream)
        self._started = self._ended = self._telling = self._warned = False
        self._last: Optional[MonitorMessage] = None
        # Where progress is missing, the job's own listeners are told.
        self.publisher.remote.when_dropped(stream, _dropped)
        lifetime.survives_forks(self)

    def start(self) -> "Job":
        """Says that the job begins. ``with`` does that; so does the first update."""
        with self._update():
            self._begin()
        return self

    def progress(
        self, k: float, total: Optional[float] = None, units: Optional[str] = None, *, text: Optional[str] = None, **more: Any
    ) -> None:
        """``k`` units are done since the start, of ``total``, if that is known. What is given beside goes along."""
        check_numbers(k=k, total=total)
        with self._update():
            join = self._join
            total = join.total if total is None else total
            units = join.units if units is None else units
            said = {**more} if text is None else {"text": text, **more}
            self._put(Progress(k, total, units, text, more), _with(join, said, k=k, total=total, units=units))

    def improvement(self, value: Any, **more: Any) -> None:
        """A better result has been found. Who joins later finds the best one in the header, as ``improvement``."""
        with self._update():
            found = {"improvement": {"value": value, **more}}
            self._put(Improvement(value, more), _with(self._join, found), essential=True)

    def log(self, text: str, level: Optional[str] = None, **more: Any) -> None:
        """A line for people. It is not kept for who joins later."""
        with self._update():
            if not self.ended:
                self._begin()
                self.publisher.put(Log(text, level, more), essential=level in ("warning", "error", "critical"))

    def put(self, message: Any, header: Any = ABSENT, *, essential: bool = False, of: Optional[str] = None) -> None:
        """Any other message."""
        with self._update():
            if not self.ended:
                self._begin()
                remote, may_open = self.publisher.remote, header is not ABSENT and self._may_open()
                text = remote.encoded_header(header) if may_open else None
                remote.put_encoded(self.stream, remote.encoded(message), text, essential, of, self._run if of is None else None)

    def complete(self, result: Any = None) -> None:
        """The job has ended well, and its stream ends. What is told after that is not sent."""
        self._end(Complete(result))

    def abort(self, reason: Optional[str] = None) -> None:
        """The job was asked to end, and its stream ends."""
        self._end(Abort(reason))

    def error(self, reason: str, traceback: Optional[str] = None) -> None:
        """The job has failed, and its stream ends."""
        self._end(Error(reason, traceback))

    def flush(self, timeout: Optional[float] = 30.0) -> bool:
        """Waits until all has taken effect, as ``Publisher.flush``. False if that took longer."""
        return self.publisher.flush(timeout)

    def track(self, items: Iterable[T], total: Optional[float] = None, every: float = 0.1) -> Iterator[T]:
        """Goes through items and tells how many are done, at most once in ``every`` seconds."""
        if total is None and isinstance(items, Sized):
            total = len(items)
        k, due = 0, 0.0
        self.progress(0, total)
        for item in items:
            yield item
            k += 1
            if time.monotonic() >= due:
                due = time.monotonic() + every
                self.progress(k, total)
        self.progress(k, total)

    @property
    def ended(self) -> bool:
        """Whether its end has been told."""
        return self._ended or self._last is not None

    @property
    def inherited(self) -> bool:
        """Whether this is the copy of a job in a forked child. It can tell what it does; the job is the parent's to end."""
        return os.getpid() != self._process

    def close(self) -> None:
        """Sends what waits, within ``options.exit_time``, and closes the connection if it is the job's own. The job goes on, as far as
        its listeners know; ``with`` tells its end before that."""
        self.publisher.close()

    def __enter__(self) -> "Job":
        return self.start()

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self.inherited:
            # A forked child that leaves this block does not end its parent's job.
            return
        try:
            self.conclude(kind, error, trace)
            self.close()
        except Exception as failure:
            # The job's own exception says more than that nobody could be told of it.
            if kind is None:
                raise
            log.warning("the end of %r could not be told: %s", self.stream, failure)

    def conclude(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        """Tells the end that leaving a block with this exception, or without any, means."""
        if kind is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            self.complete()
        elif issubclass(kind, KeyboardInterrupt):
            self.abort("interrupted")
        elif issubclass(kind, _cancellations()):
            self.abort("cancelled")
        elif isinstance(error, SystemExit):
            self.error(f"exit status {error.code}")
        else:
            what = "".join(traceback.format_exception_only(kind, error)).strip()
            self.error(what, "".join(traceback.format_exception(kind, error, trace)))

    def __getstate__(self) -> Dict[str, Any]:
        """For another process, where it is as in a forked child: it can tell what it does, and does not end the job."""
        with self._lock:
            return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        vars(self).update(state)
        self.after_fork()
        self.publisher.remote.when_dropped(self.stream, _dropped)
        lifetime.survives_forks(self)

    def after_fork(self) -> None:
        """In a forked child, where a thread that held the lock is gone."""
        self._lock = threading.RLock()
        self._telling, self._last = False, None

    @contextlib.contextmanager
    def _update(self) -> Iterator[None]:
        """Around all that is told. An end that a signal handler tells in the middle of it is told after it: what is under way would
        open the stream again."""
        with self._lock:
            within, self._telling = self._telling, True
            try:
                yield
            finally:
                self._telling = within
                if not within and self._last is not None:
                    last, self._last = self._last, None
                    self._conclude(last)
        if self.inherited:
            # The task that tells it may be the last of its process, which is ended without a word.
            self.publisher.remote.settle()

    def _begin(self) -> None:
        if self._started or self.inherited:
            return
        self._started = True
        join = self._join
        join.started = now()
        # Of a run before of the same name nothing stays.
        start, remote = Start(join.title, join.total, join.units, join.started), self.publisher.remote
        remote.put_encoded(self.stream, remote.encoded(start), remote.encoded_header(join), True, run=self._run, durable=self._durable)
        remote.will(self.stream, Lost(title=join.title, started=join.started))

    def _put(self, message: MonitorMessage, join: Join, essential: bool = False) -> None:
        if self.ended:
            return
        self._begin()
        join.started = self._join.started
        remote = self.publisher.remote
        text, header = remote.encoded(message), remote.encoded(join, "header")
        if wire.size(header) > remote.options.header:
            # The broker would refuse the header, and the message with it.
            self._warn(wire.size(header))
            join = dataclasses.replace(join, more=self._shortened(join.more))
            header = remote.encoded(join, "header")
        # Only what could be sent counts: a refused value must not stay in the header.
        remote.put_encoded(self.stream, text, header if self._may_open() else None, essential, run=self._run)
        self._join = join

    def _may_open(self) -> bool:
        """Whether a header may be set, which opens the stream if it has ended. The copy in another process does not know whether it has;
        but if it knows the run's epoch, the broker refuses what comes late."""
        return not self.inherited or self._run.epoch is not None or self.publisher.remote.standing(self.stream) in ("running", "waiting")

    def _end(self, message: MonitorMessage) -> None:
        with self._update():
            if not self.ended:
                self._last = message

    def _conclude(self, message: MonitorMessage) -> None:
        self._ended = True
        try:
            self._begin()
            remote, message = self.publisher.remote, stamped(message, self._join)
            text = header = remote.encoded(message)
            size = wire.size(text)
            if size > remote.options.header:
                self._warn(size)
                header = remote.encoded(_short(message, size), "header")
                if size + wire.size(header) > remote.options.line:
                    text = header
            # As a message for who listens and as header for who comes late; the end itself carries nothing, so that
            # nobody sees it twice.
            remote.put_encoded(self.stream, text, header if self._may_open() else None, True, run=self._run)
            remote.end_run(self.stream, run=self._run, durable=self._durable)
        except Exception:
            self._ended = False
            raise
        except BaseException:
            # Ctrl-C while it waits for room. The message is queued already, and the end must follow it.
            self.publisher.remote.end_run(self.stream, run=self._run, durable=self._durable)
            raise

    def _warn(self, size: int) -> None:
        if not self._warned:
            self._warned = True
            allowed = self.publisher.remote.options.header
            log.warning("a header of %r would take %d bytes, more than %d: what is large is left out of it", self.stream, size, allowed)

    def _shortened(self, more: Dict[str, Any]) -> Dict[str, Any]:
        """What of it is small. Of a dictionary, such as an improvement with its parameters, what is small in it."""
        encoded = self.publisher.remote.encoded

        def small(values: Dict[str, Any]) -> Dict[str, Any]:
            return {name: value for name, value in values.items() if wire.size(encoded(value)) <= _SMALL}

        return small({name: small(value) if isinstance(value, dict) else value for name, value in more.items()})


def _with(join: Join, more: Dict[str, Any], **known: Any) -> Join:
    values = {"title": join.title, "k": join.k, "total": join.total, "units": join.units, **known}
    kept = {name: value for name, value in join.more.items() if name != "text" or "k" not in known}
    return Join(**values, started=join.started, more={**kept, **more})


def _short(message: MonitorMessage, size: int) -> MonitorMessage:
    """An end that is too large for a header, without what makes it so."""
    if isinstance(message, Error):
        return Error(message.reason[:_SMALL], (message.traceback or "")[-_SMALL:] or None)
    if isinstance(message, Abort):
        return Abort((message.reason or "")[:_SMALL])
    return Complete(more={"text": f"the result is left out: it takes {size} bytes"})


def _cancellations() -> Tuple[Type[BaseException], ...]:
    """What ends a block without being a failure of it. asyncio's is there only if somebody has loaded asyncio."""
    asyncio = sys.modules.get("asyncio")
    return (GeneratorExit,) if asyncio is None else (GeneratorExit, asyncio.CancelledError)


def _dropped(count: int) -> Log:
    return Log(f"{count} messages are missing here: the broker was away, and there was no room for more", "warning", {"dropped": count})
