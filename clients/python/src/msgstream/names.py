"""Which names a stream may have. One that cannot be used is refused where it is given."""

from __future__ import annotations

from typing import Optional

#: The longest name, in bytes, as a broker has it unless configured (its limits.name).
LONGEST_NAME = 1024


def checked(stream: str, publishes: bool = True) -> str:
    """The name of a stream, if it is one that may be published to, or listened to."""
    if not isinstance(stream, str) or not stream:
        raise ValueError(f"the name of a stream is a string of at least one character, not {stream!r}")
    try:
        length = len(stream.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{stream!r} is no name for a stream, since it is not valid Unicode; replace what is wrong in it") from None
    if length > LONGEST_NAME:
        raise ValueError(f"the name of a stream takes {LONGEST_NAME} bytes at most, not {length}: {stream[:40]!r}...")
    if publishes and stream.startswith("$"):
        raise ValueError(f"names that begin with $ are the broker's own, so {stream!r} cannot be published to")
    return stream


def checked_prefix(prefix: str) -> str:
    """The beginning of the names of streams, which may be empty."""
    return checked(prefix, publishes=False) if prefix != "" else prefix


def key_of(prefix: str) -> str:
    """What stands for a prefix where streams are told apart by their names. No name is like that, since it is not valid Unicode."""
    return f"\ud800{prefix}"


def checked_last(last: Optional[int]) -> Optional[int]:
    """How many of the last messages are wanted, if that is a number of them."""
    if last is not None and (not isinstance(last, int) or isinstance(last, bool) or last < 0):
        raise ValueError(f"last is how many of the last messages are wanted, a whole number from 0, or None, not {last!r}")
    return last
