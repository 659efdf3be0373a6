"""What waits to be sent, what was sent and not yet confirmed, and what is given up when there is no room. Values in, values out:
it knows no socket, thread or lock; its owner guards it.

An entry is kept until the broker has confirmed it. What waits is in ``places``, and what becomes of it from one connection to the next
in ``resuming``.
"""

from __future__ import annotations

import time
from typing import List, Optional, Set
from weakref import WeakValueDictionary

from . import wire
from .entries import ASK, CONTROL, MARK, OVERHEAD, PUT, REFUSED, WILL, Entry, Waiting, lines_of, weight
from .errors import BrokerError
from .places import Texts
from .resuming import Resuming
from .run import Run
from .wire import Position


class Outgoing(Resuming):
    """The queue of one client. ``limit`` is in bytes: what waits may take that much, and the headers that were confirmed as much again."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        #: The runs of jobs whose epochs are asked for, by receipt.
        self._begun: "WeakValueDictionary[str, Run]" = WeakValueDictionary()
        #: Whether the broker of this connection was asked for one, and has told none.
        self._tells_no_epochs = False
        self._pings = 0

    @property
    def empty(self) -> bool:
        """Whether everything has taken effect, and is stored as far as it is to be."""
        return not (self.waiting or self._unstored) and next(self._unconfirmed(), None) is None

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
        durable: List[Entry] = []
        while self.waiting and size < most:
            first = self.waiting[0]
            if isinstance(first, Texts):
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
            if first.durable:
                durable.append(first)
            size += len(line)
            taken += weight(first)
        self._pings += 1
        question = self._ask_store(durable, self._pings)
        if question:
            lines.append(question)
        lines.append(wire.ping(self._pings))
        self._sent.add(self._pings, entries, taken, time.monotonic(), len(lines) + more)
        return "".join(lines)

    def disconnected(self) -> None:
        """What was not confirmed is kept until the next broker says what it has taken of it."""
        super().disconnected()
        self._tells_no_epochs = self.has_listened = False

    def wrote(self, lines: str) -> None:
        """These are sent beside what waits, and before it: the listens among them."""
        self.has_listened = True
        if lines:
            self._sent.add(self._pings + 1, [], 0, time.monotonic(), lines.count("\n"))

    def confirm(self, ping: int) -> bool:
        """All up to this ping has taken effect. Whether that is anything."""
        before, self._last_answered = self._sent.size, max(ping, self._last_answered)
        confirmed = self._sent.confirm(ping)
        for entry in confirmed:
            if type(entry) is not str:
                self._done(entry)  # type: ignore[arg-type]
        self.size -= before - self._sent.size
        return bool(confirmed)

    def answered(self, receipt: str, position: Optional[Position], refusal: Optional[BrokerError]) -> Entry:
        """The broker has answered what depends on how its stream stands. If it was refused, it is not repeated, and its header is nobody's."""
        entry = self.conditional.pop(receipt)
        entry.position, entry.refusal = position, refusal
        if refusal is not None:
            if entry.sets_again:
                self.superseded(entry.stream)
            # It stays one of the lines that the broker counts.
            entry.kind, entry.header, entry.durable = REFUSED, None, False
            if entry.when_over is not None:
                entry.when_over()
                entry.when_over = None
        return entry

    def told(self, receipt: "wire.Receipt", epoch: Optional[str]) -> None:
        """A receipt that such a line has asked for."""
        run = self._begun.pop(str(receipt), None)
        if run is not None and epoch is not None:
            run.began(epoch, self.session.broker)
        elif run is not None:
            self._tells_no_epochs = True

    def withdraw(self, mark: Entry) -> None:
        """Nobody waits for this mark any more."""
        mark.when_over = None
        self._unstored.pop(mark, None)
        if mark.waits:
            self._remove(mark)

    def release(self) -> None:
        """Nothing will be confirmed any more: those who wait for it are told."""
        for entry in [*self._unstored, *self._unconfirmed(), *self]:
            if isinstance(entry, Entry) and not entry.done and entry.when_over is not None:
                entry.when_over()

    def losses(self, stream: Optional[str] = None) -> int:
        """How much has not taken effect, and will not: of one stream, or of all."""
        if stream is None:
            return self.lost + self.headers.forgotten + sum(self.withheld.values()) + sum(self.not_durable.values())
        return self.dropped.get(stream, 0) + self.withheld.get(stream, 0) + self.not_durable.get(stream, 0)

    def unanswered(self) -> Set[str]:
        """The lines for listening that wait, or were sent behind the last ping that was answered."""
        sent = (entry.line for entry in self._sent if isinstance(entry, Entry) and entry.kind in (CONTROL, ASK))
        return {*self.controls(), *sent}

    def asked_since(self) -> Optional[float]:
        """When the oldest ping was sent that has not been answered."""
        return self._sent.since()

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
        if self._tells_no_epochs:
            return entry.line
        receipt = f"run {id(run)}"
        self._begun[receipt] = run
        return wire.with_receipt(entry.line, receipt)
