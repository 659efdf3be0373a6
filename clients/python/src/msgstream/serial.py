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
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Type, TypeVar, Union, overload

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


_by_class: Dict[type, Registration] = {}
_by_name: Dict[str, Registration] = {}


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
    fields, and that of other classes what they pickle: ``__getstate__`` and ``__setstate__`` or their attributes. Fields that a
    dataclass does not know, from a newer program, are left out.
    """
    if not isinstance(cls, type):
        called = cls or name
        return lambda cls: _register(cls, called, version, to_state, from_state)
    return _register(cls, name, version, to_state, from_state)


def _register(cls: Type[T], name: Optional[str], version: str, to_state: Optional[ToState], from_state: Optional[FromState]) -> Type[T]:
    fields = dataclasses.is_dataclass(cls)
    registration = Registration(
        name or _name(cls),
        version,
        to_state or (_fields if fields else _pickled),
        from_state or (_from_fields(cls) if fields else _unpickled(cls)),
    )
    other = _by_name.get(registration.name)
    if other is not None and _by_class.get(cls) is not other:
        # A class that is defined again, as in a notebook, replaces its former self.
        former = next(known for known, registered in _by_class.items() if registered is other)
        if _name(former) != _name(cls):
            raise ValueError(f"{registration.name!r} is registered for {_name(former)} already")
        del _by_class[former]
    _by_class[cls] = _by_name[registration.name] = registration
    return cls


def unregister(cls: type) -> None:
    """Forgets a class. No error if it is not registered."""
    registration = _by_class.pop(cls, None)
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
