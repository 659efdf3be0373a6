"""What a listener is, however it waits: which streams it wants, what the broker's lines mean for it, what it is told when a
connection fails. ``Listener`` and ``aio.Listener`` add the waiting."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any, Callable, Deque, List, Optional, Tuple

import msgstream

from .access import Access, File, Token
from .address import Address
from .encoding import Codec, decoder
from .errors import UNAUTHENTICATED
from .events import Event, Message
from .incoming import DEAF, CutShort, Incoming
from .names import checked, checked_last, checked_prefix
from .newest import OnlyNewest
from .options import Options
from .patience import Retry
from .prefix_listens import PrefixListens

log = logging.getLogger("msgstream")

#: How many events that are not replaced one that wants only what is newest may have ready before it reads no more.
_MOST = 1000

#: The receipt of that question.
CATCH_UP = 2

#: Called with the reason when the connection is lost or cannot be made, and with None when it is there again.
TroubleCall = Callable[[Optional[str]], object]


class Listening:
    """The state of one listener."""

    def __init__(
        self,
        *streams: str,
        prefix: Optional[str] = None,
        server: Optional[str] = None,
        reconnect: bool = True,
        timeout: Optional[float] = None,
        last: Optional[int] = None,
        latest: bool = False,
        codec: Optional[Codec] = None,
        options: Optional[Options] = None,
        token: Optional[Token] = None,
        ca: Optional[File] = None,
        certificate: Optional[File] = None,
        key: Optional[File] = None,
    ) -> None:
        if not streams and prefix is None:
            raise ValueError("listen needs the names of streams, or the prefix of their names")
        for stream in streams:
            checked(stream, publishes=False)
        self.address, self._access = Access.to(server, None, token, ca, certificate, key)
        self.timeout = timeout
        self._decode = decoder(codec or msgstream.codec)
        self._options = options or Options()
        self._reconnect = reconnect
        self._latest = latest
        self._listens: PrefixListens[None] = PrefixListens(self._decode, lambda target: latest, self._options)
        for stream in dict.fromkeys(streams):
            self._listens.want(stream, None, checked_last(last))
        if prefix is not None:
            self._listens.want_prefix(checked_prefix(prefix), None)
        self._ready: Deque[Event] = OnlyNewest() if latest else deque()
        self._retry = Retry(self._options)
        #: Why there is no connection, if that has been told.
        self._trouble: Optional[str] = None
        self._when_trouble: List[TroubleCall] = []
        self._closed = False
        #: What has come may be old, and the broker was asked for a word that comes behind what is new.
        self._catches_up = False
        #: How it was before the lines that are being taken, and what was ready.
        self._before: Optional[Tuple[Tuple[Any, ...], List[Event]]] = None
        self._begin()

    def _begin(self) -> None:
        """What a kind of listener has beside."""
        raise NotImplementedError

    @property
    def _over(self) -> bool:
        """Whether nothing more comes but what is ready."""
        return self._closed or not self._listens.wanted

    @property
    def _wants_newer(self) -> bool:
        """Whether what is ready may be replaced by what has not been read yet. With much ready that is not, nothing more is read."""
        ready = self._ready
        return isinstance(ready, OnlyNewest) and ready.lasting < _MOST

    @property
    def trouble(self) -> Optional[str]:
        """Why there is no connection now; None if there is one, or nothing has gone wrong yet."""
        return self._trouble

    def when_trouble(self, call: TroubleCall) -> None:
        """From now on ``call(reason)`` is called when the connection is lost or cannot be made, and ``call(None)`` when it is there again;
        by whoever waits for the next event."""
        self._when_trouble.append(call)

    def _tell_trouble(self, trouble: Optional[str]) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            for call in self._when_trouble:
                try:
                    call(trouble)
                except Exception:
                    # What has come with this must not be lost for it.
                    log.exception("what is called in case of trouble failed")

    def _joins(self) -> str:
        """What makes a new connection a listener."""
        return "".join(self._listens.again())

    def _take(self, incoming: Incoming, lines: List[str]) -> None:
        """Something has come: what it says is ready."""
        self._retry.answered()
        self._tell_trouble(None)
        self._before = self._listens.saved(), list(self._ready)
        try:
            self._settle(incoming, lines)
        except CutShort:
            self._before = None
            raise
        except BaseException:
            # Ctrl-C between two steps. What came with these lines comes again, on another connection.
            self._undo()
            self._interrupted(CutShort("reading was interrupted"), own=True)
            raise
        self._before = None

    def _settle(self, incoming: Incoming, lines: List[str]) -> None:
        listens, ready, decode, message = self._listens, self._ready, self._decode, incoming.message
        count = listens.count
        moved = False
        for line in lines:
            said = message(line)
            if said is not None and not listens.unsettled:
                name = said.stream or ""
                if name in listens.active and name not in listens.silent:
                    ready.append(Message(name, decode(said.message or "")))
                    count(name)
                    if not moved:
                        moved = True
                        self._retry.moved()
                    continue
            said = said or incoming.parse(line)
            if said.action == "pong" and said.receipt:
                # All listens were said before that was asked.
                if listens.overdue():
                    raise CutShort(DEAF)
                self._catches_up = self._catches_up and said.receipt != CATCH_UP
            for _, event in listens.settle(said):
                ready.append(event)
                if isinstance(event, Message):
                    self._retry.moved()

    def _undo(self) -> None:
        """Lines that were being taken have not been."""
        before, self._before = self._before, None
        if before is not None:
            self._listens.restore(before[0])
            self._ready.clear()
            self._ready.extend(before[1])

    def _interrupted(self, short: CutShort, own: bool = False) -> None:
        """The connection has ended, or could not be made. That is told once for each outage, and when the broker says why. One that is given
        up for a reason of our ``own`` is no trouble."""
        self._catches_up = False
        is_refused = short.code in UNAUTHENTICATED and not (self._reconnect and self._access.is_replaced())
        if is_refused:
            # The event is easily passed over, and a loop that ends then would be taken for the end of the streams.
            log.error("%s did not let this listener in, which ends: %s", self.address, short.reason)
        if self._trouble is None or short.code is not None:
            reconnecting = self._reconnect and not is_refused
            self._ready.extend(event for _, event in self._listens.interrupted(short.code, short.reason, reconnecting))
            if not own and not is_refused:
                self._tell_trouble(short.reason)


def late(timeout: Optional[float]) -> TimeoutError:
    """Nothing came in time."""
    return TimeoutError(f"nothing came within {timeout:g} s" if timeout is not None else "nothing came")
