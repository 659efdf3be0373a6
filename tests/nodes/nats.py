"""A NATS client of the least that there can be: a request and its answer, in JSON."""

import json
import secrets
import socket
from typing import Any, Dict, Tuple

from place import Place


class NatsError(OSError):
    """There was no answer, or it is an error."""


class Nats:
    """A connection to one server."""

    def __init__(self, place: Place, host: str, port: int, timeout: float = 2) -> None:
        self._socket = place.connect(host, port, timeout)
        self._file = self._socket.makefile("rb")
        self._inbox, self._count = f"_INBOX.{secrets.token_hex(8)}", 0
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "lang": "python", "version": "0"}
        try:
            if not self._line().startswith(b"INFO "):
                raise NatsError("this is no NATS server")
            self._socket.sendall(f"CONNECT {json.dumps(options)}\r\nSUB {self._inbox}.* 1\r\nPING\r\n".encode())
            while self._line() != b"PONG":
                pass
        except BaseException:
            self.close()
            raise

    def _line(self) -> bytes:
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise NatsError("the connection has ended")
        if line.startswith(b"-ERR"):
            raise NatsError(line.decode().strip())
        return line.rstrip()

    def _message(self) -> Tuple[str, bytes, bytes]:
        """The next message: its subject, its headers and its content."""
        while True:
            words = self._line().split()
            if words and words[0] == b"PING":
                self._socket.sendall(b"PONG\r\n")
            if words and words[0] in (b"MSG", b"HMSG"):
                # MSG subject id [reply] size;  HMSG subject id [reply] size-of-headers size
                whole, headers = int(words[-1]), int(words[-2]) if words[0] == b"HMSG" else 0
                content = self._file.read(whole + 2)
                return words[1].decode(), content[:headers], content[headers:whole]

    def request(self, subject: str, content: bytes = b"") -> Dict[str, Any]:
        """The answer, in JSON."""
        self._count += 1
        reply = f"{self._inbox}.{self._count}"
        self._socket.sendall(f"PUB {subject} {reply} {len(content)}\r\n".encode() + content + b"\r\n")
        while True:
            to, headers, answer = self._message()
            if to != reply:
                continue
            if headers.startswith(b"NATS/1.0 503"):
                raise NatsError(f"nobody answers {subject}")
            told: Dict[str, Any] = json.loads(answer)
            if "error" in told:
                raise NatsError(f"{subject}: {told['error']}")
            return told

    def close(self) -> None:
        self._file.close()
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()

    def __enter__(self) -> "Nats":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
