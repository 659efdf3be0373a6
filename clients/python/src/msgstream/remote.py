"""``RemoteStream``: publishes to and listens to streams of a broker, over one connection, in the background.

A put only encodes and queues, so that a job goes on when the broker does not.
"""

from __future__ import annotations

import functools
import threading
import uuid
import weakref
from typing import Any, Callable, Dict, Optional, Tuple, Type

import msgstream

from . import wire
from .absent import ABSENT
from .access import Access, File, Token
from .address import Address
from .background import Background
from .encoding import Codec, JsonCodec
from .entries import CLOSE, CONTROL, DELETE, HANGUP, HEADER, PUT, WILL, Entry, Waiting
from .errors import BrokerError, Disconnected, EncodeError, MsgstreamError
from .listening import TroubleCall
from .names import checked, checked_last, checked_prefix, key_of
from .options import Options
from .run import Run
from .shared import Notice
from .sinks import Sink, Target

#: What is added to a line that is of one run only, in bytes.
_MORE = 100

#: The clients of this process by what they are called in others.
_by_identity: "weakref.WeakValueDictionary[str, RemoteStream]" = weakref.WeakValueDictionary()
_remaking = threading.Lock()


class RemoteStream(Background):
    """The streams of a broker, named by ``host`` and ``port``; or ``"host:port"`` or ``"unix:/path"`` as host alone; or else by
    MSGSTREAM_SERVER, or the configuration of clients, or else ``127.0.0.1:7342``. Of several addresses of the broker with commas between them,
    the first that answers counts, and the next one is tried when a connection is lost.

    Nothing here waits for the broker, and nothing fails because of it: what is put while it is away is sent when it is back. Up
    to ``options.queue`` bytes wait; then the oldest progress is dropped and counted in ``dropped``. With ``strict`` the
    broker must be there from the beginning, and losing it, or being refused something by it, is raised by the next call.

    ``token`` is shown to a broker that wants one: a string, or the path of a file with it (a ``pathlib.Path``, which others must not be able to
    read); otherwise it is that of MSGSTREAM_TOKEN, or of the file that MSGSTREAM_TOKEN_FILE or ``token_file`` in the configuration names. With
    an address such as ``tls://broker.example`` the broker's certificate must be for that name, and from an authority in the file ``ca``, or
    from one that the system trusts; ``certificate`` and ``key`` are files of the client's own, for a broker that wants one. In the environment
    these are MSGSTREAM_CA, MSGSTREAM_CERTIFICATE and MSGSTREAM_KEY. What the configuration says counts for the broker that it names. All files are read again for each connection. What cannot be used raises
    ``BadConfig``.

    A broker that does not know the token raises ``AuthFailed`` with ``strict``; otherwise that is logged, each time, and what is published
    waits, to be offered again every ``options.refused_pause``, or once the file of the token holds another.

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
        token: Optional[Token] = None,
        ca: Optional[File] = None,
        certificate: Optional[File] = None,
        key: Optional[File] = None,
    ) -> None:
        usual = JsonCodec(nan)
        # A codec of somebody else's has its own idea of NaN. What it is replaced for would not read ours.
        replaced = type(msgstream.codec) is not JsonCodec
        chosen: Codec = codec if codec is not None else msgstream.codec if replaced or nan == "error" else usual
        self._checked = type(chosen) is JsonCodec
        self._heads: Dict[str, str] = {}
        self._identity = uuid.uuid4().hex
        # The codec that is everybody's is that of the other process there.
        self._given = (strict, nan, codec)
        address, access = Access.to(host, port, token, ca, certificate, key)
        super().__init__(address, options or Options(), strict, chosen, access)
        _by_identity[self._identity] = self

    def __reduce__(self) -> "Tuple[Any, ...]":
        """In another process it is a client of its own, as in a forked child: one, however often it is sent there."""
        return _remade, (self._identity, type(self), str(self.address), *self._given, self.options, self._access.sealed())

    # Publishing.

    def put(self, stream: str, message: Any, header: Any = ABSENT, *, essential: bool = False, of: Optional[str] = None) -> None:
        """Sends a message to all who listen to the stream. With ``header`` that becomes the stream's header in the same step, so
        that whoever joins sees each update exactly once. An ``essential`` message is among the last to be dropped while the
        broker is away.

        What is meant ``of`` one run of the stream, which ``begin`` or ``epoch`` tells, is refused as stale if that run is over or another has
        begun."""
        text = self.encoded(message)
        if header is ABSENT and not essential and of is None:
            head = self._heads.get(stream)
            if head is None:
                head = self._head(stream)
            self._add(f"{head}{text}}}\n")
            return
        self.put_encoded(stream, text, None if header is ABSENT else self.encoded_header(header), essential, of)

    def put_encoded(
        self,
        stream: str,
        text: str,
        header: Optional[str],
        essential: bool,
        of: Optional[str] = None,
        run: Optional[Run] = None,
        durable: bool = False,
    ) -> None:
        """The same with what ``encoded`` has made; of the ``run`` of a job, if given. What is ``durable`` is the header."""
        condition, receipt = self._condition(of)
        line = wire.put(checked(stream), text, header, condition)
        run = None if header is None else run
        self._add(Entry(PUT, line, stream, header, essential, None, run, condition, receipt, durable and header is not None))

    def header(self, stream: str, message: Any, *, of: Optional[str] = None, if_absent: bool = False, durable: bool = False) -> None:
        """Sets what whoever joins the stream gets first. It opens a stream that has ended. Current listeners are not told.

        With ``if_absent`` it is set only if the stream has no header and has not ended; ``begin`` does the same and waits for the answer. For
        ``of`` see ``put``.

        What is ``durable`` is to outlive a crash of the broker and of its machine: ``flush``, and the end of this client, wait until it is in
        the broker's store, too, which takes about ``store.interval``, 200 ms. It takes effect in any case; if the broker has no store, that is
        logged, and ``flush`` returns False, or with ``strict`` raises ``BrokerError``. A header or an end that a crash has undone before is
        told again, as long as this client is there and nobody else has begun the stream."""
        self._add(self._header_entry(stream, message, of, if_absent, durable))

    def begin(self, stream: str, header: Any, timeout: Optional[float] = 30.0) -> str:
        """Begins a stream that has no header and has not ended, by setting the header, and waits for the broker's answer. What it returns
        names this run, for the ``of`` of later actions. Raises ``Stale`` if somebody else has begun the stream, or it has ended, and
        TimeoutError after ``timeout`` seconds; then the stream may or may not have begun."""
        over = threading.Event()
        entry = self._beginning(stream, header, over.set)
        try:
            over.wait(timeout)
        finally:
            self._withdraw(entry)
        return self._begun(entry, timeout)

    def _header_entry(self, stream: str, message: Any, of: Optional[str], if_absent: bool, durable: bool = False) -> Entry:
        text = self.encoded_header(message)
        condition, receipt = self._condition(of, if_absent)
        line = wire.header(checked(stream), text, condition)
        return Entry(HEADER, line, stream, text, condition=condition, receipt=receipt, durable=durable)

    def _beginning(self, stream: str, header: Any, when_over: Callable[[], object]) -> Entry:
        entry = self._header_entry(stream, header, None, True)
        entry.when_over, entry.awaited = when_over, True
        self._add(entry)
        return entry

    def _begun(self, entry: Entry, timeout: Optional[float]) -> str:
        """What the broker has answered."""
        with self._lock:
            if entry.refusal is not None:
                raise entry.refusal
            if entry.position is not None:
                return entry.position[0]
            self._raise_failure()
        if entry.done:
            raise MsgstreamError(f"the broker at {self.address} does not count messages; it is older than this client")
        raise TimeoutError(f"{self.address} has not answered within {timeout} s")

    def _condition(self, of: Optional[str], if_absent: bool = False) -> "Tuple[str, Optional[str]]":
        """How the stream must stand, as it is sent, and the receipt of such an action."""
        if of is None and not if_absent:
            return "", None
        with self._lock:
            self._conditions += 1
            receipt = f"action {self._conditions}"
        return wire.condition(receipt, of, if_absent), receipt

    def __setitem__(self, stream: str, header: Any) -> None:
        self.header(stream, header)

    def will(self, stream: str, message: Any = ABSENT) -> None:
        """If this client is lost, the stream ends with that message. Lost is who is killed, or whose machine or network fails for longer
        than the broker's ``limits.session_time``; who closes, or whose program comes to its end, is not. Without a message the will is
        taken back; the end of the stream does that as well."""
        text = None if message is ABSENT else self.encoded(message)
        self._add(Entry(WILL, wire.will(checked(stream), text), stream))

    def close(
        self,
        stream: Any = ABSENT,
        message: Any = ABSENT,
        *,
        of: Optional[str] = None,
        durable: bool = False,
        timeout: Optional[float] = None,
    ) -> None:
        """Ends the stream: its listeners get the message, if any, and are no listeners any more; the header stays for those who
        come late. For ``of`` see ``put``, for ``durable`` see ``header``. Without ``stream`` it ends this client: what waits is sent within
        ``timeout`` (``options.exit_time``)."""
        if stream is ABSENT:
            if message is not ABSENT or durable:
                raise TypeError("a message needs a stream" if message is not ABSENT else "only the end of a stream can be durable")
            self.finish(timeout)
            return
        self.end_run(stream, message, of=of, durable=durable)

    def end_run(
        self, stream: str, message: Any = ABSENT, *, of: Optional[str] = None, run: Optional[Run] = None, durable: bool = False
    ) -> None:
        """The same for a stream alone; of the ``run`` of a job, if given."""
        text = None if message is ABSENT else self.encoded(message)
        noticed = self._notices.get(stream)
        when_over = None if noticed is None else functools.partial(self._forget_notice, stream, noticed)
        condition, receipt = self._condition(of)
        line = wire.close(checked(stream), text, condition)
        self._add(Entry(CLOSE, line, stream, when_over=when_over, run=run, condition=condition, receipt=receipt, durable=durable))

    def delete(self, stream: str, *, of: Optional[str] = None, durable: bool = False) -> None:
        """Ends the stream and forgets its header. For ``of`` see ``put``, for ``durable`` see ``header``."""
        condition, receipt = self._condition(of)
        line = wire.delete(checked(stream), condition)
        self._add(Entry(DELETE, line, stream, condition=condition, receipt=receipt, durable=durable))

    def __delitem__(self, stream: str) -> None:
        self.delete(stream)

    # Listening.

    def listen(self, stream: str, queue: Sink, *, events: bool = False, last: Optional[int] = None, latest: bool = False) -> None:
        """Puts the stream's header, if it has one, and then each message into ``queue``, which is anything with ``put``. The
        same queue may listen to several streams and several queues to one.

        At the stream's end ``queue.close(message)`` is called, if there is such a method, with None if there was no message;
        otherwise ``Ended(stream, message)`` is put. A connection that is lost is made again, and nothing is missing if the broker still has
        what came meanwhile. Otherwise a ``Lost`` or ``CutOff`` is put, with the number of messages that were ``missed`` if that is known,
        and then the header as it stands by then. What is not an ``msgstream.Event`` is a message.

        With ``events`` everything is put as an event, which names its stream. With ``last=20`` the last 20 messages come behind the
        header, as far as the broker still has them.

        With ``latest`` only the newest message is wanted: what waits for this queue, at the broker or here, is replaced by the newest, and a
        ``Skipped`` before it tells how many that were. Such a queue may take as long as it likes.
        """
        target = Target(queue, events, latest)
        checked(stream, publishes=False)
        checked_last(last)
        with self._lock:
            if self._closed and self._is_over():
                return
            self._raise_failure()
            self._put_in(Entry(CONTROL, self._listens.join(stream, target, last), stream))

    def listen_prefix(self, prefix: str, queue: Sink, *, events: bool = True, latest: bool = False) -> None:
        """Listens to all streams whose names begin so, those that there are and those to come: as ``listen`` does to each of them, when it
        comes into being. The empty prefix is that of all names that do not begin with ``$``; ``"$streams/"`` is the broker's directory.

        Everything is put as an event, which names its stream, unless ``events`` is False. Streams that have ended come too, as long as the
        broker remembers them; one that begins anew is listened to anew. After an outage each stream goes on where it was, and only of
        those where messages are missing, or that are not there any more, a ``Lost`` or ``CutOff`` tells. What concerns the prefix itself has
        the prefix as its ``stream``: a ``Lost`` while there is no connection yet, or a ``CutOff`` if the broker refuses it. A queue that listens
        to a stream by its name as well, or by several prefixes, gets it once.
        """
        target = Target(queue, events, latest)
        checked_prefix(prefix)
        with self._lock:
            if self._closed and self._is_over():
                return
            self._raise_failure()
            for line, stream in self._listens.join_prefix(prefix, target):
                self._put_in(Entry(CONTROL, line, key_of(prefix) if stream is None else stream))

    def hangup(self, stream: Optional[str] = None, queue: Optional[Sink] = None, *, prefix: Optional[str] = None) -> None:
        """Stops listening: to the stream, or the streams of the prefix, or to all; for the queue or for all. A stream that is listened to both by
        its name and by a prefix goes on until both are hung up. A message that is being put at this moment may still arrive."""
        if stream is not None and prefix is not None:
            raise TypeError("either a stream or a prefix is hung up")
        with self._lock:
            which = None if queue is None else lambda target: target.queue is queue
            for name in self._listens.leave(stream, which) if prefix is None else ():
                self._put_in(Entry(HANGUP, wire.hangup(name), name))
                if self._out.away:
                    self._listens.take_back(name)
            for name in self._listens.leave_prefix(prefix, which) if stream is None else ():
                self._put_in(Entry(HANGUP, wire.hangup_prefix(name), key_of(name)))
                if self._out.away:
                    self._listens.take_back_prefix(name)

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


def _remade(
    identity: str,
    kind: Type[RemoteStream],
    address: str,
    strict: bool,
    nan: str,
    codec: Optional[Codec],
    options: Options,
    access: "Tuple[Any, ...]",
) -> RemoteStream:
    with _remaking:
        remote = _by_identity.get(identity)
        if remote is None:
            remote = kind(address, strict=strict, nan=nan, codec=codec, options=options, **Access.unsealed(*access))
            remote._identity = identity
            _by_identity[identity] = remote
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
