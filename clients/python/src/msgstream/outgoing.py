"""What waits to be sent, what was sent and not yet confirmed, and what is given up when there is no room. Values in, values out:
it knows no socket, thread or lock; its owner guards it.

An entry is kept until the broker has confirmed it, and sent again on the next connection otherwise. So nothing is lost with
a connection, and what had taken effect just before the loss comes twice.
"""

from __future__ import annotations

import json
import time
from collections import deque
from typing import Callable, Deque, Dict, Iterable, List, Optional, Set, Tuple, Union

from . import wire

#: What an entry takes in memory beside its text; about.
OVERHEAD = 100

# What an entry is. A plain string is a message and nothing else: the most frequent, and the first that may go.
PUT = "put"
HEADER = "header"
CLOSE = "close"
DELETE = "delete"
#: Listens and hangups. Once sent they concern that connection, and are made anew for the next.
CONTROL = "control"
#: Where somebody waits for all that stands before.
MARK = "mark"


class Entry:
    """A line that is more than a droppable message."""

    __slots__ = ("kind", "line", "stream", "header", "essential", "when_over", "done")

    def __init__(
        self,
        kind: str,
        line: str,
        stream: str = "",
        header: Optional[str] = None,
        essential: bool = True,
        when_over: Optional[Callable[[], object]] = None,
    ) -> None:
        self.kind = kind
        self.line = line
        self.stream = stream
        #: The header that is the stream's once this has taken effect.
        self.header = header
        #: Whether it is among the last to go.
        self.essential = essential
        #: Called when the entry, and all before it, has taken effect; or when it is given up, and ``done`` remains False.
        self.when_over = when_over
        self.done = False


Waiting = Union[str, Entry]


