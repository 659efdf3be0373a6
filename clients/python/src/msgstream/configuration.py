"""The configuration of clients: a file of the user, and one of the system, as the ``msgstream`` program reads them.

They hold lines of ``key = "value"``, comments behind ``#`` and blank lines. Every such file is TOML, and reading it takes no more than
is here: Python has a reader of TOML from 3.11 on only. docs/operations.md of the repository describes it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterator, NamedTuple, Optional, Tuple

from .errors import BadConfig

#: Where the file of the system is.
SYSTEM = Path("/etc/msgstream/client.toml")

_KEYS = ("server",)

_EXAMPLE = 'write a line such as server = "broker.example:7342"'


class Setting(NamedTuple):
    """A value, and where it stands, for messages."""

    value: str
    place: str


def server() -> Optional[Setting]:
    """Where the broker is, if a file says so; the user's counts more. Raises BadConfig, which says what to repair, and where."""
    found = None
    for path in _paths():
        try:
            text = path.read_bytes().decode()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise BadConfig(f"cannot read {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise BadConfig(f"cannot read {path}: it is not UTF-8") from None
        said = read(str(path), text)
        found = found or said
    return found


def read(name: str, text: str) -> Optional[Setting]:
    """What one file says of the broker."""
    found = None
    for number, line in enumerate(text.split("\n"), 1):
        place = f"{name}, line {number}"
        try:
            entry = _entry(line.strip())
        except ValueError as error:
            raise BadConfig(f"{place}: {error}") from None
        if entry is None:
            continue
        key, value = entry
        if key not in _KEYS:
            raise BadConfig(f'{place}: unknown key "{key}"; did you mean "{_KEYS[0]}"?')
        if found is not None:
            raise BadConfig(f'{place}: "{key}" stands here twice; take one out')
        found = Setting(value, place)
    return found


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
        raise ValueError(f'"{rest}" behind the value is too much; put "#" before a comment')
    return key.strip(), value
