"""The thread of a client that sends: it makes connections, one after the other, and serves each."""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import Dict, Optional

from . import lifetime, wire
from .connection import Connection
from .errors import UNAUTHENTICATED, ended
from .incoming import CutShort
from .patience import Retry
from .receiving import Receiving

log = logging.getLogger("msgstream")

#: What one write takes: large enough that its cost does not count, small enough that confirmations keep coming.
_BATCH = 1 << 18


class Sending(Receiving):
    """The sending side of one client."""

    def _start(self) -> None:
        if self._thread is not None:
            return
        thread = threading.Thread(target=self._run, name=f"msgstream {self.address}", daemon=True)
        # A program that ends at once makes no more threads (Python 3.12), so the first receiver is there before its connection.
        self._first = queue.SimpleQueue()
        receiver = threading.Thread(
            target=self._receive_first, args=(self._first,), name=f"msgstream {self.address} receiver", daemon=True
        )
        # Before it is started, for a Ctrl-C in the midst of that must not lead to a second one.
        self._thread = thread
        try:
            receiver.start()
            self._receiver = receiver
            thread.start()
        except BaseException as error:
            if thread.ident is None:
                self._thread = None
            if not isinstance(error, RuntimeError):
                raise
            # The interpreter is shutting down. What is left over is counted at the end.
            self._away = True
            return
        lifetime.in_worker_processes_too()

    def _run(self) -> None:
        retry, refusals = Retry(self.options), 0
        while self._wait_for_work():
            is_told = False
            connection, self._opened = self._opened, None
            self._broken = None
            try:
                if connection is None:
                    connection = Connection(self.address, self.options, self._access, greet=self._out.session.ask)
            except CutShort as short:
                self._broken = short
                self._trouble(short)
            except Exception as error:
                # Not foreseen, and no reason for this thread to end.
                self._trouble(CutShort(f"cannot connect to {self.address}: {type(error).__name__}: {error}"))
            else:
                retry.answered()
                is_told = self._serve(connection)
            if self.strict and not self._parted:
                return
            with self._lock:
                if self._has_moved:
                    retry.moved()
                self._has_moved = False
                pause = retry.pause(is_told)
                is_refused = _is_refused(self._broken)
                refusals = refusals + 1 if is_refused else 0
            # A token that was just made may not be known yet: the broker reads its file again within some seconds.
            refused = self.options.pause_of_refused(refusals - 1) if refusals else self.options.longest_pause
            if self._rest(pause, refused if is_refused else pause):
                refusals = -1

    def _rest(self, pause: float, most: float) -> bool:
        """Waits before another connection is made: for ``most``, or for the ``pause`` if by then there is another token than was refused.
        Whether there is."""
        until, is_replaced = time.monotonic() + most, False
        while True:
            left = until - time.monotonic()
            with self._lock:
                # One that was left has not failed.
                if self._work.wait_for(lambda: self._ending or self._parted, min(pause, left)) or left <= pause:
                    break
            is_replaced = self._access.is_replaced()
            if is_replaced:
                break
            pause = self.options.longest_pause
        self._parted = False
        return is_replaced

    def _wait_for_work(self) -> bool:
        """A client that has nothing to do makes no connection. One that has set headers sees to it that they are there. False at the
        end of this thread."""
        with self._lock:
            while not (self._ending or self.strict or not self._out.empty or self._out.headers or self._out.wills or self._listens.wanted):
                if self._forgotten:
                    break
                self._idle = True
                self._work.wait()
            self._idle = False
            if not (self._ending or self._is_forgotten()):
                return True
            first, self._first = self._first, None
            opened, self._opened = self._opened, None
            if not self._ending:
                # It is forgotten. Should somebody put something all the same, it begins again.
                self._thread = self._receiver = None
        if first is not None:
            first.put(None)
        if opened is not None:
            # Closed before it was used.
            opened.close()
        return False

    def _serve(self, connection: Connection) -> bool:
        """The life of one connection. Whether the broker has ended it, and said why."""
        with self._lock:
            if self._ending:
                connection.close()
                return False
            self._broken = None
            missing = self._out.dropped.copy()
            first = self._take_up(connection)
            self._connection, self._connected, self._ask = connection, True, bool(first) or self._out.asks_store
            self._away = self._said_dropping = False
            first_receiver, self._first = self._first, None
            if first_receiver is None or self._receiver is None:
                self._receiver = threading.Thread(
                    target=self._receive, args=(connection,), name=f"msgstream {self.address} receiver", daemon=True
                )
            receiver = self._receiver
        if self._last_trouble:
            log.warning("connected to %s again%s", self.address, self._said_dropped(missing))
            self._last_trouble = ""
            self._tell_trouble(None)
        self._speak()
        try:
            if first_receiver is not None:
                first_receiver.put(connection)
            else:
                receiver.start()
        except RuntimeError as error:
            self._broken = CutShort(str(error))
        try:
            self._send(connection, first)
        except CutShort as short:
            # If the broker said why, the receiver is about to read it.
            receiver.join(1.0)
            with self._lock:
                self._sever(short)
        except BaseException as error:
            with self._lock:
                self._sever(CutShort(f"{type(error).__name__}: {error}"))
            log.exception("sending to %s failed", self.address)
        connection.shutdown()
        while receiver.is_alive() and not self._ending:
            # The next receiver must not overtake it.
            receiver.join(0.2)
        connection.close()
        with self._lock:
            self._connection, self._connected = None, False
            self._doubtful.clear()
            self._asked_first.clear()
            self._out.disconnected()
            broken = self._broken or CutShort("the connection ended")
        if not (self._ending or self._parted):
            self._trouble(broken)
        return broken.code is not None

    def _take_up(self, connection: Connection) -> str:
        """Goes on where the broker is, and returns what is sent first. Called with the lock held."""
        self._has_moved |= self._out.take_up(connection.incoming.session)
        # What was said of them, and may have taken effect, is not said again before the broker has told how they stand.
        self._doubtful, self._doubtful_since = set(self._out.doubtful()), time.monotonic()
        joins = self._listens.again(self._out.controls())
        asks = [self._listens.ask(stream) for stream in self._doubtful]
        if not self._doubtful:
            self._go_on()
        first = "".join(joins + asks)
        self._out.wrote(first)
        return first

    def _send(self, connection: Connection, first: str) -> None:
        """Sends what is queued until the connection ends."""
        connection.send(first)
        while True:
            with self._lock:
                while not (self._broken or self._ending or self._asked_first) and (self._doubtful or not (self._out.waiting or self._ask)):
                    if self._is_forgotten():
                        break
                    self._idle = True
                    self._work.wait()
                self._idle = False
                if self._broken is not None:
                    return
                if self._ending or self._is_forgotten():
                    self._parted = not self._ending
                    is_said = not self._out.waiting
                    if is_said:
                        self._out.parted()
                    break
                if self._asked_first:
                    text = "".join(self._asked_first)
                    self._asked_first.clear()
                else:
                    self._ask = False
                    text = self._out.take(_BATCH)
            connection.send(text)
        if is_said:
            # Whoever goes without this word is taken for lost. So is who has given up what still waited.
            connection.send(wire.END)
        connection.finish()
        receiver = self._receiver
        if receiver is not None:
            receiver.join(1.0)

    def _trouble(self, short: CutShort) -> None:
        """The broker is away. Said once for each reason, not at each attempt."""
        with self._lock:
            self._away = True
            if short.code == "limit":
                lifetime.leaving.turned_away(self._name)
            self._tell_room()
        if self.strict:
            with self._lock:
                self._failure = ended(short.code, short.reason)
                self._release_all()
            return
        if _is_refused(short):
            # Not in silence, however often.
            log.error("%s did not let this client in: %s; trying again from time to time, what is published waits", self.address, short.reason)
        elif short.reason != self._last_trouble:
            log.warning("%s; trying again, what is published waits", self._named(short.reason))
        if short.reason != self._last_trouble:
            news, self._last_trouble = not self._last_trouble or short.code is not None, short.reason
            if news:
                with self._lock:
                    deliveries = self._listens.interrupted(short.code, short.reason, True)
                self._tell_trouble(short.reason)
                self._deliver(deliveries)

    def _release_all(self) -> None:
        """Nobody waits for what will not come."""
        self._out.release()
        self._tell_room()

    def _said_dropped(self, dropped: Dict[str, int]) -> str:
        total = sum(dropped.values())
        if not total:
            return ""
        return f"; {total} messages have been dropped so far, since more than {self.options.queue} bytes waited"


def _is_refused(short: Optional[CutShort]) -> bool:
    return short is not None and short.code in UNAUTHENTICATED
