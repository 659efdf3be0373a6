"""From one connection to the next: what was sent and is not confirmed, and what becomes of it. Values in, values out.

A broker that knows the client's session says how many lines it has taken. To one that does not, what was not confirmed is sent again.
Then messages may come twice, which is counted. Headers and ends do not: where they may have taken effect, the broker is asked how the
stream stands (``doubtful``, ``reconcile``). That shows which of them it had taken, and nothing that is repeated touches what somebody
else has begun meanwhile. Another life of the broker may have lost the last header: then it is said again before (``header_before``).
"""

from __future__ import annotations

from typing import Callable, Dict, Iterator, List, Optional, Set, Tuple
from weakref import WeakValueDictionary

from . import wire
from .entries import CLOSE, DELETE, HEADER, PUT, WILL, Entry, Waiting
from .errors import BrokerError
from .kept import Kept
from .run import Run
from .sent import Sent
from .session import Session
from .storing import Storing
from .wire import Position

#: Why what may have taken effect is not sent again.
_WITHHELD = "somebody else has begun or ended it meanwhile"
_UNTOLD = "the broker does not say how the stream stands: the token gives no right to listen to it"
_NOT_TAKEN = "the broker has not taken its header again"

#: How the receipts of headers that are sent again begin.
_AGAIN = "again"


