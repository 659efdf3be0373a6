"""What waits to be sent, what was sent and not yet confirmed, and what is given up when there is no room. Values in, values out:
it knows no socket, thread or lock; its owner guards it.

An entry is kept until the broker has confirmed it. On the next connection a broker that knows the client's session says how many lines
it has taken, and the rest is sent: each takes effect once. From a broker that does not know it, what was not confirmed is sent again.
So nothing is lost, and messages that had taken effect just before come twice, which is counted. Headers and ends do not: where they
may have taken effect, the broker is asked how the stream stands (``doubtful``, ``reconcile``). That shows which of them it had taken,
and nothing that is repeated touches what somebody else has begun meanwhile.

What any of this costs does not grow with what waits.
"""

from __future__ import annotations

import json
import time
from collections import deque
from typing import Callable, Deque, Dict, Iterator, List, Optional, Set, Tuple, Union
from weakref import WeakValueDictionary

from . import wire
from .entries import ASK, CLOSE, CONTROL, DELETE, HANGUP, HEADER, MARK, OVERHEAD, PUT, REFUSED, WILL, Entry, Waiting, lines_of, weight
from .errors import BrokerError, Stale
from .kept import Kept
from .run import Run
from .sent import Sent
from .session import Session
from .wire import Position

#: The receipt of a header that is sent again.
AGAIN = "again"

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
        self.headers = Kept(limit)
        #: The lines of the wills that are to stand at the broker, likewise.
        self.wills = Kept(limit)
        #: The runs of jobs, by stream, and by the receipts that will tell their epochs.
        self.runs: "WeakValueDictionary[str, Run]" = WeakValueDictionary()
        self._begun: "WeakValueDictionary[str, Run]" = WeakValueDictionary()
        self.session = Session()
        #: Messages given up, by stream, since the beginning; and headers, if there are too many of them.
        self.dropped: Dict[str, int] = {}
        self._dropped_before: Dict[str, int] = {}
        #: The sum of it.
        self.lost = 0
        #: Headers and ends that were sent and are not repeated, by stream, since somebody else has begun or ended it meanwhile.
        self.withheld: Dict[str, int] = {}
        #: Streams that the broker had ended as if this client were lost, and that begin anew.
        self.revived: List[str] = []
        #: Messages that were sent a second time and may have taken effect twice.
        self.repeated = 0
        self._sent = Sent()
        #: Whether lines may have taken effect of which that is not known: they wait again, and each of these streams is asked about.
        self._is_unsettled = False
        self._asked_about: Set[str] = set()
        #: Of those, whose wills the broker has forgotten, and whose wills it has carried out.
        self._wills_forgotten: Set[str] = set()
        self._wills_fired: Set[str] = set()
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
        return not self.waiting and next(self._unconfirmed(), None) is None

    @property
    def unfinished(self) -> int:
        """How many lines have not taken effect, as far as is known. The will of one who leaves is none of them."""
        return sum(1 for entry in [*self._unconfirmed(), *self] if isinstance(entry, str) or (entry.line and entry.kind != WILL))

    def take(self, most: int) -> str:
        """The next lines to send, of about ``most`` bytes, and a ping that will confirm them."""
        entries: List[Waiting] = []
        lines: List[str] = []
        size = taken = 0
        # Marks are no lines, and some questions are two.
        more = 0
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
            if first.kind == WILL and not self.session.is_open:
                # Without a session the first outage would fulfil it.
                self.size -= weight(first)
                self._done(first)
                continue
            first.sent = True
            line = first.line if first.run is None else self._of_its_run(first, first.run)
            entries.append(first)
            lines.append(line)
            if first.kind == ASK or first.kind == MARK:
                more += lines_of(first) - 1
            size += len(line)
            taken += weight(first)
        self._pings += 1
        lines.append(wire.ping(self._pings))
        self._sent.add(self._pings, entries, taken, time.monotonic(), len(lines) + more)
        return "".join(lines)

    def wrote(self, lines: str) -> None:
        """These are sent beside what waits, and before it."""
        if lines:
            self._sent.add(self._pings + 1, [], 0, time.monotonic(), lines.count("\n"))

    def confirm(self, ping: int) -> None:
        """All up to this ping has taken effect."""
        before = self._sent.size
        for entry in self._sent.confirm(ping):
            if type(entry) is not str:
                self._done(entry)  # type: ignore[arg-type]
        self.size -= before - self._sent.size

    def answered(self, receipt: str, position: Optional[Position], refusal: Optional[BrokerError]) -> Entry:
        """The broker has answered what depends on how its stream stands. If it was refused, it is not repeated, and its header is nobody's."""
        entry = self.conditional.pop(receipt)
        entry.position, entry.refusal = position, refusal
        if refusal is not None:
            # It stays one of the lines that the broker counts.
            entry.kind, entry.header = REFUSED, None
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
            return self.lost + self.headers.forgotten + sum(self.withheld.values())
        return self.dropped.get(stream, 0) + self.withheld.get(stream, 0)

    def asked_since(self) -> Optional[float]:
        """When the oldest ping was sent that has not been answered."""
        return self._sent.since()

    # From one connection to the next.

    def disconnected(self) -> None:
        """What was not confirmed is kept until the next broker says what it has taken of it."""
        self.away = True
        self.session.is_open = False
        self._find_uncertain([*self._sent, *self])

    def take_up(self, said: "Optional[wire.Session]") -> None:
        """There is a connection, and what the broker has said of the session, if it has one. What was not confirmed is done, or waits
        again, in front."""
        before, known = self.session.broker, said is not None and said.known
        self.session.begin(said)
        if said is not None and known and self._sent.explains(said.taken):
            done, rest = self._sent.split(said.taken)
            unanswered: List[Waiting] = []
            for entry in done:
                if isinstance(entry, str):
                    continue
                if entry.awaited and entry.receipt in self.conditional:
                    # Taken or refused: its stream will show.
                    unanswered.append(entry)
                else:
                    self._done(entry)
            self._take_back(rest, False)
            self._take_back(unanswered, True)
        else:
            self._take_back(list(self._sent), True)
        self._sent.restart(said.taken if said is not None and known else 0)
        if not known:
            self._forgotten_by(before)
        self._asked_about.update(self._uncertain)

    def _forgotten_by(self, before: Optional[str]) -> None:
        """The broker does not know the session. ``before`` is the life of the one that did."""
        broker = self.session.broker
        self._wills_forgotten.update(self.wills)
        self._asked_about.update(self.wills)
        if broker is not None and broker == before:
            # It was away for too long, or another has taken its place. No header is lost.
            self._wills_fired.update(self.wills)
            return
        lost = [stream for stream in self.headers if stream not in self._last and stream not in self._uncertain and stream not in self.wills]
        if broker is None or before is None:
            self._asked_about.update(lost)
            return
        for stream in reversed(lost):
            self._prepend(self._header_again(stream))

    def _header_again(self, stream: str) -> Entry:
        """A confirmed header for a broker that has lost it, but not if another has begun the stream anew."""
        confirmed = self.headers[stream]
        line = wire.header(stream, confirmed) if self.session.broker is None else wire.header(stream, confirmed, wire.condition(AGAIN, None, True))
        return Entry(HEADER, line, stream, confirmed)

    def superseded(self, stream: str) -> None:
        """The broker has refused such a header."""
        for entry in self._sent:
            if isinstance(entry, Entry) and entry.kind == HEADER and entry.header == self.headers.get(entry.stream) and entry.stream == stream:
                entry.header = None
        self.headers.forget(stream)

    def _take_back(self, unconfirmed: "List[Waiting]", may_be_done: bool) -> None:
        """What was sent, or what is left of it, waits again before all else."""
        back: List[Waiting] = []
        for entry in unconfirmed:
            if isinstance(entry, str):
                back.append(entry)
            elif may_be_done and entry.kind == WILL and entry.line != wire.will(entry.stream):
                # Whether it is set again depends on how its stream stands.
                self._done(entry)
                self._wills_forgotten.add(entry.stream)
                self._asked_about.add(entry.stream)
            elif entry.outlives_its_connection:
                entry.sent = may_be_done
                back.append(entry)
        texts = sum(1 for entry in back if isinstance(entry, str)) if may_be_done else 0
        texts += self._texts_again
        if may_be_done and back:
            self._is_unsettled = True
        entries = [*back, *self]
        self._sent.restart(self._sent.taken)
        self._find_uncertain(entries)
        self._refill(entries)
        self._texts_again = texts

    def _find_uncertain(self, entries: "List[Waiting]") -> None:
        self._uncertain = {}
        for entry in entries:
            if isinstance(entry, Entry) and entry.sent and entry.sets:
                self._uncertain.setdefault(entry.stream, []).append(entry)

    def controls(self) -> Set[str]:
        """The lines for listening that wait."""
        return {entry.line for entries in self._listens.values() for entry in entries}

    def doubtful(self) -> List[str]:
        """The streams whose standing decides what is sent on a new connection: those of which a header or a will may be lost, and those
        of which a header or an end was sent and nobody knows what became of it."""
        return list(self._asked_about)

    def reconcile(self, stream: str, state: str, header: Optional[str], position: Optional[Position] = None) -> int:
        """The broker has said how a stream stands: its state and position, as the receipt of a ``listen`` has them, and its header. What was sent
        to it and had taken effect is not sent again, and no header or end is if somebody else has begun it anew or ended it. Returns
        how many of those are withheld."""
        sent = [entry for entry in self._uncertain.get(stream, ()) if entry.waits and entry.sets]
        confirmed = self.headers.get(stream)
        if state == "waiting":
            # It knows nothing of the stream: all is sent again, the confirmed header first.
            self._set_will_again(stream)
            if confirmed is not None and stream not in self._last and not any(entry.kind in (CLOSE, DELETE) for entry in sent):
                self._prepend(self._header_again(stream))
            return 0
        taken = _taken(sent, confirmed, (state, header))
        if taken is None and state == "ended" and stream in self._wills_fired:
            taken = _taken(sent, confirmed, ("running", header))
            if taken is not None:
                self._begin_again(stream, header)
        if taken is not None:
            for entry in sent[:taken]:
                self._remove(entry)
                entry.position = position
                self._done(entry)
            self._set_will_again(stream)
            return 0
        self.headers.forget(stream)
        self.wills.forget(stream)
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
        if self._is_unsettled:
            self.repeated += self._texts_again
            for entry in self.waiting:
                if isinstance(entry, Entry) and entry.waits and entry.sent:
                    entry.sent = False
                    self.repeated += entry.kind == PUT
        self._is_unsettled, self._texts_again = False, 0
        self._asked_about, self._wills_forgotten, self._wills_fired = set(), set(), set()
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

    def parted(self) -> None:
        """The client has taken its leave of the broker, where nothing is left of it. Should it come back, it is another one."""
        self.session.end()
        self.wills.clear()

    # Room.

    def trim(self) -> None:
        """Makes room while nothing can be sent. First the oldest progress goes, then the oldest messages of all. The last header of each
        stream stays, and so do ends and marks; but headers, and ends of streams of which the broker knows nothing, that alone take more
        than half of the room go as well, the oldest first, so that there is some for messages. A quarter of all is freed at once."""
        if self.size <= self.limit:
            return
        if self.away and self._sent.size > self.limit // 2:
            # Else there were no room for anything new. What had taken effect of it will not be known.
            self._take_back(list(self._sent), True)
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
        if entry.kind in (WILL, CLOSE, DELETE) and entry.stream in self._last_words:
            # It would never take effect.
            self._remove(self._last_words[entry.stream])
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

    def _begin_again(self, stream: str, header: Optional[str]) -> None:
        """The broker took this client for lost, and has ended the stream. As it is not, the stream begins anew, where it was."""
        run = self.runs.get(stream)
        if run is not None:
            run.is_over()
        if header is not None:
            self._prepend(Entry(HEADER, wire.header(stream, header), stream, header, run=run))
        self.revived.append(stream)

    def _set_will_again(self, stream: str) -> None:
        """The stream is still this client's, and goes on."""
        will = self.wills.get(stream) if stream in self._wills_forgotten and stream not in self._last_words else None
        if will is not None:
            self._prepend(Entry(WILL, will, stream))

    def _of_its_run(self, entry: Entry, run: Run) -> str:
        """The line of an entry that is to touch this run only; or, as long as its epoch is not known, one that asks for it."""
        if run.spoken_by is not self:
            self.runs[run.stream], run.spoken_by = run, self
        if run.known_to(self.session.broker):
            return entry.line[:-2] + run.condition
        if entry.header is None:
            return entry.line
        if run.epoch is not None and run.inherited and entry.kind == PUT:
            # That epoch was of another life of the broker. Whether the run goes on in this one is the job's to say.
            self._strip(entry)
            return entry.line
        receipt = f"run {id(run)}"
        self._begun[receipt] = run
        return wire.with_receipt(entry.line, receipt)

    def told(self, receipt: "wire.Receipt", epoch: Optional[str]) -> None:
        """A receipt that such a line has asked for."""
        run = self._begun.pop(str(receipt), None)
        if run is not None and epoch is not None:
            run.began(epoch, self.session.broker)

    def _withhold(self, entry: Entry) -> None:
        """It is not repeated, but for its message."""
        if entry.kind == PUT and entry.header is not None:
            self._strip(entry)
            return
        self._remove(entry)
        if entry.when_over is not None:
            entry.when_over()

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

    def _unconfirmed(self) -> "Iterator[Waiting]":
        """Without a connection, what concerns only the one before is over."""
        return (entry for entry in self._sent if not self.away or isinstance(entry, str) or entry.outlives_its_connection)

    def _done(self, entry: Entry) -> None:
        self._answered_never(entry)
        if entry.header is not None and (entry.run is None or not entry.run.inherited):
            self.headers.keep(entry.stream, entry.header)
        elif entry.kind in (CLOSE, DELETE):
            # Sent again it would open the stream again.
            self.headers.forget(entry.stream)
            self.wills.forget(entry.stream)
        elif entry.kind == WILL and entry.line == wire.will(entry.stream):
            self.wills.forget(entry.stream)
        elif entry.kind == WILL:
            self.wills.keep(entry.stream, entry.line)
        entry.done = True
        if entry.when_over is not None:
            entry.when_over()


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
