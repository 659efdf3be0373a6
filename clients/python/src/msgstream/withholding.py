"""What of a queue is not sent, or not sent again, since the stream is not this client's any more. Values in, values out."""

from __future__ import annotations

from typing import Dict, List, Tuple

from .entries import MARK, PUT, WILL, Entry
from .errors import Stale
from .places import Places


class Withholding(Places):
    """What waits, and what is withheld of it."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        #: Headers and ends that are not sent, by stream, since somebody else has begun or ended it meanwhile.
        self.withheld: Dict[str, int] = {}
        #: What was withheld since that was last told: the stream, how many headers and ends, and why.
        self.withholdings: List[Tuple[str, int, str]] = []
        #: The streams whose headers the broker, which had lost them, has not taken again, and why.
        self._refused_again: Dict[str, str] = {}

    def _withhold_rest(self) -> None:
        """Streams whose headers were not taken again are not this client's: nor is what waits of them sent, which was meant for those runs."""
        rest: Dict[str, List[Entry]] = {}
        for entry in list(self):
            if isinstance(entry, Entry) and entry.stream in self._refused_again and not entry.condition:
                if entry.kind == WILL:
                    self._remove(entry)
                elif entry.kind == MARK and entry.durable:
                    # Its header was to outlive a crash, and has not.
                    self.withheld[entry.stream] = self.withheld.get(entry.stream, 0) + 1
                    self._remove(entry)
                elif entry.sets:
                    rest.setdefault(entry.stream, []).append(entry)
        for stream, entries in rest.items():
            self._withhold_all(stream, entries, self._refused_again[stream])

    def _withhold_all(self, stream: str, entries: "List[Entry]", why: str) -> int:
        for entry in entries:
            entry.refusal = Stale("stale", f"{why}, so it is not sent again", stream)
            self._withhold(entry)
        if entries:
            self.withheld[stream] = self.withheld.get(stream, 0) + len(entries)
            self.withholdings.append((stream, len(entries), why))
        return len(entries)

    def _withhold(self, entry: Entry) -> None:
        """It is not repeated, but for its message."""
        if entry.kind == PUT and entry.header is not None:
            self._strip(entry)
            return
        self._remove(entry)
        if entry.when_over is not None:
            entry.when_over()
