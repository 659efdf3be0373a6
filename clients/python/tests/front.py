"""What stands before a broker: it ends TLS, and asks for tokens."""

from __future__ import annotations

import json
import select
import socket
import ssl
import threading
from contextlib import suppress
from typing import Collection, List, Optional, Set, Tuple

from conftest import DEADLINE

_MOST = 1 << 16


class Front:
    """Carries connections to a broker: with a ``context`` those with TLS, and with ``tokens`` those that begin with one of them."""

    def __init__(self, to: int, context: Optional[ssl.SSLContext] = None, tokens: Optional[Collection[str]] = None) -> None:
        self._to = to
        #: May be replaced; it counts for connections that are made from then on.
        self.context = context
        self.tokens = tokens
        #: What was shown, by connection; None where it was not a token that came first.
        self.shown: List[Optional[str]] = []
        #: Why handshakes have failed.
        self.failures: List[str] = []
        self._open: Set[socket.socket] = set()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def address(self) -> str:
        return f"{'tls://' if self.context else ''}localhost:{self.port}"

    def __enter__(self) -> "Front":
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(DEADLINE)
        self.reset()

    def reset(self) -> None:
        """Ends all connections."""
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(DEADLINE)
        if self.context is not None:
            try:
                client = self.context.wrap_socket(client, server_side=True)
            except OSError as error:
                self.failures.append(str(error))
                client.close()
                return
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self._to)) as broker:
            pair = {client, broker}
            self._open |= pair
            try:
                first = b"" if self.tokens is None else self._first(client)
                if first is not None:
                    _Carrier(client, broker, first).run()
            finally:
                self._open -= pair

    def _first(self, client: socket.socket) -> Optional[bytes]:
        """What comes behind the token; None if there is none that counts."""
        read = b""
        while b"\n" not in read:
            more = client.recv(_MOST)
            if not more:
                return None
            read += more
        line, _, rest = read.partition(b"\n")
        said = json.loads(line)
        token = said.get("token") if said["action"] == "auth" else None
        self.shown.append(token)
        assert self.tokens is not None
        if token in self.tokens:
            return rest
        code = "auth_required" if token is None else "auth_failed"
        client.sendall(json.dumps({"action": "close", "message": {"code": code, "reason": f"no entry: {code}"}}).encode() + b"\n")
        return None


class _Carrier:
    """One connection, both ways, each to its own end."""

    def __init__(self, client: socket.socket, broker: socket.socket, first: bytes) -> None:
        self._ways: List[Tuple[socket.socket, socket.socket, bytearray]] = [(client, broker, bytearray(first)), (broker, client, bytearray())]
        self._ended: Set[socket.socket] = set()
        client.setblocking(False)
        broker.setblocking(False)

    def run(self) -> None:
        ways = self._ways
        while ways:
            reads = [source for source, _, held in ways if len(held) < _MOST and source not in self._ended]
            writes = [to for _, to, held in ways if held]
            waiting = any(isinstance(each, ssl.SSLSocket) and each.pending() for each in reads)
            select.select(reads, writes, [], 0.0 if waiting else DEADLINE)
            for way in ways[:]:
                source, to, held = way
                if source in reads:
                    self._read(source, held)
                while held:
                    try:
                        del held[: to.send(held[:_MOST])]
                    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                        break
                if source in self._ended and not held:
                    ways.remove(way)
                    # What was reset has no TLS any more.
                    if isinstance(to, ssl.SSLSocket):
                        with suppress(OSError, ValueError):
                            to.unwrap()
                    to.shutdown(socket.SHUT_WR)

    def _read(self, source: socket.socket, held: bytearray) -> None:
        with suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            data = source.recv(_MOST)
            if not data:
                self._ended.add(source)
            held += data
