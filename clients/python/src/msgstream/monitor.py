"""The messages that a job sends to whoever monitors it, and a dispatcher that calls a method for each kind.

Each travels as an object whose class is ``monitor.`` and its name. Fields that these classes do not know are kept in ``more``, so
that a program passes on what a newer one sent. They need not be given, and absent ones are None. ``started`` and ``ended`` are times
as ISO 8601 in UTC, such as ``2026-11-28T12:55:19+00:00``.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any, Callable, Dict, Optional, Type, TypeVar, Union

from . import serial
from .events import Ended, Event, Header
from .events import Message as MessageEvent

#: The version of the states below.
VERSION = "1.0"


@dataclass
class MonitorMessage:
    """The base of all messages of a job."""


M = TypeVar("M", bound=MonitorMessage)


def _message(cls: Type[M]) -> Type[M]:
    known = {each.name: each for each in fields(cls) if each.name != "more"}

    def to_state(message: Any) -> Dict[str, Any]:
        values = {name: getattr(message, name) for name in known}
        # What has no default is always sent.
        state = {name: value for name, value in values.items() if value is not None or known[name].default is MISSING}
        return {**state, **message.more}

    def from_state(state: Dict[str, Any], version: str) -> MonitorMessage:
        more = {name: value for name, value in state.items() if name not in known}
        made: Callable[..., MonitorMessage] = cls
        return made(**{name: state[name] for name in known if name in state}, more=more)

    serial.register(cls, f"monitor.{cls.__name__}", version=VERSION, to_state=to_state, from_state=from_state)
    return cls


@_message
@dataclass
class Start(MonitorMessage):
    """The job begins."""

    title: Optional[str] = None
    total: Optional[float] = None
    units: Optional[str] = None
    started: Optional[str] = None
    more: Dict[str, Any] = field(default_factory=dict)


@_message
@dataclass
class Join(MonitorMessage):
    """How far the job is, for whoever joins: what a header holds."""

    title: Optional[str] = None
    k: Optional[float] = None
    total: Optional[float] = None
    units: Optional[str] = None
    started: Optional[str] = None
    more: Dict[str, Any] = field(default_factory=dict)


@_message
@dataclass
class Progress(MonitorMessage):
    """``k`` units of work are done, of ``total``."""

    k: float
    total: Optional[float] = None
    units: Optional[str] = None
    text: Optional[str] = None
    more: Dict[str, Any] = field(default_factory=dict)


@_message
@dataclass
class Improvement(MonitorMessage):
    """A better result has been found. What describes it further is in ``more``."""

    value: Any
    more: Dict[str, Any] = field(default_factory=dict)


@_message
@dataclass
class Complete(MonitorMessage):
    """The job has ended well."""

    result: Any = None
    title: Optional[str] = None
    started: Optional[str] = None
    ended: Optional[str] = None
    more: Dict[str, Any] = field(default_factory=dict)


@_message
@dataclass
class Abort(MonitorMessage):
    """The job was asked to end."""

    reason: Optional[str] = None
    title: Optional[str] = None
    started: Optional[str] = None
    ended: Optional[str] = None
    more: Dict[str, Any] = field(default_factory=dict)


@_message
@dataclass
class Error(MonitorMessage):
    """The job has failed."""

    reason: str
    traceback: Optional[str] = None
    title: Optional[str] = None
    started: Optional[str] = None
    ended: Optional[str] = None
    more: Dict[str, Any] = field(default_factory=dict)


@_message
@dataclass
class Lost(MonitorMessage):
    """The job has no connection to the broker any more, and has not said that it ends: it was killed, or its machine or network failed.
    The broker says so in the job's place."""

    reason: Optional[str] = None
    title: Optional[str] = None
    started: Optional[str] = None
    more: Dict[str, Any] = field(default_factory=dict)


