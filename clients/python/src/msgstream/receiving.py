"""The thread of a client that receives: what the broker's lines mean for what was sent, and whom they are for."""

from __future__ import annotations

import logging
import queue
import time
from typing import List, Optional, Tuple

from . import lifetime, wire
from .connection import Connection
from .entries import HANGUP, Entry
from .errors import UNAUTHENTICATED, refusal
from .events import Event, Message
from .incoming import DEAF, CutShort
from .names import key_of
from .shared import Shared
from .sinks import Target
from .wire import Line

log = logging.getLogger("msgstream")

#: Of how many codes and streams it is remembered how often the broker has refused them.
_MOST_REFUSALS = 10_000


class Receiving(Shared):
    """The receiving side of one client."""

    def _receive_first(self, first: "queue.SimpleQueue[Optional[Connection]]") -> None:
        connection = first.get()
        if connection is not None:
            self._receive(connection)

    def _receive(self, connection: Connection) -> None:
        try:
            wait = self.options.idle_time
            while True:
                lines = connection.receive(wait)
                wait = self.options.idle_time
                if lines is None:
                    wait = min(wait, self._ask_for_a_word(connection))
                else:
                    for line in lines:
                        self._handle(connection, line)
                    if self._listens.wonders:
                        # The answer shows that nothing came behind the message that is held.
                        with self._lock:
                            self._ask = True
                            self._wake()
        except CutShort as short:
            ended = short
        except BaseException as error:
            log.exception("receiving from %s failed", self.address)
            ended = CutShort(f"{type(error).__name__}: {error}")
        with self._lock:
            if self._parted:
                return
            if ended.code == "taken_over":
                self._out.session.taken_over()
            self._sever(ended)
            if self._ending:
                return
            reconnecting = not self.strict
            deliveries = self._listens.interrupted(ended.code, ended.reason, reconnecting)
            self._last_trouble = ended.reason
        # Not with the lock held: a handler of logging may publish. Of a refusal more is said before the next attempt.
        if not reconnecting or ended.code not in UNAUTHENTICATED:
            log.warning("%s%s", self._named(ended.reason), "; connecting again, what is published waits" if reconnecting else "")
        self._tell_trouble(ended.reason)
        self._deliver(deliveries)

    def _handle(self, connection: Connection, line: str) -> None:
        said = connection.incoming.message(line)
        if said is not None and not self._listens.unsettled:
            stream = said.stream or ""
            targets = self._listens.active.get(stream)
            if targets and stream not in self._listens.silent:
                self._deliveries.put(targets, Message(stream, self._decode(said.message or "")), len(line))
                self._listens.count(stream)
                self._has_moved = True
                return
        said = said or connection.incoming.parse(line)
        with self._lock:
            if said.action == "pong" and isinstance(said.receipt, int):
                self._has_moved |= self._out.confirm(said.receipt)
                if self._listens.unsettled and self._listens.overdue(self._out.unanswered()):
                    raise CutShort(DEAF)
                self._go_on_asking_store()
                if self._forgotten:
                    self._wake()
                self._tell_room()
                lifetime.leaving.answered(self._name)
            is_refused = said.action == "error" and not self._is_expected(said)
            refused = refusal(said.code, said.reason, said.stream) if said.action == "error" else None
            if said.action in ("receipt", "error") and self._out.answered_first(said.receipt, said.position, refused):
                pass
            elif said.action in ("receipt", "error") and self._out.answered_store(said.receipt, refused):
                is_refused = False
                self._go_on_asking_store()
            elif said.action in ("receipt", "error") and said.receipt in self._out.conditional:
                # Who waits for the answer tells of it.
                is_awaited = self._out.answered(str(said.receipt), said.position, refused).awaited
                is_refused = is_refused and not is_awaited
            elif said.action == "receipt" and said.receipt is not None:
                self._out.told(said.receipt, said.position and said.position[0])
            length = max(len(line), self._listens.longest(said.stream))
            deliveries = self._listens.settle(said)
            if self._listens.standings:
                self._settle_standings()
        if is_refused:
            self._refusal(said)
        if self._sayings:
            self._speak()
        self._deliver(deliveries, length)

    def _go_on_asking_store(self) -> None:
        """Asks whether what has taken effect is durable, and tells where it cannot be. Called with the lock held."""
        for stream, why in self._out.refused_store.items():
            self._not_durable += 1
            if self._not_durable & (self._not_durable - 1) == 0:
                self._sayings.append(f"{self.address} has done what it was told of {stream!r}, but that is not durable: {why.reason}")
            if self.strict:
                self._failure = self._failure or refusal(why.code, why.reason, stream)
        self._out.refused_store.clear()
        if self._out.asks_store:
            self._ask = True
            self._wake()
        elif self._forgotten:
            self._wake()

    def _is_expected(self, said: Line) -> bool:
        """Whether an error is the answer to something that may be refused, and is no mistake."""
        if said.code == "stale" and self._out.sets_again(said.receipt):
            return True
        return self._listens.awaits(said.receipt)

    def _settle_standings(self) -> None:
        """The broker has told how streams stand. When all doubts are settled, sending begins."""
        standings, self._listens.standings = self._listens.standings, []
        for standing in standings:
            stream = standing.stream
            if stream not in self._doubtful:
                for tell in self._askers.pop(stream, []):
                    tell(standing)
                continue
            first = self._out.header_before(stream, standing.state, standing.header)
            if first:
                lines = first + self._listens.ask(stream)
                self._out.wrote(lines)
                self._asked_first.append(lines)
                self._wake()
                continue
            self._out.reconcile(*standing)
            self._doubtful.discard(stream)
            if not self._doubtful:
                self._go_on()
                self._ask = True
                self._wake()

    def _go_on(self) -> None:
        """All doubts are settled, and what waits may be sent."""
        before = self._out.repeated
        self._out.connected(self._notice)
        repeated = self._out.repeated - before
        if repeated:
            self._sayings.append(f"{repeated} messages may have arrived twice: {self.address} does not know what it had taken of them")
        for stream in self._out.revived:
            self._sayings.append(f"{self.address} had ended {stream!r} since it heard nothing of this client for too long; it begins anew")
        self._out.revived.clear()
        for stream, count, why in self._out.withholdings:
            self._sayings.append(f"{count} headers or ends of {stream!r} are not sent again: {why}")
        self._out.withholdings.clear()

    def _tell_trouble(self, trouble: Optional[str]) -> None:
        with self._lock:
            calls = self._when_trouble[:]
        for call in calls:
            try:
                call(trouble)
            except Exception:
                log.exception("what is called in case of trouble failed")

    def _deliver(self, deliveries: "List[Tuple[Tuple[Target, ...], Event]]", length: int = 0) -> None:
        for targets, event in deliveries:
            self._has_moved |= isinstance(event, Message)
            self._deliveries.put(targets, event, length)

    def _give_up(self, target: Target, stream: str, is_slow: bool) -> List[str]:
        prefixes: List[str] = []
        with self._lock:
            if is_slow:
                prefixes, left_alone = self._listens.give_up_prefixes(stream, target)
                for prefix in left_alone:
                    self._put_in(Entry(HANGUP, wire.hangup_prefix(prefix), key_of(prefix)))
            for name in self._listens.give_up(stream, target):
                self._put_in(Entry(HANGUP, wire.hangup(name), name))
        return prefixes

    def _refusal(self, said: Line) -> None:
        key = (said.code, said.stream)
        error = refusal(said.code, said.reason, said.stream)
        with self._lock:
            if len(self._refused) >= _MOST_REFUSALS and key not in self._refused:
                # As if it concerned all streams.
                key = "", None
            count = self._refused[key] = self._refused.get(key, 0) + 1
            is_late = said.code == "stale" and said.receipt is None and said.stream in self._out.runs
            if self.strict and not is_late:
                self._failure = self._failure or error
        if is_late:
            with self._lock:
                run = self._out.runs.get(said.stream or "")
                if run is not None and run.is_of_repeated:
                    self._out.superseded(run.stream)
            if count == 1:
                log.warning("what is told of %r is late and not taken: that run has ended, or another one has begun", said.stream)
            return
        # A program that repeats its mistake should not fill its log with it.
        if count & (count - 1) == 0:
            log.error("the broker refused, %d times so far: %s", count, error)

    def _ask_for_a_word(self, connection: Connection) -> float:
        """Nothing has come for a while. Returns how long the broker may go on like that."""
        with self._lock:
            since = self._doubtful_since if self._doubtful else self._out.asked_since()
            if since is None:
                self._ask = True
                self._wake()
                return self.options.answer_time
            left = max(since, connection.moved) + self.options.answer_time - time.monotonic()
            if left <= 0.0:
                raise CutShort(f"the broker has not answered for {self.options.answer_time:g} s")
            return left

    def _sever(self, short: CutShort) -> None:
        """The connection is of no use any more. Called with the lock held."""
        if self._broken is None:
            self._broken = short
        self._connected, self._away = False, True
        if short.code == "limit":
            lifetime.leaving.turned_away(self._name)
        if self._connection is not None:
            self._connection.shutdown()
        self._work.notify_all()
        self._tell_room()
