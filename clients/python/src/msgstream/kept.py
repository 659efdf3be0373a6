"""What has been confirmed of each stream, and is kept for a broker that may lose it."""

from __future__ import annotations

from typing import Dict

from .entries import OVERHEAD


class Kept(Dict[str, str]):
    """A text for each stream. Beyond ``limit`` bytes the oldest are forgotten."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        #: How many were forgotten.
        self.forgotten = 0
        self._limit = limit
        self._size = 0

    def keep(self, stream: str, text: str) -> None:
        """In place of the one before, if any."""
        self.forget(stream)
        self[stream] = text
        self._size += _weight(stream, text)
        while self._size > self._limit and len(self) > 1:
            self.forget(next(iter(self)))
            self.forgotten += 1

    def forget(self, stream: str) -> None:
        """It is not needed any more."""
        text = self.pop(stream, None)
        if text is not None:
            self._size -= _weight(stream, text)

    def clear(self) -> None:
        """None is needed any more."""
        super().clear()
        self._size = 0


def _weight(stream: str, text: str) -> int:
    return len(stream) + len(text) + 2 * OVERHEAD
