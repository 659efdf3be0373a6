"""What the messages of a stream add up to: the part that all views share. Knows nothing of how it is shown."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Optional

from ..events import CutOff, Ended, Event, Header, Lost, Message, is_last
from ..monitor import Abort, Complete, Error, Improvement, Join, Log, Progress, Start


# Control characters, which a terminal would obey, and halves of surrogate pairs, which cannot be encoded.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass
class State:
    """How far one stream is."""

    stream: str
    title: str = ""
    k: float = 0
    total: Optional[float] = None
    units: str = ""
    text: str = ""
    best: Any = None
    #: "waiting" for its first word, "running", "complete", "aborted", "failed", "ended", or "gone" for a lost connection.
    outcome: str = "waiting"
    #: Nothing more comes.
    over: bool = False

    def take(self, event: Event) -> Optional[str]:
        """Takes an event into account. What is returned is a line for people, or several."""
        said = self._take(event)
        return None if said is None else _UNPRINTABLE.sub("\ufffd", said)

    def _take(self, event: Event) -> Optional[str]:
        if isinstance(event, (Header, Message)):
            return self._message(event.message)
        if isinstance(event, Ended):
            said = self._message(event.message) if event.message is not None else None
            if self.outcome in ("waiting", "running", "gone"):
                self.outcome = "ended"
            self.over = True
            return said
        if isinstance(event, (CutOff, Lost)):
            self.outcome, self.text = "gone", event.reason
            self.over = is_last(event)
            return event.reason
        return None

    def _message(self, message: Any) -> Optional[str]:
        if isinstance(message, dict) and _number(message.get("k")) is not None:
            # As good as a Progress: what ``msgstream listen`` draws a bar of.
            self.title = _text(message.get("title")) or self.title
            message = Progress(message["k"], message.get("total"), message.get("units"), message.get("text"))
        if isinstance(message, Log):
            return f"{message.level}: {message.text}" if message.level else str(message.text)
        if self.outcome in ("waiting", "gone"):
            self.outcome, self.text = "running", ""
        if isinstance(message, Start):
            self.title, self.k, self.total, self.units = _text(message.title), 0, _number(message.total), _text(message.units)
        elif isinstance(message, Join):
            self.title, self.k, self.total = _text(message.title), _number(message.k) or 0, _number(message.total)
            self.units, self.text = _text(message.units), _text(message.more.get("text"))
            best = message.more.get("improvement")
            self.best = best.get("value") if isinstance(best, dict) else None
        elif isinstance(message, Progress):
            self.k, self.text = _number(message.k) or 0, _text(message.text)
            self.total = _number(message.total) if message.total is not None else self.total
            self.units = _text(message.units) or self.units
        elif isinstance(message, Improvement):
            self.best = message.value
        elif isinstance(message, Complete):
            self.outcome, self.text = "complete", ""
            self.k = self.total if self.total is not None else self.k
        elif isinstance(message, Abort):
            self.outcome, self.text = "aborted", _text(message.reason)
        elif isinstance(message, Error):
            self.outcome, self.text = "failed", _text(message.reason)
            return _text(message.traceback) or _text(message.reason)
        else:
            return str(message)
        return None

    @property
    def label(self) -> str:
        """What it is called."""
        return _one_line(self.title or self.stream)

    @property
    def summary(self) -> str:
        """How it is, in a few words."""
        count = _count(self.k) if self.total is None else f"{_count(self.k)}/{_count(self.total)}"
        # A job that counts nothing, or has not said so far, is not at 0.
        parts = [f"{count} {self.units}".strip() if self.k or self.total is not None else ""]
        best = f"{self.best:g}" if isinstance(self.best, float) else self.best
        parts.append(f"best {best}" if best is not None else "")
        parts.append(self.outcome if self.outcome != "running" else "")
        parts.append(self.text)
        return _one_line(", ".join(part for part in parts if part))


def _count(value: float) -> str:
    """A whole number with all its digits, as far as people read them."""
    return str(int(value)) if abs(value) < 1e15 and value == int(value) else f"{value:g}"


def _one_line(text: str) -> str:
    return _UNPRINTABLE.sub("\ufffd", text.replace("\n", "\ufffd"))


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
