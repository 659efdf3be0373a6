"""What a listener is, however it waits: which streams it wants, what the broker's lines mean for it, what it is told when a
connection fails. ``Listener`` and ``aio.Listener`` add the waiting."""

from __future__ import annotations

from collections import deque
from typing import Deque, List, Optional

import msgstream

from .address import Address
from .encoding import Codec, decoder
from .events import Event, Message
from .incoming import CutShort, Incoming
from .listens import Listens
from .names import checked
from .options import Options
from .patience import Retry


class Listening:
    """The state of one listener."""

    def __init__(
        self,
        *streams: str,
        server: Optional[str] = None,
        reconnect: bool = True,
        timeout: Optional[float] = None,
        codec: Optional[Codec] = None,
        options: Optional[Options] = None,
    ) -> None:
        if not streams:
            raise ValueError("listen needs the names of streams")
        for stream in streams:
            checked(stream, publishes=False)
        self.address = Address.of(server)
        self.timeout = timeout
        self._decode = decoder(codec or msgstream.codec)
        self._options = options or Options()
        self._reconnect = reconnect
        self._listens: Listens[None] = Listens(self._decode)
        for stream in dict.fromkeys(streams):
            self._listens.want(stream, None)
        self._ready: Deque[Event] = deque()
        self._retry = Retry(self._options)
        #: Why there is no connection, if that has been told.
        self._trouble: Optional[str] = None
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        """What a kind of listener has beside."""
        raise NotImplementedError

    @property
    def _over(self) -> bool:
        """Whether nothing more comes but what is ready."""
        return self._closed or not self._listens.streams

    def _joins(self) -> str:
        """What makes a new connection a listener."""
        return "".join(self._listens.again())

    def _take(self, incoming: Incoming, lines: List[str]) -> None:
        """Something has come: what it says is ready."""
        self._retry.answered()
        self._trouble = None
        listens, ready, decode, message = self._listens, self._ready, self._decode, incoming.message
        for line in lines:
            said = message(line)
            if said is not None and not listens.unsettled:
                name = said.stream or ""
                if name in listens.active:
                    ready.append(Message(name, decode(said.message or "")))
                continue
            ready.extend(event for _, event in listens.settle(said or incoming.parse(line)))

    def _interrupted(self, short: CutShort) -> None:
        """The connection has ended, or could not be made. That is told once for each outage, and when the broker says why."""
        if self._trouble is None or short.code is not None:
            self._trouble = short.reason
            self._ready.extend(event for _, event in self._listens.interrupted(short.code, short.reason, self._reconnect))


def late(timeout: Optional[float]) -> TimeoutError:
    """Nothing came in time."""
    return TimeoutError(f"nothing came within {timeout:g} s" if timeout is not None else "nothing came")
