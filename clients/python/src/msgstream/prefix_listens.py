"""Listening to all streams whose names begin so. Values in, values out.

Each stream of a prefix is joined when the broker says ``joined``; the header is the line right before that. This comes unasked, and not only
for streams that are new here: one that has no header may be forgotten by the broker without a word, and come again. So a message that may be
such a header is held back until the next line shows what it was.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Collection, Dict, List, NamedTuple, Optional, Set, Tuple, TypeVar, Union

from . import wire
from .events import CutOff, Ended, Lost
from .listens import Delivery, Listens, loss
from .options import Options
from .prefixes import Prefixes, matches
from .wire import Line, Position, Receipt

T = TypeVar("T")


#: What such a line takes without any place.
_NOTHING = wire.size(wire.listen_prefix("", "", {}))


class _Walk(NamedTuple):
    """A ``listen`` with a prefix that has not been answered."""

    prefix: str
    #: Who is told of all streams by it.
    targets: List[Any]
    line: str
    #: The streams of which somebody goes on by it, if they are still there.
    back: Set[str]


class PrefixListens(Listens[T]):
    """The listens of one connection, by names and by prefixes."""

    def __init__(
        self, decode: "Callable[[str], object]", latest: "Callable[[T], bool]" = lambda target: False, options: Options = Options()
    ) -> None:
        super().__init__(decode, latest)
        self._prefixes: Prefixes[T] = Prefixes()
        self._walks: Dict[str, _Walk] = {}
        #: A message that may be a header, with its stream.
        self._unasked: Optional[Tuple[str, str]] = None
        #: Streams of prefixes that had no header when they were joined; the one that was silent for longest is the first. The broker may have
        #: forgotten them.
        self.silent: Dict[str, None] = {}
        #: The runs whose ends were told, and where they ended. As long as the broker remembers them they are joined again after each outage.
        self._ended: Dict[str, Position] = {}
        self._most = options.remembered_streams
        self._longest = options.line
        #: Some of those or these were forgotten here, so that nobody knows where they were.
        self._has_forgotten = False
        #: What is told after an outage of those, and of streams that began meanwhile and have said something.
        self._gap: "Optional[Union[CutOff, Lost]]" = None

    @property
    def unsettled(self) -> bool:
        return bool(self._pending or self._ahead or self._walks) or self._unasked is not None

    @property
    def wanted(self) -> bool:
        return bool(self._wanted or self._prefixes)

    @property
    def wonders(self) -> bool:
        """Whether a message is held that the next line explains, and nothing was asked that is about to be answered."""
        return self._unasked is not None and not (self._pending or self._walks)

    def want_prefix(self, prefix: str, target: T) -> None:
        """From the next connection on, the target listens to the streams of the prefix."""
        self._prefixes.add(prefix, target)

    def join_prefix(self, prefix: str, target: T) -> "List[Tuple[str, Optional[str]]]":
        """The lines that make the target a listener of all streams of the prefix now; each with the stream that it names, if it names one."""
        each = [stream for stream in self._wanted if matches(prefix, stream) and self._wants_latest(stream)] if not self._latest(target) else []
        self.want_prefix(prefix, target)
        # A listen by name has its own mode.
        again = [(self._listen(stream, []), stream) for stream in each]
        return [*again, (self._walk(prefix, [target]), None)]

    def leave_prefix(self, prefix: Optional[str], which: "Optional[Callable[[T], bool]]") -> List[str]:
        """Who leaves one prefix, or all, gets nothing more of their streams. Returns those that the broker is to be told."""
        left_alone = self._prefixes.leave(prefix, which)
        for walk in self._walks.values():
            if prefix is None or walk.prefix == prefix:
                walk.targets[:] = [target for target in walk.targets if which is not None and not which(target)]
        for stream in {*self.active, *self._ahead, *self._back, *self.silent}:
            if prefix is None or matches(prefix, stream):
                self._keep(stream)
        return left_alone

    def take_back_prefix(self, prefix: str) -> None:
        """Without a connection, a ``listen`` that nobody waits for any more will never be sent."""
        self._walks = {receipt: walk for receipt, walk in self._walks.items() if walk.prefix != prefix or walk.targets}

    def give_up(self, stream: str, target: T) -> List[str]:
        """The target gets nothing more of one stream. Returns it if the broker is to be told."""
        if target in self._prefixes.matching(stream):
            self._prefixes.leave_stream(stream, target, self._most)
        left_alone = self.leave(stream, lambda other: other == target)
        self._keep(stream)
        return left_alone

    def give_up_prefixes(self, stream: str, target: T) -> "Tuple[List[str], List[str]]":
        """The target gets nothing more of the prefixes of one stream. Returns them, and those that the broker is to be told."""
        given_up = [prefix for prefix, targets in self._prefixes if target in targets and matches(prefix, stream)]
        return given_up, [name for prefix in given_up for name in self.leave_prefix(prefix, lambda other: other == target)]

    def again(self, waiting: "Collection[str]" = ()) -> List[str]:
        self._unasked = None
        lines = super().again(waiting)
        self._walks = {receipt: walk for receipt, walk in self._walks.items() if walk.line in waiting}
        joining = {(walk.prefix, target) for walk in self._walks.values() for target in walk.targets}
        # Those are resumed by name.
        resumed = set(self._wanted)
        for prefix, targets in self._prefixes:
            former = [target for target in targets if (prefix, target) not in joining]
            if not former:
                continue
            back = {stream for stream in self._back if stream not in resumed and matches(prefix, stream)}
            resumed |= back
            new = [target for target in former if self._prefixes.is_joining(prefix, target)]
            # What began meanwhile is to be told whole, but nothing twice: not what somebody else is told too, or may have been told before.
            others = len(self._prefixes.beside(prefix)) > len(targets) or any(matches(prefix, stream) for stream in self._wanted)
            lines.append(self._walk(prefix, former, back, whole=not (new or others or self._has_forgotten)))
            if back and new:
                # They need the headers of the streams that are resumed.
                lines.append(self._walk(prefix, new))
        return lines

    def awaits(self, receipt: Optional[Receipt]) -> bool:
        return receipt in self._walks or super().awaits(receipt)

    def overdue(self, others: "Collection[str]" = ()) -> bool:
        return any(walk.line not in others for walk in self._walks.values()) or super().overdue(others)

    def saved(self) -> Tuple[Any, ...]:
        if not self._prefixes:
            # Then nothing of them changes.
            return super().saved(), None
        return super().saved(), (self._prefixes.copy(), self.silent.copy(), self._ended.copy(), self._has_forgotten, self._gap)

    def restore(self, saved: Tuple[Any, ...]) -> None:
        named, prefixed = saved
        super().restore(named)
        if prefixed is not None:
            self._prefixes, self.silent, self._ended, self._has_forgotten, self._gap = prefixed

    def longest(self, stream: Optional[str]) -> int:
        """How long what is held may be that the next line, of this stream, releases."""
        return max(len(self._held.get(stream or "", "")), 0 if self._unasked is None else len(self._unasked[1]))

    def settle(self, line: Line) -> "List[Delivery[T]]":
        if line.action == "joined" and line.stream is not None:
            return self._joins(line, line.stream)
        unasked, self._unasked = self._unasked, None
        before = [] if unasked is None else self._message(*unasked)
        if line.action == "put" and line.stream is not None and line.message is not None and self._may_be_header(line.stream):
            self._unasked = line.stream, line.message
            return before
        if line.receipt in self._walks and line.action in ("receipt", "error"):
            walk = self._walks.pop(str(line.receipt))
            return before + (self._told_all(walk) if line.action == "receipt" else self._refused_prefix(walk, line))
        if line.action == "error" and line.code == "limit" and line.receipt is None and line.stream is not None and not self._joined(line.stream):
            # In place of "joined".
            return before + self._to(self._prefixes.matching(line.stream), CutOff(line.stream, line.code, line.reason))
        return before + super().settle(line)

    def interrupted(self, code: Optional[str], reason: str, reconnecting: bool) -> "List[Delivery[T]]":
        self._unasked = None
        deliveries = super().interrupted(code, reason, reconnecting)
        for prefix, targets in self._prefixes:
            told = [target for target in targets if not reconnecting or self._prefixes.is_joining(prefix, target)]
            deliveries += self._to(told, loss(prefix, code, reason, reconnecting))
        if not reconnecting:
            self._prefixes, self._walks = Prefixes(), {}
        elif self._gap is None and self._prefixes:
            self._gap = loss("", code, reason, reconnecting)
        return deliveries

    def _walk(self, prefix: str, targets: "List[T]", back: "Collection[str]" = (), whole: bool = False) -> str:
        self._receipts += 1
        receipt = f"listen {self._receipts}"
        wanted = {*self._prefixes.beside(prefix), *(target for stream in self._wanted if matches(prefix, stream) for target in self._wanted[stream])}
        over = [stream for stream in self._ended if whole and stream not in back and matches(prefix, stream)]
        latest = bool(wanted) and all(map(self._latest, wanted))
        line = wire.listen_prefix(prefix, receipt, self._after([*sorted(back), *sorted(over)]), latest, whole)
        self._walks[receipt] = _Walk(prefix, targets, line, set(back))
        return line

    def _after(self, streams: "List[str]") -> Dict[str, Position]:
        """Where these are or have ended, as many as one line can hold."""
        after: Dict[str, Position] = {}
        room = self._longest - 4096
        for stream in streams:
            position = self._positions.get(stream) or self._ended.get(stream)
            if position is not None:
                room -= wire.size(wire.listen_prefix("", "", {stream: position})) - _NOTHING
                if room < 0:
                    break
                after[stream] = position
        return after

    def _wants_latest(self, stream: str) -> bool:
        return all(map(self._latest, self._listeners(stream)))

    def _may_be_header(self, stream: str) -> bool:
        """Whether ``joined`` may follow a message of the stream."""
        if not self._prefixes or stream in self._receipts_of:
            return False
        if stream in self.silent or any(matches(walk.prefix, stream) for walk in self._walks.values()):
            return True
        return stream not in self.active and stream not in self._ahead and bool(self._prefixes.matching(stream))

    def _joins(self, line: Line, stream: str) -> "List[Delivery[T]]":
        unasked, self._unasked = self._unasked, None
        deliveries: "List[Delivery[T]]" = []
        if unasked is not None and unasked[0] == stream:
            self._held[stream] = unasked[1]
        elif unasked is not None:
            deliveries += self._message(*unasked)
        held, messages = self._header(stream, line)
        deliveries += messages
        back, gap = self._back.pop(stream, ((), None))
        before, now = self._positions.get(stream), line.position
        # The broker had forgotten it without a word: this is another stream of the same name.
        is_another = before is not None and now is not None and before[0] != now[0]
        there = {*back, *(() if is_another else self._joined(stream))}
        # One that is resumed has no header. Who is new gets that on the way of their own listen.
        new = [] if line.resumed else [target for target in self._prefixes.matching(stream) if target not in there]
        if line.state == "ended" and now is not None and self._is_told(stream, now):
            told = set(self._prefixes.told_end(stream))
            new = [target for target in new if target not in told]
        if gap is None and self._gap is not None and now is not None and now[1] > 0:
            missing = [target for target in self._prefixes.matching(stream, settled=True) if target in new]
            deliveries += self._to(missing, replace(self._gap, stream=stream, missed=None if self._has_forgotten else now[1]))
        deliveries += self._begin(stream, line, held, new, back, gap)
        if line.state == "waiting":
            self._remember(stream)
        else:
            self.silent.pop(stream, None)
        return deliveries

    def _told_all(self, walk: _Walk) -> "List[Delivery[T]]":
        """All streams that there were have been joined."""
        others = {(other.prefix, target) for other in self._walks.values() for target in other.targets}
        for target in walk.targets:
            if (walk.prefix, target) not in others:
                self._prefixes.told(walk.prefix, target)
        deliveries: "List[Delivery[T]]" = []
        for stream in sorted(walk.back):
            if stream not in self._back or stream in self._wanted:
                continue
            # It is not there any more. Of one that never had anything nothing can be missing.
            back, gap = self._back[stream]
            position = self._positions.get(stream)
            wanted = set(self._listeners(stream))
            if stream not in self.silent or position is None or position[1] > 0:
                deliveries += self._to([target for target in back if target in wanted], gap)
            self._forget_stream(stream)
        if not self._walks:
            self._has_forgotten, self._gap = max(len(self._ended), len(self.silent)) >= self._most, None
        return deliveries

    def _refused_prefix(self, walk: _Walk, line: Line) -> "List[Delivery[T]]":
        refused = set(walk.targets)
        self.leave_prefix(walk.prefix, refused.__contains__)
        return self._to(list(refused), CutOff(walk.prefix, line.code, line.reason))

    def _remember(self, stream: str) -> None:
        """Something has come of a stream that may be forgotten without a word. Beyond the limit it is forgotten here."""
        self.silent.pop(stream, None)
        self.silent[stream] = None
        while len(self.silent) > self._most:
            oldest = next(iter(self.silent))
            if oldest in self._wanted:
                # Its listener keeps it.
                del self.silent[oldest]
            else:
                self._forget_stream(oldest)
                self._prefixes.over(oldest)
                self._has_forgotten = True

    # What is known of streams, whoever listens to them.

    def _listeners(self, stream: str) -> "List[T]":
        named = super()._listeners(stream)
        return list(dict.fromkeys([*named, *self._prefixes.matching(stream)])) if self._prefixes else named

    def _message(self, stream: str, text: str) -> "List[Delivery[T]]":
        if stream in self.silent:
            self._remember(stream)
        elif self._prefixes and stream not in self.active and stream not in self._ahead:
            targets = self._prefixes.matching(stream, settled=True)
            if targets and not self._is_told(stream, self._positions.get(stream)):
                # It was forgotten here, and not by the broker.
                self._activate(stream, tuple(targets))
                self._remember(stream)
        return super()._message(stream, text)

    def _is_told(self, stream: str, position: Optional[Position]) -> bool:
        """Whether the end of this run was told."""
        end = self._ended.get(stream)
        return end is not None and position is not None and end[0] == position[0]

    def _close(self, stream: str, last: Optional[str]) -> "List[Delivery[T]]":
        position = self._positions.get(stream)
        deliveries = super()._close(stream, last)
        self.silent.pop(stream, None)
        if position is not None and self._prefixes:
            self._ended.pop(stream, None)
            self._ended[stream] = position
            if len(self._ended) > self._most:
                del self._ended[next(iter(self._ended))]
                self._has_forgotten = True
        self._prefixes.over(stream)
        self._prefixes.tell_end(stream, {target for targets, event in deliveries if isinstance(event, Ended) for target in targets}, self._most)
        return deliveries

    def _forget_stream(self, stream: str) -> None:
        super()._forget_stream(stream)
        self.silent.pop(stream, None)
