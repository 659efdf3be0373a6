"""One connection to a broker, blocking. What is read and written on it is the business of others."""

from __future__ import annotations

import codecs
import selectors
import socket
import struct
import time
from contextlib import suppress
from typing import Callable, List, Optional, Tuple

from . import wire
from .access import Access
from .address import Address
from .errors import BadConfig
from .incoming import CutShort, Incoming, failed, said
from .options import Options
from .patience import Progress
from .tls import Secure

with suppress(ImportError):
    # Not everywhere.
    import fcntl
    import termios

#: What one read takes at most.
_READ = 1 << 18

#: What is sealed at once for TLS.
_PIECE = 1 << 18

# The first host name that is looked up would import this, in our thread. Were the program forked in that moment, the child could
# never import anything again that has to do with it.
codecs.lookup("idna")

#: A program may have given SIGPIPE its usual meaning, which is to end the program.
_NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)

_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)


class Connection:
    """A connection on which the broker has answered once. One thread may read while another writes."""

    def __init__(
        self,
        address: Address,
        options: Options,
        access: Access,
        limit: Optional[float] = None,
        greet: Callable[[], str] = lambda: wire.ping(0),
    ) -> None:
        """Raises CutShort within ``connect_time``, of which several addresses have equal shares. What ``greet`` returns is said once there is a
        connection, behind the token. With ``limit``, it is made within that time, if less, and the broker's answer to that is left to the caller
        to wait for."""
        allowed = (options.connect_time if limit is None else min(limit, options.connect_time)) / len(address.each)
        self._options = options
        self._access = access
        for left in reversed(range(len(address.each))):
            try:
                self._begin(access.next_of(address), allowed, limit is None, greet)
                return
            except CutShort:
                if not left:
                    raise

    def _begin(self, address: Address, allowed: float, has_answer: bool, greet: Callable[[], str]) -> None:
        options, access = self._options, self._access
        deadline = time.monotonic() + allowed
        self._address = address
        self.incoming = Incoming(access.cure)
        #: What came together with the broker's answer.
        self._unread: List[str] = []
        self._progress = Progress()
        self._secure: Optional[Secure] = None
        self._is_sending = False
        try:
            token, context = access.token(), access.context() if address.tls else None
            self._socket = _open(address, options, allowed)
        except (OSError, UnicodeError, BadConfig) as error:
            raise CutShort(f"cannot connect to {address}: {said(error)}") from None
        try:
            if context is not None:
                self._secure = Secure(context, address.host)
                self._shake_hands(self._secure, deadline)
            first = ""
            if token is not None:
                self.incoming.authenticates(token)
                first = wire.auth(token)
            self.send(first + greet(), options.connect_time)
            if has_answer:
                self._greet(deadline)
        except BaseException:
            self.close()
            raise

    def _shake_hands(self, secure: Secure, deadline: float) -> None:
        """Makes it a connection with TLS."""
        come: Optional[bytes] = None
        try:
            while True:
                go, done = secure.shake(come)
                self._write(memoryview(go), deadline - time.monotonic())
                if done:
                    return
                come = self._read(deadline)
                if come is None:
                    raise CutShort(f"{self._address} does not answer")
        except OSError as error:
            with suppress(OSError):
                self._socket.send(secure.rest(), _NO_SIGNAL)
            raise CutShort(f"cannot connect to {self._address}: {said(self._explained(error))}") from None

    def _greet(self, deadline: float) -> None:
        """The system accepts connections for a broker that hangs. It is there once it answers."""
        while True:
            lines = self.receive(max(0.0, deadline - time.monotonic()))
            if lines is None:
                raise CutShort(f"{self._address} does not answer")
            rest = self.incoming.greeted(lines)
            if rest is not None:
                self._unread = rest
                return

    def send(self, text: str, patience: Optional[float] = None) -> None:
        """Sends all of it. The peer must take something within ``answer_time``, each time anew; else CutShort."""
        patience = self._options.answer_time if patience is None else patience
        data, secure = memoryview(text.encode()), self._secure
        self._progress.begin()
        self._is_sending = True
        try:
            if secure is None:
                self._write(data, patience)
            else:
                for at in range(0, len(data), _PIECE):
                    self._write(memoryview(secure.seal(data[at : at + _PIECE])), patience)
        except (OSError, ValueError) as error:
            raise self._failed(error) from None
        self._is_sending = False
        self._progress.end()

    def _write(self, rest: memoryview, patience: float) -> None:
        """Sends these bytes as they are."""
        while rest:
            try:
                sent = self._socket.send(rest, _NO_SIGNAL)
                rest = rest[sent:]
                self._progress.wrote(sent)
            except (BlockingIOError, InterruptedError):
                if not self._wait(selectors.EVENT_WRITE, patience):
                    raise CutShort(f"the broker has taken nothing for {patience:g} s") from None

    @property
    def moved(self) -> float:
        """When the peer last said something, or took something of what it has to answer."""
        written = self._progress.written
        try:
            (waits,) = struct.unpack("i", fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(4)))
        except (NameError, AttributeError, OSError, ValueError):
            # Not to be known here. What this system has taken counts.
            waits = 0
        return self._progress.moved(max(0, written - int(waits)))

    def receive(self, timeout: Optional[float]) -> Optional[List[str]]:
        """Some lines, perhaps none; None if nothing came for so long. Raises CutShort at the end of the connection."""
        if self._unread:
            lines, self._unread = self._unread, []
            return lines
        deadline = None if timeout is None else time.monotonic() + timeout
        secure = self._secure
        try:
            data = self._read(deadline) if secure is None else self._open(secure, deadline)
        except (OSError, ValueError) as error:
            raise self._failed(error) from None
        if data is None:
            return None
        self._progress.heard()
        return self.incoming.feed(data)

    def _read(self, deadline: Optional[float]) -> Optional[bytes]:
        """Some bytes as they come, none at the end; None if nothing came until then."""
        while True:
            try:
                return self._socket.recv(_READ)
            except (BlockingIOError, InterruptedError):
                if not self._wait(selectors.EVENT_READ, None if deadline is None else deadline - time.monotonic()):
                    return None

    def _open(self, secure: Secure, deadline: Optional[float]) -> Optional[bytes]:
        """The same of a connection with TLS. What has come of a record that is not complete is nothing yet."""
        while not secure.ended:
            come = None
            if not secure.unread:
                come = self._read(deadline)
                if come is None:
                    return None
            data = secure.open(come)
            if data:
                return data
        return b""

    def readable(self, timeout: Optional[float]) -> bool:
        """Whether something has come, or the end, within this time. To be interrupted here loses nothing."""
        if self._secure is not None and (self._secure.unread or self._secure.ended):
            return True
        try:
            return self._wait(selectors.EVENT_READ, timeout)
        except (OSError, ValueError) as error:
            raise self._failed(error) from None

    def finish(self) -> None:
        """Nothing more will be sent. The broker then sends what it still has, and ends the connection."""
        self._shut(socket.SHUT_WR)

    def shutdown(self) -> None:
        """Ends it in both directions, which wakes whoever reads or writes."""
        self._shut(socket.SHUT_RDWR)

    def _shut(self, how: int) -> None:
        try:
            if self._secure is not None and not self._is_sending:
                # Not in the middle of a record.
                self._socket.send(self._secure.end(), _NO_SIGNAL)
        except (OSError, ValueError):
            # It is not to be waited for, so it may be that the other side finds an end without a word.
            pass
        try:
            self._socket.shutdown(how)
        except OSError:
            pass

    def close(self) -> None:
        """Gives the descriptor back. In a forked child this leaves the parent's connection alone."""
        self._socket.close()

    def _failed(self, error: Exception) -> CutShort:
        return failed(self._explained(error))

    def _explained(self, error: Exception) -> Exception:
        return error if self._secure is None or not isinstance(error, OSError) else self._access.explained(error, self._address)

    def _wait(self, event: int, timeout: Optional[float]) -> bool:
        # Where there is poll: select fails for descriptors above 1,023.
        with _Selector() as selector:
            selector.register(self._socket, event)
            return bool(selector.select(None if timeout is None else max(0.0, timeout)))


def _open(address: Address, options: Options, timeout: float) -> socket.socket:
    if address.path:
        if not hasattr(socket, "AF_UNIX"):
            raise OSError("this system has no Unix sockets; use an address such as 127.0.0.1:7342")
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
