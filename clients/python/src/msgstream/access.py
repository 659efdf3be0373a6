"""What a client shows to a broker, and by what it knows the broker: the token, and the certificates of TLS."""

from __future__ import annotations

import functools
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple, Union

from . import sealed, tls
from .address import Address
from .configuration import VARIABLES, Files, check_kind, is_secret
from .errors import UNAUTHENTICATED, BadAddress, BadConfig

if TYPE_CHECKING:
    import ssl

#: A file.
File = Union[str, "os.PathLike[str]"]

#: A token, or the path of a file with one: a ``str`` is a token, a ``pathlib.Path`` is a file.
Token = Union[str, "os.PathLike[str]"]

#: The environment variable with the token, for programs that do not say it.
VARIABLE = "MSGSTREAM_TOKEN"

#: What is configured for TLS.
_OF_TLS = ("ca", "certificate", "key")

#: Where a process finds what it has open.
_OPENED = ("/dev/fd/", "/proc/self/fd/", "/dev/stdin")

#: In bytes, as the brokers have it.
_LONGEST = 256

_REQUIRED = (
    f"give a token of that broker, in the variable {VARIABLE}, in a file that {VARIABLES['token_file']} or \"token_file\" in client.toml names, "
    "or as token="
)
_FAILED = '"msgstream token new" makes another'


class Access:
    """Of one client. Files are read for each connection: one that has changed counts from the next connection on."""

    def __init__(
        self,
        token: Optional[Token] = None,
        ca: Optional[File] = None,
        certificate: Optional[File] = None,
        key: Optional[File] = None,
        files: Optional[Files] = None,
    ) -> None:
        #: Those of the configuration of clients.
        self._configured = files or Files()
        #: The token itself, unless it is in a file.
        self._token: Optional[str] = None
        self._shown: Optional[str] = None
        self._turn = 0
        #: The files that were given, that of the token first.
        self._given = tuple(map(_path, (token if isinstance(token, os.PathLike) else None, ca, certificate, key)))
        self._file, self.origin = self._find(token)
        self._own_files: Optional[Tuple[Optional[str], ...]] = None

    @staticmethod
    def to(
        host: Optional[str],
        port: Optional[int],
        token: Optional[Token],
        ca: Optional[File],
        certificate: Optional[File],
        key: Optional[File],
    ) -> "Tuple[Address, Access]":
        """A broker, and the access to it. What stands in the configuration is for the one that is found there: another that is given is not
        shown its token, which it could use. Raises BadConfig, or BadAddress, for what cannot work."""
        files = Files(not Address.is_given(host, port))
        address = Address.of(host, port, files)
        access = Access(token, ca, certificate, key, files)
        access.token()
        if any(each.tls for each in address.each):
            access.context()
        elif any(each is not None for each in access._given[1:]):
            raise BadAddress(f'{address} is an address without TLS, where no certificate is of use; write "tls://" before it')
        elif not all(each.path for each in address.each):
            # Whoever has configured certificates takes the connection for an encrypted one.
            for found in filter(None, map(files.setting, _OF_TLS)):
                raise BadConfig(
                    f'{address} is an address without TLS, where what is configured for TLS ({found.place}) is of no use; write "tls://" before the '
                    "address, or take that out"
                )
        return address, access

    def __repr__(self) -> str:
        return f"<msgstream.Access with the token of {self.origin}>" if self.origin else "<msgstream.Access without a token>"

    def token(self) -> Optional[str]:
        """What is shown, if there is something. Raises BadConfig."""
        self._shown = self._read()
        return self._shown

    def is_replaced(self) -> bool:
        """Whether there is another token by now than was shown last, in its file, or that is being written."""
        try:
            return self._read() != self._shown
        except BadConfig:
            return False

    def _read(self) -> Optional[str]:
        if self._file is None:
            return self._token
        token, stays = read_token(self._file)
        if not stays:
            self._file, self._token = None, token
        return token

    def context(self) -> "ssl.SSLContext":
        """What a connection with TLS is made with. Raises BadConfig."""
        files = self._files()
        trusted = tls.trusted_by_the_system() if files[0] is None else ()
        return _context(files, tuple(map(_state, (*files, *trusted))), trusted)

    def cure(self, code: str) -> Optional[str]:
        """What helps against such a refusal."""
        if code in UNAUTHENTICATED:
            return f"the token came from {self.origin}; {_FAILED}" if self.origin else _REQUIRED
        # What is denied, and who can allow it, is for the broker to say.
        return None

    def sealed(self) -> "Tuple[Any, ...]":
        """What goes to a copy of the client in another process. Only the processes of this program can read a token in it; any other finds
        its own, as a client does to which none is given."""
        return (self._file if self._token is None else sealed.seal(self._token), *(self._own_files or self._given[1:]))

    @staticmethod
    def unsealed(token: Union[str, bytes, None], ca: Optional[str], certificate: Optional[str], key: Optional[str]) -> Dict[str, Any]:
        """What ``sealed`` has made, as the arguments of a client."""
        shown = sealed.unseal(token) if isinstance(token, bytes) else None if token is None else Path(token)
        return {"token": shown, "ca": ca, "certificate": certificate, "key": key}

    def _find(self, token: Optional[Token]) -> Tuple[Optional[str], Optional[str]]:
        """The file of the token, if it is in one, and where the token is from, for messages."""
        if token is not None and not isinstance(token, (str, os.PathLike)):
            raise BadConfig(f"a token is a string, or the path of a file with one, not {type(token).__name__}")
        file = self._given[0]
        if file is not None:
            return file, f"the file {file}"
        if isinstance(token, str):
            self._token = checked(token, "what was given as token")
            return None, 'the argument "token"'
        said = os.environ.get(VARIABLE, "").strip()
        if said:
            self._token = checked(said, VARIABLE)
            return None, VARIABLE
        found = self._configured.setting("token_file")
        file = None if found is None else _path(found.value)
        return (None, None) if found is None else (file, f"the file {file} ({found.place})")

    def _files(self) -> Tuple[Optional[str], ...]:
        """Those of TLS: the authorities that are trusted, and the own certificate with its key."""
        if self._own_files is None:
            _, ca, certificate, key = self._given
            # A key belongs to its certificate, wherever that is named.
            is_named = bool(certificate) or Files(False).setting("certificate") is not None
            keys = Files(False) if is_named else self._configured
            own = self._configured
            self._own_files = ca or _named("ca", own), certificate or _named("certificate", own), key or _named("key", keys)
        return self._own_files

    def next_of(self, address: Address) -> Address:
        """Where the next connection goes: to the first of several addresses, and after that always to the next one."""
        turn, self._turn = self._turn, self._turn + 1
        return address.each[turn % len(address.each)]

    def explained(self, error: OSError, address: Address) -> OSError:
        """What has gone wrong with TLS, in other words."""
        ca, certificate, _ = self._files()
        return tls.explained(error, address.host, ca, certificate)


