"""Who waits at a stream while others get messages that those have had already. Values in, values out."""

from __future__ import annotations

from typing import Callable, Dict, Generic, Iterator, List, Tuple, TypeVar

T = TypeVar("T")

#: Those who have had all messages up to that number of the run already.
Group = Tuple[Tuple[T, ...], int]


class Ahead(Generic[T]):
    """Of all streams of one connection. The lists are replaced, never changed, so a copy needs only the dictionary."""

    def __init__(self) -> None:
        self._groups: Dict[str, List[Group[T]]] = {}

    def __bool__(self) -> bool:
        return bool(self._groups)

    def __contains__(self, stream: str) -> bool:
        return stream in self._groups

    def __iter__(self) -> Iterator[str]:
        return iter(self._groups)

    def targets(self, stream: str) -> "Tuple[T, ...]":
        """Who waits."""
        return tuple(target for targets, _ in self._groups.get(stream, ()) for target in targets)

    def had(self, stream: str) -> "Dict[T, int]":
        """How many messages of the run each of them has had."""
        return {target: until for targets, until in self._groups.get(stream, ()) for target in targets}

    def add(self, stream: str, targets: "Tuple[T, ...]", until: int) -> None:
        """These wait from now on."""
        self._groups[stream] = [*self._groups.get(stream, ()), (targets, until)]

    def caught_up(self, stream: str, reached: int) -> "Tuple[T, ...]":
        """The others are as far as these, who wait no longer."""
        groups = self._groups.get(stream, [])
        self._put(stream, [(targets, until) for targets, until in groups if until > reached])
        return tuple(target for targets, until in groups if until <= reached for target in targets)

    def overtaken(self, stream: str, reached: int) -> "List[Group[T]]":
        """By how many messages the others have come further than these."""
        return [(targets, reached - until) for targets, until in self._groups.get(stream, ()) if until < reached]

    def keep(self, stream: str, keep: "Callable[[T], bool]") -> None:
        """The others have left."""
        kept = [(tuple(target for target in targets if keep(target)), until) for targets, until in self._groups.get(stream, ())]
        self._put(stream, [(targets, until) for targets, until in kept if targets])

    def forget(self, stream: str) -> None:
        """Nobody waits."""
        self._groups.pop(stream, None)

    def copy(self) -> "Ahead[T]":
        """As it is now."""
        copied: Ahead[T] = Ahead()
        copied._groups = self._groups.copy()
        return copied

    def _put(self, stream: str, groups: "List[Group[T]]") -> None:
        if groups:
            self._groups[stream] = groups
        else:
            self._groups.pop(stream, None)
