"""Publishing from the event loop. A put does not wait for the broker; what may wait is awaited, in a thread."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Any, Callable, Dict, Optional, Type

from .. import job as sync
from ..absent import ABSENT
from ..errors import MsgstreamError
from ..monitor import Join
from ..publisher import Publishing
from ..remote import RemoteStream as _RemoteStream


class RemoteStream(_RemoteStream):
    """A ``RemoteStream`` whose puts never wait: ``room`` is awaited instead, and so are ``flush`` and the end of ``async with``."""

    async def room(self) -> None:
        """Waits while more than ``options.queue`` waits to be sent to a broker that is there."""
        if self._out.size <= self._out.limit:
            return
        loop, changed = asyncio.get_running_loop(), asyncio.Event()
        deadline = time.monotonic() + self.options.answer_time
        while True:
            with self._lock:
                if not self._is_full():
                    return
                before = self._out.size
                changed.clear()
                self._when_room.append(_from_thread(loop, changed.set))
            if not await _in_time(changed, deadline - time.monotonic()):
                with self._lock:
                    deadline = self._more_patience()
            elif self._out.size < before:
                deadline = time.monotonic() + self.options.answer_time

    async def flush(self, timeout: Optional[float] = 30.0, stream: Optional[str] = None) -> bool:  # type: ignore[override]
        """Waits until all that was asked before has taken effect, and what was to be ``durable`` is in the broker's store. False if that took
        longer, or if some of it was dropped or refused, or cannot be durable."""
        over = asyncio.Event()
        mark = self._mark(_from_thread(asyncio.get_running_loop(), over.set))
        try:
            if mark is not None:
                await _in_time(over, timeout)
        finally:
            self._withdraw(mark)
        return self._flushed(mark, timeout, stream)

    async def begin(self, stream: str, header: Any, timeout: Optional[float] = 30.0) -> str:  # type: ignore[override]
        """Begins a stream, as ``msgstream.RemoteStream.begin``."""
        over = asyncio.Event()
        entry = self._beginning(stream, header, _from_thread(asyncio.get_running_loop(), over.set))
        try:
            await _in_time(over, timeout)
        finally:
            self._withdraw(entry)
        return self._begun(entry, timeout)

    async def epoch(self, stream: str, timeout: float = 5.0) -> Optional[str]:  # type: ignore[override]
        """Which run of a stream it is now, as ``msgstream.RemoteStream.epoch``."""
        return await asyncio.to_thread(super().epoch, stream, timeout)

    async def leave(self) -> None:
        """Waits until all is confirmed, within what is left of ``options.exit_time`` for this outage."""
        changed = asyncio.Event()
        for left in self._leave_taking(None, _from_thread(asyncio.get_running_loop(), changed.set), changed.clear):
            await _in_time(changed, left)

    async def __aenter__(self) -> "RemoteStream":
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, traceback)

    def _when_full(self) -> None:
        # While the first connection is made there is somebody to wait for.
        if self._away and not self._changing:
            self._trim()


def _from_thread(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> Callable[[], None]:
    """The call, made in its loop from another thread."""

    def tell() -> None:
        try:
            loop.call_soon_threadsafe(call)
        except RuntimeError:
            # The loop has ended, and with it whoever waited there.
            pass

    return tell


async def _in_time(event: asyncio.Event, timeout: Optional[float]) -> bool:
    try:
        await asyncio.wait_for(event.wait(), None if timeout is None else max(0.0, timeout))
    except asyncio.TimeoutError:
        return False
    return True


def _close_unused(making: "asyncio.Future[RemoteStream]") -> None:
    """Whoever wanted it was cancelled meanwhile."""
    if not making.cancelled() and making.exception() is None:
        making.result().close(timeout=0)


class Publisher(Publishing):
    """One stream of a broker, as ``msgstream.Publisher``, for ``async with``."""

    def _connect(self, remote: Optional[_RemoteStream], settings: Dict[str, Any]) -> None:
        if remote is not None and not isinstance(remote, RemoteStream):
            raise TypeError(f"here remote is an msgstream.aio.RemoteStream, not {type(remote).__module__}.{type(remote).__name__}")
        self._remote: Optional[RemoteStream] = remote
        self._make: Callable[[], RemoteStream] = lambda: RemoteStream(**settings)

    @property
    def remote(self) -> RemoteStream:
        """The connection, once it is entered."""
        if self._remote is None:
            raise RuntimeError(f"{type(self).__name__} is used with 'async with'")
        return self._remote

    async def put(self, message: Any, header: Any = ABSENT, *, essential: bool = False, of: Optional[str] = None) -> None:
        """Sends a message to all listeners; with ``header``, that becomes the header in the same step. What is meant ``of`` one run of the
        stream is refused as stale if that is over."""
        self.remote.put(self.stream, message, header, essential=essential, of=of)
        await self.remote.room()

    async def header(self, message: Any, *, of: Optional[str] = None, if_absent: bool = False, durable: bool = False) -> None:
        """Sets what whoever joins gets first; with ``if_absent`` only if the stream has no header and has not ended. What is ``durable`` is
        to outlive a crash of the broker: ``flush`` waits for that as well. See ``RemoteStream.header``."""
        self.remote.header(self.stream, message, of=of, if_absent=if_absent, durable=durable)
        await self.remote.room()

    async def begin(self, header: Any, timeout: Optional[float] = 30.0) -> str:
        """Begins the stream and returns which run that is, for ``of``, as ``msgstream.Publisher.begin``."""
        return await self.remote.begin(self.stream, header, timeout)

    async def end(self, message: Any = ABSENT, *, of: Optional[str] = None, durable: bool = False) -> None:
        """Ends the stream, with a last message if there is one; its header stays for those who come late. ``close`` does not end it. For
        ``durable`` see ``header``."""
        self.remote.close(self.stream, message, of=of, durable=durable)

    async def delete(self, *, of: Optional[str] = None, durable: bool = False) -> None:
        """Ends the stream and forgets its header. For ``durable`` see ``header``."""
        self.remote.delete(self.stream, of=of, durable=durable)

    async def will(self, message: Any = ABSENT) -> None:
        """How the stream ends if this client is lost; without a message that is taken back. See ``RemoteStream.will``."""
        self.remote.will(self.stream, message)

    async def flush(self, timeout: Optional[float] = 30.0) -> bool:
        """Waits until all has taken effect, and what was to be ``durable`` is in the broker's store. False if that took longer, or if something
        of this stream was dropped or refused, or cannot be durable."""
        return await self.remote.flush(timeout, self.stream)

    async def __aenter__(self) -> "Publisher":
        await self._enter()
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        try:
            await self._leave()
        except (MsgstreamError, OSError):
            # What is already under way says more.
            if kind is None:
                raise

    @property
    def dropped(self) -> int:
        """How many messages were given up for want of room while the broker was away."""
        return self.remote.dropped_of(self.stream)

    async def close(self) -> None:
        """Sends what waits, within ``options.exit_time``, and closes the connection if it is this publisher's own. The stream goes on,
        for another program, say; ``end`` ends it. ``async with`` does this."""
        await self._leave()

    async def _enter(self) -> None:
        if self._remote is None:
            # In a thread, since in strict mode it connects.
            making = asyncio.ensure_future(asyncio.to_thread(self._make))
            try:
                self._remote = await asyncio.shield(making)
            except asyncio.CancelledError:
                making.add_done_callback(_close_unused)
                raise

    async def _leave(self) -> None:
        if self._owned:
            await asyncio.to_thread(self.remote.close)
        else:
            await self.remote.leave()


class Job(sync.JobSettings, Publisher):
    """A job that can be watched, as ``msgstream.Job``, for ``async with``. Cancellation is told as ``Abort``."""

    def _prepare(self, stream: str, join: Join, settings: Dict[str, Any]) -> None:
        Publisher.__init__(self, stream, **settings)
        self._new: Callable[[], sync.Job] = lambda: sync.Job(
            stream, join.title, join.total, join.units, remote=self.remote, durable=self._durable
        )
        self._job: Optional[sync.Job] = None

    @property
    def job(self) -> sync.Job:
        """The job without asyncio; its methods do not wait here."""
        if self._job is None:
            raise RuntimeError("Job is used with 'async with'")
        return self._job

    async def progress(
        self, k: float, total: Optional[float] = None, units: Optional[str] = None, *, text: Optional[str] = None, **more: Any
    ) -> None:
        """``k`` units are done since the start, of ``total``, if that is known."""
        self.job.progress(k, total, units, text=text, **more)
        await self.remote.room()

    async def improvement(self, value: Any, **more: Any) -> None:
        """A better result has been found."""
        self.job.improvement(value, **more)
        await self.remote.room()

    async def log(self, text: str, level: Optional[str] = None, **more: Any) -> None:
        """A line for people."""
        self.job.log(text, level, **more)
        await self.remote.room()

    async def put(self, message: Any, header: Any = ABSENT, *, essential: bool = False, of: Optional[str] = None) -> None:
        """Any other message."""
        self.job.put(message, header, essential=essential, of=of)
        await self.remote.room()

    async def complete(self, result: Any = None) -> None:
        """The job has ended well, and its stream ends."""
        self.job.complete(result)

    async def abort(self, reason: Optional[str] = None) -> None:
        """The job was asked to end, and its stream ends."""
        self.job.abort(reason)

    async def error(self, reason: str, traceback: Optional[str] = None) -> None:
        """The job has failed, and its stream ends."""
        self.job.error(reason, traceback)

    async def __aenter__(self) -> "Job":
        await self._enter()
        self._job = self._new().start()
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        try:
            self.job.conclude(kind, error, traceback)
            await self._leave()
        except Exception as failure:
            if kind is None:
                raise
            sync.log.warning("the end of %r could not be told: %s", self.stream, failure)
