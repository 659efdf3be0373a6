"""Which streams one connection listens to, for whom, and what the broker's lines mean for them. Values in, values out.

A header comes as a ``put`` like any message. What tells them apart is the receipt of the ``listen``: the header is the line right
before it. So while a receipt is awaited, a message of that stream is held back until the next line shows what it was.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Collection, Dict, Generic, List, NamedTuple, Optional, Tuple, TypeVar, Union

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

#: Who listened to what, and where they were: what is wanted, active, the positions, who will go on, who is ahead, and where others begin.
Saved = Tuple[Dict[str, List[T]], Dict[str, Tuple[T, ...]], Dict[str, Position], Dict[str, Back[T]], Ahead[T], Last[T]]


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


class _Held(NamedTuple):
    """A message that the next line explains."""

    stream: str
    message: str


class Standing(NamedTuple):
    """How a stream stands: its state, the text of the header, if there is one, and the position."""

    stream: str
    state: str
    header: Optional[str] = None
    position: Optional[Position] = None


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
        self._held: Optional[_Held] = None
        self._receipts = 0
        #: How streams stand that were asked for with ``ask``.
        self.standings: List[Standing] = []

    @property
    def unsettled(self) -> bool:
        """Whether a listen waits for its answer. If not, each ``put`` is a message for ``active``."""
        return bool(self._pending or self._ahead) or self._held is not None

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
        self._held = None
        self.standings = []
        self._pending = {receipt: pending for receipt, pending in self._pending.items() if pending.line in waiting}
        self._receipts_of = {}
        for receipt, pending in self._pending.items():
            self._receipts_of.setdefault(pending.stream, []).append(receipt)
        joining = {target for pending in self._pending.values() for target in pending.targets}
        lines = []
        for stream, targets in self._wanted.items():
            former = [target for target in targets if target not in joining]
            before = set(self._back[stream][0]) if stream in self._back else set()
            back = [target for target in former if target in before]
            if back:
                lines.append(self._listen(stream, back, back=True))
            new = [target for target in former if target not in before]
            for last in dict.fromkeys(self._last.get((stream, target)) for target in new):
                lines.append(self._listen(stream, [target for target in new if self._last.get((stream, target)) == last], last=last))
        return lines

    def awaits(self, receipt: Optional[Receipt]) -> bool:
        """Whether this is the answer to a ``listen``."""
        return receipt in self._pending

    def count(self, stream: str, messages: int = 1) -> None:
        """Those who are active have got a message of the stream, or have been told of so many."""
        position = self._positions.get(stream)
        if position is not None:
            self._positions[stream] = (position[0], position[1] + messages)

    def saved(self) -> "Saved[T]":
        """What ``restore`` goes back to."""
        return self._wanted.copy(), self.active.copy(), self._positions.copy(), self._back.copy(), self._ahead.copy(), self._last.copy()

    def restore(self, saved: "Saved[T]") -> None:
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
                self._forget_place(name)
                left_alone.append(name)
            elif stay:
                self._wanted[name] = stay
            active = tuple(target for target in self.active.get(name, ()) if target in stays)
            self._activate(name, active)
            self._ahead.keep(name, stays.__contains__)
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
        if line.action == "put" and line.stream is not None and line.message is not None:
            deliveries = self._release()
            if line.stream in self._receipts_of:
                self._held = _Held(line.stream, line.message)
                return deliveries
            return deliveries + self._message(line.stream, line.message)
        if line.action == "close" and line.stream is not None:
            return self._close(line.stream, line.message)
        if line.action == "skipped" and line.stream is not None:
            return self._release() + self._skip(line.stream, line.skipped)
        if line.action == "receipt" and line.receipt in self._pending:
            return self._answer(self._pop(str(line.receipt)), line)
        if line.action == "error" and line.receipt in self._pending:
            deliveries = self._release()
            pending = self._pop(str(line.receipt))
            if pending.asks:
                # Not to be found out. Nothing is known against it.
                self.standings.append(Standing(pending.stream, "running"))
                return deliveries
            self._forget(pending.stream, pending.targets)
            return deliveries + self._to(pending.targets, CutOff(pending.stream, line.code, line.reason))
        return self._release()

    def interrupted(self, code: Optional[str], reason: str, reconnecting: bool) -> "List[Delivery[T]]":
        """The connection has ended: what everybody is told. Without ``reconnecting`` they are no listeners any more. With it, those who
        can go on where they were are told nothing yet."""
        # The message that is held may as well be a header whose receipt was on its way. Whoever goes on gets it again if it is a message;
        # the others are told that something may be missing.
        self._held = None
        deliveries: "List[Delivery[T]]" = []
        for stream, targets in list(self._wanted.items()):
            event = Lost(stream, reason, reconnecting) if code is None else CutOff(stream, code, reason, reconnecting)
            if not reconnecting:
                deliveries += self._to(targets, event)
                self._forget(stream, targets)
                continue
            active = self._joined(stream)
            if active and stream in self._positions:
                self._back[stream] = (active, event)
            back = set(self._back[stream][0]) if stream in self._back else set()
            deliveries += self._to([target for target in targets if target not in back], event)
        self.active = {}
        if not reconnecting:
            self._pending, self._receipts_of = {}, {}
        return deliveries

    def _listen(self, stream: str, targets: "List[T]", asks: bool = False, back: bool = False, last: Optional[int] = None) -> str:
        self._receipts += 1
        receipt = f"listen {self._receipts}"
        # Where anybody wants each message, the connection gets each.
        wanted = self._wanted.get(stream, ())
        latest = bool(wanted) and all(map(self._latest, wanted))
        line = wire.listen(stream, receipt, self._positions[stream] if back else None, last, latest)
        if asks and stream not in self._wanted:
            line += wire.hangup(stream)
        self._pending[receipt] = _Pending(stream, targets, line, asks, back)
        self._receipts_of.setdefault(stream, []).append(receipt)
        return line

    def _answer(self, pending: "_Pending[T]", line: Line) -> "List[Delivery[T]]":
        stream, targets = pending.stream, pending.targets
        held, deliveries = self._held, []
        if held is None or held.stream != stream or line.state == "waiting" or line.resumed:
            deliveries += self._release()
            held = None
        self._held = None
        if pending.asks:
            self.standings.append(Standing(stream, line.state, None if held is None else held.message, line.position))
            return deliveries
        if line.state == "ended" and line.age is not None:
            self._ages[stream] = line.age
        before = self._positions.get(stream)
        had = self._ahead.had(stream)
        if line.position is None:
            self._positions.pop(stream, None)
        elif stream in self._wanted:
            self._positions[stream] = line.position
        self._look_ahead(stream, before, pending.back and not line.resumed)
        for target in targets:
            self._last.pop((stream, target), None)
        newcomers = targets
        if pending.back:
            _, gap = self._back.pop(stream, ((), None))
            if gap is not None and not line.resumed:
                # Who was ahead of the others has missed less, or nothing.
                missed = {target: _less(line.missed, before, had.get(target)) for target in targets}
                newcomers = [target for target in targets if missed[target] != 0]
                for count in dict.fromkeys(missed[target] for target in newcomers):
                    deliveries += self._to([target for target in newcomers if missed[target] == count], replace(gap, missed=count))
        if held is not None:
            deliveries += self._to(newcomers, Header(stream, self._decode(held.message)))
        # If the stream has ended, its ``close`` comes next.
        ahead = self._ahead.had(stream)
        self._activate(stream, self.active.get(stream, ()) + tuple(target for target in targets if target not in ahead))
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
        deliveries = self._release()
        # A close that finds no listener was for one that has hung up.
        active = self._joined(stream)
        self._forget(stream, list(active))
        return deliveries + self._to(active, self._ended(stream, last))

    def _release(self) -> "List[Delivery[T]]":
        """A held message was one, not a header."""
        held, self._held = self._held, None
        return self._message(held.stream, held.message) if held is not None else []

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

    def _ended(self, stream: str, last: Optional[str]) -> Ended:
        return Ended(stream, None if last is None else self._decode(last), self._ages.pop(stream, None))

    def _to(self, targets: "List[T] | Tuple[T, ...]", event: Event) -> "List[Delivery[T]]":
        return [(tuple(targets), event)] if targets else []

    def _forget(self, stream: str, targets: "List[T]") -> None:
        gone = set(targets)
        left = [target for target in self._wanted.get(stream, []) if target not in gone]
        if left:
            self._wanted[stream] = left
        else:
            self._wanted.pop(stream, None)
            self._forget_place(stream)
        self._activate(stream, tuple(target for target in self.active.get(stream, ()) if target not in gone))
        self._ahead.keep(stream, lambda target: target not in gone)

    def _forget_place(self, stream: str) -> None:
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
