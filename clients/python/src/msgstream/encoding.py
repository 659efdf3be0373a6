"""Messages to and from JSON text.

What Python programs hold is more than JSON knows. Numbers and arrays of numpy, dates, paths, enums, sets and objects have one
defined form each; NaN and infinity are refused by name or become null, since JSON has neither.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import json
import math
import os
import uuid
from collections import deque
from collections.abc import Mapping
from typing import Any, Callable, List, Protocol

from . import serial
from .errors import EncodeError
from .events import Undecodable


class Codec(Protocol):
    """What can take the place of ``msgstream.codec``: an object, or a class with static methods."""

    def encode(self, message: Any) -> str:
        """The JSON text of a message, on one line."""

    def decode(self, text: str) -> Any:
        """The message of a JSON text."""


#: What plain JSON leaves over; an exact type found here needs no conversion.
_PLAIN = (str, int, float, bool, type(None))

_CURE = 'use nan="null" to send it as null'


class JsonCodec:
    """The usual codec. ``nan`` is ``"error"`` or ``"null"``: what becomes of NaN and infinity."""

    def __init__(self, nan: str = "error") -> None:
        if nan not in ("error", "null"):
            raise ValueError(f'nan is "error" or "null", not {nan!r}')
        self._null = nan == "null"
        # Text stays ASCII: lone surrogates, which Python strings may hold, are then escapes and valid UTF-8.
        self._encoder = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=_simpler)
        self._values = json.JSONDecoder()
        self._objects = json.JSONDecoder(object_hook=serial.from_wire)

    def encode(self, message: Any) -> str:
        """The JSON text of a message. Raises EncodeError with the path of what cannot be encoded."""
        try:
            return self._encoder.encode(message)
        except Exception:
            # Only now is the path worth finding out, and what the encoder cannot do by itself worth doing: its keys.
            return self._encode_slowly(message)

    def decode(self, text: str) -> Any:
        """The message of a JSON text, with objects of registered classes in it."""
        # The hook would be called for every dictionary; most messages have no object in them. An escape may hide a name.
        decoder = self._objects if '.class"' in text or "\\u" in text else self._values
        try:
            message, end = decoder.raw_decode(text)
        except ValueError:
            return decoder.decode(text)
        return message if end == len(text) else decoder.decode(text)

    def _encode_slowly(self, message: Any) -> str:
        try:
            return self._encoder.encode(self._plain(message, "", []))
        except RecursionError:
            raise EncodeError("", "is nested too deeply") from None
        except EncodeError:
            raise
        except Exception as error:
            raise EncodeError("", f"cannot be encoded: {error}") from error

    def _plain(self, value: Any, path: str, above: List[int]) -> Any:
        if type(value) is not float and isinstance(value, _PLAIN) and not isinstance(value, float):
            return value
        if isinstance(value, float):
            if math.isfinite(value):
                return value
            if self._null:
                return None
            raise EncodeError(path, f"is {_named(value)}; {_CURE}")
        if id(value) in above:
            raise EncodeError(path, "contains itself")
        above.append(id(value))
        try:
            if isinstance(value, dict):
                return {
                    self._key(key, path): self._plain(item, path + _step(key), above) for key, item in value.items()
                }
            if isinstance(value, (list, tuple)):
                return [self._plain(item, f"{path}[{at}]", above) for at, item in enumerate(value)]
            try:
                wire = serial.to_wire(value)
            except Exception as error:
                raise EncodeError(path, f"cannot be encoded: {type(error).__name__}: {error}") from error
            if wire is not None:
                # The path is the program's: its objects have attributes, and no ".state".
                wire[".state"] = self._plain(wire[".state"], path, above)
                return wire
            try:
                simpler = _simpler(value)
            except EncodeError as error:
                raise EncodeError(path, error.problem) from None
            except Exception as error:
                raise EncodeError(path, f"cannot be encoded: {type(error).__name__}: {error}") from error
            return self._plain(simpler, path, above)
        finally:
            above.pop()

    def _key(self, key: Any, path: str) -> Any:
        for _ in range(4):
            if isinstance(key, float) and not math.isfinite(key):
                raise EncodeError(path, f"has the key {_named(key)}, which JSON does not know")
            if isinstance(key, _PLAIN) and not isinstance(key, enum.Enum):
                return key
            try:
                key = _simpler(key)
            except EncodeError:
                break
        raise EncodeError(path, f"has a key of type {type(key).__name__}; a key is a string or a number")


def decoder(codec: Codec) -> Callable[[str], Any]:
    """The codec's ``decode`` as listeners use it: what it cannot decode is shown as that, for one publisher's mistake must not
    end its listeners."""

    def decode(text: str) -> Any:
        try:
            return codec.decode(text)
        except Exception as error:
            return Undecodable(text, f"{type(error).__name__}: {error}")

    return decode


def _simpler(value: Any) -> Any:
    """One step from what JSON does not know to what it does."""
    wire = serial.to_wire(value)
    if wire is not None:
        return wire
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
    """Numbers and arrays of numpy, and of whatever else has its ``tolist``, without importing any of it."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind in ("M", "m"):
        # Dates, which tolist would turn into bare numbers of some unit.
        text = value.astype(str)
        return text.tolist() if hasattr(text, "tolist") else str(text)
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
    return plain


def _named(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _step(key: Any) -> str:
    if isinstance(key, str):
        return f".{key}" if key.isidentifier() else f"[{json.dumps(key)}]"
    return f"[{key!s}]"
