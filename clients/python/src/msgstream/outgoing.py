"""What waits to be sent, what was sent and not yet confirmed, and what is given up when there is no room. Values in, values out:
it knows no socket, thread or lock; its owner guards it.

An entry is kept until the broker has confirmed it, and sent again on the next connection otherwise. So nothing is lost with
a connection, and messages that had taken effect just before the loss come twice. Headers and ends do not: where they may have
taken effect, the broker is asked how the stream stands (``doubtful``, ``reconcile``). That shows which of them it had taken, and
nothing that is repeated touches what somebody else has begun meanwhile.

What any of this costs does not grow with what waits.
"""

from __future__ import annotations

import json
import time
from collections import deque
from typing import Callable, Deque, Dict, Iterator, List, Optional, Set, Tuple, Union

from . import wire
from .entries import ASK, CLOSE, CONTROL, DELETE, HANGUP, HEADER, MARK, OVERHEAD, PUT, Entry, Waiting, weight
from .errors import BrokerError, Stale
from .wire import Position

#: Dead places that are left in the queue before it is made anew.
_DEAD = 64


class _Texts:
    """Consecutive plain messages, whose texts stand in one common queue."""

    __slots__ = ("place", "count")

    def __init__(self, place: int) -> None:
        self.place = place
        self.count = 0


