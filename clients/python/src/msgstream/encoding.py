"""Messages to and from JSON text.

What Python programs hold is more than JSON knows: ``values`` has the form of each. This is the walk through a message, which
finds what cannot be sent and says where it stands.
"""

from __future__ import annotations

import enum
import json
import re
from typing import Any, Callable, Dict, Iterable, List, Literal, Optional, Protocol

from . import serial
from .errors import EncodeError
from .events import Undecodable
from .values import missing, refused, simpler


class Codec(Protocol):
    """What can take the place of ``msgstream.codec``: an object, or a class with static methods."""

    def encode(self, message: Any) -> str:
        """The JSON text of a message, on one line."""

    def decode(self, text: str) -> Any:
        """The message of a JSON text."""


#: What becomes of missing values: they are refused, or null.
Nan = Literal["error", "null"]

#: What JSON has itself.
_PLAIN = (str, int, float, bool, type(None))
_EXACTLY_PLAIN = frozenset(_PLAIN)
_TEXT = frozenset([str])
_CONTAINERS = (dict, list, tuple)

#: Halves of surrogate pairs, which Python strings may hold and UTF-8 may not.
_SURROGATES = re.compile("[\ud800-\udfff]")


class JsonCodec:
    """The usual codec. ``nan`` is ``"error"`` or ``"null"``: what becomes of NaN, infinity and all that is missing."""

    def __init__(self, nan: str = "error") -> None:
        if nan not in ("error", "null"):
            raise ValueError(f'nan is "error" or "null", not {nan!r}')
        self._null = nan == "null"
        self._encoder = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_default)
        self._values = json.JSONDecoder()
        self._objects = json.JSONDecoder(object_hook=serial.from_wire)

    def encode(self, message: Any) -> str:
        """The JSON text of a message. Raises EncodeError with the path of what cannot be encoded."""
        try:
            text = None if _is_delicate(message) else self._encoder.encode(message)
        except Exception:
            text = None
        if text is None:
            # Only now is the path worth finding out, and what the encoder cannot do by itself worth doing: its keys.
            text = self._encode_slowly(message)
        if not text.isascii():
            # They stand in strings only, where an escape means the same.
            text = _SURROGATES.sub(lambda half: f"\\u{ord(half.group()):04x}", text)
        return text

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
        native = type(value) in serial.natives
        name = missing(value)
        if name is not None:
            if self._null:
                return None
            raise EncodeError(path, refused(value, name).problem)
        if isinstance(value, _PLAIN) and not native:
            return value
        if id(value) in above:
            raise EncodeError(path, "contains itself")
        above.append(id(value))
        try:
            if isinstance(value, dict) and not native:
                return self._object(value, path, above)
            if isinstance(value, (list, tuple)) and not native:
                return [self._plain(item, f"{path}[{at}]", above) for at, item in enumerate(value)]
            try:
                wire = serial.to_wire(value)
                if wire is None:
                    value = simpler(value)
            except EncodeError as error:
                raise EncodeError(path, error.problem) from None
            except Exception as error:
                raise EncodeError(path, f"cannot be encoded: {type(error).__name__}: {error}") from error
            if wire is None:
                return self._plain(value, path, above)
            # The path is the program's: its objects have attributes, and no ".state".
            wire[".state"] = self._plain(wire[".state"], path, above)
            return wire
        finally:
            above.pop()

    def _object(self, value: Dict[Any, Any], path: str, above: List[int]) -> Dict[str, Any]:
        plain: Dict[str, Any] = {}
        given: Dict[str, Any] = {}
        for key, item in value.items():
            text = _key(key, path)
            if text in given:
                raise EncodeError(path, f"has the keys {given[text]!r} and {key!r}, which are one key in JSON")
            given[text] = key
            plain[text] = self._plain(item, path + _step(key), above)
        return plain


def decoder(codec: Codec) -> Callable[[str], Any]:
    """The codec's ``decode`` as listeners use it: what it cannot decode is shown as that, for one publisher's mistake must not
    end its listeners."""

    def decode(text: str) -> Any:
        try:
            return codec.decode(text)
        except Exception as error:
            return Undecodable(text, f"{type(error).__name__}: {error}")

    return decode


def _default(value: Any) -> Any:
    """What the encoder asks for when it does not know a value."""
    simple = simpler(value)
    if _is_delicate(simple):
        raise EncodeError("", "needs the slow way")
    return simple


def _is_delicate(value: Any) -> bool:
    """Whether the encoder would write this without asking, and wrongly: a key twice, or an object of a registered class as the
    number, text or list that it is as well."""
    items: Iterable[Any]
    if isinstance(value, dict):
        if not _TEXT.issuperset(map(type, value)) and _is_doubled(value):
            return True
        items = value.values()
    elif isinstance(value, (list, tuple)):
        items = value
    else:
        return type(value) in serial.natives
    if serial.natives and (type(value) in serial.natives or not serial.natives.isdisjoint(map(type, items))):
        return True
    return not _EXACTLY_PLAIN.issuperset(map(type, items)) and any(_is_delicate(item) for item in items if isinstance(item, _CONTAINERS))


def _is_doubled(keys: Dict[Any, Any]) -> bool:
    """Whether some keys are one in JSON, or this has to be found out slowly."""
    texts = [_text(key) for key in keys]
    return None in texts or len(set(texts)) < len(texts)


def _key(key: Any, path: str) -> str:
    """A key as JSON has it: as text."""
    for _ in range(4):
        name = missing(key)
        if name is not None:
            raise EncodeError(path, f"has the key {name}, which JSON does not know")
        text = _text(key)
        if text is not None:
            return text
        try:
            key = simpler(key)
        except EncodeError:
            break
    raise EncodeError(path, f"has a key of type {type(key).__name__}; a key is a string or a number")


def _text(key: Any) -> Optional[str]:
    """The text of a key that JSON knows."""
    if isinstance(key, enum.Enum) or not isinstance(key, _PLAIN):
        return None
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, bool):
        return "true" if key else "false"
    if key is None:
        return "null"
    return int.__repr__(key) if isinstance(key, int) else float.__repr__(key)


def _step(key: Any) -> str:
    if isinstance(key, str):
        return f".{key}" if key.isidentifier() else f"[{json.dumps(key)}]"
    return f"[{key!s}]"