@functools.lru_cache(8)
def _context(files: Tuple[Optional[str], ...], how: Tuple[Any, ...], trusted: Tuple[Optional[str], ...]) -> "ssl.SSLContext":
    """Made once for all clients, as long as the files are the same, and as they were: reading all that a system trusts takes a while."""
    return tls.context(*files)


def checked(token: str, place: str) -> str:
    """The token, if it can be one. What is wrong is said without showing it."""
    if not token:
        raise BadConfig(f"{place} is empty")
    if len(token) > _LONGEST or not token.isascii() or not token.isprintable() or any(each in ' "\\' for each in token):
        raise BadConfig(f"{place} is no token: that is one word of at most {_LONGEST} letters, digits and signs, without quotes")
    return token


def read_token(path: str) -> Tuple[str, bool]:
    """The token in a file, which is that and no more, and whether it can be read there again. Others must not be able to read the file. Raises
    BadConfig."""
    try:
        mode = os.stat(path).st_mode
        # A pipe without a name, as <(...) in a shell makes one, belongs to whoever reads it, and comes to its end.
        is_opened = stat.S_ISFIFO(mode) and path.startswith(_OPENED)
        if not is_opened:
            check_kind(path, mode)
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            stays = stat.S_ISREG(mode)
            if stays and os.name == "posix" and mode & (stat.S_IROTH | stat.S_IWOTH):
                raise BadConfig(f"everybody on this machine can use the token in {path}: chmod 600 {path}, and have it replaced if it was seen")
            data = file.read(2 * _LONGEST)
    except OSError as error:
        if is_secret(path):
            # Not to be shown.
            raise BadConfig(f"where a file with a token is to be named there is a token; give it in {VARIABLE}, or as token= and a str") from None
        raise BadConfig(f"cannot read the token in {path}: {error.strerror}") from None
    return checked(data.decode("utf-8-sig", "replace").strip(), f"what stands in {path}"), stays


def _named(key: str, files: Files) -> Optional[str]:
    found = files.setting(key)
    return None if found is None else _path(found.value)


def _path(given: Optional[File]) -> Optional[str]:
    """Where it is, also for connections that are made once the program works in another folder."""
    path = None if given is None else os.fsdecode(given)
    return os.path.abspath(path) if path else path


def _state(path: Optional[str]) -> Any:
    """What changes when a file does."""
    try:
        found = os.stat(path) if path is not None else None
    except OSError:
        # Whoever reads it says why.
        return None
    return None if found is None else (found.st_mtime_ns, found.st_size, found.st_ino)
