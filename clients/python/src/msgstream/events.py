"""What a listener sees. All are plain values: they can be compared, pickled, and put in sets and dictionaries.

Type checkers see that all kinds are dealt with if an event is matched as an ``AnyEvent``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional, Union


@dataclass(unsafe_hash=True)
class Event:
    """The base of all events, to tell them from messages where both come out of one queue."""

    #: Of which stream it tells.
    stream: str


@dataclass(unsafe_hash=True)
class Header(Event):
    """The stream's header as it stood when this listener joined, or joined again after a gap."""

    # A message may be a list or dictionary, which have no hash.
    message: Any = field(hash=False)


@dataclass(unsafe_hash=True)
class Message(Event):
    """A message. None is missing between one and the next, nor between the header and the first, unless a ``Skipped`` stands there."""

    message: Any = field(hash=False)


@dataclass(unsafe_hash=True)
class Skipped(Event):
    """So many ``messages`` were replaced by the next one, for a listener that wants only the newest (``latest``). Each of them counts as one,
    so that the listener knows how many messages there have been."""

    messages: int


@dataclass(unsafe_hash=True)
class Ended(Event):
    """The stream has ended. ``message`` is what its publisher closed it with, if anything. ``age`` is how long ago that was, in seconds, if the
    stream was found ended, and the broker says so; None if the end was heard when it came. Events are compared without it."""

    message: Any = field(default=None, hash=False)
    age: Optional[float] = field(default=None, hash=False, compare=False)


@dataclass(unsafe_hash=True)
class CutOff(Event):
    """The broker ended the connection and said why, or refused to let us listen. The stream itself may go on.

    With ``reconnecting`` the listener has joined again and messages are missing here: ``missed``, or an unknown number. The header
    follows, if there is one. A listener that comes back in time misses nothing and is told nothing. Without ``reconnecting`` this is the
    last event of the stream.
    """

    code: str
    reason: str
    reconnecting: bool = False
    missed: Optional[int] = None


@dataclass(unsafe_hash=True)
class Lost(Event):
    """The connection failed, or there is none yet. The stream itself may go on.

    With ``reconnecting`` there is no connection yet, or the listener has joined again and messages are missing here: ``missed``, or an
    unknown number. The header follows, if there is one. A listener that comes back in time misses nothing and is told nothing. Without
    ``reconnecting`` this is the last event of the stream.
    """

    reason: str
    reconnecting: bool = False
    missed: Optional[int] = None


@dataclass(unsafe_hash=True)
class Undecodable:
    """Stands in for a message that the codec could not decode."""

    text: str
    reason: str


#: Every kind of event there is.
AnyEvent = Union[Header, Message, Skipped, Ended, CutOff, Lost]


def is_last(event: Event) -> bool:
    """Whether the listener gets nothing more of this stream."""
    if isinstance(event, (CutOff, Lost)):
        return not event.reconnecting
    return isinstance(event, Ended)
