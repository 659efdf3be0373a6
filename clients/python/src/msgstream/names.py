"""What a stream may be called. A name that cannot be used is refused where it is given, and not by the broker some time later."""

from __future__ import annotations

import re
from typing import Any

#: The longest name in bytes of UTF-8, as the broker's ``limits.name``.
LONGEST = 1024

_HALF = re.compile("[\ud800-\udfff]")


def check(stream: Any, longest: int = LONGEST) -> str:
    """The name of a stream to publish. Raises ValueError if it cannot be one."""
    if isinstance(stream, str) and stream.startswith("$"):
        raise ValueError(f"the name {stream!r} begins with $, as those do that only the broker writes to")
    return check_heard(stream, longest)


def check_heard(stream: Any, longest: int = LONGEST) -> str:
    """The name of a stream to listen to, which may also be one of the broker's own."""
    if not isinstance(stream, str) or not stream:
        raise ValueError(f"the name of a stream is a string of at least one character, not {stream!r}")
    half = _HALF.search(stream)
    if half is not None:
        raise ValueError(
            f"the name {stream!r} is no text: {half.group()!r} stands for a byte that is not UTF-8; "
            "name.encode('utf-8', 'replace').decode() is one"
        )
    size = len(stream) if stream.isascii() else len(stream.encode())
    if size > longest:
        raise ValueError(f"the name of a stream has at most {longest} bytes, and {stream[:20]!r}... has {size}")
    return stream
