"""Which prefixes one connection listens to, and for whom. Values in, values out."""

from __future__ import annotations

from typing import Callable, Collection, Dict, Generic, Iterator, List, Optional, Set, Tuple, TypeVar

T = TypeVar("T")


def matches(prefix: str, stream: str) -> bool:
    """Whether a stream is one of the prefix. The broker's own are matched only by what begins as they do."""
    return stream.startswith(prefix) and (prefix.startswith("$") or not stream.startswith("$"))


class Prefixes(Generic[T]):
    """Who wants the streams of a prefix. The lists are replaced, never changed, so a copy needs only the dictionaries."""

    def __init__(self) -> None:
        self._wanted: Dict[str, List[T]] = {}
        #: Who has not been told yet of all streams that there were.
        self._joining: Set[Tuple[str, T]] = set()
        #: Who has been given up at single streams, until those end.
        self._left: Dict[str, Set[T]] = {}
        #: Of those who have not been told of all streams: who has been told that this one has ended.
        self._ended: Dict[str, Set[T]] = {}

    def __bool__(self) -> bool:
        return bool(self._wanted)

    def __iter__(self) -> "Iterator[Tuple[str, List[T]]]":
        return iter(list(self._wanted.items()))

    def add(self, prefix: str, target: T) -> None:
        """From now on the target wants the streams of the prefix."""
        self._wanted[prefix] = [*self._wanted.get(prefix, ()), target]
        self._joining.add((prefix, target))

    def told(self, prefix: str, target: T) -> None:
        """The target has been told of all streams that there were."""
        self._joining.discard((prefix, target))
        if self._ended and not any(target == other for _, other in self._joining):
            self._ended = {stream: others - {target} for stream, others in self._ended.items() if others - {target}}

    def is_joining(self, prefix: str, target: T) -> bool:
        """Whether that has yet to be done."""
        return (prefix, target) in self._joining

    def matching(self, stream: str, settled: bool = False) -> "List[T]":
        """Who wants a stream; only those who have been told of all that there were, if they are ``settled``."""
        left = self._left.get(stream, ())
        wants: Dict[T, None] = {}
        for prefix, targets in self._wanted.items():
            if matches(prefix, stream):
                wants.update((target, None) for target in targets if target not in left and not (settled and (prefix, target) in self._joining))
        return list(wants)

    def beside(self, prefix: str) -> "List[T]":
        """Who wants streams of which some are, or would be, of this prefix too."""
        return [target for other, targets in self._wanted.items() if other.startswith(prefix) or prefix.startswith(other) for target in targets]

    def leave(self, prefix: Optional[str], which: "Optional[Callable[[T], bool]]") -> List[str]:
        """Who leaves. Returns the prefixes that nobody wants any more."""
        left_alone = []
        for name in [prefix] if prefix is not None else list(self._wanted):
            targets = self._wanted.get(name)
            if targets is None:
                continue
            stay = [target for target in targets if which is not None and not which(target)]
            self._joining.difference_update((name, target) for target in targets if target not in set(stay))
            if stay:
                self._wanted[name] = stay
            else:
                del self._wanted[name]
                left_alone.append(name)
        if self._left or self._ended:
            here = {target for targets in self._wanted.values() for target in targets}
            self._left = {stream: left & here for stream, left in self._left.items() if left & here}
            self._ended = {stream: told & here for stream, told in self._ended.items() if told & here}
        return left_alone

    def leave_stream(self, stream: str, target: T, most: int) -> None:
        """The target gets nothing more of this stream, until that has ended. Of more than so many streams the first is forgotten."""
        self._left[stream] = {*self._left.pop(stream, ()), target}
        while len(self._left) > most:
            del self._left[next(iter(self._left))]

    def over(self, stream: str) -> None:
        """The stream has ended, or is forgotten. Should it come again, it is for everybody."""
        self._left.pop(stream, None)

    def tell_end(self, stream: str, targets: "Collection[T]", most: int) -> None:
        """These have been told that a run of the stream has ended. Of more than so many streams the first is forgotten."""
        self._ended.pop(stream, None)
        joining = {target for _, target in self._joining}.intersection(targets)
        if joining:
            self._ended[stream] = joining
        while len(self._ended) > most:
            del self._ended[next(iter(self._ended))]

    def told_end(self, stream: str) -> "List[T]":
        """Who has been told that the last run of the stream has ended: all who have been told of all streams, and others."""
        return [*self.matching(stream, settled=True), *self._ended.get(stream, ())]

    def copy(self) -> "Prefixes[T]":
        """As it is now."""
        copied: Prefixes[T] = Prefixes()
        copied._wanted, copied._joining = self._wanted.copy(), self._joining.copy()
        copied._left, copied._ended = self._left.copy(), self._ended.copy()
        return copied
