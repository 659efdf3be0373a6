"""What must hold of all that publishers said and listeners heard, whatever happened meanwhile. Knows nothing of brokers."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Tuple


class Position(NamedTuple):
    """So many messages of a run have been."""

    epoch: str
    sequence: int


class Message(NamedTuple):
    """Who said it, the how manieth of theirs it is, and whether it came with a header, which is then the same."""

    by: str
    n: int
    heads: bool = False


class Gap(NamedTuple):
    """A listener was told that it has missed something: so many, if that is known. It goes on behind ``to``."""

    before: Position
    to: Position
    missed: Optional[int]


@dataclasses.dataclass
class Said:
    """What one publisher has said in one stream, in its order."""

    by: str
    stream: str
    messages: List[Message] = dataclasses.field(default_factory=list)
    confirmed: Set[Message] = dataclasses.field(default_factory=set)
    #: Where they stand, as far as the receipts have told.
    positions: Dict[Message, Position] = dataclasses.field(default_factory=dict)
    #: Said again to a broker that had forgotten the session: these may have come twice.
    doubtful: Set[Message] = dataclasses.field(default_factory=set)


@dataclasses.dataclass
class Heard:
    """What one listener of one stream has heard."""

    name: str
    stream: str
    #: Whether it was there before the first message.
    is_whole: bool = True
    #: Where it began, and the header that came then.
    first: Optional[Position] = None
    messages: List[Tuple[Position, Message]] = dataclasses.field(default_factory=list)
    gaps: List[Gap] = dataclasses.field(default_factory=list)
    #: The headers that came when it joined, and where.
    headers: List[Tuple[Position, Optional[Message]]] = dataclasses.field(default_factory=list)
    #: Whether it has heard the end of the stream, so that nothing more comes.
    is_over: bool = False


def check(said: Sequence[Said], heard: Sequence[Heard]) -> List[str]:
    """All complaints. Nothing is wrong if there is none."""
    complaints: List[str] = []
    for stream in sorted({each.stream for each in said} | {each.stream for each in heard}):
        ours = [each for each in said if each.stream == stream], [each for each in heard if each.stream == stream]
        complaints += [f"{stream}: {complaint}" for complaint in _Stream(*ours).complaints()]
    return complaints


class _Stream:
    def __init__(self, said: Sequence[Said], heard: Sequence[Heard]) -> None:
        self.said, self.heard, self.found = said, heard, []  # type: Sequence[Said], Sequence[Heard], List[str]
        #: What stands where.
        self.order: Dict[Position, Message] = {}

    def complaints(self) -> List[str]:
        self._one_order()
        known = {message for each in self.said for message in each.messages}
        for listener in self.heard:
            self._in_a_row(listener)
            self._order_of_each(listener)
            self._headers(listener)
            invented = [message for _, message in listener.messages if message not in known]
            if invented:
                self._complain(f"{listener.name} heard what nobody said: {_some(invented)}")
        for listener in self.heard:
            self._loss(listener)
        return self.found

    def _complain(self, text: str) -> None:
        self.found.append(text)

    def _one_order(self) -> None:
        """Each position has one message, and each message one position, for everybody."""
        doubtful = {message for each in self.said for message in each.doubtful}
        places: Dict[Message, Position] = {}
        claims = [(listener.name, position, message) for listener in self.heard for position, message in listener.messages]
        claims += [(f"{each.by}'s receipt", position, message) for each in self.said for message, position in each.positions.items()]
        for who, position, message in claims:
            if self.order.setdefault(position, message) != message:
                self._complain(f"{who} has {message} at {position}, where others have {self.order[position]}")
            if places.setdefault(message, position) != position and message not in doubtful:
                self._complain(f"{who} has {message} at {position}, and it is at {places[message]} as well")

    def _in_a_row(self, listener: Heard) -> None:
        """Positions go up one by one, but where a gap was told. A gap whose number was told is as large as that."""
        gaps = list(listener.gaps)
        for gap in gaps:
            if gap.missed is not None and gap.before.epoch == gap.to.epoch and gap.to.sequence - gap.before.sequence != gap.missed:
                self._complain(f"{listener.name} was told that it missed {gap.missed} from {gap.before} to {gap.to}")
            if gap.before.epoch == gap.to.epoch and gap.to.sequence < gap.before.sequence:
                self._complain(f"{listener.name} was sent back from {gap.before} to {gap.to}")
            if gap.missed is not None and gap.before.epoch != gap.to.epoch:
                self._complain(f"{listener.name} was told a number, {gap.missed}, of another run: {gap.before} to {gap.to}")
        at = listener.first
        for position, message in listener.messages:
            while gaps and at == gaps[0].before and at is not None and position != Position(at.epoch, at.sequence + 1):
                at = gaps.pop(0).to
            if at is None or position != Position(at.epoch, at.sequence + 1):
                self._complain(f"{listener.name} heard {message} at {position} behind {at}")
            at = position

    def _order_of_each(self, listener: Heard) -> None:
        """Each publisher's messages come in its order, and once."""
        doubtful = {message for each in self.said for message in each.doubtful}
        latest: Dict[str, int] = defaultdict(lambda: -1)
        for position, message in listener.messages:
            if message.n <= latest[message.by] and message not in doubtful:
                self._complain(f"{listener.name} heard {message} at {position} behind number {latest[message.by]}")
            latest[message.by] = max(message.n, latest[message.by])

    def _headers(self, listener: Heard) -> None:
        """The header is that of the last message up to there that had one."""
        for position, header in listener.headers:
            last = None
            for sequence in range(position.sequence, 0, -1):
                message = self.order.get(Position(position.epoch, sequence))
                if message is None:
                    break
                if message.heads:
                    last = message
                    break
            else:
                if header is not None:
                    self._complain(f"{listener.name} got the header {header} at {position}, where there was none")
            if last is not None and header != last:
                self._complain(f"{listener.name} got the header {header} at {position}, where it was {last}")

    def _loss(self, listener: Heard) -> None:
        """Nothing confirmed is lost to whoever was there, but for what it was told. Who heard the end has heard all before it."""
        got = {message for _, message in listener.messages}
        told = [gap.missed for gap in listener.gaps]
        places = {message: position for position, message in self.order.items()}
        lost = []
        for each in self.said:
            for message in each.messages:
                if message in got or message not in each.confirmed and message not in places:
                    continue
                if self._is_due(listener, places.get(message)):
                    lost.append(message)
        if lost and (not told or None not in told and sum(number or 0 for number in told) < len(lost)):
            what = f"was told of {sum(number or 0 for number in told)}" if told else "was told of none"
            self._complain(f"{listener.name} lacks {len(lost)} and {what}: {_some(lost)}")

    @staticmethod
    def _is_due(listener: Heard, position: Optional[Position]) -> bool:
        """Whether a message that it has not heard should have come to a listener."""
        last = listener.messages[-1][0] if listener.messages else listener.first
        if position is None:
            return listener.is_whole and listener.is_over
        if last is not None and position.epoch == last.epoch and position.sequence > last.sequence:
            # It may be on its way to a listener that is not over.
            return listener.is_over
        if listener.is_whole:
            return True
        return listener.first is not None and position.epoch == listener.first.epoch and position.sequence > listener.first.sequence


def _some(messages: Sequence[Message]) -> str:
    shown = ", ".join(f"{message.by} {message.n}" for message in messages[:8])
    return shown + (" ..." if len(messages) > 8 else "")
