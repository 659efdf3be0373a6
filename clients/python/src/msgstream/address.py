"""Where a broker is."""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import NamedTuple, Optional, Tuple

from . import configuration
from .errors import BadAddress, BadConfig

#: Where a broker listens unless told otherwise.
DEFAULT = "127.0.0.1:7342"

#: Its port.
PORT = 7342

#: The environment variable that says where the broker is, for programs that do not.
VARIABLE = configuration.VARIABLES["server"]

_TLS = "tls://"


class Address(NamedTuple):
    """A TCP address, perhaps with TLS, or the path of a Unix socket. There may be others, where the same broker is if it is not here."""

    host: str = ""
    port: int = 0
    path: str = ""
    tls: bool = False
    others: "Tuple[Address, ...]" = ()

    @property
    def each(self) -> "Tuple[Address, ...]":
        """Each of them by itself, in the order in which they are tried."""
        return (self._replace(others=()), *self.others)

    def __str__(self) -> str:
        if self.others:
            return ",".join(map(str, self.each))
        if self.path:
            return f"unix:{self.path}"
        place = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        return _TLS + place if self.tls else place

    @staticmethod
    def of(host: Optional[str] = None, port: Optional[int] = None, files: "Optional[configuration.Files]" = None) -> "Address":
        """The address of ``host`` and ``port``. Without a port, host is ``"host:port"``, ``"tls://host:port"`` or ``"unix:/path"``, or several
        of these with commas between them; without a host too, it is what MSGSTREAM_SERVER says, or the ``files`` of the clients' configuration,
        or ``127.0.0.1:7342``."""
        if host is not None and port is not None:
            if isinstance(host, str) and host.startswith(_TLS):
                return Address.of(host[len(_TLS) :], port)._replace(tls=True)
            if not host or not isinstance(port, int) or not 0 < port < 65536:
                raise BadAddress(f"{host!r} and {port!r} are not a host and a port from 1 to 65535")
            return Address(host.strip("[]") if ":" in host else host, port)
        if port is not None:
            return Address.of("127.0.0.1", port)
        if not isinstance(host, (str, type(None))):
            raise BadAddress(f"{host!r} is not the address of a broker, which is a string")
        said = host or os.environ.get(VARIABLE)
        return Address.read(said) if said else Address._configured(files or configuration.Files())

    @staticmethod
    def is_given(host: Optional[str] = None, port: Optional[int] = None) -> bool:
        """Whether the address of these is said by them or by MSGSTREAM_SERVER, and not by the configuration of clients, or by nobody."""
        return bool(host) or port is not None or bool(os.environ.get(VARIABLE))

    @staticmethod
    def _configured(files: configuration.Files) -> "Address":
        server = files.settings().get("server")
        if server is None or not server.value:
            return Address.read(DEFAULT)
        try:
            return Address.read(server.value)
        except BadAddress as error:
            raise BadConfig(f"{server.place}: {error}") from None

    @staticmethod
    def read(text: str) -> "Address":
        """Reads ``"host"``, ``"host:port"``, ``"[ipv6]:port"``, any of these after ``tcp://`` or ``tls://``, or ``"unix:/path"``; or several
        of these with commas between them."""
        first, *others = [Address._read(each.strip()) for each in text.split(",")]
        return first._replace(others=tuple(others))

    @staticmethod
    def _read(text: str) -> "Address":

        def bad(why: str) -> BadAddress:
            if configuration.is_secret(text):
                return BadAddress(configuration.SECRET)
            return BadAddress(
                f'{text!r} is not the address of a broker: {why}; write "{DEFAULT}", "tls://broker.example:7342" or "unix:/run/msgstream.sock"'
            )

        if text.startswith("unix:"):
            path = text[len("unix:") :]
            if not path:
                raise bad("the path is missing")
            if not hasattr(socket, "AF_UNIX"):
                raise bad("this system has no Unix sockets")
            return Address(path=path)
        tls = text.startswith(_TLS)
        place = text[len(_TLS) :] if text.startswith(("tcp://", _TLS)) else text
        if "://" in place:
            raise bad(f"there is no {place.split('://')[0]!r} transport")
        if place.startswith(("/", ".")):
            raise bad('the path of a Unix socket has "unix:" before it')
        if _is_ipv6(place):
            # Without brackets a colon is part of the address, so that there is no port.
            return Address(place, PORT, tls=tls)
        host, colon, port = place.rpartition(":")
        if not colon or port.endswith("]"):
            host, port = place, str(PORT)
        if not host:
            raise bad("the host is missing")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise bad("an IPv6 address stands in brackets before its port")
        if configuration.is_secret(host):
            # Nor is it asked for in the network.
            raise bad("it is a secret")
        if any(character.isspace() or character in "/?#@," for character in host):
            raise bad(f"{host!r} is no host")
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise bad("the port is not a number from 1 to 65535")
        return Address(host, int(port), tls=tls)


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False