@_message
@dataclass
class Log(MonitorMessage):
    """A line for people. ``level`` is in lower case, such as ``info`` or ``error``."""

    text: str
    level: Optional[str] = None
    more: Dict[str, Any] = field(default_factory=dict)


#: What a job may end with.
End = Union[Complete, Abort, Error, Lost]
ENDS = (Complete, Abort, Error, Lost)


def check_numbers(**values: Any) -> None:
    """Raises TypeError for what is meant as a number and is none, such as text; None is passed over."""
    for name, value in values.items():
        plain = value.tolist() if callable(getattr(value, "tolist", None)) else value
        if value is not None and (isinstance(plain, bool) or not isinstance(plain, (int, float))):
            raise TypeError(f"{name} is a number, not {value!r}")


def now() -> str:
    """The time, as messages carry it."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def time_of(text: Any) -> Optional[datetime.datetime]:
    """A time as a message carries it; None if it is not one. A time that names no zone is taken as UTC."""
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    date, fraction, zone = match.groups()
    try:
        time = datetime.datetime.fromisoformat(date.replace(" ", "T") + f".{(fraction or '0')[:6]:0<6}")
        offset = datetime.datetime.fromisoformat(f"2000-01-01T00:00:00{zone}").tzinfo if zone not in (None, "Z", "z") else None
    except ValueError:
        return None
    return time.replace(tzinfo=offset or datetime.timezone.utc)


def elapsed(message: MonitorMessage) -> Optional[float]:
    """How long the job of a message has been running, or had when it ended, in seconds; None if the message does not tell."""
    started, ended = time_of(getattr(message, "started", None)), time_of(getattr(message, "ended", None))
    if started is None or (ended is None and isinstance(message, ENDS)):
        return None
    return max(0.0, ((ended or datetime.datetime.now(datetime.timezone.utc)) - started).total_seconds())


def stamped(message: MonitorMessage, join: Join) -> MonitorMessage:
    """A start or an end with what the job's header says of it: its title, when it began and, for an end, that it ended now. What the
    message says itself stays."""
    if isinstance(message, (Start, Lost)):
        return replace(message, started=message.started or join.started)
    if isinstance(message, (Complete, Abort, Error)):
        title, started = message.title or join.title, message.started or join.started
        return replace(message, title=title, started=started, ended=message.ended or now())
    return message


#: RFC 3339, and what comes close.
_TIME = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|z|[+-]\d\d:\d\d)?")


class Dispatcher:
    """Calls a method for each message by its type: ``onMonitorProgress(message)`` for a ``Progress`` and so on, for those that a
    subclass has, and ``onMonitorMessage(message)`` for all other messages.

    It is made to listen: ``remote.listen("fit-42", MyDispatcher())``. It takes a loop's events as well:
    ``for event in listen("fit-42"): dispatcher.put(event)``.
    """

    def put(self, message: Any) -> None:
        """Dispatches a message, or what came beside the messages."""
        if isinstance(message, (Header, MessageEvent)):
            message = message.message
        if isinstance(message, Ended):
            self.close(message.message)
        elif isinstance(message, Event):
            self.onMonitorEvent(message)
        else:
            self._handler(message)(message)

    def close(self, message: Any = None) -> None:
        """The stream has ended, perhaps with a last message."""
        if message is not None:
            self._handler(message)(message)
        self.onMonitorClose()

    def onMonitorMessage(self, message: Any) -> None:
        """A message that has no method of its own."""

    def onMonitorEvent(self, event: Event) -> None:
        """The connection was lost, or this listener cut off: a ``Lost`` or ``CutOff``."""

    def onMonitorClose(self) -> None:
        """The stream has ended."""

    def _handler(self, message: Any) -> Callable[[Any], None]:
        if isinstance(message, MonitorMessage):
            handler: Callable[[Any], None] = getattr(self, f"onMonitor{type(message).__name__}", self.onMonitorMessage)
            return handler
        return self.onMonitorMessage
