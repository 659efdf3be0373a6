"""How a ``for`` loop was left, seen from the iterator that it goes through.

Python does not tell an iterator. After ``break``, ``return`` or an exception in the body, the loop drops it, and that is all. What
the loop was doing just then is in its frame, and tells an exception from the rest, though not which exception.
"""

from __future__ import annotations

import inspect
import opcode
import sys
from types import FrameType
from typing import Optional

#: The loop was left by ``break`` or ``return``.
ORDERLY = "orderly"
#: An exception came out of the body.
EXCEPTION = "exception"
#: The loop has ended, or, with ``zip`` and the like, another of its iterators: that one may have failed.
ENDED = "ended"
#: It cannot be told: what dropped the iterator was no loop, or a generator that somebody else stopped.
UNKNOWN = "unknown"

#: What ``break`` and ``return`` do to the iterator of their loop.
_DROPS = ("POP_TOP", "POP_ITER")

#: Where a loop takes the next item.
_TAKES = "FOR_ITER"

#: What waits in its middle, and may be stopped there.
_STOPPABLE = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_WAITS = ("YIELD_VALUE", "RESUME", "SEND", "YIELD_FROM")


class Loop:
    """A loop, from the frame that takes the first item."""

    def __init__(self, frame: Optional[FrameType]) -> None:
        # Not the frame: it would keep alive all that it holds.
        self._frame = id(frame) if frame is not None and _instruction(frame) == _TAKES else None

    def left(self, frame: Optional[FrameType]) -> str:
        """How it was left, from the frame that is running when the iterator is dropped."""
        if frame is None or id(frame) != self._frame:
            return UNKNOWN
        instruction = _instruction(frame)
        if instruction in _DROPS:
            return ORDERLY
        if instruction == _TAKES:
            return ENDED
        if frame.f_code.co_flags & _STOPPABLE and instruction in _WAITS:
            return UNKNOWN
        return EXCEPTION


def last_uncaught() -> Optional[BaseException]:
    """The exception that Python, or a notebook, has shown as the end of the program, or of the cell."""
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return error if isinstance(error, BaseException) else None


def _instruction(frame: FrameType) -> str:
    return opcode.opname[frame.f_code.co_code[frame.f_lasti]] if frame.f_lasti >= 0 else ""
