"""Objects as messages: ``{".class": "my.message", ".version": "0.0", ".state": {...}}``.

Dataclasses travel so by themselves. To come back as objects their class must be registered in the listening program; one that
is not stays a dictionary. Nothing that arrives ever names a class to import, so a stream cannot run code in its listeners.

    @serial.register("fit.Point", version="1.0")
    @dataclass
    class Point:
        x: float
        sigma: float
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Set, Type, TypeVar, Union, overload

T = TypeVar("T")

#: From an object to its state, which may hold anything that can be encoded.
ToState = Callable[[Any], Any]
#: From a state and its version to an object. Whatever it raises means that the message stays a dictionary.
FromState = Callable[[Any, str], Any]


class Registration(NamedTuple):
    """How one class travels."""

    name: str
    version: str
    to_state: ToState
    from_state: FromState


#: What JSON has itself. Its subclasses would travel as that, if nobody looked for them.
_NATIVE = (dict, list, tuple, str, int, float)

_by_class: Dict[type, Registration] = {}
_by_name: Dict[str, Registration] = {}

#: The registered classes among those subclasses.
natives: Set[type] = set()


@overload
def register(cls: Type[T]) -> Type[T]: ...


@overload
def register(
    cls: Optional[str] = None, *, version: str = ..., to_state: Optional[ToState] = ..., from_state: Optional[FromState] = ...
) -> Callable[[Type[T]], Type[T]]: ...


@overload
def register(
    cls: Type[T], name: str, *, version: str = ..., to_state: Optional[ToState] = ..., from_state: Optional[FromState] = ...
) -> Type[T]: ...


def register(
    cls: Union[Type[T], str, None] = None,
    name: Optional[str] = None,
    *,
    version: str = "0.0",
    to_state: Optional[ToState] = None,
    from_state: Optional[FromState] = None,
) -> Union[Type[T], Callable[[Type[T]], Type[T]]]:
    """Lets objects of a class come back as objects. A decorator, bare or with a name, or a plain call.

    Without ``name`` it is the class's module and name. Without ``to_state`` and ``from_state``, the state of a dataclass is its
    fields, as that of a named tuple; that of an enum is its value, and that of other classes what they pickle: ``__getstate__``
    and ``__setstate__`` or their attributes. Fields that a dataclass or named tuple does not know, from a newer program, are left
    out. Other subclasses of what JSON has itself, such as ``dict`` or ``int``, need both functions; those types themselves cannot
    be registered, which is a TypeError.
    """
    if not isinstance(cls, type):
        called = cls or name
        return lambda cls: _register(cls, called, version, to_state, from_state)
    return _register(cls, name, version, to_state, from_state)


def _register(cls: Type[T], name: Optional[str], version: str, to_state: Optional[ToState], from_state: Optional[FromState]) -> Type[T]:
    if cls in (*_NATIVE, bool, type(None)):
        raise TypeError(f"{cls.__name__} is what JSON has itself, and travels as that; register a class of your own")
    usual_to, usual_from = _usual(cls, to_state is None or from_state is None)
    registration = Registration(name or _name(cls), version, to_state or usual_to, from_state or usual_from)
    other = _by_name.get(registration.name)
    if other is not None and _by_class.get(cls) is not other:
        # A class that is defined again, as in a notebook, replaces its former self.
        former = next(known for known, registered in _by_class.items() if registered is other)
        if _name(former) != _name(cls):
            raise ValueError(f"{registration.name!r} is registered for {_name(former)} already")
        unregister(former)
    _by_class[cls] = _by_name[registration.name] = registration
    if issubclass(cls, _NATIVE):
        natives.add(cls)
    return cls


def _usual(cls: Type[Any], needed: bool) -> "tuple[ToState, FromState]":
    """How objects of a class travel if nothing else is said."""
    if dataclasses.is_dataclass(cls):
        return _fields, _from_fields(cls)
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return lambda value: value._asdict(), _from_named(cls)
    if issubclass(cls, enum.Enum):
        return lambda value: value.value, lambda state, version: cls(state)
    if needed and issubclass(cls, _NATIVE):
        base = next(native.__name__ for native in _NATIVE if issubclass(cls, native))
        raise TypeError(f"{_name(cls)} is a {base} with more to it; say with to_state and from_state how it travels")
    return _pickled, _unpickled(cls)


def unregister(cls: type) -> None:
    """Forgets a class. No error if it is not registered."""
    registration = _by_class.pop(cls, None)
    natives.discard(cls)
    if registration is not None:
        _by_name.pop(registration.name, None)


def to_wire(value: Any) -> Optional[Dict[str, Any]]:
    """The form in which an object travels, or None if it is neither registered nor a dataclass."""
    registration = _by_class.get(type(value))
    if registration is not None:
        name, version, state = registration.name, registration.version, registration.to_state(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        name, version, state = _name(type(value)), "0.0", _fields(value)
    else:
        return None
    return {".class": name, ".version": version, ".state": state}


def from_wire(value: Dict[str, Any]) -> Any:
    """The object that a decoded dictionary stands for, or the dictionary itself."""
    name = value.get(".class")
    if not isinstance(name, str):
        return value
    registration = _by_name.get(name)
    if registration is None:
        return value
    try:
        return registration.from_state(value.get(".state"), str(value.get(".version", "0.0")))
    except Exception:
        # Another program's idea of this class. What it says is still there to be seen.
        return value


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _fields(value: Any) -> Dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _from_fields(cls: Type[T]) -> FromState:
    known = [field for field in dataclasses.fields(cls)]  # type: ignore[arg-type]

    def from_state(state: Mapping[str, Any], version: str) -> T:
        made = cls(**{field.name: state[field.name] for field in known if field.init and field.name in state})
        for field in known:
            if not field.init and field.name in state:
                # Also for frozen dataclasses.
                object.__setattr__(made, field.name, state[field.name])
        return made

    return from_state


def _from_named(cls: Type[Any]) -> FromState:
    known = cls._fields

    def from_state(state: Mapping[str, Any], version: str) -> Any:
        return cls(**{name: value for name, value in state.items() if name in known})

    return from_state


def _pickled(value: Any) -> Any:
    own = getattr(type(value), "__getstate__", None)
    # Since Python 3.11 every object has a __getstate__, which does more than is wanted here.
    if own is not None and own is not getattr(object, "__getstate__", None):
        return value.__getstate__()
    return dict(vars(value))


def _unpickled(cls: Type[T]) -> FromState:
    def from_state(state: Any, version: str) -> T:
        made = cls.__new__(cls)
        if hasattr(made, "__setstate__"):
            made.__setstate__(state)
        else:
            vars(made).update(state)
        return made

    return from_state
