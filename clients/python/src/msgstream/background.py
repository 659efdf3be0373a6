"""What a client does in the background, from its beginning to its end."""

from __future__ import annotations

import logging
import threading
import time
from typing import Optional

from . import lifetime
from .access import Access
from .address import Address
from .connection import Connection
from .encoding import Codec, decoder
from .errors import Disconnected, ended
from .incoming import CutShort
from .options import Options
from .sending import Sending

log = logging.getLogger("msgstream")


class Background(Sending):
    """The queue, the threads and the connection of one client."""

    def __init__(self, address: Address, options: Options, strict: bool, codec: Codec, access: Access) -> None:
        self.address = address
        self._access = access
        self._name = str(address)
        self.options = options
        self.strict = strict
        self._codec = codec
        self._decode = decoder(codec)
        self._closed = False
        self._begin()
        lifetime.survives_forks(self)
        if strict:
            try:
                self._opened = Connection(address, options, access, greet=self._out.session.ask)
            except CutShort as short:
                self._closed = True
                raise ended(short.code, short.reason) from None
            with self._lock:
                self._start()
        lifetime.opened(self)

    def finish(self, timeout: Optional[float] = None) -> None:
        """Sends what waits, within ``timeout``, or else within what is left of ``options.exit_time`` for this outage; and ends."""
        if self._closed:
            return
        deadline = time.monotonic() + (self.options.exit_time if timeout is None else timeout)
        try:
            # In strict mode a failure is told to whoever closes.
            self.settle(timeout)
        finally:
            with self._lock:
                self._closed = self._ending = True
                thread, receiver = self._thread, self._receiver
                left, unstored = self._out.unfinished, self._out.unstored
                self._work.notify_all()
                self._release_all()
            if left:
                log.warning("%d lines for %s were not confirmed and are given up", left, self.address)
            elif unstored:
                log.warning("%d headers or ends were to be durable, and %s has not said so: a crash of it may undo them", unstored, self.address)
            lifetime.closed(self)
        if thread is None:
            if self._opened is not None:
                self._opened.close()
        elif threading.current_thread() not in (thread, receiver):
            # To part from a broker takes a moment, if it is there. What was not confirmed has had its time.
            thread.join(0.05 if left else max(0.05, min(1.5, deadline - time.monotonic())))
            with self._lock:
                if self._connection is not None:
                    # It hangs; this ends what it waits for.
                    self._connection.shutdown()
            self._deliveries.settle(deadline)

    def settle(self, timeout: Optional[float] = None) -> None:
        """Waits until all is confirmed, within ``timeout``, or what is left of ``options.exit_time`` for this outage."""
        changed = threading.Event()
        for left in self._leave_taking(timeout, changed.set, changed.clear):
            changed.wait(left)

    def after_fork(self) -> None:
        """In a forked child: the threads are gone, and the connection is the parent's."""
        inherited = (self._opened, self._connection)
        notices = self._notices
        self._begin()
        self._notices = notices
        for connection in inherited:
            if connection is not None:
                connection.close()
        if self.strict and not self._closed:
            self._failure = Disconnected("a strict client does not survive a fork; make one in the child")
