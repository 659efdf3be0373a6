"""Handing events to those who listen, apart from receiving them: whoever takes long holds up nobody else, and never the answers to
what is published."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Callable, Deque, Dict, List, Optional, Set, Tuple, Union

from .events import CutOff, Event, Message, Skipped
from .newest import Newest
from .sinks import Target

log = logging.getLogger("msgstream")

#: A thread that has had nothing to do for so long ends, in seconds.
_IDLE = 10.0

#: A full inbox of which nothing is taken for so long is given up, in seconds. Until then nothing else is received either.
_PATIENCE = 2.0

#: An inbox has room for so much at least, in bytes: one whose owner publishes may need answers that come behind it.
_LEAST = 1 << 20

#: What an event takes beside its text; about.
_OVERHEAD = 200

#: Called for one that listens no more to a stream, and whether that is because it takes too long. Returns the prefixes that it listens to no
#: more for that.
Drop = Callable[[Target, str, bool], List[str]]


#: For whom, and of which stream.
_Key = Tuple[Target, str]


#: For whom, what, and its size.
_Item = Tuple[Target, Union[Event, Newest], int]


class _Inbox:
    """What waits for one queue, from all streams that it listens to, in order."""

    __slots__ = ("key", "items", "newest", "size", "taken", "busy", "cut")

    def __init__(self, key: int) -> None:
        self.key = key
        self.items: Deque[_Item] = deque()
        #: What may still be replaced.
        self.newest: Dict[_Key, Newest] = {}
        self.size = 0
        #: How much has been handed over, in bytes since the beginning.
        self.taken = 0
        #: A thread hands events over, or will.
        self.busy = False
        #: Whose events are given up, by stream.
        self.cut: Set[Tuple[Target, str]] = set()


class Deliveries:
    """The inboxes of one client. ``limit`` is what may wait in each, in bytes."""

    def __init__(self, name: str, limit: int, drop: Drop) -> None:
        self._name = name
        self._limit = max(limit, _LEAST)
        self._drop = drop
        self._lock = threading.Lock()
        #: For the threads that hand over.
        self._work = threading.Condition(self._lock)
        #: For those who wait until something has been handed over.
        self._room = threading.Condition(self._lock)
        self._inboxes: Dict[int, _Inbox] = {}
        self._ready: Deque[_Inbox] = deque()
        self._threads: Set[threading.Thread] = set()
        self._idle = 0
        #: How many wait for room.
        self._waits = 0

    def put(self, targets: "Tuple[Target, ...]", event: Event, length: int = 0) -> None:
        """An event whose text is so long, for these. One whose inbox is full gets it no more, and nothing after it but a ``CutOff``."""
        dropped = []
        with self._lock:
            for target in targets:
                inbox = self._inboxes.get(id(target.queue))
                if inbox is None:
                    inbox = self._inboxes[id(target.queue)] = _Inbox(id(target.queue))
                if inbox.cut and (target, event.stream) in inbox.cut:
                    continue
                given, size = event, length + _OVERHEAD
                key = (target, event.stream) if target.latest else None
                if inbox.size + size > self._limit and not self._has_room(inbox, size, key):
                    inbox.cut.add((target, event.stream))
                    dropped.append(target)
                    given, size = self._too_slow(event.stream), _OVERHEAD
                # It may have been done with, and forgotten, while there was a wait for room.
                self._append(self._inboxes.setdefault(inbox.key, inbox), target, given, size, key)
            self._call()
        for target in dropped:
            # Else each stream of a prefix would wait for it anew.
            prefixes = self._drop(target, event.stream, True)
            with self._lock:
                for prefix in prefixes:
                    inbox = self._inboxes.setdefault(id(target.queue), _Inbox(id(target.queue)))
                    self._append(inbox, target, self._too_slow(prefix), _OVERHEAD, None)
                self._call()

    def _append(self, inbox: _Inbox, target: Target, event: Event, size: int, key: Optional[_Key]) -> None:
        """Called with the lock held."""
        if key is None:
            inbox.items.append((target, event, size))
            inbox.size += size
        else:
            _put_newest(inbox, key, event, size)
        if not inbox.busy:
            inbox.busy = True
            self._ready.append(inbox)

    def _too_slow(self, stream: str) -> CutOff:
        reason = f"more than {self._limit} bytes waited for this listener, the most allowed (options.queue); take messages faster"
        return CutOff(stream, "slow_listener", reason)

    def _has_room(self, inbox: _Inbox, size: int, key: Optional[_Key]) -> bool:
        """Waits for room as long as the queue takes something every now and then; what would be replaced takes none. Called with the lock
        held, which it gives up meanwhile."""
        if _has_room(inbox, size, key, self._limit):
            return True
        if threading.current_thread() in self._threads:
            return False
        self._call()
        self._waits += 1
        try:
            while not _has_room(inbox, size, key, self._limit):
                before = inbox.taken
                if not self._room.wait_for(lambda: inbox.taken > before or not inbox.size, _PATIENCE):
                    return False
            return True
        finally:
            self._waits -= 1

    def settle(self, deadline: float) -> None:
        """Waits until all has been handed over; not if it is called while that is done."""
        with self._lock:
            if threading.current_thread() not in self._threads:
                self._room.wait_for(lambda: not self._inboxes, max(0.0, deadline - time.monotonic()))

    def _call(self) -> None:
        """Sees to it that somebody works. Called with the lock held."""
        if self._idle:
            self._work.notify(min(self._idle, len(self._ready)))
        elif self._ready:
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._threads.add(thread)
            try:
                thread.start()
            except RuntimeError:
                # The interpreter is shutting down: nobody will take them.
                self._threads.discard(thread)

    def _run(self) -> None:
        me = threading.current_thread()
        while True:
            with self._lock:
                if not self._ready:
                    self._idle += 1
                    self._work.wait_for(lambda: self._ready, _IDLE)
                    self._idle -= 1
                    if not self._ready:
                        self._threads.discard(me)
                        return
                inbox = self._ready.popleft()
                items, inbox.items = inbox.items, deque()
                if self._ready:
                    # What this one takes may take long.
                    self._call()
            self._hand_over(inbox, items)

    def _hand_over(self, inbox: _Inbox, items: "Deque[_Item]") -> None:
        failed: "Dict[_Key, None]" = {}
        settled = inbox.taken
        for target, event, size in items:
            if isinstance(event, Newest):
                with self._lock:
                    # Until here it could be replaced. It is counted no longer: while it is handed over, the next one waits.
                    events, size = event.events(), event.size
                    if inbox.newest.get((target, event.stream)) is event:
                        del inbox.newest[target, event.stream]
                    inbox.size -= size
                    settled += size
            else:
                events = [event]
            # One thread alone writes these.
            inbox.taken += size
            if self._waits:
                with self._lock:
                    inbox.size -= inbox.taken - settled
                    settled = inbox.taken
                    self._room.notify_all()
            if failed and (target, event.stream) in failed:
                continue
            try:
                for each in events:
                    target.deliver(each)
            except BaseException:
                # Its owner's mistake, or its way to stop. The other streams, and what is published, go on.
                log.exception("a queue that listens to %r failed and is hung up from it", event.stream)
                failed[target, event.stream] = None
        for target, stream in failed:
            self._drop(target, stream, False)
            self._tell_failed(target, stream)
        with self._lock:
            inbox.size -= inbox.taken - settled
            if self._waits:
                self._room.notify_all()
            if inbox.items:
                self._ready.append(inbox)
                return
            # Nothing is kept of a queue that nothing waits for.
            inbox.busy = False
            del self._inboxes[inbox.key]
            if not self._inboxes:
                self._room.notify_all()

    def _tell_failed(self, target: Target, stream: str) -> None:
        """It gets nothing more of that stream, and is told so if it can take that."""
        try:
            target.deliver(CutOff(stream, "listener_failed", "its put raised an exception"))
        except BaseException:
            log.debug("it could not be told", exc_info=True)


def _has_room(inbox: _Inbox, size: int, key: Optional[_Key], limit: int) -> bool:
    newest = None if key is None else inbox.newest.get(key)
    others = inbox.size - (0 if newest is None else newest.size)
    return not others or others + size <= limit


def _put_newest(inbox: _Inbox, key: _Key, event: Event, size: int) -> None:
    """For one who wants only the newest message."""
    if not isinstance(event, (Message, Skipped)):
        # What waits is before that, and is not replaced any more.
        inbox.newest.pop(key, None)
        inbox.items.append((key[0], event, size))
        inbox.size += size
        return
    newest = inbox.newest.get(key)
    if newest is None:
        newest = inbox.newest[key] = Newest(key[1])
        inbox.items.append((key[0], newest, 0))
    newest.take(event)
    inbox.size += size - newest.size
    newest.size = size
