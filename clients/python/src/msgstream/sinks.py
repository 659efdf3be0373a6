"""What listens: anything with ``put``, and the form in which it gets what comes."""

from __future__ import annotations

import inspect
from typing import Any, Callable, Optional, Protocol

from .events import Ended, Event, Header, Message


class Sink(Protocol):
    """What listens to a stream: anything with ``put``."""

    def put(self, message: Any, /) -> Any:
        """Takes a message. It is called in a thread of the client's, for one message after the other. While it waits, what comes for this
        queue waits in an inbox of ``options.queue`` bytes, and nobody else does."""


class Target:
    """A queue, in which form it wants what it gets, and whether it wants only the newest message."""

    def __init__(self, queue: Sink, events: bool, latest: bool = False) -> None:
        if not callable(getattr(queue, "put", None)):
            raise TypeError(f"what listens needs a method put(message); {type(queue).__name__} has none")
        if inspect.iscoroutinefunction(queue.put):
            raise TypeError(f"{type(queue).__name__}.put is a coroutine; see msgstream.aio for asyncio")
        self.queue = queue
        self.latest = latest
        self._events = events
        self._close = None if events else _close_of(queue)

    def __eq__(self, other: object) -> bool:
        """What a queue gets it gets once, however often it listens."""
        return isinstance(other, Target) and self.queue is other.queue

    def __hash__(self) -> int:
        return id(self.queue)

    def deliver(self, event: Event) -> None:
        """Hands over one event."""
        if not self._events:
            if isinstance(event, (Header, Message)):
                self.queue.put(event.message)
                return
            if isinstance(event, Ended) and self._close is not None:
                self._close(event.message)
                return
        self.queue.put(event)


def _close_of(queue: object) -> Optional[Callable[[Any], Any]]:
    """The method that takes the last message. One without a parameter, as multiprocessing.Queue has, means something else."""
    close = getattr(queue, "close", None)
    if not callable(close):
        return None
    try:
        inspect.signature(close).bind(None)
    except TypeError:
        return None
    except ValueError:
        # Written in C, without a signature.
        return None
    return close  # type: ignore[no-any-return]
