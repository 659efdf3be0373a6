"""What the messages of a stream add up to: the part that all views share. Knows nothing of how it is shown."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from typing import Any, Iterable, Optional, Tuple, Union

from .. import events
from ..events import CutOff, Ended, Event, Header, Message, is_last
from ..monitor import ENDS, Abort, Complete, End, Error, Improvement, Join, Log, Lost, Progress, Start, time_of
from . import amounts
from .text import inline, lines

#: What an outcome is called in the line that tells it.
_WORDS = {"complete": "done", "aborted": "aborted", "failed": "failed", "lost": "lost", "ended": "ended"}


@dataclass
class State:
    """How far one stream is."""

    stream: str
    title: str = ""
    #: None until it has told its progress.
    k: Optional[float] = None
    total: Optional[float] = None
    units: str = ""
    text: str = ""
    best: Any = None
    #: When the job began, by its own word.
    started: Optional[datetime.datetime] = None
    #: "waiting" for its first word, "running", "complete", "aborted", "failed", "lost" if the broker has heard nothing of the job for too
    #: long, "ended", or "gone" if there is no connection to the broker.
    outcome: str = "waiting"
    #: How it ended, in words: ``done in 4 s``.
    told: str = ""
    #: Nothing more comes.
    over: bool = False
    #: Since when nothing can be heard of it.
    silent_since: Optional[datetime.datetime] = None
    #: Why there is no connection to the broker now.
    _trouble: Optional[str] = None
    #: What its outcome and text were before that.
    _before: Optional[Tuple[str, str]] = None
    #: How long ago its stream had ended, in seconds, if it was found ended.
    _age: Optional[float] = None
    #: The first step that was seen, for a job that does not say when it began.
    _first: Optional[Tuple[datetime.datetime, float]] = None

    def take(self, event: Event) -> Optional[str]:
        """Takes an event into account. What is returned is a line for people, or several."""
        said = self._take(event)
        # It may have come before the connection was lost.
        self._look_silent()
        return None if said is None else "\n".join(lines(said))

    def _take(self, event: Event) -> Optional[str]:
        if isinstance(event, (Header, Message)):
            return self._message(event.message, isinstance(event, Message))
        if isinstance(event, Ended):
            self._age = event.age
            said = self._message(event.message, event.age is None) if event.message is not None else None
            if self.outcome in ("waiting", "running", "gone"):
                said = "\n".join(each for each in (said, self._end("ended", "", None, event.age is not None)) if each)
            self.over = True
            return said
        if isinstance(event, (CutOff, events.Lost)):
            return self._gone(event)
        return None

    def away(self, trouble: Optional[str]) -> None:
        """The connection is gone, and why, or it is there again: what ``when_trouble`` of a listener or client tells."""
        self._trouble = trouble
        self._look_silent()
        if trouble is None and self._before is not None:
            (self.outcome, self.text), self._before, self.silent_since = self._before, None, None

    def _look_silent(self) -> None:
        if self._trouble is not None and self._before is None and self.outcome in ("waiting", "running"):
            self._before = self.outcome, self.text
            self.outcome, self.text, self.silent_since = "gone", self._trouble, self.silent_since or _now()

    def _gone(self, event: Union[CutOff, events.Lost]) -> Optional[str]:
        if not is_last(event) and self._trouble is not None:
            # There is no connection yet, which is known.
            return None
        self.silent_since = self.silent_since or _now()
        self.outcome, self.text = "gone", event.reason
        self.over = is_last(event)
        return event.reason if self.over else f"{event.reason}; {missing(event)}"

    def _message(self, message: Any, now: bool) -> Optional[str]:
        """Takes a header, or a message, which comes just when it happens."""
        if isinstance(message, dict) and _number(message.get("k")) is not None:
            # As good as a Progress: what ``msgstream listen`` draws a bar of.
            if self.outcome not in _WORDS:
                self.title = _text(message.get("title")) or self.title
                self.started = time_of(message.get("started")) or self.started
            message = Progress(message["k"], message.get("total"), message.get("units"), message.get("text"))
        self.silent_since = None
        if self._before is not None:
            # It came before the connection was lost.
            (self.outcome, self.text), self._before = self._before, None
        if isinstance(message, Log):
            if self.outcome == "gone":
                self.outcome, self.text = "running", ""
            return f"{message.level}: {message.text}" if message.level else str(message.text)
        if self.outcome in _WORDS:
            if now and isinstance(message, (Progress, Improvement, *ENDS)):
                # What comes late from a job that has ended, such as a worker's last words, changes nothing.
                return None
            if isinstance(message, (Start, Join, Progress)):
                # A stream that begins again after its end is another job.
                self._begin_anew()
        if isinstance(message, ENDS):
            return self._ended_by(message, now)
        if self.outcome in ("waiting", "gone"):
            self.outcome, self.text = "running", ""
        if isinstance(message, Start):
            self._begin_anew()
            self.title, self.total, self.units = _text(message.title), _number(message.total), _text(message.units)
            self.k = None if self.total is None else 0
            self.started = time_of(message.started) or (_now() if now else None)
        elif isinstance(message, Join):
            self.title, self.total = _text(message.title), _number(message.total)
            self.units, self.text = _text(message.units), _text(message.more.get("text"))
            self.started = time_of(message.started)
            best = message.more.get("improvement")
            self.best = best.get("value") if isinstance(best, dict) else None
            self._step(_number(message.k))
        elif isinstance(message, Progress):
            self.text = _text(message.text)
            self.total = _number(message.total) if message.total is not None else self.total
            self.units = _text(message.units) or self.units
            self._step(_number(message.k))
        elif isinstance(message, Improvement):
            self.best = message.value
        else:
            return str(message)
        return None

    def _begin_anew(self) -> None:
        fresh = State(self.stream, outcome="running", _trouble=self._trouble)
        vars(self).update(vars(fresh))

    def _step(self, k: Optional[float]) -> None:
        self.k = k
        if k is not None and self._first is None:
            self._first = (_now(), k)

    def _ended_by(self, message: End, now: bool) -> str:
        self.title = _text(message.title) or self.title
        self.started = time_of(message.started) or self.started
        if isinstance(message, Lost):
            # Since when is not known.
            return self._end("lost", _text(message.reason) or "no connection to the job any more", None, not now)
        ended = time_of(message.ended) or (_now() if now else None)
        if isinstance(message, Complete):
            self.k = self.total if self.total is not None else self.k
            return self._end("complete", _result(message.result), ended, not now)
        if isinstance(message, Abort):
            return self._end("aborted", _text(message.reason), ended, not now)
        told = self._end("failed", _text(message.reason), ended, not now)
        return f"{_text(message.traceback).rstrip()}\n{told}" if message.traceback else told

    def _end(self, outcome: str, what: str, ended: Optional[datetime.datetime], late: bool) -> str:
        self.outcome, self.text, self._before = outcome, what, None
        told = _WORDS[outcome]
        if self.started is not None and ended is not None:
            told += f" {'in' if outcome == 'complete' else 'after'} {amounts.words(_seconds(self.started, ended))}"
        self.told = f"{told}: {what}" if what else told
        age = _seconds(ended, _now()) if ended is not None else self._age
        if late and age is not None:
            when = f"ended {amounts.words_of_age(age)} ago" if age >= 1 else "ended just now"
            return when if outcome == "ended" else f"{when}: {self.told}"
        return self.told

    @property
    def label(self) -> str:
        """What it is called: its name, and its title."""
        return inline(f"{self.stream} {self.title}" if self.title and self.title != self.stream else self.stream)

    @property
    def share(self) -> Optional[float]:
        """How much of it is done, from 0 to 1. A job may report less than zero or more than its total."""
        if self.total is None or self.total <= 0:
            return None
        return min(1.0, max(0.0, (self.k or 0) / self.total))

    @property
    def percent(self) -> str:
        """``30%``, or nothing."""
        return "" if self.share is None else f"{int(self.share * 100)}%"

    @property
    def elapsed(self) -> Optional[float]:
        """How long it has been running, in seconds, by the job's own word."""
        return None if self.started is None else _seconds(self.started, self.silent_since or _now())

    @property
    def rate(self) -> Optional[float]:
        """Units each second: since it began, or else since it was seen first."""
        since, before = (self.started, 0.0) if self.started is not None else self._first or (None, 0.0)
        if since is None or self.k is None:
            return None
        done, passed = self.k - before, (self.silent_since or _now()) - since
        return done / passed.total_seconds() if done > 0 and passed.total_seconds() > 0 else None

    @property
    def left(self) -> Optional[float]:
        """How long it is likely to go on, in seconds."""
        rate = self.rate
        if rate is None or self.total is None or self.k is None:
            return None
        left = max(0.0, self.total - self.k) / rate
        # A century is no forecast.
        return left if left < 3e9 else None

    def count(self, units: bool = True) -> str:
        """``3/10 steps``, or nothing for a job that counts nothing, or has not said so far."""
        counts = self.k is not None or self.total is not None
        return amounts.amount(self.k or 0, self.total, inline(self.units) if units else "") if counts else ""

    def times(self, with_rate: bool = False) -> str:
        """``[00:12<00:28, 4 s/step]``, as far as it is known."""
        elapsed, left, rate = self.elapsed, self.left, self.rate if with_rate else None
        times = "" if elapsed is None else amounts.running(elapsed)
        times += "" if left is None else f"<{amounts.running(left)}"
        parts = [times, "" if rate is None else amounts.rate(rate, inline(self.units))]
        told = ", ".join(part for part in parts if part)
        return f"[{told}]" if told else ""

    @property
    def note(self) -> str:
        """What there is to say beside the count: the best result, the job's own text, or that nothing is heard."""
        best = f"{self.best:g}" if isinstance(self.best, float) else self.best
        said = "no news" if self.silent_since is not None else self.text
        return inline(", ".join(part for part in (f"best {best}" if best is not None else "", said) if part))

    @property
    def summary(self) -> str:
        """How it is, in one line."""
        if self.outcome == "waiting":
            return "waiting"
        if self.told:
            return inline(self.told)
        return " ".join(part for part in (self.count(), self.times(with_rate=True), self.note) if part)


