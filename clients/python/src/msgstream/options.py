"""How a client behaves. The defaults suit jobs that run for hours beside a broker that may be restarted."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """Times are in seconds, sizes in bytes."""

    #: What making a connection may take, until the broker has answered.
    connect_time: float = 10.0
    #: After so long without a word from the broker, it is asked for one.
    idle_time: float = 20.0
    #: What its answer may take before the connection counts as lost. It is also the longest that a ``put`` waits for a broker that
    #: takes nothing. Longer than a broker may hold a publisher back (its ``outbox.throttle_time``, 30 s unless configured).
    answer_time: float = 45.0
    #: What may wait to be sent or confirmed. Beyond it ``put`` waits while connected; while the broker is away, the oldest
    #: progress is dropped and counted.
    queue: int = 16 * 2**20
    #: The largest header, as the broker's ``limits.header``. A job leaves what is large out of a header that would be refused.
    header: int = 2**20
    #: The longest line, as the broker's ``limits.line``.
    line: int = 16 * 2**20
    #: Of the streams that a prefix has joined: of how many without a header the place is remembered, since the broker forgets such streams
    #: without a word, and of how many the end. Beyond that the oldest are forgotten: if such a stream is still there, its messages come all
    #: the same, but what an outage has cost is then not known, and an end may be told again after it.
    remembered_streams: int = 10_000
    #: How long the end of a program or of a ``with`` block may be held up to send what waits.
    exit_time: float = 5.0
    #: The first pause before connecting again; each is twice the one before.
    first_pause: float = 0.1
    #: The longest pause.
    longest_pause: float = 10.0
    #: The pause before what is published is offered again to a broker that has refused the token; each is twice the one before, up to 16 times
    #: this. The token's file is looked at every ``longest_pause``, and if it holds another, that is shown. The broker slows down whoever tries often, and all others of the same machine.
    refused_pause: float = 60.0

    def pause(self, attempt: int) -> float:
        """The pause before an attempt, counted from 0: a random part keeps a thousand clients of a restarted broker apart, and
        it is never less than half, so that a pause is one."""
        doubled: float = min(self.first_pause * 2.0 ** min(attempt, 60), self.longest_pause)
        return doubled * random.uniform(0.5, 1.0)

    def pause_of_refused(self, attempt: int) -> float:
        """The same where the token was refused."""
        return self.refused_pause * 2.0 ** min(attempt, 4) * random.uniform(0.5, 1.0)