class Outgoing:
    """The queue of one client. ``limit`` is in bytes: what waits may take that much, and the headers that were confirmed as much again."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        #: Of all entries, waiting and sent.
        self.size = 0
        #: Whether there is no connection. Then nobody can join between two headers, so that the last one is enough.
        self.away = True
        #: The headers that the broker has confirmed, for a broker that has lost them. The oldest are forgotten beyond the limit.
        self.headers: Dict[str, str] = {}
        #: How many were forgotten.
        self.forgotten = 0
        #: Messages given up, by stream, since the beginning; and headers, if there are too many of them.
        self.dropped: Dict[str, int] = {}
        self._dropped_before: Dict[str, int] = {}
        #: The sum of it.
        self.lost = 0
        #: Headers and ends that were sent and are not repeated, by stream, since somebody else has begun or ended it meanwhile.
        self.withheld: Dict[str, int] = {}
        self._headers_size = 0
        self._sent: Deque[Tuple[int, List[Waiting], int, float]] = deque()
        #: The headers and ends that wait and may have taken effect on an earlier connection, by stream.
        self._uncertain: Dict[str, List[Entry]] = {}
        self._pings = 0
        #: What depends on how its stream stands and has not been answered, by receipt.
        self.conditional: Dict[str, Entry] = {}
        self._clear()

    def _clear(self) -> None:
        """Nothing waits."""
        #: What waits, in its order: true if there is anything.
        self.waiting: Deque[Union[_Texts, Entry]] = deque()
        self._texts: Deque[str] = deque()
        #: The oldest of each kind that may go, first to last: plain messages, progress with a header, essential messages, headers.
        self._runs: Deque[_Texts] = deque()
        self._progress: Deque[Entry] = deque()
        self._essential: Deque[Entry] = deque()
        #: What waits and sets a header, the last one of each stream; those that do only that, in their order.
        self._last: Dict[str, Entry] = {}
        self._pure: Dict[str, Entry] = {}
        self._pure_size = 0
        #: The ends of streams of which the broker knows nothing yet, by their places.
        self._ends: Dict[int, Entry] = {}
        self._ends_size = 0
        #: The listens that wait, by stream.
        self._listens: Dict[str, List[Entry]] = {}
        #: Where those stand, in order.
        self._listen_places: Dict[int, None] = {}
        self._place = 0
        #: How many messages and entries wait; what remains of others is a dead place.
        self._count = 0
        self._dead = 0

    def add(self, entry: Waiting) -> None:
        """Puts an entry at the end."""
        if type(entry) is not str:
            self._append(entry)  # type: ignore[arg-type]
            return
        last = self.waiting[-1] if self.waiting else None
        if type(last) is not _Texts or not last.count:
            last = self._begin_texts()
        last.count += 1
        self._texts.append(entry)
        self._count += 1
        self.size += len(entry) + OVERHEAD

    def __iter__(self) -> Iterator[Waiting]:
        """What waits, in its order."""
        texts = iter(self._texts)
        for place in self.waiting:
            if isinstance(place, _Texts):
                for _ in range(place.count):
                    yield next(texts)
            elif place.waits:
                yield place

    @property
    def empty(self) -> bool:
        """Whether everything has taken effect."""
        return not self.waiting and not any(entries for _, entries, _, _ in self._sent)

    @property
    def unfinished(self) -> int:
        """How many lines have not taken effect, as far as is known."""
        return sum(1 for entry in [*self._unconfirmed(), *self] if isinstance(entry, str) or entry.line)

    def take(self, most: int) -> str:
        """The next lines to send, of about ``most`` bytes, and a ping that will confirm them."""
        entries: List[Waiting] = []
        lines: List[str] = []
        size = taken = 0
        while self.waiting and size < most:
            first = self.waiting[0]
            if isinstance(first, _Texts):
                before = len(lines)
                while first.count and size < most:
                    text = self._texts.popleft()
                    first.count -= 1
                    lines.append(text)
                    size += len(text)
                entries += lines[before:]
                taken += sum(map(len, lines[before:])) + OVERHEAD * (len(lines) - before)
                self._count -= len(lines) - before
                if not first.count:
                    self.waiting.popleft()
                    self._end_texts(first, len(lines) == before)
                continue
            self.waiting.popleft()
            if not first.waits:
                self._dead -= 1
                continue
            self._take_out(first)
            first.sent = True
            entries.append(first)
            lines.append(first.line)
            size += len(first.line)
            taken += weight(first)
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

    def answered(self, receipt: str, position: Optional[Position], refusal: Optional[BrokerError]) -> Entry:
        """The broker has answered what depends on how its stream stands. If it was refused, it is not repeated, and its header is nobody's."""
        entry = self.conditional.pop(receipt)
        entry.position, entry.refusal = position, refusal
        if refusal is not None:
            entry.kind, entry.line, entry.header = MARK, "", None
            if entry.when_over is not None:
                entry.when_over()
                entry.when_over = None
        return entry

    def withdraw(self, mark: Entry) -> None:
        """Nobody waits for this mark any more."""
        mark.when_over = None
        if mark.waits:
            self._remove(mark)

    def losses(self, stream: Optional[str] = None) -> int:
        """How much has not taken effect, and will not: of one stream, or of all."""
        if stream is None:
            return self.lost + self.forgotten + sum(self.withheld.values())
        return self.dropped.get(stream, 0) + self.withheld.get(stream, 0)

    def asked_since(self) -> Optional[float]:
        """When the oldest ping was sent that has not been answered."""
        return self._sent[0][3] if self._sent else None

    # From one connection to the next.

    def disconnected(self) -> None:
        """What was not confirmed waits again, in front."""
        entries = [*(entry for entry in self._unconfirmed() if isinstance(entry, str) or entry.outlives_its_connection), *self]
        self._sent.clear()
        self.away = True
        self._uncertain = {}
        for entry in entries:
            if isinstance(entry, Entry) and entry.sent and entry.sets:
                self._uncertain.setdefault(entry.stream, []).append(entry)
        self._refill(entries)

    def controls(self) -> Set[str]:
        """The lines for listening that wait."""
        return {entry.line for entries in self._listens.values() for entry in entries}

    def doubtful(self) -> List[str]:
        """The streams whose standing decides what is sent on a new connection: those of which a header may be lost, and those of
        which a header or an end was sent and not confirmed."""
        return list(dict.fromkeys([*self._uncertain, *(stream for stream in self.headers if stream not in self._last)]))

    def reconcile(self, stream: str, state: str, header: Optional[str], position: Optional[Position] = None) -> int:
        """The broker has said how a stream stands: its state and position, as the receipt of a ``listen`` has them, and its header. What was sent
        to it and had taken effect is not sent again, and no header or end is if somebody else has begun it anew or ended it. Returns
        how many of those are withheld."""
        sent = [entry for entry in self._uncertain.get(stream, ()) if entry.waits and entry.sets]
        confirmed = self.headers.get(stream)
        if state == "waiting":
            # It knows nothing of the stream: all is sent again, the confirmed header first.
            if confirmed is not None and stream not in self._last and not any(entry.kind in (CLOSE, DELETE) for entry in sent):
                self._prepend(Entry(HEADER, wire.header(stream, confirmed), stream, confirmed))
            return 0
        taken = _taken(sent, confirmed, (state, header))
        if taken is not None:
            for entry in sent[:taken]:
                self._remove(entry)
                entry.position = position
                self._done(entry)
            return 0
        self._forget_header(stream)
        for entry in sent:
            entry.refusal = Stale("stale", "somebody else has begun or ended it meanwhile, so it is not sent again", stream)
            self._withhold(entry)
        if sent:
            self.withheld[stream] = self.withheld.get(stream, 0) + len(sent)
        return len(sent)

    def connected(self, notice: "Callable[[str, int], Optional[str]]") -> None:
        """There is a connection, and each doubtful stream is settled. Where messages of a stream have been dropped, what ``notice`` says
        of it is put before the rest."""
        self.away = False
        for stream, dropped in self.newly_dropped().items():
            said = notice(stream, dropped)
            if said is not None:
                self._prepend(Entry(PUT, wire.put(stream, said), stream))

    def newly_dropped(self) -> Dict[str, int]:
        """Messages given up since this was last asked, by stream."""
        before, self._dropped_before = self._dropped_before, dict(self.dropped)
        return {stream: count - before.get(stream, 0) for stream, count in self.dropped.items() if count > before.get(stream, 0)}

    def release(self) -> None:
        """Nothing will be confirmed any more: those who wait for it are told."""
        for entry in [*self._unconfirmed(), *self]:
            if isinstance(entry, Entry) and entry.when_over is not None:
                entry.when_over()

    # Room.

    def trim(self) -> None:
        """Makes room while nothing can be sent. First the oldest progress goes, then the oldest messages of all. The last header of each
        stream stays, and so do ends and marks; but headers, and ends of streams of which the broker knows nothing, that alone take more
        than half of the room go as well, the oldest first, so that there is some for messages. A quarter of all is freed at once."""
        if self.size <= self.limit:
            return
        while self._pure_size + self._ends_size > self.limit // 2 and (self._pure or self._ends):
            oldest = (next(iter(entries.values())) for entries in (self._pure, self._ends) if entries)
            entry = min(oldest, key=lambda entry: entry.place)
            if entry.kind == HEADER or entry.stream not in self.dropped:
                self._count_dropped(entry.stream)
            self._remove(entry)
            if entry.when_over is not None:
                entry.when_over()
        goal = self.limit * 3 // 4
        while self.size > goal and self._drop_oldest():
            pass

    def _drop_oldest(self) -> bool:
        """Gives up the message that is to go first. False if there is none."""
        if self._runs and (not self._progress or self._runs[0].place < self._progress[0].place):
            run, text = self._runs[0], self._texts.popleft()
            run.count -= 1
            self.size -= len(text) + OVERHEAD
            self._count -= 1
            self._count_dropped(_stream(text))
            if not run.count:
                self._runs.popleft()
                self._dead += 1
                self._tidy()
            return True
        entries = self._progress or self._essential
        if not entries:
            return False
        entry = entries[0]
        self._count_dropped(entry.stream)
        if entry.header is not None and self._last.get(entry.stream) is entry:
            # Its header is still the stream's.
            entries.popleft()
            self.size -= weight(entry)
            entry.kind, entry.line, entry.essential = HEADER, wire.header(entry.stream, entry.header, entry.condition), True
            self.size += weight(entry)
            self._enter_pure(entry)
        else:
            self._remove(entry)
        return True

    def _count_dropped(self, stream: str) -> None:
        self.dropped[stream] = self.dropped.get(stream, 0) + 1
        self.lost += 1

    # Places.

    def _begin_texts(self) -> _Texts:
        self._place += 1
        begun = _Texts(self._place)
        self.waiting.append(begun)
        self._runs.append(begun)
        return begun

    def _end_texts(self, texts: _Texts, was_dead: bool) -> None:
        """None of these messages waits any more."""
        if was_dead:
            self._dead -= 1
        elif self._runs and self._runs[0] is texts:
            self._runs.popleft()

    def _append(self, entry: Entry) -> None:
        if entry.kind == HANGUP and self.away:
            for listen in self._listens.get(entry.stream, [])[:]:
                if listen.kind == CONTROL:
                    self._remove(listen)
            return
        before = self._last.get(entry.stream) if entry.header is not None and self.away else None
        # One that was sent stays: how the stream stands may show that it was taken.
        if before is not None and before.kind == HEADER and not (before.sent or before.receipt) and before.place > self._last_listen():
            self._remove(before)
        self._place += 1
        entry.place = self._place
        self.waiting.append(entry)
        self._enter(entry)

    def _prepend(self, entry: Entry) -> None:
        """Puts an entry before all others."""
        entry.place = (self.waiting[0].place if self.waiting else 1) - 1
        self.waiting.appendleft(entry)
        last = self._last.get(entry.stream)
        self._enter(entry, at_front=True)
        if last is not None:
            self._last[entry.stream] = last

    def _enter(self, entry: Entry, at_front: bool = False) -> None:
        entry.waits = True
        self.size += weight(entry)
        self._count += 1
        if entry.receipt is not None:
            self.conditional[entry.receipt] = entry
        if entry.header is not None:
            self._last[entry.stream] = entry
        if entry.kind == PUT:
            entries = self._essential if entry.essential else self._progress
            entries.appendleft(entry) if at_front else entries.append(entry)
        elif entry.kind == HEADER:
            self._enter_pure(entry)
        elif entry.kind == CLOSE and self.away and entry.stream not in self.headers and entry.stream not in self._uncertain:
            self._ends[entry.place] = entry
            self._ends_size += weight(entry)
        elif entry.kind in (CONTROL, ASK):
            self._listens.setdefault(entry.stream, []).append(entry)
            self._listen_places[entry.place] = None

    def _enter_pure(self, entry: Entry) -> None:
        """Beyond half of the room such headers go, if they are the last of their streams."""
        before = self._pure.pop(entry.stream, None)
        self._pure_size += weight(entry) - (0 if before is None else weight(before))
        self._pure[entry.stream] = entry

    def _take_out(self, entry: Entry) -> None:
        """It waits no more; its place has been left, or is dead from now on."""
        entry.waits = False
        self._count -= 1
        if entry.header is not None and self._last.get(entry.stream) is entry:
            del self._last[entry.stream]
        if entry.kind == PUT:
            entries = self._essential if entry.essential else self._progress
            if entries[0] is entry:
                entries.popleft()
            else:
                entries.remove(entry)
        elif entry.kind == HEADER and self._pure.get(entry.stream) is entry:
            del self._pure[entry.stream]
            self._pure_size -= weight(entry)
        elif entry.kind == CLOSE and self._ends.pop(entry.place, None) is not None:
            self._ends_size -= weight(entry)
        elif entry.kind in (CONTROL, ASK):
            listens = self._listens[entry.stream]
            listens.remove(entry)
            del self._listen_places[entry.place]
            if not listens:
                del self._listens[entry.stream]

    def _last_listen(self) -> int:
        """Behind which headers that are replaced may go: who listens on this very connection is to see what stood when it joined."""
        return next(reversed(self._listen_places), 0)

    def _remove(self, entry: Entry) -> None:
        """It is not sent."""
        self._take_out(entry)
        self._answered_never(entry)
        self.size -= weight(entry)
        self._dead += 1
        self._tidy()

    def _answered_never(self, entry: Entry) -> None:
        if entry.receipt is not None:
            self.conditional.pop(entry.receipt, None)

    def _tidy(self) -> None:
        """Dead places are never more than others."""
        if not self._count:
            self.waiting.clear()
            self._dead = 0
        elif self._dead > _DEAD and self._dead > len(self.waiting) // 2:
            live = (place for place in self.waiting if (place.count if isinstance(place, _Texts) else place.waits))
            self.waiting = deque(live)
            self._dead = 0

    def _refill(self, entries: "List[Waiting]") -> None:
        self.size = 0
        self._clear()
        for entry in entries:
            self.add(entry)

    # What has taken effect.

    def _unconfirmed(self) -> "Iterator[Waiting]":
        return (entry for _, entries, _, _ in self._sent for entry in entries)

    def _withhold(self, entry: Entry) -> None:
        """It is not repeated, but for its message."""
        if entry.kind == PUT and entry.header is not None:
            self.size -= weight(entry)
            if self._last.get(entry.stream) is entry:
                del self._last[entry.stream]
            entry.line = f'{entry.line[: -len(entry.header) - len(_WITH_HEADER) - 2]}}}\n'
            entry.header = None
            self.size += weight(entry)
            return
        self._remove(entry)
        if entry.when_over is not None:
            entry.when_over()

    def _done(self, entry: Entry) -> None:
        self._answered_never(entry)
        if entry.header is not None:
            self._forget_header(entry.stream)
            self.headers[entry.stream] = entry.header
            self._headers_size += _header_weight(entry.stream, entry.header)
            while self._headers_size > self.limit and len(self.headers) > 1:
                self._forget_header(next(iter(self.headers)))
                self.forgotten += 1
        elif entry.kind in (CLOSE, DELETE):
            # Sent again it would open the stream again.
            self._forget_header(entry.stream)
        entry.done = True
        if entry.when_over is not None:
            entry.when_over()

    def _forget_header(self, stream: str) -> None:
        header = self.headers.pop(stream, None)
        if header is not None:
            self._headers_size -= _header_weight(stream, header)


#: What stands between a message and its header.
_WITH_HEADER = ',"header":'


def _header_weight(stream: str, header: str) -> int:
    return len(stream) + len(header) + 2 * OVERHEAD


def _taken(sent: "List[Entry]", confirmed: Optional[str], found: "Tuple[str, Optional[str]]") -> Optional[int]:
    """How many of these, which were sent in this order, have taken effect at least, for the stream to stand as it was found: its state
    and header. None if it does not stand as any of them would have left it."""
    stands: Tuple[str, Optional[str]] = ("running" if confirmed is not None else "waiting", confirmed)
    for count, entry in enumerate(sent):
        if stands == found:
            return count
        if entry.header is not None:
            stands = ("running", entry.header)
        else:
            stands = ("ended", stands[1]) if entry.kind == CLOSE else ("waiting", None)
    if stands == found:
        return len(sent)
    # How it stood before is not known. One that has ended did so before, in an earlier run, and none of these was taken.
    return 0 if confirmed is None and found[0] == "ended" else None


def _stream(line: str) -> str:
    match = wire.NAME.match(line, len(wire.PUT))
    assert match is not None, "made by wire.put_head"
    return str(json.loads(match.group()))
