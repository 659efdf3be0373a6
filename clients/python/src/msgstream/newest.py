"""For those who want only the newest message of a stream: it replaces the one that waits. Values in, values out."""

from __future__ import annotations

from collections import deque
from typing import Deque, Dict, Iterable, Iterator, List, Optional, Union

from .events import Event, Message, Skipped


class Newest:
    """The newest message of a stream, in the place of the first that it has replaced; and how many those were."""

    __slots__ = ("stream", "size", "_message", "_skipped")

    def __init__(self, stream: str) -> None:
        self.stream = stream
        #: What the message takes, as far as its owner counts that.
        self.size = 0
        #: None if it has not come yet.
        self._message: Optional[Message] = None
        self._skipped = 0

    def take(self, event: "Union[Message, Skipped]") -> None:
        """Something newer, or how many messages that has replaced already."""
        self._skipped += self._message is not None
        if isinstance(event, Message):
            self._message = event
        else:
            self._message = None
            self._skipped += event.messages

    def events(self) -> "List[Event]":
        """What is handed over."""
        skipped: List[Event] = [Skipped(self.stream, self._skipped)] if self._skipped else []
        return skipped if self._message is None else [*skipped, self._message]


class OnlyNewest(Deque[Event]):
    """A queue of events in which of each stream one message waits at most: the newest. All other events keep their order."""

    def __init__(self) -> None:
        super().__init__()
        self._events: "Deque[Union[Event, Newest]]" = deque()
        #: What may still be replaced, by stream.
        self._newest: Dict[str, Newest] = {}

    def append(self, event: Event) -> None:
        """Puts it at the end, or in the place of the message that waits."""
        if not isinstance(event, (Message, Skipped)):
            # What waits is before that, and is not replaced any more.
            self._newest.pop(event.stream, None)
            self._events.append(event)
            return
        newest = self._newest.get(event.stream)
        if newest is None:
            newest = self._newest[event.stream] = Newest(event.stream)
            self._events.append(newest)
        newest.take(event)

    def extend(self, events: Iterable[Event]) -> None:
        """Puts them at the end, one after the other."""
        for event in events:
            self.append(event)

    def popleft(self) -> Event:
        """The first event. A message follows what it has replaced at once."""
        first = self._events.popleft()
        if not isinstance(first, Newest):
            return first
        if self._newest.get(first.stream) is first:
            del self._newest[first.stream]
        event, *more = first.events()
        self._events.extendleft(more)
        return event

    @property
    def lasting(self) -> int:
        """How many of these are not replaced by what comes."""
        return len(self._events) - len(self._newest)

    def clear(self) -> None:
        """Nothing waits."""
        self._events.clear()
        self._newest.clear()

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Event]:
        for event in self._events:
            yield from event.events() if isinstance(event, Newest) else (event,)
