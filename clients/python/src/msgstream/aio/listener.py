"""``async for event in listen("fit-42")``, on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import deque
from types import TracebackType
from typing import Any, AsyncIterator, Deque, List, Optional, Type

import msgstream

from ..address import Address
from ..connection import CutShort, tcp_options
from ..encoding import Codec, decoder
from ..events import Event, Message
from ..listens import Listens
from ..options import Options
from ..wire import Line, LineReader, Parser, WireError, ping


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
        self._filling: Optional["asyncio.Future[None]"] = None
        self._attempt = 0
        self._trouble: Optional[str] = None
        self._closed = False
        self._loop: Optional[asyncio.AbstractEventLoop] = None

    async def __anext__(self) -> Event:
        event = await self.next(self.timeout)
        if event is None:
            raise StopAsyncIteration
        return event

    async def next(self, timeout: Optional[float] = None) -> Optional[Event]:
        """The next event, or None when all streams have ended. Raises TimeoutError after ``timeout`` seconds; None waits."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        if self._loop is not loop:
            self._change_loop(loop)
        while not self._ready:
            if self._closed or not self._listens.streams:
                self._disconnect()
                return None
            # A task of its own: what is begun, such as a connection, goes on when the caller is cancelled or waits no longer, and
            # several callers wait for the same.
            filling = self._filling
            if filling is None or filling.done():
                filling = self._filling = asyncio.ensure_future(self._fill())
            done, _ = await asyncio.wait([filling], timeout=None if deadline is None else max(0.0, deadline - loop.time()))
            if not done:
                raise TimeoutError(f"nothing came within {timeout} s")
            if not filling.cancelled():
                filling.result()
        return self._ready.popleft()

    async def close(self) -> None:
        """Stops listening. Iteration is over."""
        self._closed = True
        self._ready.clear()
        filling, self._filling = self._filling, None
        if filling is not None and not filling.done() and self._loop is asyncio.get_running_loop():
            filling.cancel()
            await asyncio.wait([filling])
        self._disconnect()

    def _change_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """A connection belongs to the loop that made it, which has ended if there is another."""
        if self._connection is not None:
            self._interrupted(CutShort("the event loop that had the connection has ended"))
        self._loop, self._filling = loop, None

    async def __aenter__(self) -> "Listener":
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        await self.close()

    async def _fill(self) -> None:
        """Until something is ready, or nothing more comes."""
        # A cancellation may arrive together with what was waited for, and before Python 3.12 is then lost: so close says it twice.
        while not self._ready and self._listens.streams and not self._closed:
            try:
                if self._connection is None:
                    await self._connect()
                else:
                    self._take(self._connection, await self._connection.receive())
                    self._attempt = 0
            except CutShort as short:
                self._interrupted(short)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def _connect(self) -> None:
        if self._attempt:
            await asyncio.sleep(self._options.pause(self._attempt - 1))
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

    def _interrupted(self, short: CutShort) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
            self._attempt = max(1, self._attempt)
        if self._trouble is not None and short.code is None:
            return
        self._trouble = short.reason
        self._ready.extend(event for _, event in self._listens.interrupted(short.code, short.reason, self._reconnect))


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
            try:
                self._writer.close()
            except RuntimeError:
                # Its loop has ended. The broker need not wait until the rest of it is collected.
                opened = self._writer.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    opened.shutdown(socket.SHUT_RDWR)

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
