"""What stands for a message or header that was not given, since None is one: JSON's null."""

from __future__ import annotations

import enum
from typing import Any


class Absent(enum.Enum):
    """The class of ``ABSENT``: an enum, for that is one and the same in every process and in every copy."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Any = Absent.ABSENT
