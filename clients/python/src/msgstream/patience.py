"""When to connect again, and for how long a broker may be silent: the same for all that keep a connection. Times are in seconds of
the monotonic clock."""

from __future__ import annotations

import time
from typing import Optional

from .incoming import CutShort
from .options import Options

#: A connection counts as one that served if it held for so many first pauses, or for longer than the pause before it: on a network that
#: breaks every second, a listener would otherwise be away for longer than it is there. One that fails sooner is tried less and less often.
_SERVED = 10


class Retry:
    """The pauses between connections."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._attempt = 0
        self._since: Optional[float] = None
        self._has_moved = False

    def answered(self) -> None:
        """The broker is there."""
        if self._since is None:
            self._since = time.monotonic()

    def moved(self) -> None:
        """It has brought a message, or the word that something was taken: another is worth it soon. On a network that carries only so much
        at a time, one that waits longer and longer would only fall behind."""
        self._has_moved = True

    def pause(self, is_told: bool = False) -> float:
        """There is no connection any more, or there was none. How long to wait before the next one is made. One that the broker has ended
        with a reason, as ``is_told``, is not to be back at once for what it has brought."""
        since, self._since = self._since, None
        has_moved, self._has_moved = self._has_moved and not is_told, False
        if has_moved:
            self._attempt = 0
        elif since is not None and time.monotonic() - since >= self._enough():
            self._attempt = 0
        self._attempt += 1
        return self._options.pause(self._attempt - 1)

    def _enough(self) -> float:
        """How long a connection must have held to have served."""
        first, longest = self._options.first_pause, self._options.longest_pause
        before: float = min(first * 2.0 ** min(max(0, self._attempt - 1), 60), longest)
        return min(first * _SERVED, before)


class Patience:
    """How long one connection may be silent: after ``idle_time`` the broker is asked for a word, which may take ``answer_time``."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._asked: Optional[float] = None
        self._allowed = 0.0
        self._heard = time.monotonic()

    def ask(self, allowed: Optional[float] = None) -> None:
        """The broker is asked for a word now. It may take so long, or else ``answer_time``."""
        self._asked = time.monotonic()
        self._allowed = self._options.answer_time if allowed is None else allowed

    def heard(self) -> None:
        """Something has come."""
        self._asked = None
        self._heard = time.monotonic()

    @property
    def left(self) -> float:
        """How long it may be silent from now on."""
        if self._asked is None:
            # From when something came last, however often somebody has waited in vain since.
            return max(0.0, self._heard + self._options.idle_time - time.monotonic())
        return max(0.0, self._asked + self._allowed - time.monotonic())

    def over(self, who: object) -> None:
        """It has been silent for that long. Raises CutShort if it was asked for a word; otherwise it is to be asked now."""
        if self._asked is not None:
            raise CutShort(f"{who} has not answered for {self._allowed:g} s")
        self.ask()


class Progress:
    """How far a peer is with what was written to it. That its system takes what is written is no word of its own, however much that is; but
    what is still on its way to it cannot have been answered. So what counts is what had been written when it fell silent, and the text that
    was being written then, to its end."""

    def __init__(self) -> None:
        #: In bytes.
        self.written = 0
        self._wrote_at = self._heard = self._moved = time.monotonic()
        self._is_writing = self._is_silent = False
        #: Up to where it counts what is taken; None until the text that is being written has come to its end.
        self._counts: Optional[int] = 0
        #: How much was taken when it was looked at last.
        self._taken = 0

    def begin(self) -> None:
        """A text is written from now on."""
        self._is_writing = True

    def wrote(self, count: int) -> None:
        """So many bytes of it were."""
        self.written += count
        self._wrote_at = time.monotonic()

    def end(self) -> None:
        """All of it."""
        self._is_writing = False
        if self._counts is None:
            self._counts = self.written

    def heard(self) -> None:
        """Something has come."""
        self._heard, self._is_silent = time.monotonic(), False

    def moved(self, taken: int) -> float:
        """When it has last taken something that counts, or was heard; its system has taken so many bytes by now."""
        if not self._is_silent:
            self._is_silent, self._moved, self._taken = True, self._heard, -1
            self._counts = None if self._is_writing else self.written
        if self._counts is None:
            self._moved = max(self._moved, self._wrote_at)
        elif self._taken < taken and (taken < self._counts or 0 <= self._taken < self._counts):
            self._moved = time.monotonic()
        self._taken = taken
        return self._moved
