"""What waits to be sent, in its places, and what is given up when there is no room. Values in, values out: it knows no socket, thread
or lock.

What any of this costs does not grow with what waits.
"""

from __future__ import annotations

import json
from collections import deque
from typing import Deque, Dict, Iterator, List, Union

from . import wire
from .entries import ASK, CLOSE, CONTROL, DELETE, HANGUP, HEADER, OVERHEAD, PUT, WILL, Entry, Waiting, weight

#: Dead places that are left in the queue before it is made anew.
_DEAD = 64


class Texts:
    """Consecutive plain messages, whose texts stand in one common queue."""

    __slots__ = ("place", "count")

    def __init__(self, place: int) -> None:
        self.place = place
        self.count = 0


class Places:
    """What waits. ``limit`` is in bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        #: Of all entries, waiting and sent.
        self.size = 0
        #: Whether there is no connection. Then nobody can join between two headers, so that the last one is enough.
        self.away = True
        #: Whether the listens have been said all the same, on a connection that is asked first how streams stand.
        self.has_listened = False
        #: Messages given up, by stream, since the beginning; and headers, if there are too many of them.
        self.dropped: Dict[str, int] = {}
        self._dropped_before: Dict[str, int] = {}
        #: The sum of it.
        self.lost = 0
        #: What depends on how its stream stands and has not been answered, by receipt.
        self.conditional: Dict[str, Entry] = {}
        self._clear()

    def _clear(self) -> None:
        """Nothing waits."""
        #: What waits, in its order: true if there is anything.
        self.waiting: Deque[Union[Texts, Entry]] = deque()
        self._texts: Deque[str] = deque()
        #: The oldest of each kind that may go, first to last: plain messages, progress with a header, essential messages, headers.
        self._runs: Deque[Texts] = deque()
        self._progress: Deque[Entry] = deque()
        self._essential: Deque[Entry] = deque()
        #: What waits and sets a header, the last one of each stream; those that do only that, in their order.
        self._last: Dict[str, Entry] = {}
        self._pure: Dict[str, Entry] = {}
        self._pure_size = 0
        #: The ends of streams of which the broker knows nothing yet, by their places.
        self._ends: Dict[int, Entry] = {}
        self._ends_size = 0
        #: The wills that wait, the last one of each stream.
        self._last_words: Dict[str, Entry] = {}
        #: How many of the plain messages that wait, the first ones, may have taken effect already.
        self._texts_again = 0
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
        if type(last) is not Texts or not last.count:
            last = self._begin_texts()
        last.count += 1
        self._texts.append(entry)
        self._count += 1
        self.size += len(entry) + OVERHEAD

    def __iter__(self) -> Iterator[Waiting]:
        """What waits, in its order."""
        texts = iter(self._texts)
        for place in self.waiting:
            if isinstance(place, Texts):
                for _ in range(place.count):
                    yield next(texts)
            elif place.waits:
                yield place

    def newly_dropped(self) -> Dict[str, int]:
        """Messages given up since this was last asked, by stream."""
        before, self._dropped_before = self._dropped_before, dict(self.dropped)
        return {stream: count - before.get(stream, 0) for stream, count in self.dropped.items() if count > before.get(stream, 0)}

    def _may_be_known(self, stream: str) -> bool:
        """Whether the broker may know something of the stream, so that its end must not be forgotten."""
        raise NotImplementedError

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
            if entry.kind == HEADER or (entry.kind != WILL and entry.stream not in self.dropped):
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
            self._texts_again = max(0, self._texts_again - 1)
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

    def _begin_texts(self) -> Texts:
        self._place += 1
        begun = Texts(self._place)
        self.waiting.append(begun)
        self._runs.append(begun)
        return begun

    def _end_texts(self, texts: Texts, was_dead: bool) -> None:
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
            if not self.has_listened:
                return
        if entry.kind in (WILL, CLOSE, DELETE) and entry.stream in self._last_words:
            # It would never take effect.
            self._remove(self._last_words[entry.stream])
        before = self._last.get(entry.stream) if entry.header is not None and self.away else None
        # One that was sent stays: how the stream stands may show that it was taken.
        if before is not None and before.kind == HEADER and not (before.sent or before.condition) and before.place > self._last_listen():
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
        elif entry.kind == CLOSE and self.away and not self._may_be_known(entry.stream):
            self._ends[entry.place] = entry
            self._ends_size += weight(entry)
        elif entry.kind == WILL:
            self._last_words[entry.stream] = entry
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
        elif entry.kind in (CLOSE, WILL) and self._ends.pop(entry.place, None) is not None:
            self._ends_size -= weight(entry)
            if self._last_words.get(entry.stream) is entry:
                del self._last_words[entry.stream]
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

    def _strip(self, entry: Entry) -> None:
        """Only its message is sent."""
        if entry.header is None:
            return
        self.size -= weight(entry)
        if self._last.get(entry.stream) is entry:
            del self._last[entry.stream]
        entry.line = wire.put_without_header(entry.line, entry.header)
        entry.header = None
        self.size += weight(entry)

    def _answered_never(self, entry: Entry) -> None:
        if entry.receipt is not None:
            self.conditional.pop(entry.receipt, None)

    def _tidy(self) -> None:
        """Dead places are never more than others."""
        if not self._count:
            self.waiting.clear()
            self._dead = 0
        elif self._dead > _DEAD and self._dead > len(self.waiting) // 2:
            live = (place for place in self.waiting if (place.count if isinstance(place, Texts) else place.waits))
            self.waiting = deque(live)
            self._dead = 0

    def _refill(self, entries: "List[Waiting]") -> None:
        self.size = 0
        self._clear()
        for entry in entries:
            self.add(entry)


def _stream(line: str) -> str:
    match = wire.NAME.match(line, len(wire.PUT))
    assert match is not None, "made by wire.put_head"
    return str(json.loads(match.group()))
