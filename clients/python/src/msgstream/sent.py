"""What was sent and is not confirmed, with the number of its lines, which is what a broker counts. Values in, values out."""

from __future__ import annotations

from collections import deque
from typing import Deque, Iterator, List, NamedTuple, Optional, Tuple

from .entries import Waiting, lines_of


class _Batch(NamedTuple):
    """What was sent in one go, and then the ping that confirms it."""

    ping: int
    entries: List[Waiting]
    #: In memory.
    size: int
    #: When.
    since: float
    #: Of all lines of it: also those that no entry stands for, such as the ping itself.
    lines: int


class Sent:
    """Behind the first ``taken`` lines of a session, which are confirmed, the lines that are not, in their order."""

    def __init__(self) -> None:
        self.taken = 0
        #: Of what is kept here, in memory.
        self.size = 0
        self._batches: Deque[_Batch] = deque()

    def add(self, ping: int, entries: List[Waiting], size: int, since: float, lines: int) -> None:
        """This was sent, and is confirmed by that ping."""
        self._batches.append(_Batch(ping, entries, size, since, lines))
        self.size += size

    def confirm(self, ping: int) -> List[Waiting]:
        """All up to this ping has taken effect."""
        done: List[Waiting] = []
        while self._batches and self._batches[0].ping <= ping:
            batch = self._batches.popleft()
            self.size -= batch.size
            self.taken += batch.lines
            done += batch.entries
        return done

    def explains(self, taken: int) -> bool:
        """Whether a broker that has taken so many lines of the session can have taken them from these."""
        return 0 <= taken - self.taken <= sum(batch.lines for batch in self._batches)

    def split(self, taken: int) -> Tuple[List[Waiting], List[Waiting]]:
        """What has taken effect, of so many lines that were taken, and the rest, which has not."""
        done: List[Waiting] = []
        rest: List[Waiting] = []
        left = taken - self.taken
        for batch in self._batches:
            others = batch.lines
            for entry in batch.entries:
                lines = lines_of(entry)
                others -= lines
                # Whoever waits in a place where there is no line waits for all lines before it.
                if lines <= left:
                    done.append(entry)
                    left -= lines
                else:
                    rest.append(entry)
                    left = -1
            left = left - others if left >= others else -1
        return done, rest

    def restart(self, taken: int) -> None:
        """A new connection, whose lines are counted from there on."""
        self._batches.clear()
        self.size, self.taken = 0, taken

    def since(self) -> Optional[float]:
        """When the oldest of it was sent."""
        return self._batches[0].since if self._batches else None

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._batches)

    def __iter__(self) -> Iterator[Waiting]:
        return (entry for batch in self._batches for entry in batch.entries)
