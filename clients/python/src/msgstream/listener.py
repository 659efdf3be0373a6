"""``for event in listen("fit-42")``: a stream as a plain loop, without threads."""

from __future__ import annotations

import threading
import time
from collections import deque
from types import TracebackType
from typing import Deque, Iterator, Optional, Type

import msgstream

from .address import Address
from .connection import Connection, CutShort
from .encoding import Codec, decoder
from .events import Event, Message
from .listens import Listens
from .options import Options
from .wire import ping


def listen(
    *streams: str,
    server: Optional[str] = None,
    reconnect: bool = True,
    timeout: Optional[float] = None,
    codec: Optional[Codec] = None,
    options: Optional[Options] = None,
) -> "Listener":
    """Joins streams; the result is iterated over. See ``Listener``."""
    return Listener(*streams, server=server, reconnect=reconnect, timeout=timeout, codec=codec, options=options)


class Listener(Iterator[Event]):
    """The events of some streams: of each its ``Header``, if it has one, each ``Message``, and ``Ended``. Iteration is over when
    all have ended.

    While the connection is lost, or not there yet, it is made again; that is shown by a ``Lost`` or ``CutOff`` and followed by
    the headers as they stand by then. Without ``reconnect`` that is the end.

    ``timeout`` is how long to wait for the next event, in seconds; then TimeoutError is raised, and iteration may go on after it.
    Messages are read as fast as they are asked for: who takes too long is cut off by the broker, and told so.
    """

    def __init__(
        self,
        *streams: str,
        server: Optional[str] = None,
        reconnect: bool = True,
        timeout: Optional[float] = None,
        codec: Optional[Codec] = None,
        options: Optional[Options] = None,
    ) -> None:
        if not streams or not all(isinstance(stream, str) and stream for stream in streams):
            raise ValueError(f"listen needs the names of streams, strings of at least one character, not {streams!r}")
        self.address = Address.of(server)
        self.timeout = timeout
        self._decode = decoder(codec or msgstream.codec)
        self._options = options or Options()
        self._reconnect = reconnect
        self._listens: Listens[None] = Listens(self._decode)
        for stream in dict.fromkeys(streams):
            self._listens.want(stream, None)
        self._connection: Optional[Connection] = None
        self._ready: Deque[Event] = deque()
        self._attempt = 0
        self._next_attempt = 0.0
        self._trouble: Optional[str] = None
        #: When a broker that has been asked for a word must have said one, and how long that is.
        self._answer_by: Optional[float] = None
        self._patience = 0.0
        self._closed = False
        self._stop = threading.Event()

    def __next__(self) -> Event:
        event = self.next(self.timeout)
        if event is None:
            raise StopIteration
        return event

    def next(self, timeout: Optional[float] = None) -> Optional[Event]:
        """The next event, or None when all streams have ended. Raises TimeoutError after ``timeout`` seconds; None waits."""
        if self._ready:
            return self._ready.popleft()
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._ready:
            if self._closed or not self._listens.streams:
                self.close()
                return None
            try:
                self._advance(None if deadline is None else deadline - time.monotonic())
            except CutShort as short:
                if not self._closed:
                    self._interrupted(short)
            if not self._ready and deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"nothing came within {timeout:g} s")
        return self._ready.popleft()

    def close(self) -> None:
        """Stops listening. Iteration is over, also for another thread that waits for an event."""
        self._closed = True
        self._stop.set()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.shutdown()
            connection.close()

    def __enter__(self) -> "Listener":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_connection", None) is not None:
            self.close()

    def _advance(self, left: Optional[float]) -> None:
        """Does one thing that takes no longer than ``left``."""
        connection = self._connection
        if connection is None:
            pause = self._next_attempt - time.monotonic()
            if pause > 0:
                self._stop.wait(pause if left is None else max(0.0, min(pause, left)))
                return
            # Making it is not broken off after a moment, lest somebody who asks for an event every millisecond never gets there.
            connection = Connection(self.address, self._options, self._options.connect_time if left is None else max(left, 1.0))
            self._connection = connection
            if self._closed:
                self.close()
                return
            self._ask(self._options.connect_time)
            connection.send("".join(self._listens.again()))
            return
        patience = self._options.idle_time if self._answer_by is None else max(0.0, self._answer_by - time.monotonic())
        if connection.readable(patience if left is None else max(0.0, min(patience, left))):
            try:
                lines = connection.receive(0.0)
                if lines is not None:
                    self._attempt, self._answer_by, self._trouble = 0, None, None
                    self._take(connection, lines)
            except CutShort:
                raise
            except BaseException:
                # Ctrl-C between two lines. Who goes on after it must see that some may be missing.
                self._interrupted(CutShort("reading was interrupted"))
                raise
        elif left is None or left >= patience:
            if self._answer_by is not None:
                raise CutShort(f"{self.address} has not answered for {self._patience:g} s")
            connection.send(ping(1))
            self._ask(self._options.answer_time)

    def _ask(self, patience: float) -> None:
        self._patience = patience
        self._answer_by = time.monotonic() + patience

    def _take(self, connection: Connection, lines: "list[str]") -> None:
        listens, ready, decode = self._listens, self._ready, self._decode
        for line in lines:
            said = connection.message(line)
            if said is not None and not listens.unsettled:
                name = said.stream or ""
                if name in listens.active:
                    ready.append(Message(name, decode(said.message or "")))
                continue
            for _, event in listens.settle(said or connection.parse(line)):
                ready.append(event)

    def _interrupted(self, short: CutShort) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._next_attempt = time.monotonic() + self._options.pause(self._attempt)
        self._attempt += 1
        if self._trouble is not None and short.code is None:
            # Said already.
            return
        self._trouble = short.reason
        self._ready.extend(event for _, event in self._listens.interrupted(short.code, short.reason, self._reconnect))

