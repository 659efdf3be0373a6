"""What a listener sees. All are plain values, and can be pickled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class Event:
    """The base of all events, to tell them from messages where both come out of one queue."""

    __slots__ = ()

    #: Of which stream it tells.
    stream: str


@dataclass
class Header(Event):
    """The stream's header as it stood when this listener joined, or joined again after a gap."""

    stream: str
    message: Any


@dataclass
class Message(Event):
    """A message. None is missing between one and the next, nor between the header and the first."""

    stream: str
    message: Any


@dataclass
class Ended(Event):
    """The stream has ended. ``message`` is what its publisher closed it with, if anything."""

    stream: str
    message: Any = None


@dataclass
class CutOff(Event):
    """The broker ended the connection and said why, or refused to let us listen. The stream itself may go on.

    With ``reconnecting`` the listener joins again and gets the header; messages between are missed. Otherwise this is
    the last event of the stream.
    """

    stream: str
    code: str
    reason: str
    reconnecting: bool = False


@dataclass
class Lost(Event):
    """The connection failed, or there is none yet. The stream itself may go on.

    With ``reconnecting`` the listener joins again and gets the header; messages between are missed. Otherwise this is
    the last event of the stream.
    """

    stream: str
    reason: str
    reconnecting: bool = False


@dataclass
class Undecodable:
    """Stands in for a message that the codec could not decode."""

    text: str
    reason: str


def is_last(event: Event) -> bool:
    """Whether the listener gets nothing more of this stream."""
    if isinstance(event, (CutOff, Lost)):
        return not event.reconnecting
    return isinstance(event, Ended)
