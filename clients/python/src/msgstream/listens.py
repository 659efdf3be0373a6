"""Which streams one connection listens to, for whom, and what the broker's lines mean for them. Values in, values out.

A header comes as a ``put`` like any message. What tells them apart is the receipt of the ``listen``: the header is the line of that
stream right before it. So while a receipt is awaited, a message of that stream is held back until the next line of it shows what it was.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Collection, Dict, Generic, List, NamedTuple, Optional, Tuple, TypeVar, Union

from . import wire
from .ahead import Ahead
from .events import CutOff, Ended, Event, Header, Lost, Message, Skipped
from .wire import Line, Position, Receipt

T = TypeVar("T")

#: An event, and whom it is for.
Delivery = Tuple[Tuple[T, ...], Event]

#: Those who will go on where they were, and what they are told if they have missed something.
Back = Tuple[Tuple[T, ...], Union[CutOff, Lost]]

#: With how many of the last messages of a stream somebody begins.
Last = Dict[Tuple[str, T], int]

class _Pending(Generic[T]):
    """A ``listen`` that has not been answered."""

    def __init__(self, stream: str, targets: "List[T]", line: str, asks: bool, back: bool) -> None:
        self.stream = stream
        self.targets = targets
        self.line = line
        #: They go on where they were.
        self.back = back
        #: Nobody joins by it: it asks how the stream stands.
        self.asks = asks


class Standing(NamedTuple):
    """How a stream stands: its state, the text of the header, if there is one, and the position. Without a state the broker does not tell."""

    stream: str
    state: str
    header: Optional[str] = None
    position: Optional[Position] = None
    #: It does not since the client has no right to listen.
    is_denied: bool = False


class Listens(Generic[T]):
    """The listens of one connection. ``decode`` turns the text of a message into the message; ``latest`` tells of a target whether it wants
    only the newest message."""

    def __init__(self, decode: "Callable[[str], object]", latest: "Callable[[T], bool]" = lambda target: False) -> None:
        self._decode = decode
        self._latest = latest
        #: Everybody who wants a stream, whether the broker knows it yet or not; in the order of joining.
        self._wanted: Dict[str, List[T]] = {}
        #: Who gets the messages of a stream. The tuples are replaced, never changed, so another thread may read them.
        self.active: Dict[str, Tuple[T, ...]] = {}
        #: Where those are: which run of the stream, and behind how many of its messages. Nothing if the broker does not count.
        self._positions: Dict[str, Position] = {}
        #: Who was active when the connection was lost.
        self._back: Dict[str, Back[T]] = {}
        #: Who waits while others get earlier messages of the stream, which they asked for.
        self._ahead: Ahead[T] = Ahead()
        #: With how many of the last messages somebody begins who has not joined yet.
        self._last: Last[T] = {}
        #: How long ago the streams had ended that were found ended; until their ends come.
        self._ages: Dict[str, float] = {}
        self._pending: Dict[str, _Pending[T]] = {}
        #: The receipts of those, by stream.
        self._receipts_of: Dict[str, List[str]] = {}
        #: Messages that may be headers, by stream.
        self._held: Dict[str, str] = {}
        self._receipts = 0
        #: How streams stand that were asked for with ``ask``.
        self.standings: List[Standing] = []

    @property
    def unsettled(self) -> bool:
        """Whether a listen waits for its answer. If not, each ``put`` is a message for ``active``."""
        return bool(self._pending or self._ahead)

    @property
    def wanted(self) -> bool:
        """Whether somebody wants anything."""
        return bool(self._wanted)

    @property
    def streams(self) -> List[str]:
        """All streams that somebody wants."""
        return list(self._wanted)

    def targets(self, stream: Optional[str] = None) -> List[T]:
        """Who wants a stream, or anything."""
        if stream is not None:
            return list(self._wanted.get(stream, ()))
        return [target for targets in self._wanted.values() for target in targets]

    def want(self, stream: str, target: T, last: Optional[int] = None) -> None:
        """From the next connection on, the target listens to the stream, beginning with so many of the last messages."""
        self._wanted.setdefault(stream, []).append(target)
        if last is not None:
            self._last[stream, target] = last

    def join(self, stream: str, target: T, last: Optional[int] = None) -> str:
        """The line that makes the target a listener now."""
        self.want(stream, target, last)
        return self._listen(stream, [target], last=last)

    def again(self, waiting: "Collection[str]" = ()) -> List[str]:
        """The lines that make everybody a listener on a new connection, but for those whose line is ``waiting`` to be sent, in
        its place among what was put."""
        self.active = {}
        self._held = {}
        self.standings = []
        self._pending = {receipt: pending for receipt, pending in self._pending.items() if pending.line in waiting}
        self._receipts_of = {}
        for receipt, pending in self._pending.items():
            self._receipts_of.setdefault(pending.stream, []).append(receipt)
        joining = {(pending.stream, target) for pending in self._pending.values() for target in pending.targets}
        lines = []
        for stream, targets in self._wanted.items():
            former = [target for target in targets if (stream, target) not in joining]
            before = set(self._back[stream][0]).intersection(self._listeners(stream)) if stream in self._back else set()
            if before:
                lines.append(self._listen(stream, [target for target in former if target in before], back=True))
            new = [target for target in former if target not in before]
            for last in dict.fromkeys(self._last.get((stream, target)) for target in new):
                lines.append(self._listen(stream, [target for target in new if self._last.get((stream, target)) == last], last=last))
        return lines

    def awaits(self, receipt: Optional[Receipt]) -> bool:
        """Whether this is the answer to a ``listen``."""
        return receipt in self._pending

    def overdue(self, others: "Collection[str]" = ()) -> bool:
        """Whether a ``listen`` was not answered, though what was asked behind it was; those of the ``others`` are not behind it."""
        return any(pending.line not in others for pending in self._pending.values())

    def count(self, stream: str, messages: int = 1) -> None:
        """Those who are active have got a message of the stream, or have been told of so many."""
        position = self._positions.get(stream)
        if position is not None:
            self._positions[stream] = (position[0], position[1] + messages)

    def saved(self) -> Tuple[Any, ...]:
        """What ``restore`` goes back to."""
        return self._wanted.copy(), self.active.copy(), self._positions.copy(), self._back.copy(), self._ahead.copy(), self._last.copy()

    def restore(self, saved: Tuple[Any, ...]) -> None:
        """As if nothing had come since. It may have, so the connection is of no use any more."""
        self._wanted, self.active, self._positions, self._back, self._ahead, self._last = saved

    def ask(self, stream: str) -> str:
        """The lines that ask how a stream stands; the answer comes into ``standings``."""
        return self._listen(stream, [], asks=True)

    def leave(self, stream: Optional[str], which: "Optional[Callable[[T], bool]]") -> List[str]:
        """Who leaves gets nothing more. Returns the streams that nobody wants any more, which the broker is to be told."""
        left_alone = []
        for name in [stream] if stream is not None else list(self._wanted):
            stay = [target for target in self._wanted.get(name, []) if which is not None and not which(target)]
            stays = set(stay)
            if name in self._wanted and not stay:
                del self._wanted[name]
                left_alone.append(name)
            elif stay:
                self._wanted[name] = stay
            self._keep(name)
            for key in [key for key in self._last if key[0] == name and key[1] not in stays]:
                del self._last[key]
            for receipt in self._receipts_of.get(name, ()):
                pending = self._pending[receipt]
                pending.targets[:] = [target for target in pending.targets if target in stays]
        return left_alone

    def take_back(self, stream: str) -> None:
        """Without a connection, a ``listen`` that nobody waits for any more will never be sent."""
        for receipt in self._receipts_of.get(stream, [])[:]:
            if not (self._pending[receipt].targets or self._pending[receipt].asks):
                self._pop(receipt)

    def _pop(self, receipt: str) -> "_Pending[T]":
        pending = self._pending.pop(receipt)
        receipts = self._receipts_of[pending.stream]
        receipts.remove(receipt)
        if not receipts:
            del self._receipts_of[pending.stream]
        return pending

    def settle(self, line: Line) -> "List[Delivery[T]]":
        """What a line means, in order."""
        if line.action == "receipt" and line.receipt in self._pending:
            return self._answer(self._pop(str(line.receipt)), line)
        if line.action == "error" and line.receipt in self._pending:
            return self._refused(self._pop(str(line.receipt)), line)
        if line.stream is None:
            return []
        if line.action == "put" and line.message is not None:
            deliveries = self._release(line.stream)
            if line.stream in self._receipts_of:
                self._held[line.stream] = line.message
                return deliveries
            return deliveries + self._message(line.stream, line.message)
        if line.action == "close":
            return self._close(line.stream, line.message)
        if line.action == "skipped":
            return self._release(line.stream) + self._skip(line.stream, line.skipped)
        return []

    def interrupted(self, code: Optional[str], reason: str, reconnecting: bool) -> "List[Delivery[T]]":
        """The connection has ended: what everybody is told. Without ``reconnecting`` they are no listeners any more. With it, those who
        can go on where they were are told nothing yet."""
        # The message that is held may as well be a header whose receipt was on its way. Whoever goes on gets it again if it is a message;
        # the others are told that something may be missing.
        self._held = {}
        deliveries: "List[Delivery[T]]" = []
        for stream in list(dict.fromkeys([*self._wanted, *self.active, *self._ahead])):
            joined = self._joined(stream)
            event = loss(stream, code, reason, reconnecting)
            if reconnecting and joined and stream in self._positions and stream not in self._back:
                self._back[stream] = (joined, event)
            back = set(self._back[stream][0]) if reconnecting and stream in self._back else ()
            everybody = dict.fromkeys([*self._wanted.get(stream, ()), *joined])
            deliveries += self._to([target for target in everybody if target not in back], event)
            if not reconnecting:
                self._wanted.pop(stream, None)
                self._forget_stream(stream)
        self.active = {}
        if not reconnecting:
            self._pending, self._receipts_of = {}, {}
        return deliveries

    def _listen(self, stream: str, targets: "List[T]", asks: bool = False, back: bool = False, last: Optional[int] = None) -> str:
        self._receipts += 1
        receipt = f"listen {self._receipts}"
        # Where anybody wants each message, the connection gets each.
        wanted = self._listeners(stream)
        latest = bool(wanted) and all(map(self._latest, wanted))
        line = wire.listen(stream, receipt, self._positions[stream] if back else None, last, latest)
        if asks and stream not in self._wanted:
            line += wire.hangup(stream)
        self._pending[receipt] = _Pending(stream, targets, line, asks, back)
        self._receipts_of.setdefault(stream, []).append(receipt)
        return line

    def _answer(self, pending: "_Pending[T]", line: Line) -> "List[Delivery[T]]":
        stream = pending.stream
        held, deliveries = self._header(stream, line)
        if pending.asks:
            self.standings.append(Standing(stream, line.state, held, line.position))
            return deliveries
        for target in pending.targets:
            self._last.pop((stream, target), None)
        back, gap = self._back.pop(stream, ((), None)) if pending.back else ((), None)
        new = [target for target in pending.targets if target not in set(back)]
        return deliveries + self._begin(stream, line, held, new, back, gap)

    def _refused(self, pending: "_Pending[T]", line: Line) -> "List[Delivery[T]]":
        deliveries = self._release(pending.stream)
        if pending.asks:
            # Not to be found out.
            self.standings.append(Standing(pending.stream, "", is_denied=line.code == "denied"))
            return deliveries
        self._forget(pending.stream, pending.targets)
        return deliveries + self._to(pending.targets, CutOff(pending.stream, line.code, line.reason))

    def _header(self, stream: str, line: Line) -> "Tuple[Optional[str], List[Delivery[T]]]":
        """The message that was held, if the line shows that it is the header; else it is one."""
        held = self._held.pop(stream, None)
        if held is not None and not line.has_header:
            return None, self._message(stream, held)
        return held, []

    def _begin(
        self,
        stream: str,
        line: Line,
        header: Optional[str],
        new: "Collection[T]",
        back: "Collection[T]",
        gap: "Optional[Union[CutOff, Lost]]",
    ) -> "List[Delivery[T]]":
        """The ``new`` ones listen from now on, and those who are ``back`` go on where they were, or are told of the gap."""
        wanted = set(self._listeners(stream))
        back = [target for target in back if target in wanted]
        if line.state == "ended" and line.age is not None:
            self._ages[stream] = line.age
        before, had = self._positions.get(stream), self._ahead.had(stream)
        if line.position is None:
            self._positions.pop(stream, None)
        elif wanted:
            self._positions[stream] = line.position
        self._look_ahead(stream, before, gap is not None and not line.resumed)
        newcomers, deliveries = list(new), []
        if gap is not None and not line.resumed:
            # Who was ahead of the others has missed less, or nothing.
            missed = {target: _less(line.missed, before, had.get(target)) for target in back}
            newcomers += [target for target in back if missed[target] != 0]
            for count in dict.fromkeys(missed[target] for target in back):
                if count != 0:
                    deliveries += self._to([target for target in back if missed[target] == count], replace(gap, missed=count))
        if header is not None:
            deliveries += self._to(newcomers, Header(stream, self._decode(header)))
        # If the stream has ended, its ``close`` comes next.
        active = self.active.get(stream, ())
        there = {*active, *self._ahead.had(stream)}
        self._activate(stream, active + tuple(target for target in dict.fromkeys([*back, *new]) if target not in there))
        return deliveries

    def _look_ahead(self, stream: str, before: Optional[Position], has_gap: bool) -> None:
        """Whoever has joined now may get messages that the others have had already."""
        now = self._positions.get(stream)
        if has_gap:
            # All begin anew.
            self._ahead.forget(stream)
        elif now is None or before is None or now[0] != before[0]:
            self._activate(stream, self._joined(stream))
            self._ahead.forget(stream)
        elif now[1] < before[1] and stream in self.active:
            self._ahead.add(stream, self.active.pop(stream), before[1])

    def _catch_up(self, stream: str) -> None:
        """The others may be as far as those who are ahead."""
        if stream in self._ahead:
            self._activate(stream, self._ahead.caught_up(stream, self._positions[stream][1]) + self.active.get(stream, ()))

    def _joined(self, stream: str) -> "Tuple[T, ...]":
        """Who is active, or ahead of those."""
        return self._ahead.targets(stream) + self.active.get(stream, ())

    def _close(self, stream: str, last: Optional[str]) -> "List[Delivery[T]]":
        deliveries = self._release(stream)
        # A close that finds no listener was for one that has hung up.
        joined = self._joined(stream)
        self.active.pop(stream, None)
        self._ahead.forget(stream)
        self._positions.pop(stream, None)
        self._forget(stream, joined)
        return deliveries + self._to(joined, Ended(stream, None if last is None else self._decode(last), self._ages.pop(stream, None)))

    def _release(self, stream: str) -> "List[Delivery[T]]":
        """A message of the stream that was held was one, not a header."""
        held = self._held.pop(stream, None)
        return [] if held is None else self._message(stream, held)

    def _message(self, stream: str, text: str) -> "List[Delivery[T]]":
        targets = self.active.get(stream, ())
        if not targets and stream not in self._ahead:
            # Somebody may have left, or not come back yet, and it is not for them.
            return []
        self.count(stream)
        self._catch_up(stream)
        return self._to(targets, Message(stream, self._decode(text)))

    def _skip(self, stream: str, messages: int) -> "List[Delivery[T]]":
        """So many messages were replaced by the next one."""
        targets = self.active.get(stream, ())
        if not messages or not self._joined(stream):
            return []
        self.count(stream, messages)
        deliveries = self._to(targets, Skipped(stream, messages))
        if stream in self._ahead:
            for others, passed in self._ahead.overtaken(stream, self._positions[stream][1]):
                deliveries += self._to(others, Skipped(stream, passed))
            self._catch_up(stream)
        return deliveries

    def _to(self, targets: "Collection[T]", event: Event) -> "List[Delivery[T]]":
        return [(tuple(targets), event)] if targets else []

    def _listeners(self, stream: str) -> "List[T]":
        """Who wants a stream."""
        return self._wanted.get(stream, [])

    def _forget(self, stream: str, targets: "Collection[T]") -> None:
        """These want the stream no longer."""
        gone = set(targets)
        left = [target for target in self._wanted.get(stream, []) if target not in gone]
        if left:
            self._wanted[stream] = left
        else:
            self._wanted.pop(stream, None)
        self._keep(stream)

    def _keep(self, stream: str) -> None:
        """Only who wants the stream still listens."""
        wanted = set(self._listeners(stream))
        if not wanted:
            self._forget_stream(stream)
            return
        self._activate(stream, tuple(target for target in self.active.get(stream, ()) if target in wanted))
        self._ahead.keep(stream, wanted.__contains__)

    def _forget_stream(self, stream: str) -> None:
        self.active.pop(stream, None)
        self._ahead.forget(stream)
        self._positions.pop(stream, None)
        self._back.pop(stream, None)

    def _activate(self, stream: str, targets: "Tuple[T, ...]") -> None:
        if targets:
            self.active[stream] = targets
        else:
            self.active.pop(stream, None)


def _less(missed: Optional[int], before: Optional[Position], had: Optional[int]) -> Optional[int]:
    """How many messages somebody has missed who ``had`` more of them than the connection, which was at ``before``."""
    if missed is None or had is None or before is None:
        return missed
    return max(0, missed - (had - before[1]))


def loss(stream: str, code: Optional[str], reason: str, reconnecting: bool) -> "Union[CutOff, Lost]":
    """What somebody is told whose connection has ended."""
    return Lost(stream, reason, reconnecting) if code is None else CutOff(stream, code, reason, reconnecting)
