"""Waiting for what must come, with a deadline."""

import os
import threading
import time
from typing import Callable, Optional, TypeVar

T = TypeVar("T")

#: Beyond it something hangs. Tests that pass never wait that long.
DEADLINE = float(os.environ.get("NODES_DEADLINE", "60"))


class Late(AssertionError):
    """Something did not come in time."""


def until(condition: Callable[[], Optional[T]], what: str, deadline: float = DEADLINE) -> T:
    """Waits until a condition holds, and returns what it gave."""
    end, pause = time.monotonic() + deadline, threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Late(f"in {deadline:.0f} s it did not come to it: {what}")
        pause.wait(0.02)


def holds_for(seconds: float, condition: Callable[[], object], what: str) -> None:
    """Fails if a condition ceases to hold within a time."""
    end, pause = time.monotonic() + seconds, threading.Event()
    while time.monotonic() < end:
        assert condition(), f"it was to stay so for {seconds:.0f} s: {what}"
        pause.wait(0.05)
