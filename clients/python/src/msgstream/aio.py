"""The same for asyncio: ``async for event in aio.listen("fit-42")``, ``async with aio.Job("fit-42") as job``.

Listening is done by the event loop. Publishing is as in the rest of the package, where a put does not wait for the broker; only
what may wait, a full queue, ``flush`` and the end, is awaited, in a thread.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from types import TracebackType
from typing import Any, AsyncIterator, Callable, Deque, List, Optional, Type

import msgstream

from . import publisher as sync
from .address import Address
from .connection import CutShort, tcp_options
from .encoding import Codec, decoder
from .events import Event, Message
from .listens import Listens
from .options import Options
from .remote import ABSENT
from .remote import RemoteStream as _RemoteStream
from .wire import Line, LineReader, Parser, WireError, ping

def listen(
    *streams: str,
    server: Optional[str] = None,
    reconnect: bool = True,
    timeout: Optional[float] = None,
    codec: Optional[Codec] = None,
    options: Optional[Options] = None,
) -> "Listener":
    """Joins streams; the result is iterated over with ``async for``. See ``msgstream.Listener``."""
    return Listener(*streams, server=server, reconnect=reconnect, timeout=timeout, codec=codec, options=options)


class Listener(AsyncIterator[Event]):
    """The events of some streams, as ``msgstream.Listener``."""

    def __init__(
        self,
        *streams: str,
        server: Optional[str] = None,
        reconnect: bool = True,
        timeout: Optional[float] = None,
        codec: Optional[Codec] = None,
        options: Optional[Options] = None,
    ) -> None:
        if not streams or not all(isinstance(stream, str) and stream for stream in streams):
            raise ValueError(f"listen needs the names of streams, strings of at least one character, not {streams!r}")
        self.address = Address.of(server)
        self.timeout = timeout
        self._decode = decoder(codec or msgstream.codec)
        self._options = options or Options()
        self._reconnect = reconnect
        self._listens: Listens[None] = Listens(self._decode)
        for stream in dict.fromkeys(streams):
            self._listens.want(stream, None)
        self._connection: Optional[_Connection] = None
        self._ready: Deque[Event] = deque()
        self._attempt = 0
        self._trouble: Optional[str] = None
        self._closed = False

    async def __anext__(self) -> Event:
        event = await self.next(self.timeout)
        if event is None:
            raise StopAsyncIteration
        return event

    async def next(self, timeout: Optional[float] = None) -> Optional[Event]:
        """The next event, or None when all streams have ended. Raises TimeoutError after ``timeout`` seconds; None waits."""
        if not self._ready:
            try:
                await asyncio.wait_for(self._fill(), timeout)
            except asyncio.TimeoutError:
                raise TimeoutError(f"nothing came within {timeout} s") from None
        return self._ready.popleft() if self._ready else None

    async def close(self) -> None:
        """Stops listening. Iteration is over."""
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def __aenter__(self) -> "Listener":
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        await self.close()

    async def _fill(self) -> None:
        """Cancelled at any point it loses nothing: what was read is ready or in the connection."""
        while not self._ready:
            if self._closed or not self._listens.streams:
                await self.close()
                return
            try:
                if self._connection is None:
                    await self._connect()
                else:
                    self._take(self._connection, await self._connection.receive())
                    self._attempt = 0
            except CutShort as short:
                await self._interrupted(short)

    async def _connect(self) -> None:
        if self._attempt:
            await asyncio.sleep(self._options.pause(self._attempt - 1))
        # Counted before, so that a timeout of the caller does not turn attempts into a storm.
        self._attempt += 1
        connection = _Connection(self.address, self._options)
        try:
            await connection.open("".join(self._listens.again()))
        except BaseException:
            connection.close()
            raise
        self._connection, self._trouble = connection, None

    def _take(self, connection: "_Connection", lines: List[str]) -> None:
        listens, ready = self._listens, self._ready
        for line in lines:
            said = connection.parser.message(line)
            if said is not None and not listens.unsettled:
                name = said.stream or ""
                if name in listens.active:
                    ready.append(Message(name, self._decode(said.message or "")))
                continue
            if said is None:
                said = connection.parse(line)
            ready.extend(event for _, event in listens.settle(said))

    async def _interrupted(self, short: CutShort) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
            self._attempt = max(1, self._attempt)
        if self._trouble is not None and short.code is None:
            return
        self._trouble = short.reason
        self._ready.extend(event for _, event in self._listens.interrupted(short.code, short.reason, self._reconnect))


class RemoteStream(_RemoteStream):
    """A ``RemoteStream`` whose puts never wait: ``room`` is awaited instead."""

    async def room(self) -> None:
        """Waits while more than ``options.queue`` waits to be sent to a broker that is there."""
        if self._out.size > self._out.limit:
            await asyncio.to_thread(self._wait_for_room)

    def _when_full(self) -> None:
        if not self._connected:
            self._out.trim()


class Publisher:
    """One stream of a broker, as ``msgstream.Publisher``, for ``async with``."""

    def __init__(
        self,
        stream: str,
        server: Optional[str] = None,
        *,
        remote: Optional[RemoteStream] = None,
        strict: bool = False,
        nan: str = "error",
        codec: Optional[Codec] = None,
        options: Optional[Options] = None,
    ) -> None:
        self.stream = stream
        self._owned = remote is None
        self._remote = remote
        self._make: Callable[[], RemoteStream] = lambda: RemoteStream(server, strict=strict, nan=nan, codec=codec, options=options)

    @property
    def remote(self) -> RemoteStream:
        """The connection, once it is entered."""
        if self._remote is None:
            raise RuntimeError(f"{type(self).__name__} is used with 'async with'")
        return self._remote

    async def put(self, message: Any, header: Any = ABSENT, *, essential: bool = False) -> None:
        """Sends a message to all listeners; with ``header``, that becomes the header in the same step."""
        self.remote.put(self.stream, message, header, essential=essential)
        await self.remote.room()

    async def header(self, message: Any) -> None:
        """Sets what whoever joins gets first."""
        self.remote.header(self.stream, message)
        await self.remote.room()

    async def close(self, message: Any = ABSENT) -> None:
        """Ends the stream."""
        self.remote.close(self.stream, message)

    async def delete(self) -> None:
        """Ends the stream and forgets its header."""
        self.remote.delete(self.stream)

    async def flush(self, timeout: Optional[float] = 30.0) -> bool:
        """Waits until all has taken effect. False if that took longer."""
        return await asyncio.to_thread(self.remote.flush, timeout)

    async def __aenter__(self) -> "Publisher":
        await self._enter()
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        await self._leave()

    async def _enter(self) -> None:
        if self._remote is None:
            # In a thread, since in strict mode it connects.
            self._remote = await asyncio.to_thread(self._make)

    async def _leave(self) -> None:
        if self._owned:
            await asyncio.to_thread(self.remote.close)
        else:
            await asyncio.to_thread(self.remote.flush, self.remote.options.exit_time)


class Job(Publisher):
    """A job that can be watched, as ``msgstream.Job``, for ``async with``. Cancellation is told as ``Abort``."""

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
    ) -> None:
        super().__init__(stream, server, remote=remote, strict=strict, nan=nan, codec=codec, options=options)
        self._new: Callable[[], sync.Job] = lambda: sync.Job(stream, title, total, units, remote=self.remote)
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

    async def put(self, message: Any, header: Any = ABSENT, *, essential: bool = False) -> None:
        """Any other message."""
        self.job.start()
        await super().put(message, header, essential=essential)

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
            if kind is not None and issubclass(kind, asyncio.CancelledError):
                self.job.abort("cancelled")
            self.job.conclude(kind, error, traceback)
            await self._leave()
        except Exception as failure:
            if kind is None:
                raise
            sync.log.warning("the end of %r could not be told: %s", self.stream, failure)


class _Connection:
    """One connection to a broker, on the event loop."""

    def __init__(self, address: Address, options: Options) -> None:
        self._address = address
        self._options = options
        self._lines = LineReader()
        self._reader: Optional[asyncio.StreamReader] = None
        self._writer: Optional[asyncio.StreamWriter] = None
        self.parser = Parser()
        self._asked: Optional[float] = None

    async def open(self, first: str) -> None:
        """Connects, waits for the broker to answer, and sends the first lines. Raises CutShort."""
        try:
            await asyncio.wait_for(self._open(), self._options.connect_time)
        except asyncio.TimeoutError:
            raise CutShort(f"{self._address} does not answer") from None
        except (OSError, UnicodeError) as error:
            raise CutShort(f"cannot connect to {self._address}: {getattr(error, 'strerror', None) or error}") from None
        self._write(first)

    async def _open(self) -> None:
        if self._address.path:
            self._reader, self._writer = await asyncio.open_unix_connection(self._address.path)
        else:
            self._reader, self._writer = await asyncio.open_connection(self._address.host, self._address.port)
            opened: Optional[socket.socket] = self._writer.get_extra_info("socket")
            for level, name, value in tcp_options(self._options):
                try:
                    if opened is not None:
                        opened.setsockopt(level, name, value)
                except OSError:
                    # Only a help, as in msgstream.connection.
                    pass
        self._write(ping(0))
        while True:
            for line in await self._read():
                if self.parse(line).action == "pong":
                    return

    async def receive(self) -> List[str]:
        """Some lines. A silent broker is asked for a word, and then given up."""
        while True:
            patience = self._options.idle_time
            if self._asked is not None:
                patience = max(0.0, self._asked + self._options.answer_time - time.monotonic())
            try:
                lines = await asyncio.wait_for(self._read(), patience)
            except asyncio.TimeoutError:
                if self._asked is not None:
                    raise CutShort(f"the broker has not answered for {self._options.answer_time:g} s") from None
                self._asked = time.monotonic()
                self._write(ping(1))
                continue
            self._asked = None
            return lines

    def parse(self, line: str) -> Line:
        """What a line says. Raises CutShort if the connection ends with it."""
        try:
            said = self.parser.line(line)
        except WireError as error:
            raise CutShort(f"{self._address} sent {error}") from None
        if said.action == "close" and said.stream is None:
            raise CutShort(said.reason or "the broker ended the connection", said.code or "closed")
        return said

    def close(self) -> None:
        """Ends the connection."""
        if self._writer is not None:
            self._writer.close()

    async def _read(self) -> List[str]:
        assert self._reader is not None, "open comes first"
        try:
            data = await self._reader.read(1 << 18)
        except OSError as error:
            raise CutShort(f"the connection failed: {error.strerror or error}") from None
        if not data:
            raise CutShort("the connection ended without a word; the broker or the network failed")
        try:
            return self._lines.feed(data)
        except WireError as error:
            raise CutShort(f"the broker sent {error}") from None

    def _write(self, text: str) -> None:
        # Little is written by a listener, so nothing is gained by waiting for it to drain.
        assert self._writer is not None, "open comes first"
        self._writer.write(text.encode())
