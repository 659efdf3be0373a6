"""One connection to a broker, on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import List, Optional

from ..address import Address
from ..connection import tcp_options
from ..incoming import CutShort, Incoming, failed, said
from ..options import Options
from ..patience import Patience
from ..wire import ping


class Connection:
    """A connection on which the broker has answered once it is open."""

    def __init__(self, address: Address, options: Options) -> None:
        self.incoming = Incoming()
        #: What came together with the broker's answer.
        self._unread: List[str] = []
        self._address = address
        self._options = options
        self._patience = Patience(options)
        self._reader: Optional[asyncio.StreamReader] = None
        self._writer: Optional[asyncio.StreamWriter] = None

    async def open(self, first: str) -> None:
        """Connects, waits for the broker to answer, and sends the first lines. Raises CutShort."""
        try:
            await asyncio.wait_for(self._open(), self._options.connect_time)
        except asyncio.TimeoutError:
            raise CutShort(f"{self._address} does not answer") from None
        except (OSError, UnicodeError) as error:
            raise CutShort(f"cannot connect to {self._address}: {said(error)}") from None
        self._write(first)

    async def receive(self) -> List[str]:
        """Some lines. A silent broker is asked for a word, and then given up."""
        if self._unread:
            lines, self._unread = self._unread, []
            return lines
        while True:
            try:
                lines = await asyncio.wait_for(self._read(), self._patience.left)
            except asyncio.TimeoutError:
                self._patience.over("the broker")
                self.ask()
                continue
            self._patience.heard()
            return lines

    def ask(self) -> None:
        """Asks the broker for a word."""
        self._write(ping(1))

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

    async def _open(self) -> None:
        if self._address.path:
            self._reader, self._writer = await asyncio.open_unix_connection(self._address.path)
        else:
            self._reader, self._writer = await asyncio.open_connection(self._address.host, self._address.port)
            opened: Optional[socket.socket] = self._writer.get_extra_info("socket")
            for level, name, value in tcp_options(self._options):
                # Only a help, as in msgstream.connection.
                with contextlib.suppress(OSError):
                    if opened is not None:
                        opened.setsockopt(level, name, value)
        self._write(ping(0))
        rest = None
        while rest is None:
            rest = self.incoming.greeted(await self._read())
        self._unread = rest

    async def _read(self) -> List[str]:
        assert self._reader is not None, "open comes first"
        try:
            data = await self._reader.read(1 << 18)
        except OSError as error:
            raise failed(error) from None
        return self.incoming.feed(data)

    def _write(self, text: str) -> None:
        # Little is written by a listener, so nothing is gained by waiting for it to drain.
        assert self._writer is not None, "open comes first"
        self._writer.write(text.encode())
