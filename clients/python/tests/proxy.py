"""A network between clients and a broker that fails as the test wants it to."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
import threading
from typing import Callable, Iterator, Optional, Set

from conftest import DEADLINE


class Proxy:
    """Carries connections to a broker. With ``cuts`` it resets each after it has carried so many bytes to the client."""

    def __init__(self, to: int, cuts: "Optional[Iterator[int]]" = None) -> None:
        self.port = 0
        #: How many connections were made to it.
        self.made = 0
        #: How many of them it has reset.
        self.resets = 0
        self._to = to
        self._cuts = cuts or itertools.repeat(1 << 60)
        self._writers: "Set[asyncio.StreamWriter]" = set()
        self._refuses = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> "Proxy":
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(DEADLINE)
        return self

    def __exit__(self, *unused: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(DEADLINE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()

    def refuse(self) -> None:
        """Resets all connections, and every new one."""
        self._call(self._refuse)

    def allow(self) -> None:
        """New connections are carried again."""
        self._call(lambda: setattr(self, "_refuses", False))

    def freeze(self) -> None:
        """Connections stay, new ones are made, and nothing is carried."""
        self._call(self._carries.clear)

    def thaw(self) -> None:
        """All is carried again."""
        self._call(self._carries.set)

    def _call(self, call: "Callable[[], object]") -> None:
        async def called() -> None:
            call()

        asyncio.run_coroutine_threadsafe(called(), self._loop).result(DEADLINE)

    async def _start(self) -> None:
        # Made where it is used, as Python 3.9 wants it.
        self._carries = asyncio.Event()
        self._carries.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        self._carries.set()
        self._refuse()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others)

    def _refuse(self) -> None:
        self._refuses = True
        for writer in list(self._writers):
            self._reset(writer)

    def _reset(self, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.made += 1
        if self._refuses:
            self._reset(writer)
            return
        self._writers.add(writer)
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            self._reset(writer)
            return
        finally:
            self._writers.discard(writer)
        ends = {writer, up_writer}
        self._writers |= ends
        pumps = [self._pump(reader, up_writer, 1 << 60), self._pump(up_reader, writer, next(self._cuts))]
        running = [asyncio.ensure_future(pump) for pump in pumps]
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            self._reset(end)
        self._writers -= ends
        await asyncio.wait(running)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int) -> None:
        with contextlib.suppress(OSError):
            while most > 0:
                data = await reader.read(1 << 16)
                await self._carries.wait()
                if not data:
                    return
                writer.write(data[:most])
                most -= len(data)
                await writer.drain()
            self.resets += 1
