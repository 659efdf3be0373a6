"""What waits in the queue of a client: messages as their lines, and entries for whatever is more than a message."""

from __future__ import annotations

from typing import Callable, Optional, Union

from .errors import BrokerError
from .run import Run
from .wire import Position

#: What an entry takes in memory beside its text; about.
OVERHEAD = 100

# What an entry is. A plain string is a message and nothing else: the most frequent, and the first that may go.
PUT = "put"
HEADER = "header"
CLOSE = "close"
DELETE = "delete"
#: A listen. Once sent it concerns that connection, and is made anew for the next.
CONTROL = "control"
#: A question how a stream stands, which is a listen and its hangup. Like a listen, but nobody hangs up from it.
ASK = "ask"
#: A hangup. Without a connection there is nothing to hang up from: it takes a listen back that waits.
HANGUP = "hangup"
#: How a stream is to end if this client is lost, or that it is not to any more.
WILL = "will"
#: What the broker has refused. It is taken, and does nothing.
REFUSED = "refused"
#: Where somebody waits for all that stands before.
MARK = "mark"


class Entry:
    """A line that is more than a droppable message."""

    __slots__ = (
        *("kind", "line", "stream", "header", "essential", "when_over", "run", "done", "place", "waits", "sent"),
        *("condition", "receipt", "position", "refusal", "awaited", "durable"),
    )

    def __init__(
        self,
        kind: str,
        line: str,
        stream: str = "",
        header: Optional[str] = None,
        essential: bool = True,
        when_over: Optional[Callable[[], object]] = None,
        run: Optional[Run] = None,
        condition: str = "",
        receipt: Optional[str] = None,
        durable: bool = False,
    ) -> None:
        self.kind = kind
        self.line = line
        self.stream = stream
        #: The header that is the stream's once this has taken effect.
        self.header = header
        #: Whether it is among the last to go.
        self.essential = essential
        #: Called when the entry, and all before it, has taken effect; or when it is given up, and ``done`` remains False.
        self.when_over = when_over
        self.done = False
        #: The run of a job whose word this is, if it is to touch no other run.
        self.run = run
        #: Its place among what waits: a number that grows.
        self.place = 0
        self.waits = False
        #: Whether it may have taken effect already.
        self.sent = False
        #: How the stream must stand, as it is sent, if whoever put it said so; and the receipt by which the answer is known.
        self.condition = condition
        self.receipt = receipt
        #: The answer: where the stream stands after it, or why nothing has happened.
        self.position: Optional[Position] = None
        self.refusal: Optional[BrokerError] = None
        #: Whether somebody waits for it.
        self.awaited = False
        #: Whether it is to outlive a crash of the broker, and who waits for it waits for that. Of a mark: what stood there is.
        self.durable = durable

    @property
    def sets(self) -> bool:
        """Whether it changes how the stream stands."""
        return self.header is not None or self.kind in (CLOSE, DELETE)

    @property
    def sets_again(self) -> bool:
        """Whether it sets a confirmed header again where the broker has lost it, if nobody has begun the stream."""
        return self.receipt is not None and not self.condition

    @property
    def outlives_its_connection(self) -> bool:
        """Whether it concerns more than the connection on which it was sent: not if it is about listening, or nobody waits for it."""
        return self.kind not in (CONTROL, ASK, HANGUP, REFUSED) and (self.kind != MARK or self.when_over is not None or self.durable)


Waiting = Union[str, Entry]


def lines_of(entry: Waiting) -> int:
    """How many lines it is on the wire."""
    if type(entry) is str:
        return 1
    # A question may be two.
    return entry.line.count("\n") if entry.kind in (ASK, MARK) else 1  # type: ignore[union-attr]


def weight(entry: Waiting) -> int:
    """About what an entry takes in memory."""
    if type(entry) is str:
        return len(entry) + OVERHEAD
    return len(entry.line) + len(entry.header or "") + 2 * OVERHEAD  # type: ignore[union-attr]
