"""The end of a process, and forks: what clients must do then."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import time
import weakref
from typing import Any, Dict, Optional, Protocol

from .options import Options

log = logging.getLogger("msgstream")


class Leaving:
    """How long a program may be held up by what waits for brokers: once for each outage of each, and not at all for one that
    was never there. Times are in seconds."""

    def __init__(self) -> None:
        #: By address, of those that have answered once: what has been waited in vain since they did so last.
        self._spent: Dict[str, float] = {}
        #: The same of those that never did.
        self._spent_before: Dict[str, float] = {}

    def answered(self, address: str) -> None:
        """The broker is there."""
        if self._spent.get(address) != 0.0:
            self._spent[address] = 0.0

    def turned_away(self, address: str) -> None:
        """It is there, and has no room for this program now."""
        self._spent.setdefault(address, 0.0)

    def allowed(self, address: str, most: float, is_away: bool) -> float:
        """What is left of ``most`` for a broker that does not answer now."""
        spent = self._spent.get(address)
        if spent is not None:
            return max(0.0, most - spent)
        # It was never there. It may be a moment away, unless an attempt has failed.
        return 0.0 if is_away else max(0.0, most - self._spent_before.get(address, 0.0))

    def spend(self, address: str, time: float) -> None:
        """So much has been waited in vain."""
        account = self._spent if address in self._spent else self._spent_before
        account[address] = account.get(address, 0.0) + time


leaving = Leaving()


class Client(Protocol):
    """What sends in the background."""

    options: Options

    def finish(self, timeout: float) -> None:
        """Sends what waits, in that time, and ends."""


class Unfinished(Protocol):
    """What has something to say at its end."""

    def close(self) -> None:
        """Says it. More than once is no error."""


class Forked(Protocol):
    """What a fork concerns."""

    def after_fork(self) -> None:
        """Called in the child, where no other thread is left, and locks are as they happened to be."""


_clients: "weakref.WeakSet[Any]" = weakref.WeakSet()
_unfinished: "weakref.WeakSet[Any]" = weakref.WeakSet()
_forked: "weakref.WeakSet[Any]" = weakref.WeakSet()
_finalized_in: Optional[int] = None
_program_ends = False


def opened(client: Client) -> None:
    """From now on the client is finished with the process."""
    _clients.add(client)


def closed(client: Client) -> None:
    """It has done that itself."""
    _clients.discard(client)


def ends_first(what: Unfinished) -> None:
    """From now on it is closed at the end of the process, if it is still there, while its client can still send."""
    _unfinished.add(what)


def survives_forks(what: Forked) -> None:
    """From now on its ``after_fork`` is called in forked children."""
    _forked.add(what)


def program_ends() -> bool:
    """Whether the program has come to its end, where its clients are closed. Threads that go on are ended with it, at any moment."""
    return _program_ends


def in_worker_processes_too() -> None:
    """The processes of multiprocessing end without atexit; they have finalizers of their own. Called once a client has begun
    to send, when a process of that kind is already under way."""
    global _finalized_in
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is None or multiprocessing.parent_process() is None or _finalized_in == os.getpid():
        return
    from multiprocessing.util import Finalize

    _finalized_in = os.getpid()
    Finalize(None, _finish_all, exitpriority=100)


def _finish_all() -> None:
    """The limits of all begin at once. Whoever allows least is first, so that nobody's time is spent on waiting for another."""
    global _program_ends
    _program_ends = True
    for what in list(_unfinished):
        try:
            what.close()
        except Exception as error:
            log.warning("%s", error)
    begun = time.monotonic()
    for client in sorted(_clients, key=lambda client: client.options.exit_time):
        try:
            client.finish(max(0.0, begun + client.options.exit_time - time.monotonic()))
        except Exception as error:
            log.warning("%s", error)


def _after_fork() -> None:
    for what in list(_forked):
        what.after_fork()


atexit.register(_finish_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
