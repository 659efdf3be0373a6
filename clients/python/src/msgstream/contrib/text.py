"""Received text as views show it: it must not control the terminal."""

from __future__ import annotations

import re
from typing import List

_COLOURS = re.compile("\x1b\\[[0-9;:]*m")

# Control characters, which a terminal would obey, halves of surrogate pairs, which cannot be encoded, and what turns the
# direction of writing, which could make a text look like another.
_HARMFUL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def lines(text: str) -> List[str]:
    """The lines of a text, without its colours. Other control characters are shown, not obeyed."""
    whole = _COLOURS.sub("", text[:-1] if text.endswith("\n") else text)
    return [_HARMFUL.sub(_shown, line) for line in re.split("\r*\n|\r", whole.rstrip("\r"))]


def inline(text: str) -> str:
    """A text that is part of a row: in one line."""
    return " ".join(lines(text)).replace("\t", " ")


def _shown(character: "re.Match[str]") -> str:
    code = ord(character.group())
    # Unicode has pictures of the control characters of ASCII, in their order.
    return chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd"
