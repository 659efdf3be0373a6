"""One connection to a broker, blocking. What is read and written on it is the business of others."""

from __future__ import annotations

import codecs
import selectors
import socket
import time
from typing import List, Optional, Tuple

from . import wire
from .address import Address
from .options import Options
from .wire import Line, LineReader, Parser, WireError

#: What one read takes at most.
_READ = 1 << 18

# The first host name that is looked up would import this, in our thread. Were the program forked in that moment, the child could
# never import anything again that has to do with it.
codecs.lookup("idna")

_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)


class CutShort(Exception):
    """The connection has ended. ``code`` is the broker's if it said why."""

    def __init__(self, reason: str, code: Optional[str] = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class Connection:
    """A connection on which the broker has answered once. One thread may read while another writes."""

    def __init__(self, address: Address, options: Options, limit: Optional[float] = None) -> None:
        """Raises CutShort within ``connect_time``. With ``limit``, it is made within that time, if less, and the broker's answer,
        to ping 0, is left to the caller to wait for."""
        allowed = options.connect_time if limit is None else min(limit, options.connect_time)
        deadline = time.monotonic() + allowed
        self._options = options
        self._lines = LineReader()
        self._parser = Parser()
        #: When the peer last took something.
        self.moved = time.monotonic()
        try:
            self._socket = _open(address, options, allowed)
        except (OSError, UnicodeError) as error:
            raise CutShort(f"cannot connect to {address}: {_said(error)}") from None
        try:
            self.send(wire.ping(0), options.connect_time)
            if limit is None:
                self._greet(address, deadline)
        except BaseException:
            self.close()
            raise

    def _greet(self, address: Address, deadline: float) -> None:
        """The system accepts connections for a broker that hangs. It is there once it answers."""
        while True:
            lines = self.receive(max(0.0, deadline - time.monotonic()))
            if lines is None:
                raise CutShort(f"{address} does not answer")
            for line in lines:
                said = self._line(line, str(address))
                if said.action == "pong":
                    return
                if said.action in ("close", "error"):
                    raise CutShort(said.reason or "the broker ended the connection", said.code or None)

    def send(self, text: str, patience: Optional[float] = None) -> None:
        """Sends all of it. The peer must take something within ``answer_time``, each time anew; else CutShort."""
        patience = self._options.answer_time if patience is None else patience
        rest = memoryview(text.encode())
        try:
            while rest:
                try:
                    rest = rest[self._socket.send(rest) :]
                    self.moved = time.monotonic()
                except (BlockingIOError, InterruptedError):
                    if not self._wait(selectors.EVENT_WRITE, patience):
                        raise CutShort(f"the broker has taken nothing for {patience:g} s") from None
        except (OSError, ValueError) as error:
            raise CutShort(f"the connection failed: {_said(error)}") from None

    def receive(self, timeout: Optional[float]) -> Optional[List[str]]:
        """Some lines, perhaps none; None if nothing came for so long. Raises CutShort at the end of the connection."""
        try:
            while True:
                try:
                    data = self._socket.recv(_READ)
                    break
                except (BlockingIOError, InterruptedError):
                    if not self._wait(selectors.EVENT_READ, timeout):
                        return None
        except (OSError, ValueError) as error:
            raise CutShort(f"the connection failed: {_said(error)}") from None
        if not data:
            raise CutShort("the connection ended without a word; the broker or the network failed")
        try:
            return self._lines.feed(data)
        except WireError as error:
            raise CutShort(f"the broker sent {error}") from None

    def readable(self, timeout: Optional[float]) -> bool:
        """Whether something has come, or the end, within this time. To be interrupted here loses nothing."""
        try:
            return self._wait(selectors.EVENT_READ, timeout)
        except (OSError, ValueError) as error:
            raise CutShort(f"the connection failed: {_said(error)}") from None

    def parse(self, line: str) -> Line:
        """What a line says. Raises CutShort if it is none of the protocol, or says that the connection ends."""
        said = self._line(line, "the broker")
        if said.action == "close" and said.stream is None:
            raise CutShort(said.reason or "the broker ended the connection as it was asked to", said.code or "closed")
        return said

    def message(self, line: str) -> "Optional[Line]":
        """The line if it is an ordinary message, quickly."""
        return self._parser.message(line)

    def finish(self) -> None:
        """Nothing more will be sent. The broker then sends what it still has, and ends the connection."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def shutdown(self) -> None:
        """Ends it in both directions, which wakes whoever reads or writes."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        """Gives the descriptor back. In a forked child this leaves the parent's connection alone."""
        self._socket.close()

    def _line(self, line: str, who: str) -> Line:
        try:
            return self._parser.line(line)
        except WireError as error:
            raise CutShort(f"{who} sent {error}") from None

    def _wait(self, event: int, timeout: Optional[float]) -> bool:
        # Where there is poll: select fails for descriptors above 1,023.
        with _Selector() as selector:
            selector.register(self._socket, event)
            return bool(selector.select(None if timeout is None else max(0.0, timeout)))


def _open(address: Address, options: Options, timeout: float) -> socket.socket:
    if address.path:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.settimeout(timeout)
            made.connect(address.path)
        except BaseException:
            made.close()
            raise
    else:
        made = socket.create_connection((address.host, address.port), timeout)
        for level, name, value in tcp_options(options):
            try:
                made.setsockopt(level, name, value)
            except OSError:
                # Only a help: the pings find a dead peer as well, if later.
                pass
    made.setblocking(False)
    return made


def tcp_options(options: Options) -> "List[Tuple[int, int, int]]":
    """The socket options by which the system itself notices that the other machine is gone; those that this one knows."""
    seconds = max(1, int(options.idle_time))
    wanted = [
        (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", seconds),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", max(1, seconds // 4)),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", 6),
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", max(1, int(options.answer_time * 1000))),
    ]
    return [(level, getattr(socket, name), value) for level, name, value in wanted if hasattr(socket, name)]


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