class Outgoing:
    """The queue of one client. ``limit`` is in bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        #: Of all entries, waiting and sent.
        self.size = 0
        self.waiting: Deque[Waiting] = deque()
        self._sent: Deque[Tuple[int, List[Waiting], int, float]] = deque()
        self._pings = 0
        #: The headers that the broker has confirmed, for a broker that has lost them.
        self.headers: Dict[str, str] = {}
        #: Messages given up, by stream, since the beginning.
        self.dropped: Dict[str, int] = {}
        self._dropped_before: Dict[str, int] = {}

    def add(self, entry: Waiting) -> None:
        """Puts an entry at the end."""
        self.waiting.append(entry)
        self.size += weight(entry)

    @property
    def empty(self) -> bool:
        """Whether everything has taken effect."""
        return not self.waiting and not any(entries for _, entries, _, _ in self._sent)

    @property
    def unfinished(self) -> int:
        """How many entries have not taken effect, as far as is known."""
        sent = [entry for _, entries, _, _ in self._sent for entry in entries]
        return sum(1 for entry in [*sent, *self.waiting] if isinstance(entry, str) or entry.line)

    def take(self, most: int) -> str:
        """The next lines to send, of about ``most`` bytes, and a ping that will confirm them."""
        entries: List[Waiting] = []
        lines: List[str] = []
        size = taken = 0
        while self.waiting and size < most:
            entry = self.waiting.popleft()
            entries.append(entry)
            line = entry if type(entry) is str else entry.line  # type: ignore[union-attr]
            lines.append(line)
            size += len(line)
            taken += weight(entry)
        self._pings += 1
        self._sent.append((self._pings, entries, taken, time.monotonic()))
        lines.append(wire.ping(self._pings))
        return "".join(lines)

    def confirm(self, ping: int) -> None:
        """All up to this ping has taken effect."""
        while self._sent and self._sent[0][0] <= ping:
            _, entries, size, _ = self._sent.popleft()
            self.size -= size
            for entry in entries:
                if type(entry) is not str:
                    self._done(entry)  # type: ignore[arg-type]

    def asked_since(self) -> Optional[float]:
        """When the oldest ping was sent that has not been answered."""
        return self._sent[0][3] if self._sent else None

    def disconnected(self) -> None:
        """What was not confirmed waits again, in front."""
        entries = [entry for _, sent, _, _ in self._sent for entry in sent if isinstance(entry, str) or entry.kind != CONTROL]
        self._sent.clear()
        self._keep([*entries, *self.waiting])

    def controls(self) -> Set[str]:
        """The lines for listening that wait."""
        return {entry.line for entry in self.waiting if isinstance(entry, Entry) and entry.kind == CONTROL}

    def connected(self, notice: "Callable[[str, int], Optional[str]]") -> List[str]:
        """The lines that come first on a new connection: the headers as they stood. Where messages of a stream have been dropped,
        what ``notice`` says of it is put before the rest."""
        self._keep(self._without_stale(self.waiting))
        for stream, dropped in self.newly_dropped().items():
            said = notice(stream, dropped)
            if said is not None:
                entry = Entry(PUT, wire.put(stream, said), stream)
                self.waiting.appendleft(entry)
                self.size += weight(entry)
        return [wire.header(stream, header) for stream, header in self.headers.items()]

    def newly_dropped(self) -> Dict[str, int]:
        """Messages given up since this was last asked, by stream."""
        before, self._dropped_before = self._dropped_before, dict(self.dropped)
        return {stream: count - before.get(stream, 0) for stream, count in self.dropped.items() if count > before.get(stream, 0)}

    def trim(self) -> None:
        """Makes room while nothing can be sent. First the headers that others have replaced go, then the oldest progress, then
        the oldest messages of all. The last header of each stream stays, and so do ends and marks. A quarter is freed at once,
        so that this is not done for every message."""
        self._keep(self._without_stale(self.waiting))
        goal = self.limit * 3 // 4
        for droppable in (lambda entry: not isinstance(entry, Entry) or not entry.essential, lambda entry: True):
            if self.size > goal:
                self._drop(droppable, goal)

    def release(self) -> None:
        """Nothing will be confirmed any more: those who wait for it are told."""
        for entry in [*(entry for _, sent, _, _ in self._sent for entry in sent), *self.waiting]:
            if isinstance(entry, Entry) and entry.when_over is not None:
                entry.when_over()

    def _drop(self, droppable: "Callable[[Waiting], bool]", goal: int) -> None:
        excess = self.size - goal
        last = self._last_headers()
        kept: List[Waiting] = []
        for entry in self.waiting:
            is_put = not isinstance(entry, Entry) or entry.kind == PUT
            if excess <= 0 or not is_put or not droppable(entry):
                kept.append(entry)
                continue
            excess -= weight(entry)
            stream = entry.stream if isinstance(entry, Entry) else _stream(entry)
            self.dropped[stream] = self.dropped.get(stream, 0) + 1
            if isinstance(entry, Entry) and entry.header is not None and last.get(stream) is entry:
                header = Entry(HEADER, wire.header(stream, entry.header), stream, entry.header)
                kept.append(header)
                excess += weight(header)
        self._keep(kept)

    def _last_headers(self) -> Dict[str, Entry]:
        return {entry.stream: entry for entry in self.waiting if isinstance(entry, Entry) and entry.header is not None}

    def _without_stale(self, entries: Iterable[Waiting]) -> List[Waiting]:
        """Without the headers that later ones replace, unless this client itself listens between."""
        kept: List[Waiting] = []
        replaced: Set[str] = set()
        for entry in reversed(list(entries)):
            if isinstance(entry, Entry):
                if entry.kind == CONTROL:
                    replaced.clear()
                elif entry.kind == HEADER and entry.stream in replaced:
                    continue
                elif entry.header is not None:
                    replaced.add(entry.stream)
            kept.append(entry)
        kept.reverse()
        return kept

    def _keep(self, entries: Iterable[Waiting]) -> None:
        self.waiting = deque(entries)
        self.size = sum(map(weight, self.waiting)) + sum(size for _, _, size, _ in self._sent)

    def _done(self, entry: Entry) -> None:
        if entry.header is not None:
            self.headers[entry.stream] = entry.header
        elif entry.kind in (CLOSE, DELETE):
            # Sent again it would open the stream again.
            self.headers.pop(entry.stream, None)
        entry.done = True
        if entry.when_over is not None:
            entry.when_over()


def weight(entry: Waiting) -> int:
    """About what an entry takes in memory."""
    if type(entry) is str:
        return len(entry) + OVERHEAD
    return len(entry.line) + len(entry.header or "") + 2 * OVERHEAD  # type: ignore[union-attr]


def _stream(line: str) -> str:
    match = wire.NAME.match(line, len(wire.PUT))
    assert match is not None, "made by wire.put_head"
    return str(json.loads(match.group()))
