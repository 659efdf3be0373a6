"""What becomes of values that JSON does not know: each kind has one form, and all that is missing is one kind.

Nothing of numpy or pandas is imported here: their values are known by what they have.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import math
import os
import uuid
from collections import deque
from collections.abc import Mapping
from typing import Any, List, Optional

from . import serial
from .errors import EncodeError

_CURE = 'use nan="null" to send it as null'

#: The kinds of numpy's own arrays that have no room for a None.
_NEVER_NONE = "biufcSU"

_PANDAS_MISSING = {"NaTType": "NaT", "NAType": "NA"}


class _NoneInArray:
    """Stands for a None in an array, where it means that there is no value. Elsewhere None is simply null."""


_NONE_IN_ARRAY = _NoneInArray()


def missing(value: Any) -> Optional[str]:
    """What a value is called that is no number, or no date, though its type is that of one; None for all others."""
    if isinstance(value, float):
        return None if math.isfinite(value) else _called(math.isnan(value), value > 0)
    if isinstance(value, decimal.Decimal):
        return None if value.is_finite() else _called(value.is_nan(), not value.is_signed())
    if value is _NONE_IN_ARRAY:
        return "None in an array"
    kind = type(value)
    if kind.__module__.partition(".")[0] == "pandas":
        return _PANDAS_MISSING.get(kind.__name__)
    if _kind(value) in ("M", "m") and getattr(value, "ndim", None) == 0 and str(value) == "NaT":
        return "NaT"
    return None


def refused(value: Any, name: str) -> EncodeError:
    """The error for a missing value, of which ``missing`` gave the name."""
    return EncodeError("", f"is {name}; {_CURE}")


def simpler(value: Any) -> Any:
    """One step from what JSON does not know to what it does. Raises EncodeError where there is none, as for a missing value."""
    wire = serial.to_wire(value)
    if wire is not None:
        return wire
    name = missing(value)
    if name is not None:
        raise refused(value, name)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (set, frozenset)):
        try:
            return sorted(value)
        except TypeError:
            return list(value)
    if isinstance(value, (decimal.Decimal, fractions.Fraction, uuid.UUID)):
        # As text, for as a number the digits would be lost.
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (deque, range)):
        return list(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise EncodeError("", "is bytes, which JSON does not know; send base64.b64encode(...).decode(), or text")
    if isinstance(value, complex):
        raise EncodeError("", "is complex, which JSON does not know; send [z.real, z.imag]")
    return _from_array(value)


def _from_array(value: Any) -> Any:
    """Numbers and arrays of numpy, and of whatever else has its ``tolist``."""
    own = type(value).__module__ == "numpy"
    kind = _kind(value)
    if own and kind in ("M", "m"):
        return _from_times(value, kind)
    tolist = getattr(value, "tolist", None)
    if not callable(tolist):
        kind_of = type(value)
        raise EncodeError(
            "", f"is a {kind_of.__module__}.{kind_of.__qualname__}, which does not encode; see msgstream.serial.register"
        )
    plain = tolist()
    if type(plain) is type(value):
        # A longdouble gives itself.
        return float(value)
    if own and kind in _NEVER_NONE:
        return plain
    return _without_none(plain, getattr(value, "ndim", 1))


def _from_times(value: Any, kind: str) -> Any:
    """Dates as ISO 8601, times in seconds, which ``tolist`` would turn into bare numbers of some unit."""
    if value.ndim > 0:
        # One by one: each may be NaT.
        return list(value)
    if kind == "M":
        return str(value)
    unit = value.dtype.str.partition("[")[2].rstrip("]")
    if not unit or unit.endswith(("Y", "M")):
        raise EncodeError("", f"is a timedelta64 in {unit or 'no unit'}, which is no number of seconds")
    # As a scalar, even if it was an array without dimensions.
    time = value[()]
    return float(time / type(time)(1, "s"))


def _without_none(plain: Any, depth: int) -> Any:
    """Arrays of objects and masked arrays say None where a value is missing. Whatever their objects hold is another matter."""
    if plain is None:
        return _NONE_IN_ARRAY
    if depth > 0 and isinstance(plain, list):
        found: List[Any] = [_without_none(each, depth - 1) for each in plain]
        return found
    return plain


def _kind(value: Any) -> str:
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return kind if isinstance(kind, str) else ""


def _called(nan: bool, positive: bool) -> str:
    return "NaN" if nan else "Infinity" if positive else "-Infinity"