def exit_code(states: Iterable[State]) -> int:
    """Of a command, as that of ``msgstream listen``: what is worst of all, and 0 if all is well."""
    # One that is not heard of at the moment is not one that the broker has refused.
    outcomes = {state.outcome for state in states if state.outcome != "gone" or state.over}
    return next((code for outcome, code in (("failed", 1), ("lost", 3), ("aborted", 2), ("gone", 77)) if outcome in outcomes), 0)


def missing(event: Union[CutOff, events.Lost]) -> str:
    """What a listener that has joined again has missed."""
    if event.missed is None:
        return "messages may be missing"
    return "1 message is missing" if event.missed == 1 else f"{event.missed} messages are missing"


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _seconds(start: datetime.datetime, end: datetime.datetime) -> float:
    """From one time to the other; none if the second is earlier, as the clocks of two machines may have it. In whole seconds of both,
    since that is all that most jobs tell."""
    return max(0.0, (end.replace(microsecond=0) - start.replace(microsecond=0)).total_seconds())


def _number(value: Any) -> Optional[float]:
    """Another program's idea of a number may not be one."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:
        return None


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _result(result: Any) -> str:
    """What a job says that came out of it. That a command has exited with 0 is no news once it is done."""
    return "" if result == {"exit": 0} else _text(result)
