"""One connection to a broker, on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import List, Optional

from ..access import Access
from ..address import Address
from ..connection import tcp_options
from ..errors import BadConfig
from ..incoming import CutShort, Incoming, failed, said
from ..options import Options
from ..patience import Patience
from ..tls import Secure
from ..wire import auth, ping

#: What one read takes at most, and what is sealed at once for TLS.
_READ = 1 << 18


class Connection:
    """A connection on which the broker has answered once it is open."""

    def __init__(self, address: Address, options: Options, access: Access) -> None:
        self.incoming = Incoming(access.cure)
        #: What came together with the broker's answer.
        self._unread: List[str] = []
        self._address = address
        self._options = options
        self._access = access
        self._patience = Patience(options)
        self._secure: Optional[Secure] = None
        self._reader: Optional[asyncio.StreamReader] = None
        self._writer: Optional[asyncio.StreamWriter] = None

    async def open(self, first: str) -> None:
        """Connects, waits for the broker to answer, and sends the first lines. Raises CutShort."""
        try:
            await asyncio.wait_for(self._open(), self._options.connect_time)
        except asyncio.TimeoutError:
            raise CutShort(f"{self._address} does not answer") from None
        except (OSError, UnicodeError, BadConfig) as error:
            raise CutShort(f"cannot connect to {self._address}: {said(self._explained(error))}") from None
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
            if self._secure is not None:
                with contextlib.suppress(OSError, RuntimeError):
                    self._writer.write(self._secure.end())
            try:
                self._writer.close()
            except RuntimeError:
                # Its loop has ended. The broker need not wait until the rest of it is collected.
                opened = self._writer.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    opened.shutdown(socket.SHUT_RDWR)

    async def _open(self) -> None:
        token = self._access.token()
        if self._address.path:
            self._reader, self._writer = await asyncio.open_unix_connection(self._address.path)
        else:
            context = self._access.context() if self._address.tls else None
            self._reader, self._writer = await asyncio.open_connection(self._address.host, self._address.port)
            opened: Optional[socket.socket] = self._writer.get_extra_info("socket")
            for level, name, value in tcp_options(self._options):
                # Only a help, as in msgstream.connection.
                with contextlib.suppress(OSError):
                    if opened is not None:
                        opened.setsockopt(level, name, value)
            if context is not None:
                self._secure = Secure(context, self._address.host)
                await self._shake_hands(self._secure, self._reader, self._writer)
        if token is None:
            self._write(ping(0))
        else:
            self.incoming.authenticates(token)
            self._write(auth(token) + ping(0))
        rest = None
        while rest is None:
            rest = self.incoming.greeted(await self._read())
        self._unread = rest

    async def _read(self) -> List[str]:
        reader, secure = self._reader, self._secure
        assert reader is not None, "open comes first"
        try:
            data = await reader.read(_READ) if secure is None else await self._opened(secure, reader)
        except OSError as error:
            raise failed(self._explained(error)) from None
        return self.incoming.feed(data)

    async def _opened(self, secure: Secure, reader: asyncio.StreamReader) -> bytes:
        """What comes on a connection with TLS."""
        while not secure.ended:
            data = secure.open(None if secure.unread else await reader.read(_READ))
            if data:
                return data
        return b""

    async def _shake_hands(self, secure: Secure, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Makes it a connection with TLS."""
        come: Optional[bytes] = None
        try:
            while True:
                go, done = secure.shake(come)
                writer.write(go)
                if done:
                    return
                come = await reader.read(_READ)
        except OSError:
            writer.write(secure.rest())
            raise

    def _explained(self, error: Exception) -> Exception:
        return self._access.explained(error, self._address) if self._address.tls and isinstance(error, OSError) else error

    def _write(self, text: str) -> None:
        # Little is written by a listener, so nothing is gained by waiting for it to drain.
        assert self._writer is not None, "open comes first"
        data, secure = text.encode(), self._secure
        if secure is None:
            self._writer.write(data)
        else:
            for at in range(0, len(data), _READ):
                self._writer.write(secure.seal(memoryview(data)[at : at + _READ]))
