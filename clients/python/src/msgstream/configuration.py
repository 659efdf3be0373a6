"""The configuration of clients: a file of the user, and one of the system, as the ``msgstream`` program reads them.

They hold lines of ``key = "value"``, comments behind ``#`` and blank lines. Every such file is TOML, and reading it takes no more than
is here: Python has a reader of TOML from 3.11 on only. docs/operations.md of the repository describes it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Dict, Iterator, NamedTuple, Optional, Tuple

from .errors import BadConfig

#: Where the file of the system is.
SYSTEM = Path("/etc/msgstream/client.toml")

#: What can be said there, with the variables that count more; an address, and files.
VARIABLES = {
    "server": "MSGSTREAM_SERVER",
    "token_file": "MSGSTREAM_TOKEN_FILE",
    "ca": "MSGSTREAM_CA",
    "certificate": "MSGSTREAM_CERTIFICATE",
    "key": "MSGSTREAM_KEY",
}

#: How tokens begin that "msgstream token new" makes, and private keys.
_SECRETS = ("mst_", "-----BEGIN")

#: What is said in place of a text that may be one.
SECRET = (
    "a token or a private key is given where there should be another thing, and is not repeated here; a token belongs in the variable "
    'MSGSTREAM_TOKEN, or in a file that "token_file" names'
)

_EXAMPLE = 'write a line such as server = "broker.example:7342"'


def is_secret(text: str) -> bool:
    """Whether it may be one that nobody is to see."""
    return any(each in text for each in _SECRETS)


class Setting(NamedTuple):
    """A value, and where it stands, for messages."""

    value: str
    place: str


class Files:
    """What the files say to one client, if they count. They are read once, when that is first asked, so that what they say belongs together."""

    def __init__(self, count: bool = True) -> None:
        self._settings: Optional[Dict[str, Setting]] = None if count else {}

    def settings(self) -> Dict[str, Setting]:
        """All that they say. Raises BadConfig, which says what to repair, and where."""
        if self._settings is None:
            self._settings = _settings()
        return self._settings

    def setting(self, key: str) -> Optional[Setting]:
        """What the variable says, or else the files; empty counts as unset. Raises BadConfig."""
        said = os.environ.get(VARIABLES[key])
        if said:
            return Setting(said, VARIABLES[key])
        found = self.settings().get(key)
        return found if found is not None and found.value else None


def check_kind(path: str, mode: int) -> None:
    """Raises BadConfig for what is no file: to read it might take for ever."""
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise BadConfig(f"{path} is a named pipe, a device or a socket, and not a file; name a file with what is to be read in it")


def _settings() -> Dict[str, Setting]:
    """What the files say; the user's counts more."""
    found: Dict[str, Setting] = {}
    for path in _paths():
        try:
            check_kind(str(path), path.stat().st_mode)
            # Editors of other systems mark what is UTF-8.
            text = path.read_bytes().decode("utf-8-sig")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise BadConfig(f"cannot read {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise BadConfig(f"cannot read {path}: it is not UTF-8; save it as UTF-8") from None
        found = {**read(str(path), text), **found}
    return found


def read(name: str, text: str) -> Dict[str, Setting]:
    """What one file says."""
    found: Dict[str, Setting] = {}
    for number, line in enumerate(text.split("\n"), 1):
        place = f"{name}, line {number}"
        try:
            entry = _entry(line.strip())
        except ValueError as error:
            raise BadConfig(f"{place}: {error}") from None
        if entry is None:
            continue
        key, value = entry
        if key not in VARIABLES and is_secret(key):
            raise BadConfig(f"{place}: {SECRET}")
        if key not in VARIABLES:
            raise BadConfig(f'{place}: unknown key "{key}"; did you mean "{_nearest(key)}"?')
        if key in found:
            raise BadConfig(f'{place}: "{key}" stands here twice; take one out')
        if value and key != "server" and not os.path.isabs(value):
            # The value is not shown: somebody may have written the token itself.
            raise BadConfig(
                f'{place}: "{key}" is not an absolute path, and no folder is known from which it could go on; write the whole path, such as '
                f'"/home/me/{key}" (~ and variables mean nothing here)'
            )
        found[key] = Setting(value, place)
    return found


def _nearest(key: str) -> str:
    alike = [known for known in VARIABLES if len(key) > 2 and known.startswith(key)]
    if alike:
        return alike[0]
    # Needed for mistakes only.
    from difflib import get_close_matches

    return get_close_matches(key, VARIABLES, 1, 0.0)[0]


def _paths() -> Iterator[Path]:
    """The files, the one that counts most first. As the XDG Base Directory Specification has it, a path that is not absolute is as good
    as none."""
    config, home = (Path(os.environ.get(name, "")) for name in ("XDG_CONFIG_HOME", "HOME"))
    if config.is_absolute():
        yield config / "msgstream" / "client.toml"
    elif home.is_absolute():
        yield home / ".config" / "msgstream" / "client.toml"
    yield SYSTEM


def _entry(line: str) -> Optional[Tuple[str, str]]:
    """The key and the value in a line; none in a blank one or a comment. Raises ValueError."""
    if not line or line.startswith("#"):
        return None
    if line.startswith("["):
        raise ValueError(f"there are no sections here; {_EXAMPLE}")
    key, equals, value = line.partition("=")
    if not equals:
        raise ValueError(f"this is no setting; {_EXAMPLE}")
    value = value.strip()
    quote = value[:1]
    if quote not in ('"', "'"):
        raise ValueError(f"the value is not in quotes; {_EXAMPLE}")
    value, end, rest = value[1:].partition(quote)
    if not end:
        raise ValueError(f"the closing quote is missing; {_EXAMPLE}")
    if quote == '"' and "\\" in value:
        raise ValueError("a backslash means something else between these quotes; write the value in single quotes")
    rest = rest.strip()
    if rest and not rest.startswith("#"):
        raise ValueError(SECRET if is_secret(rest) else f'"{rest}" behind the value is too much; put "#" before a comment')
    return key.strip(), value
