"""``RemoteStream``: publishes to and listens to streams of a broker, over one connection, in the background.

A put only encodes and queues, so that a job goes on when the broker does not.
"""

from __future__ import annotations

import functools
import threading
import uuid
import weakref
from typing import Any, Dict, Optional, Tuple, Type

import msgstream

from . import wire
from .absent import ABSENT
from .address import Address
from .background import Background
from .encoding import Codec, JsonCodec
from .entries import CLOSE, CONTROL, DELETE, HANGUP, HEADER, PUT, WILL, Entry, Waiting
from .errors import BrokerError, Disconnected, EncodeError
from .listening import TroubleCall
from .names import checked
from .options import Options
from .run import Run
from .shared import Notice
from .sinks import Sink, Target

#: What is added to a line that is of one run only, in bytes.
_MORE = 100

#: The clients of this process by what they are called in others.
_by_token: "weakref.WeakValueDictionary[str, RemoteStream]" = weakref.WeakValueDictionary()
_remaking = threading.Lock()


class RemoteStream(Background):
    """The streams of a broker, named by ``host`` and ``port``; or ``"host:port"`` or ``"unix:/path"`` as host alone; or else by
    MSGSTREAM_SERVER, or the configuration of clients, or else ``127.0.0.1:7342``.

    Nothing here waits for the broker, and nothing fails because of it: what is put while it is away is sent when it is back. Up
    to ``options.queue`` bytes wait; then the oldest progress is dropped and counted in ``dropped``. With ``strict`` the
    broker must be there from the beginning, and losing it, or being refused something by it, is raised by the next call.

    All methods may be called from any thread. In a forked child it is a client of its own, with a new connection: what was queued
    and who listened stay with the parent.
    """

    def __init__(
        self,
        host: Optional[str] = None,
        port: Optional[int] = None,
        *,
        strict: bool = False,
        nan: str = "error",
        codec: Optional[Codec] = None,
        options: Optional[Options] = None,
    ) -> None:
        usual = JsonCodec(nan)
        # A codec of somebody else's has its own idea of NaN. What it is replaced for would not read ours.
        replaced = type(msgstream.codec) is not JsonCodec
        chosen: Codec = codec if codec is not None else msgstream.codec if replaced or nan == "error" else usual
        self._checked = type(chosen) is JsonCodec
        self._heads: Dict[str, str] = {}
        self._token = uuid.uuid4().hex
        # The codec that is everybody's is that of the other process there.
        self._given = (strict, nan, codec)
        super().__init__(Address.of(host, port), options or Options(), strict, chosen)
        _by_token[self._token] = self

    def __reduce__(self) -> "Tuple[Any, ...]":
        """In another process it is a client of its own, as in a forked child: one, however often it is sent there."""
        return _remade, (self._token, type(self), str(self.address), *self._given, self.options)

    # Publishing.

    def put(self, stream: str, message: Any, header: Any = ABSENT, *, essential: bool = False) -> None:
        """Sends a message to all who listen to the stream. With ``header`` that becomes the stream's header in the same step, so
        that whoever joins sees each update exactly once. An ``essential`` message is among the last to be dropped while the
        broker is away."""
        text = self.encoded(message)
        if header is ABSENT and not essential:
            head = self._heads.get(stream)
            if head is None:
                head = self._head(stream)
            self._add(f"{head}{text}}}\n")
            return
        self.put_encoded(stream, text, None if header is ABSENT else self.encoded_header(header), essential)

    def put_encoded(self, stream: str, text: str, header: Optional[str], essential: bool, run: Optional[Run] = None) -> None:
        """The same with what ``encoded`` has made; of a ``run``, if given, and of no other."""
        self._add(Entry(PUT, wire.put(checked(stream), text, header), stream, header, essential, run=None if header is None else run))

    def header(self, stream: str, message: Any) -> None:
        """Sets what whoever joins the stream gets first. It opens a stream that has ended. Current listeners are not told."""
        text = self.encoded_header(message)
        self._add(Entry(HEADER, wire.header(checked(stream), text), stream, text))

    def __setitem__(self, stream: str, header: Any) -> None:
        self.header(stream, header)

    def will(self, stream: str, message: Any = ABSENT) -> None:
        """If this client is lost, the stream ends with that message. Lost is who is killed, or whose machine or network fails for longer
        than the broker's ``limits.session_time``; who closes, or whose program comes to its end, is not. Without a message the will is
        taken back; the end of the stream does that as well."""
        text = None if message is ABSENT else self.encoded(message)
        self._add(Entry(WILL, wire.will(checked(stream), text), stream))

    def close(self, stream: Any = ABSENT, message: Any = ABSENT, *, timeout: Optional[float] = None) -> None:
        """Ends the stream: its listeners get the message, if any, and are no listeners any more; the header stays for those who
        come late. Without ``stream`` it ends this client: what waits is sent within ``timeout`` (``options.exit_time``)."""
        if stream is ABSENT:
            if message is not ABSENT:
                raise TypeError("a message needs a stream")
            self.finish(timeout)
            return
        self.end_run(stream, None, message)

    def end_run(self, stream: str, run: Optional[Run], message: Any = ABSENT) -> None:
        """Ends the stream; of a ``run``, if given, and no other."""
        text = None if message is ABSENT else self.encoded(message)
        noticed = self._notices.get(stream)
        when_over = None if noticed is None else functools.partial(self._forget_notice, stream, noticed)
        self._add(Entry(CLOSE, wire.close(checked(stream), text), stream, when_over=when_over, run=run))

    def delete(self, stream: str) -> None:
        """Ends the stream and forgets its header."""
        self._add(Entry(DELETE, wire.delete(checked(stream)), stream))

    def __delitem__(self, stream: str) -> None:
        self.delete(stream)

    # Listening.

    def listen(self, stream: str, queue: Sink, *, events: bool = False) -> None:
        """Puts the stream's header, if it has one, and then each message into ``queue``, which is anything with ``put``. The
        same queue may listen to several streams and several queues to one.

        At the stream's end ``queue.close(message)`` is called, if there is such a method, with None if there was no message;
        otherwise ``Ended(stream, message)`` is put. A connection that is lost is made again, and nothing is missing if the broker still has
        what came meanwhile. Otherwise a ``Lost`` or ``CutOff`` is put, with the number of messages that were ``missed`` if that is known,
        and then the header as it stands by then. What is not an ``msgstream.Event`` is a message.

        With ``events`` everything is put as an event, which names its stream.
        """
        target = Target(queue, events)
        checked(stream, publishes=False)
        with self._lock:
            if self._closed and self._is_over():
                return
            self._raise_failure()
            self._put_in(Entry(CONTROL, self._listens.join(stream, target), stream))

    def hangup(self, stream: Optional[str] = None, queue: Optional[Sink] = None) -> None:
        """Stops listening: to the stream or to all, for the queue or for all. A message that is being put at this moment may
        still arrive."""
        with self._lock:
            which = None if queue is None else lambda target: target.queue is queue
            for name in self._listens.leave(stream, which):
                self._put_in(Entry(HANGUP, wire.hangup(name), name))
                if self._out.away:
                    self._listens.take_back(name)

    # How it is going.

    @property
    def connected(self) -> bool:
        """Whether the broker is there, as far as is known."""
        return self._connected

    @property
    def trouble(self) -> Optional[str]:
        """Why there is no connection now; None if there is one, or nothing has gone wrong yet."""
        return self._last_trouble or None

    def when_trouble(self, call: TroubleCall) -> None:
        """From now on ``call(reason)`` is called when the connection is lost or cannot be made, and ``call(None)`` when it is there again;
        in a thread of this client."""
        with self._lock:
            self._when_trouble.append(call)

    @property
    def dropped(self) -> int:
        """How many messages were given up for want of room while the broker was away."""
        with self._lock:
            return sum(self._out.dropped.values())

    def dropped_of(self, stream: str) -> int:
        """How many of one stream were."""
        with self._lock:
            return self._out.dropped.get(stream, 0)

    @property
    def repeated(self) -> int:
        """How many messages may have arrived twice: they were sent again to a broker that did not know what it had taken, since it was
        started anew or this client was away for too long. After any other failure each message arrives once."""
        with self._lock:
            return self._out.repeated

    def when_dropped(self, stream: str, notice: Optional[Notice]) -> None:
        """Where messages of the stream had to be dropped, ``notice(count)`` is put in their place, until the stream is closed."""
        with self._lock:
            if notice is None:
                self._notices.pop(stream, None)
            else:
                self._notices[stream] = (notice,)

    def __enter__(self) -> "RemoteStream":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: object) -> None:
        try:
            self.close()
        except (Disconnected, BrokerError):
            # What is already under way says more.
            if kind is None:
                raise

    def __repr__(self) -> str:
        state = "closed" if self._closed else "connected" if self._connected else "not connected"
        return f"<msgstream.RemoteStream {self.address}, {state}>"

    # Text.

    def encoded(self, message: Any, what: str = "message") -> str:
        """The text of a message or header, as it is sent. Raises EncodeError."""
        try:
            text = self._codec.encode(message)
        except EncodeError as error:
            if what == "message":
                raise
            raise EncodeError(error.path, error.problem, what) from None
        if not self._checked:
            _check(text)
        return text

    def encoded_header(self, message: Any) -> str:
        """The text of a header, if it is not too large."""
        text = self.encoded(message, "header")
        length, most = wire.size(text), self.options.header
        if length > most:
            raise EncodeError("", f"takes {length} bytes, more than {most} (options.header, and the broker's limits.header)", "header")
        return text

    def _head(self, stream: str) -> str:
        head = wire.put_head(checked(stream))
        if len(self._heads) >= 4096:
            self._heads.clear()
        self._heads[stream] = head
        return head

    def _add(self, entry: Waiting) -> None:
        line = entry if isinstance(entry, str) else entry.line
        if 4 * len(line) + _MORE > self.options.line:
            self._check_length(entry, line)
        with self._lock:
            if self._closed and self._is_over():
                return
            if self._failure is not None:
                self._raise_failure()
            self._put_in(entry)
            if self._out.size > self._out.limit:
                self._when_full()
        if self._sayings:
            self._speak()

    def _check_length(self, entry: Waiting, line: str) -> None:
        """What the broker would refuse is refused here, where somebody can do something about it."""
        length, most = wire.size(line) - 1, self.options.line
        if length + (_MORE if isinstance(entry, Entry) and entry.run is not None else 0) > most:
            raise EncodeError("", f"takes a line of {length} bytes, more than {most} (options.line, and the broker's limits.line): send it in parts")


def _remade(token: str, kind: Type[RemoteStream], address: str, strict: bool, nan: str, codec: Optional[Codec], options: Options) -> RemoteStream:
    with _remaking:
        remote = _by_token.get(token)
        if remote is None:
            remote = kind(address, strict=strict, nan=nan, codec=codec, options=options)
            remote._token = token
            _by_token[token] = remote
        return remote


def _check(text: object) -> None:
    """A codec of somebody else's: what would break the line breaks here instead."""
    if not isinstance(text, str):
        raise EncodeError("", f"was encoded as {type(text).__name__}; a codec makes a string")
    if "\n" in text:
        raise EncodeError("", "was encoded on several lines; a message is one line")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise EncodeError("", f"is not valid Unicode: {error.reason}") from None
