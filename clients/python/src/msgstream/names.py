"""Which names a stream may have. One that cannot be used is refused where it is given."""

from __future__ import annotations

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