class Resuming(Storing):
    """What waits, and what was sent and is not confirmed."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        #: The headers that the broker has confirmed, for a broker that has lost them. The oldest are forgotten beyond the limit.
        self.headers = Kept(limit)
        #: The lines of the wills that are to stand at the broker, likewise.
        self.wills = Kept(limit)
        #: The runs of jobs, by stream.
        self.runs: "WeakValueDictionary[str, Run]" = WeakValueDictionary()
        self.session = Session()
        #: Streams that the broker had ended as if this client were lost, and that begin anew.
        self.revived: List[str] = []
        #: Messages that were sent a second time and may have taken effect twice.
        self.repeated = 0
        self._sent = Sent()
        #: Whether messages wait again of which it is not known whether they have taken effect.
        self._is_unsettled = False
        #: The streams whose standing is asked for.
        self._asked_about: Set[str] = set()
        #: Of those, whose wills the broker has forgotten, and whose wills it has carried out.
        self._wills_forgotten: Set[str] = set()
        self._wills_fired: Set[str] = set()
        #: Of those, whose headers were set again on this connection, since the broker may have lost them.
        self._set_again: Set[str] = set()
        #: What is so set again on this connection, by receipt, and where those streams stood after it.
        self._first: Dict[str, str] = {}
        self._begun_again: Dict[str, Optional[Position]] = {}
        #: Whether this is another life of the broker than that to which they were sent, so that nothing of it is there.
        self._is_anew = False
        #: How many headers were sent again.
        self._agains = 0
        #: The headers and ends that wait and may have taken effect on an earlier connection, by stream.
        self._uncertain: Dict[str, List[Entry]] = {}

    def disconnected(self) -> None:
        """What was not confirmed is kept until the next broker says what it has taken of it."""
        self.away = True
        self.session.is_open = False
        self._question = None
        self._find_uncertain([*self._sent, *self])

    def take_up(self, said: "Optional[wire.Session]") -> bool:
        """There is a connection, and what the broker has said of the session, if it has one. What was not confirmed is done, or waits
        again, in front. Whether the broker has taken anything that was not confirmed."""
        before = self.session.broker
        self._set_again, self._first = set(), {}
        may_be_another = self.session.begin(said)
        if self.session.broker != before:
            # Where streams stood in another life of the broker means nothing.
            self._begun_again = {}
        # One that has taken less than was confirmed was begun anew. Of one that has taken nothing nobody can tell.
        known = said is not None and said.known and said.taken >= self._sent.taken and not (may_be_another and said.taken == 0 and self._sent)
        done: List[Waiting] = []
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
            # What may have been lost of that was confirmed is as if it was not.
            self._take_back([*self._unstored_again(), *self._sent], True)
        self._sent.restart(said.taken if said is not None and said.known else 0)
        if not known:
            self._forgotten_by(before)
        self._asked_about.update(self._uncertain)
        return bool(done)

    def controls(self) -> Set[str]:
        """The lines for listening that wait."""
        return {entry.line for entries in self._listens.values() for entry in entries}

    def doubtful(self) -> List[str]:
        """The streams whose standing decides what is sent on a new connection: those of which a header or a will may be lost, and those
        of which a header or an end was sent and nobody knows what became of it."""
        return list(self._asked_about)

    def header_before(self, stream: str, state: str, header: Optional[str]) -> str:
        """What is said, before the broker is asked once more, where it may have lost the header: a crash leaves an older one, or the end of
        the run before. A broker that has crashed takes it then; another takes it only if the stream has neither a header nor an end. A
        stream that has ended with a header of this client's was ended by somebody else, and is left alone."""
        mine = self._header_to_set(stream)
        if mine is None or self.session.broker is None or stream in self._refused_again or stream in self._set_again:
            return ""
        if not self._may_have_lost(stream, state, header):
            return ""
        self._set_again.add(stream)
        self._begun_again.pop(stream, None)
        return self._say_first(stream, mine)

    def _may_have_lost(self, stream: str, state: str, header: Optional[str]) -> bool:
        """Whether the broker may have lost the last header of this client, since the stream stands like that."""
        confirmed = self.headers.get(stream)
        if state in ("running", "ended") and header is not None:
            if header == confirmed or any(header == entry.header for entry in self._uncertain_of(stream)):
                return False
        if state == "running":
            return True
        # Where nothing is confirmed all begins anew, as it was told; and where it was in this life of the broker, its end is somebody's doing.
        return self._is_anew and confirmed is not None and stream not in self._begun_again

    def _say_first(self, stream: str, header: str) -> str:
        again = self._header_again(stream, header)
        self._first[again.receipt or ""] = stream
        return again.line

    def answered_first(self, receipt: "Optional[wire.Receipt]", position: Optional[Position], refusal: Optional[BrokerError]) -> bool:
        """The broker has answered a header that was set again before the question how its stream stands. False if this is no such answer."""
        stream = self._first.pop(str(receipt), None)
        if stream is None:
            return False
        if refusal is None:
            self._begun_again[stream] = position
        else:
            self._refused_again[stream] = _WITHHELD if refusal.code == "stale" else f"{_NOT_TAKEN}: {refusal.reason}"
        return True

    def sets_again(self, receipt: "Optional[wire.Receipt]") -> bool:
        """Whether this is the answer to a header that was set again."""
        entry = self.conditional.get(str(receipt))
        return str(receipt) in self._first or (entry is not None and entry.sets_again)

    def reconcile(
        self, stream: str, state: str, header: Optional[str], position: Optional[Position] = None, is_denied: bool = False
    ) -> int:
        """The broker has said how a stream stands: its state and position, as the receipt of a ``listen`` has them, and its header. What was sent
        to it and had taken effect is not sent again, and no header or end is if somebody else has begun it anew or ended it. Returns
        how many of those are withheld. Without a ``state`` the broker does not tell: since this client has no right to listen, if that
        ``is_denied``, or since it could not."""
        sent = self._uncertain_of(stream)
        confirmed = self.headers.get(stream)
        if stream in self._refused_again:
            self.superseded(stream)
            return self._withhold_all(stream, sent, self._refused_again[stream])
        is_set_again = stream in self._set_again or stream in self._begun_again
        stands = self._header_to_set(stream)
        if not state and stands is not None and stream in self._begun_again:
            # It stands as it was set again.
            state, header, position = "running", stands, self._begun_again[stream]
        if state == "waiting" and not is_set_again:
            # It knows nothing of the stream: all is sent again, the confirmed header first.
            self._set_will_again(stream)
            if confirmed is not None and stream not in self._last and not any(entry.kind in (CLOSE, DELETE) for entry in sent):
                self._prepend(self._header_again(stream, self.headers[stream]))
            return 0
        if not state and (not is_denied or (confirmed is None and self._is_anew)):
            # All is sent as if for the first time.
            self._set_will_again(stream)
            return 0
        # One that somebody else has ended since is not as it was before.
        taken = _taken(sent, confirmed, (state, header)) if not is_set_again else 0 if state == "running" and stands == header else None
        if taken is None and state == "ended" and stream in self._wills_fired:
            taken = _taken(sent, confirmed, ("running", header))
            if taken is not None:
                self._begin_again(stream, header)
        if taken is not None:
            for entry in sent[:taken]:
                self._remove(entry)
                entry.position = position
                self._done(entry)
            if position is not None and state == "running" and (sent[:taken] or stands is not None):
                self._repeat_of(Run.of_repeated(stream, position[0], self.session.broker), sent[taken:])
            self._set_will_again(stream)
            return 0
        if state or self.session.broker is None or stream in self._wills_fired:
            if state == "ended" and self._is_anew and confirmed is not None:
                self._was_ended(stream, position)
            self.headers.forget(stream)
            self.wills.forget(stream)
        else:
            # The broker has begun anew. What is confirmed is set again where nobody else has begun the stream.
            self._set_will_again(stream)
            if confirmed is not None and not is_set_again and stream not in self._last:
                self._prepend(self._header_again(stream, self.headers[stream]))
        return self._withhold_all(stream, sent, _WITHHELD if state else _UNTOLD)

    def connected(self, notice: "Callable[[str, int], Optional[str]]") -> None:
        """There is a connection, and each doubtful stream is settled. Where messages of a stream have been dropped, what ``notice`` says
        of it is put before the rest."""
        self.away = False
        if self._refused_again:
            self._withhold_rest()
        if self._is_unsettled:
            self.repeated += self._texts_again
            for entry in self.waiting:
                if isinstance(entry, Entry) and entry.waits and entry.sent:
                    entry.sent = False
                    self.repeated += entry.kind == PUT
        self._is_unsettled, self._texts_again = False, 0
        self._asked_about, self._wills_forgotten, self._wills_fired, self._set_again = set(), set(), set(), set()
        self._begun_again, self._refused_again, self._is_anew = {}, {}, False
        for stream, dropped in self.newly_dropped().items():
            said = notice(stream, dropped)
            if said is not None:
                self._prepend(Entry(PUT, wire.put(stream, said), stream))

    def superseded(self, stream: str) -> None:
        """The broker has refused a header that was set again, or what was sent again for its run: the stream is somebody else's."""
        for entry in self._sent:
            if isinstance(entry, Entry) and entry.stream == stream and entry.header is not None:
                if (entry.run is not None and entry.run.is_of_repeated) or (entry.kind == HEADER and entry.header == self.headers.get(stream)):
                    entry.header = None
        self.headers.forget(stream)
        self.wills.forget(stream)

    def parted(self) -> None:
        """The client has taken its leave of the broker, where nothing is left of it. Should it come back, it is another one."""
        self.session.end()
        self.wills.clear()

    def trim(self) -> None:
        """Makes room while nothing can be sent."""
        if self.away and self.size > self.limit and self._sent.size > self.limit // 2:
            # Else there were no room for anything new. What had taken effect of it will not be known.
            self._take_back(list(self._sent), True)
        super().trim()

    def _was_ended(self, stream: str, position: Optional[Position]) -> None:
        """Somebody else has ended this client's run, as another life of the broker knows: nor is what waits of it sent, or what its job tells
        later. The epoch of a run that had ended is still what it was."""
        self._refused_again[stream] = _WITHHELD
        run = self.runs.get(stream)
        if run is not None and position is not None and position[0] == run.epoch:
            run.began(position[0], self.session.broker)

    def _forgotten_by(self, before: Optional[str]) -> None:
        """The broker does not know the session. ``before`` is the life of the one that did."""
        broker = self.session.broker
        self._wills_forgotten.update(self.wills)
        self._asked_about.update(self.wills)
        if broker is not None and broker == before:
            # It was away for too long, or another has taken its place. No header is lost.
            self._wills_fired.update(self.wills)
            return
        # Who has begun such a stream instead is likely to do so again: what was refused stays so.
        waiting = [entry for entry in self if isinstance(entry, Entry) and entry.sets]
        for entry in waiting:
            if entry.sets_again:
                # It was for the broker before.
                self._remove(entry)
                self._asked_about.add(entry.stream)
        changed = {entry.stream for entry in waiting if entry.waits}
        lost = [stream for stream in self.headers if stream not in changed and stream not in self._asked_about]
        if broker is None or before is None:
            self._asked_about.update(lost)
            return
        self._is_anew = True
        self._asked_about.update(changed.intersection(self.headers), lost)

    def _uncertain_of(self, stream: str) -> "List[Entry]":
        """Its headers and ends that may have taken effect, in the order in which they were sent."""
        return [entry for entry in self._uncertain.get(stream, ()) if entry.waits and entry.sets]

    def _header_to_set(self, stream: str) -> Optional[str]:
        """The header behind which all follows that may be sent again: the confirmed one, or the first that was sent."""
        confirmed = self.headers.get(stream)
        first = next(iter(self._uncertain_of(stream)), None)
        if confirmed is not None or first is None or first.condition or (first.run is not None and first.run.inherited):
            return confirmed
        return first.header

    def _header_again(self, stream: str, header: str) -> Entry:
        """A header for a broker that has lost it, but not if another has begun the stream anew."""
        if self.session.broker is None:
            return Entry(HEADER, wire.header(stream, header), stream, header)
        self._agains += 1
        receipt = f"{_AGAIN} {self._agains}"
        return Entry(HEADER, wire.header(stream, header, wire.condition(receipt, None, True)), stream, header, receipt=receipt)

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
            elif may_be_done and entry.sets_again:
                # So it is with this.
                self._answered_never(entry)
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

    def _repeat_of(self, run: Run, entries: "List[Entry]") -> None:
        """What is sent again is for this run alone, up to its end: another may begin before it arrives."""
        for entry in entries:
            # The run of a job may be one of another life of the broker. What sets a header asks for the new one.
            is_free = entry.run is None or (entry.header is None and not entry.run.known_to(run.broker))
            if is_free and not entry.condition:
                entry.run = run
            if entry.kind in (CLOSE, DELETE):
                return

    def _unconfirmed(self) -> "Iterator[Waiting]":
        """Without a connection, what concerns only the one before is over."""
        return (entry for entry in self._sent if not self.away or isinstance(entry, str) or entry.outlives_its_connection)

    def _may_be_known(self, stream: str) -> bool:
        return stream in self.headers or stream in self._uncertain

    def _done(self, entry: Entry) -> None:
        """It has taken effect."""
        if not ((entry.durable or self._unstored) and self._waits_for_store(entry)):
            self._finish(entry)

    def _finish(self, entry: Entry) -> None:
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
