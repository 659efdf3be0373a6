"""``async for event in listen("fit-42")``, on the event loop."""

from __future__ import annotations

import asyncio
import weakref
from types import TracebackType
from typing import AsyncIterator, Optional, Type

from ..events import Event
from ..incoming import CutShort
from ..listening import Listening, late
from .connection import Connection


class Listener(Listening, AsyncIterator[Event]):
    """The events of some streams, as ``msgstream.Listener``, for ``async for``."""

    def _begin(self) -> None:
        #: Done when something has been read meanwhile.
        self._news: Optional["asyncio.Future[None]"] = None
        self._connection: Optional[Connection] = None
        self._filling: Optional["asyncio.Future[None]"] = None
        self._pause = 0.0
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
            if self._over:
                self._disconnect()
                return None
            filling = self._fill(loop)
            waits = [filling]
            if self._latest:
                if self._news is None or self._news.done():
                    self._news = loop.create_future()
                waits.append(self._news)
            timeout_left = None if deadline is None else max(0.0, deadline - loop.time())
            done, _ = await asyncio.wait(waits, timeout=timeout_left, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                raise late(timeout)
        if self._latest and not self._over:
            self._fill(loop)
        return self._ready.popleft()

    def _fill(self, loop: asyncio.AbstractEventLoop) -> "asyncio.Future[None]":
        """What reads. A task of its own: what is begun, such as a connection, goes on when the caller is cancelled or waits no longer, and
        several callers wait for the same."""
        filling = self._filling
        if filling is not None and filling.done():
            self._filling = None
            if not filling.cancelled():
                filling.result()
        if self._filling is None:
            self._filling = loop.create_task(_fill(weakref.ref(self)))
        return self._filling

    def _arrived(self) -> None:
        """Something may be ready."""
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def close(self) -> None:
        """Stops listening. Iteration is over."""
        self._closed = True
        self._ready.clear()
        filling, self._filling = self._filling, None
        if filling is not None and not filling.done() and self._loop is asyncio.get_running_loop():
            filling.cancel()
            await asyncio.wait([filling])
        self._disconnect()

    def __del__(self) -> None:
        # Left in the middle, by ``break`` for example.
        if getattr(self, "_connection", None) is not None:
            self._disconnect()

    async def __aenter__(self) -> "Listener":
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        await self.close()

    async def _connect(self) -> None:
        pause, self._pause = self._pause, 0.0
        if pause:
            await asyncio.sleep(pause)
        connection = Connection(self.address, self._options, self._access)
        try:
            await connection.open(self._joins())
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._retry.answered()

    def _change_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """A connection belongs to the loop that made it, which has ended if there is another."""
        if self._connection is not None:
            self._interrupted(CutShort("the event loop that had the connection has ended"), own=True)
        self._loop, self._filling, self._news = loop, None, None

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _interrupted(self, short: CutShort, own: bool = False) -> None:
        self._disconnect()
        self._pause = 0.0 if own else self._retry.pause(short.code is not None)
        super()._interrupted(short, own)


async def _fill(reference: "weakref.ref[Listener]") -> None:
    """Until something is ready, or nothing more comes. It does not hold the listener while it waits for lines: one that nobody else holds
    any more, given up after a TimeoutError for instance, ends its connection, and so this."""
    # A cancellation may arrive together with what was waited for, and before Python 3.12 is then lost: so close says it twice.
    while True:
        listener = reference()
        if listener is None or (listener._ready and not listener._wants_newer) or listener._over:
            return
        connection = listener._connection
        try:
            if connection is None:
                await listener._connect()
            else:
                del listener
                lines = await connection.receive()
                listener = reference()
                if listener is not None:
                    listener._take(connection.incoming, lines)
                    listener._arrived()
                    if listener._listens.wonders:
                        # The answer shows that nothing came behind the message that is held.
                        connection.ask()
        except CutShort as short:
            listener = reference()
            if listener is not None:
                listener._interrupted(short)
                listener._arrived()
        del listener, connection


#: Joins streams; the result is iterated over with ``async for``.
listen = Listener
