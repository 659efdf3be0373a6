"""What is to outlive a crash of the broker: what has taken effect of it, until the broker says that it is in its store. Values in, values
out.

The broker says so in the receipt of a header, an end or a deletion, and does nothing that it cannot keep. Here each of those is done in any
case. Behind them the broker is asked with an action that changes nothing, the deletion of a stream that nobody has: once that is durable,
all before it is. Only one such question is on its way, since a broker reads nothing from a client for which many such receipts wait.
"""

from __future__ import annotations

import itertools
import secrets
from typing import Dict, List, NamedTuple, Optional

from . import wire
from .entries import CLOSE, DELETE, MARK, Entry, Waiting, weight
from .errors import BrokerError
from .names import LONGEST_NAME
from .withholding import Withholding

#: A broker that knows nothing of this answers in the order of the lines. One that does may do so too, if these were far apart; but not as
#: often as this.
_TOO_SOON = 3

_OLD = "the broker is older than this client, and cannot tell"


class _Question(NamedTuple):
    """One that is on its way."""

    receipt: str
    #: The ping behind it.
    ping: int
    about: List[Entry]


class Storing(Withholding):
    """What waits, and what waits for the broker's store."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        #: What is to be durable, in the order in which it has taken effect, and who waits for it. Ends are not done before they are
        #: stored: should the broker lose one, it is told again.
        self._unstored: Dict[Entry, None] = {}
        self._unstored_size = 0
        self._unstored_ends: Dict[str, Entry] = {}
        #: How often something of a stream is not durable that was to be; and, since that was last told, of which and why.
        self.not_durable: Dict[str, int] = {}
        self.refused_store: Dict[str, BrokerError] = {}
        self._question: Optional[_Question] = None
        self._questions = 0
        self._too_soon = 0
        #: The last ping that was answered.
        self._last_answered = 0

    @property
    def unstored(self) -> int:
        """How many headers and ends are to be durable, and are not known to be."""
        return sum(1 for entry in self._unstored if entry.durable)

    @property
    def asks_store(self) -> bool:
        """Whether the broker is to be asked, which it was not yet."""
        return self._question is None and bool(self._unstored)

    def answered_store(self, receipt: "Optional[wire.Receipt]", refusal: Optional[BrokerError]) -> bool:
        """The broker has answered the question. False if this is no such answer."""
        question = self._question
        if question is None or receipt != question.receipt:
            return False
        self._question = None
        if refusal is None and self._last_answered < question.ping:
            self._too_soon += 1
            if self._too_soon < _TOO_SOON:
                return True
            refusal = BrokerError("bad_action", _OLD)
        self._too_soon = 0
        about = [entry for entry in question.about if entry in self._unstored]
        if refusal is not None:
            # The rest of what it says is that nothing was done, which is about the question.
            code, reason = refusal.code, refusal.reason.partition(";")[0]
            for stream in dict.fromkeys(entry.stream for entry in about if entry.durable):
                self._lack(BrokerError(code, reason, stream), stream)
        self._leave_store(about)
        return True

    def _finish(self, entry: Entry) -> None:
        """It is done."""
        raise NotImplementedError

    def _waits_for_store(self, entry: Entry) -> bool:
        """This has taken effect. Whether it is not done before it is stored, or all that stands before it."""
        if entry.sets and entry.stream in self._unstored_ends:
            # The broker stores what came after it. To tell it again would end that.
            self._finish(self._unstored_ends.pop(entry.stream))
        if not entry.durable and (entry.kind != MARK or entry.when_over is None):
            # One that nobody waits for any more need not stay.
            return False
        self._unstored[entry] = None
        if not entry.durable:
            return True
        self._unstored_size += weight(entry)
        is_end = entry.kind in (CLOSE, DELETE)
        if is_end:
            self._unstored_ends[entry.stream] = entry
        while self._unstored_size > self.limit:
            oldest = next(each for each in self._unstored if each.durable)
            if oldest is entry:
                break
            self._lack(BrokerError("limit", "too much waits for the broker's store", oldest.stream), oldest.stream)
            self._leave_store([oldest])
        return is_end or entry.kind == MARK

    def _leave_store(self, entries: "List[Entry]") -> None:
        """These wait no more, and nobody waits for them."""
        for entry in entries:
            del self._unstored[entry]
            if entry.durable:
                self._unstored_size -= weight(entry)
            if self._unstored_ends.get(entry.stream) is entry:
                del self._unstored_ends[entry.stream]
            if not entry.done:
                self._finish(entry)
        # Marks wait for what stands before them.
        marks = list(itertools.takewhile(lambda entry: not entry.durable, self._unstored))
        if marks:
            self._leave_store(marks)

    def _lack(self, why: BrokerError, stream: str) -> None:
        self.not_durable[stream] = self.not_durable.get(stream, 0) + 1
        self.refused_store[stream] = why

    def _ask_store(self, entries: "List[Entry]", ping: int) -> str:
        """The question, if there is something to ask, behind these entries, which are to be durable, and before this ping. What comes together
        is stored together."""
        about = [*(entry for entry in self._unstored if entry.durable), *entries]
        if self._question is not None or not about:
            return ""
        self._questions += 1
        self._question = _Question(f"stored {self._questions}", ping, about)
        return wire.delete(_unused(about[0].stream), wire.durable(self._question.receipt))

    def _unstored_again(self) -> "List[Waiting]":
        """The broker may have lost these. Ends are told again where they are lost. Headers are as well, as all that were confirmed: whoever
        waits for one waits behind that."""
        again = [Entry(MARK, "", entry.stream, durable=True) if entry.done else entry for entry in self._unstored]
        self._unstored, self._unstored_size, self._unstored_ends = {}, 0, {}
        return [*again]


def _unused(stream: str) -> str:
    """A name that nobody has, with the same beginning, for which one has the same rights."""
    end = f" {secrets.token_hex(8)}"
    while len(stream.encode()) + len(end) > LONGEST_NAME:
        stream = stream[:-1]
    return stream + end
