"""``for event in listen("fit-42")``: a stream as a plain loop, without threads."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Iterator, Optional, Type

from . import lifetime
from .connection import Connection
from .events import Event
from .incoming import CutShort
from .listening import CATCH_UP, Listening, late
from .patience import Patience
from .wire import ping


class Listener(Listening, Iterator[Event]):
    """The events of some streams: of each its ``Header``, if it has one, each ``Message``, and ``Ended``. Iteration is over when
    all have ended.

    While the connection is lost, or not there yet, it is made again, and ``trouble`` says why. Whoever comes back within what the broker
    keeps goes on where they were, and nothing is told. Otherwise a ``Lost`` or ``CutOff`` says how many messages are ``missed``, and the
    header follows as it stands by then. Without ``reconnect`` a lost connection is the end.

    With ``last=20`` the last 20 messages of each stream come behind its header, as far as the broker still has them. An ``Ended`` of a stream
    that was found ended tells how long ago that was, as its ``age``.

    With ``prefix="fit-"`` all streams whose names begin so are listened to, those that there are and those to come, and iteration goes on
    until it is closed. What concerns the prefix itself has the prefix as its ``stream``; see ``RemoteStream.listen_prefix``.

    ``timeout`` is how long to wait for the next event, in seconds; then TimeoutError is raised, and iteration may go on after it.
    Messages are read as fast as they are asked for: who takes too long is cut off by the broker, and told so. With ``latest`` only the newest
    message of each stream is wanted: the next event is the newest there is when it is asked for, and a ``Skipped`` before it tells how many
    messages it has replaced. Who takes long then misses nothing else, and is cut off only if nothing at all is read for ``outbox.write_time``
    (10 s) while more comes than the buffers of the system hold.

    A broker that does not know the token lets nobody in: a ``CutOff`` with the code ``auth_required`` or ``auth_failed`` says what to do, and
    iteration is over, unless the file of the token holds another by then. ``token``, ``ca``, ``certificate`` and ``key`` are those of ``RemoteStream``.

    In a forked child it is a listener of its own, which goes on where this one was, on a new connection; the parent's goes on undisturbed.
    """

    def _begin(self) -> None:
        self._connection: Optional[Connection] = None
        self._next_attempt = 0.0
        self._patience = Patience(self._options)
        self._stop = threading.Event()
        lifetime.survives_forks(self)

    def __next__(self) -> Event:
        event = self.next(self.timeout)
        if event is None:
            raise StopIteration
        return event

    def next(self, timeout: Optional[float] = None) -> Optional[Event]:
        """The next event, or None when all streams have ended. Raises TimeoutError after ``timeout`` seconds; None waits."""
        if self._ready and not self._wants_newer:
            return self._ready.popleft()
        deadline = None if timeout is None else time.monotonic() + timeout
        if self._wants_newer and not self._over:
            self._look_for_newer()
        while not self._ready or (self._catches_up and not self._over):
            if self._over:
                self.close()
                return None
            try:
                self._advance(None if deadline is None else deadline - time.monotonic())
            except CutShort as short:
                if not self._closed:
                    self._interrupted(short)
            if deadline is not None and time.monotonic() >= deadline:
                if self._ready:
                    break
                raise late(timeout)
        return self._ready.popleft()

    def close(self) -> None:
        """Stops listening. Iteration is over, also for another thread that waits for an event."""
        self._closed = True
        self._stop.set()
        self._ready.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.shutdown()
            connection.close()

    def after_fork(self) -> None:
        """In a forked child: the connection is the parent's, so it is neither read nor shut down here."""
        self._stop = threading.Event()
        # Another thread may have been taking lines, which goes on in the parent only.
        self._undo()
        if self._closed:
            self._stop.set()
        elif self._connection is not None:
            self._interrupted(CutShort("a forked process makes a connection of its own"), own=True)

    def __enter__(self) -> "Listener":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_connection", None) is not None:
            self.close()

    def _look_for_newer(self) -> None:
        """What waits to be read may have waited for long, while the broker has something newer."""
        connection = self._connection
        if connection is None or self._listens.unsettled:
            return
        try:
            if connection.readable(0.0):
                connection.send(ping(CATCH_UP))
                self._catches_up = True
        except CutShort as short:
            self._interrupted(short)

    def _advance(self, left: Optional[float]) -> None:
        """Does one thing that takes no longer than ``left``."""
        connection = self._connection
        if connection is None:
            pause = self._next_attempt - time.monotonic()
            if pause > 0:
                self._stop.wait(pause if left is None else max(0.0, min(pause, left)))
            else:
                self._connect(left)
            return
        silence = self._patience.left
        if connection.readable(silence if left is None else max(0.0, min(silence, left))):
            try:
                lines = connection.receive(0.0)
                if lines is not None:
                    self._patience.heard()
                    self._take(connection.incoming, lines)
                    if self._listens.wonders:
                        # The answer shows that nothing came behind the message that is held.
                        connection.send(ping(1))
            except CutShort:
                raise
            except BaseException:
                # Ctrl-C between what was received and what is done with it.
                if self._connection is not None:
                    self._interrupted(CutShort("reading was interrupted"), own=True)
                raise
        elif left is None or left >= silence:
            self._patience.over(self.address)
            connection.send(ping(1))

    def _connect(self, left: Optional[float]) -> None:
        # Making it is not broken off after a moment, lest somebody who asks for an event every millisecond never gets there.
        limit = self._options.connect_time if left is None else max(left, 1.0)
        connection = Connection(self.address, self._options, self._access, limit)
        self._connection = connection
        if self._closed:
            self.close()
            return
        self._patience.ask(self._options.connect_time)
        try:
            connection.send(self._joins())
        except CutShort:
            # If the broker has said why, that is there to be read.
            self._take(connection.incoming, connection.receive(0.0) or [])
            raise

    def _interrupted(self, short: CutShort, own: bool = False) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._next_attempt = time.monotonic() + (0.0 if own else self._retry.pause(short.code is not None))
        super()._interrupted(short, own)


#: Joins streams; the result is iterated over.
listen = Listener
