"""``RemoteStream``: publishes to and listens to streams of a broker, over one connection, in the background.

Two threads serve a client: one connects and sends, one receives. A put only encodes and queues, so that a job goes on when the
broker does not.
"""

from __future__ import annotations

import atexit
import inspect
import logging
import os
import sys
import threading
import time
import weakref
from typing import Any, Callable, Dict, List, Optional, Protocol, Tuple, Type

import msgstream

from . import wire
from .address import Address
from .connection import Connection, CutShort
from .encoding import Codec, JsonCodec, decoder
from .errors import BrokerError, Closed, Disconnected, EncodeError
from .events import CutOff, Ended, Event, Header, Message
from .listens import Listens
from .options import Options
from .outgoing import CLOSE, CONTROL, DELETE, HEADER, MARK, PUT, Entry, Outgoing, Waiting
from .wire import Line

log = logging.getLogger("msgstream")

#: Stands for "none given" where None is a message like any other.
ABSENT: Any = type("Absent", (), {"__repr__": lambda self: "ABSENT"})()

#: What one write takes: large enough that its cost does not count, small enough that confirmations keep coming.
_BATCH = 1 << 18

#: What a put without ``dropped`` of its own says where messages are missing: nothing, since the content is the program's.
Notice = Callable[[int], Any]


class Sink(Protocol):
    """What listens to a stream: anything with ``put``."""

    def put(self, message: Any) -> Any:
        """Takes a message. It is called in the receiving thread, so it should not wait for long."""


class RemoteStream:
    """The streams of a broker, named by ``host`` and ``port``; or ``"host:port"`` or ``"unix:/path"`` as host alone; or else by
    MSGSTREAM_SERVER, or else ``127.0.0.1:7342``.

    Nothing here waits for the broker, and nothing fails because of it: what is put while it is away is sent when it is back. Up
    to ``options.queue`` bytes wait; then the oldest progress is dropped and counted in ``dropped``. With ``strict`` the
    broker must be there from the beginning, and losing it, or being refused something by it, is raised by the next call.

    All methods may be called from any thread. In a forked child it is a client of its own, with a new connection: what was queued
    and who listened stay with the parent.
    """

    _opened: Optional[Connection]

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
        self.address = Address.of(host, port)
        self.options = options or Options()
        self.strict = strict
        self._codec: Codec = codec if codec is not None else JsonCodec(nan) if nan != "error" else msgstream.codec
        self._checked = type(self._codec) is JsonCodec
        self._decode = decoder(self._codec)
        self._closed = False
        self._begin()
        _clients.add(self)
        if strict:
            try:
                self._opened = Connection(self.address, self.options)
            except CutShort as short:
                self._closed = True
                raise Disconnected(short.reason) from None
            with self._lock:
                self._start()

    def _begin(self) -> None:
        """What a process starts with: also a forked one, whose copies of these belong to threads that it does not have."""
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._idle = False
        self._thread: Optional[threading.Thread] = None
        self._receiver: Optional[threading.Thread] = None
        #: A connection that is made, and not yet served.
        self._opened = None
        self._connection: Optional[Connection] = None
        self._connected = False
        self._broken: Optional[CutShort] = None
        self._ask = False
        self._ending = False
        self._failure: Optional[Exception] = None
        self._last_trouble = ""
        self._heads: Dict[str, str] = {}
        self._notices: Dict[str, Notice] = {}
        self._refused: Dict[Tuple[str, Optional[str]], int] = {}
        self._out = Outgoing(self.options.queue)
        self._listens: Listens[_Target] = Listens(self._decode)

    # Publishing.

    def put(self, stream: str, message: Any, header: Any = ABSENT, *, essential: bool = False) -> None:
        """Sends a message to all who listen to the stream. With ``header`` that becomes the stream's header in the same step, so
        that whoever joins sees each update exactly once. An ``essential`` message is among the last to be dropped while the
        broker is away."""
        text = self._encode(message)
        if header is ABSENT and not essential:
            head = self._heads.get(stream)
            if head is None:
                head = self._head(stream)
            self._add(f"{head}{text}}}\n")
            return
        header_text = None if header is ABSENT else self._encode(header, "header")
        line = wire.put(_name(stream), text, header_text)
        self._add(Entry(PUT, line, stream, header_text, essential))

    def header(self, stream: str, message: Any) -> None:
        """Sets what whoever joins the stream gets first. It opens a stream that has ended. Current listeners are not told."""
        text = self._encode(message, "header")
        self._add(Entry(HEADER, wire.header(_name(stream), text), stream, text))

    def __setitem__(self, stream: str, header: Any) -> None:
        self.header(stream, header)

    def close(self, stream: Optional[str] = None, message: Any = ABSENT, *, timeout: Optional[float] = None) -> None:
        """Ends the stream: its listeners get the message, if any, and are no listeners any more; the header stays for those who
        come late. Without ``stream`` it ends this client: what waits is sent within ``timeout`` (``options.exit_time``)."""
        if stream is None:
            if message is not ABSENT:
                raise TypeError("a message needs a stream")
            self._finish(timeout)
            return
        text = None if message is ABSENT else self._encode(message)
        self._add(Entry(CLOSE, wire.close(_name(stream), text), stream))

    def delete(self, stream: str) -> None:
        """Ends the stream and forgets its header."""
        self._add(Entry(DELETE, wire.delete(_name(stream)), stream))

    def __delitem__(self, stream: str) -> None:
        self.delete(stream)

    def flush(self, timeout: Optional[float] = 30.0) -> bool:
        """Waits until all that was asked before has taken effect at the broker. False if that took longer than ``timeout``
        seconds; in strict mode that raises Disconnected. None waits for ever."""
        done = threading.Event()
        with self._lock:
            if self._closed:
                raise Closed("this client is closed")
            self._raise_failure()
            if self._out.empty:
                return True
            self._put_in(Entry(MARK, "", on_done=done.set))
        waited = done.wait(timeout)
        with self._lock:
            self._raise_failure()
        if self.strict and not waited:
            raise Disconnected(f"{self.address} has not confirmed everything within {timeout} s")
        return waited

    # Listening.

    def listen(self, stream: str, queue: Sink, *, events: bool = False) -> None:
        """Puts the stream's header, if it has one, and then each message into ``queue``, which is anything with ``put``. The
        same queue may listen to several streams and several queues to one.

        At the stream's end ``queue.close(message)`` is called, if there is such a method, with None if there was no message;
        otherwise ``Ended(stream, message)`` is put. Where messages may be missing, since the connection was lost, a ``Lost`` or
        ``CutOff`` is put, and then the header as it stands by then. What is not an ``msgstream.Event`` is a message.

        With ``events`` everything is put as an event, which names its stream.
        """
        target = _Target(queue, events)
        _name(stream)
        with self._lock:
            if self._closed:
                raise Closed("this client is closed")
            self._raise_failure()
            self._put_in(Entry(CONTROL, self._listens.join(stream, target)))

    def hangup(self, stream: Optional[str] = None, queue: Optional[Sink] = None) -> None:
        """Stops listening: to the stream or to all, for the queue or for all. A message that is being put at this moment may
        still arrive."""
        with self._lock:
            which = None if queue is None else lambda target: target.queue is queue
            for line in self._listens.leave(stream, which):
                self._put_in(Entry(CONTROL, line))

    # How it is going.

    @property
    def connected(self) -> bool:
        """Whether the broker is there, as far as is known."""
        return self._connected

    @property
    def dropped(self) -> int:
        """How many messages were given up for want of room while the broker was away."""
        with self._lock:
            return sum(self._out.dropped.values())

    def dropped_of(self, stream: str) -> int:
        """How many of one stream were."""
        with self._lock:
            return self._out.dropped.get(stream, 0)

    def when_dropped(self, stream: str, notice: Optional[Notice]) -> None:
        """Where messages of the stream had to be dropped, ``notice(count)`` is put in their place."""
        with self._lock:
            if notice is None:
                self._notices.pop(stream, None)
            else:
                self._notices[stream] = notice

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

    # Queueing.

    def _encode(self, message: Any, what: str = "message") -> str:
        try:
            text = self._codec.encode(message)
        except EncodeError as error:
            if what == "message":
                raise
            raise EncodeError(error.path, error.problem, what) from None
        if not self._checked:
            _check(text)
        return text

    def _head(self, stream: str) -> str:
        head = wire.put_head(_name(stream))
        if len(self._heads) >= 4096:
            self._heads.clear()
        self._heads[stream] = head
        return head

    def _add(self, entry: Waiting) -> None:
        with self._lock:
            if self._closed:
                raise Closed("this client is closed")
            if self._failure is not None:
                self._raise_failure()
            self._put_in(entry)
            if self._out.size > self._out.limit:
                self._when_full()

    def _put_in(self, entry: Waiting) -> None:
        self._out.add(entry)
        if self._idle:
            self._wake()
        elif self._thread is None:
            self._start()

    def _when_full(self) -> None:
        self._make_room()

    def _wait_for_room(self) -> None:
        with self._lock:
            self._make_room()

    def _make_room(self) -> None:
        """Waits while the broker takes what is queued; drops while it is away."""
        if threading.current_thread() is self._receiver:
            # A queue that publishes what it gets. Waiting here would wait for ourselves.
            return
        deadline = time.monotonic() + self.options.answer_time
        while self._out.size > self._out.limit and not self._ending:
            self._raise_failure()
            if not self._connected:
                self._out.trim()
                return
            before = self._out.size
            if not self._room.wait(max(0.0, deadline - time.monotonic())):
                self._sever(CutShort(f"the broker has confirmed nothing for {self.options.answer_time:g} s"))
            elif self._out.size < before:
                deadline = time.monotonic() + self.options.answer_time

    def _wake(self) -> None:
        self._idle = False
        self._work.notify()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure = self._failure
            if isinstance(failure, BrokerError):
                # One refusal is one mistake; a lost connection stays lost.
                self._failure = None
            raise failure

    # The sending thread.

    def _start(self) -> None:
        if self._thread is not None:
            return
        thread = threading.Thread(target=self._run, name=f"msgstream {self.address}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # The interpreter is shutting down. What is left over is counted at the end.
            return
        self._thread = thread
        _flush_in_worker_processes()

    def _run(self) -> None:
        attempt = 0
        while self._wait_for_work():
            connection, self._opened = self._opened, None
            try:
                if connection is None:
                    connection = Connection(self.address, self.options)
            except CutShort as short:
                self._trouble(short)
            else:
                begun = time.monotonic()
                self._serve(connection)
                if time.monotonic() - begun > self.options.first_pause * 10:
                    attempt = 0
            with self._lock:
                if self.strict or not self._work.wait_for(lambda: self._ending, self.options.pause(attempt)):
                    attempt += 1
            if self.strict:
                return

    def _wait_for_work(self) -> bool:
        """A client that has nothing to do makes no connection. One that has set headers sees to it that they are there."""
        with self._lock:
            while not (self._ending or self.strict or self._out.waiting or self._out.headers or self._listens.streams):
                self._idle = True
                self._work.wait()
            self._idle = False
            return not self._ending

    def _serve(self, connection: Connection) -> None:
        """The life of one connection."""
        with self._lock:
            if self._ending:
                connection.close()
                return
            self._broken = None
            missing = self._out.dropped.copy()
            first = "".join(self._listens.again(self._out.controls()) + self._out.connected(self._notice))
            self._connection, self._connected, self._ask = connection, True, bool(first)
            self._receiver = receiver = threading.Thread(
                target=self._receive, args=(connection,), name=f"msgstream {self.address} receiver", daemon=True
            )
        if self._last_trouble:
            log.warning("connected to %s again%s", self.address, self._said_dropped(missing))
            self._last_trouble = ""
        try:
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
            # A queue may hold it up, and the next receiver must not overtake it.
            receiver.join(0.2)
        connection.close()
        with self._lock:
            self._connection, self._connected = None, False
            self._out.disconnected()
            broken = self._broken or CutShort("the connection ended")
        if not self._ending:
            self._trouble(broken)

    def _send(self, connection: Connection, first: str) -> None:
        """Sends what is queued until the connection ends."""
        connection.send(first)
        while True:
            with self._lock:
                while self._broken is None and not self._out.waiting and not self._ask and not self._ending:
                    self._idle = True
                    self._work.wait()
                self._idle = False
                if self._broken is not None:
                    return
                if self._ending:
                    # What still waits was given up by whoever closed.
                    break
                self._ask = False
                text = self._out.take(_BATCH)
            connection.send(text)
        connection.finish()
        receiver = self._receiver
        if receiver is not None:
            receiver.join(1.0)

    def _trouble(self, short: CutShort) -> None:
        """The broker is away. Said once for each reason, not at each attempt."""
        if self.strict:
            with self._lock:
                self._failure = Disconnected(short.reason)
                self._release_all()
            return
        if short.reason != self._last_trouble:
            log.warning("%s; trying again, what is published waits", short.reason)
            if not self._last_trouble or short.code is not None:
                with self._lock:
                    deliveries = self._listens.interrupted(short.code, short.reason, True)
                self._deliver(deliveries)
            self._last_trouble = short.reason

    def _release_all(self) -> None:
        """Nobody waits for what will not come."""
        for entry in self._out.waiting:
            if isinstance(entry, Entry) and entry.kind == MARK and entry.on_done is not None:
                entry.on_done()
        self._room.notify_all()

    def _notice(self, stream: str, dropped: int) -> Optional[str]:
        notice = self._notices.get(stream)
        try:
            return None if notice is None else self._codec.encode(notice(dropped))
        except Exception:
            log.exception("what to say about dropped messages of %r could not be said", stream)
            return None

    def _said_dropped(self, dropped: Dict[str, int]) -> str:
        total = sum(dropped.values())
        if not total:
            return ""
        return f"; {total} messages have been dropped so far, since more than {self.options.queue} bytes waited"

    # The receiving thread.

    def _receive(self, connection: Connection) -> None:
        try:
            while True:
                lines = connection.receive(self.options.idle_time)
                if lines is None:
                    self._ask_for_a_word()
                else:
                    for line in lines:
                        self._handle(connection, line)
        except CutShort as short:
            ended = short
        except BaseException as error:
            log.exception("receiving from %s failed", self.address)
            ended = CutShort(f"{type(error).__name__}: {error}")
        with self._lock:
            self._sever(ended)
            if self._ending:
                return
            reconnecting = not self.strict
            deliveries = self._listens.interrupted(ended.code, ended.reason, reconnecting)
            self._last_trouble = ended.reason
        # Not with the lock held: a handler of logging may publish.
        log.warning("%s%s", ended.reason, "; connecting again, what is published waits" if reconnecting else "")
        self._deliver(deliveries)

    def _handle(self, connection: Connection, line: str) -> None:
        said = connection.message(line)
        if said is not None and not self._listens.unsettled:
            targets = self._listens.active.get(said.stream or "")
            if targets:
                self._deliver([(targets, Message(said.stream or "", self._decode(said.message or "")))])
            return
        said = said or connection.parse(line)
        with self._lock:
            if said.action == "pong" and isinstance(said.receipt, int):
                self._out.confirm(said.receipt)
                self._room.notify_all()
            known = said.receipt
            deliveries = self._listens.settle(said)
        if said.action == "error" and known is None:
            self._refusal(said)
        self._deliver(deliveries)

    def _deliver(self, deliveries: "List[Tuple[Tuple[_Target, ...], Event]]") -> None:
        for targets, event in deliveries:
            for target in targets:
                try:
                    target.deliver(event)
                except Exception:
                    # Its owner's mistake. The other queues, and what is published, go on.
                    log.exception("a queue that listens to %s failed and is hung up", self.address)
                    with self._lock:
                        for line in self._listens.leave(None, lambda other, failed=target: other is failed):  # type: ignore[misc]
                            self._put_in(Entry(CONTROL, line))

    def _refusal(self, said: Line) -> None:
        key = (said.code, said.stream)
        count = self._refused[key] = self._refused.get(key, 0) + 1
        if self.strict:
            with self._lock:
                self._failure = self._failure or BrokerError(said.code, said.reason, said.stream)
        # A program that repeats its mistake should not fill its log with it.
        if count & (count - 1) == 0:
            log.error("the broker refused, %d times so far: %s: %s (stream %s)", count, said.code, said.reason, said.stream)

    def _ask_for_a_word(self) -> None:
        with self._lock:
            since = self._out.asked_since()
            if since is None:
                self._ask = True
                self._wake()
            elif time.monotonic() - since >= self.options.answer_time:
                raise CutShort(f"the broker has not answered for {self.options.answer_time:g} s")

    def _sever(self, short: CutShort) -> None:
        """The connection is of no use any more. Called with the lock held."""
        if self._broken is None:
            self._broken = short
        self._connected = False
        if self._connection is not None:
            self._connection.shutdown()
        self._work.notify_all()
        self._room.notify_all()

    # The end.

    def _finish(self, timeout: Optional[float] = None) -> None:
        if self._closed:
            return
        try:
            # In strict mode a failure is told to whoever closes.
            self._flush_at_exit(self.options.exit_time if timeout is None else timeout)
        finally:
            with self._lock:
                self._closed = self._ending = True
                thread, receiver = self._thread, self._receiver
                left = self._out.unfinished
                self._work.notify_all()
                self._room.notify_all()
            if left:
                log.warning("%d lines for %s were not confirmed and are given up", left, self.address)
            _clients.discard(self)
            if thread is None:
                if self._opened is not None:
                    self._opened.close()
            elif threading.current_thread() not in (thread, receiver):
                thread.join(1.5)
                with self._lock:
                    if self._connection is not None:
                        # It hangs; this ends what it waits for.
                        self._connection.shutdown()

    def _flush_at_exit(self, timeout: float) -> None:
        with self._lock:
            if self._failure is None and (self._out.empty or self._thread is None):
                return
        if not self.flush(timeout):
            log.warning("%s did not take everything within %g s", self.address, timeout)

    def _after_fork(self) -> None:
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


class _Target:
    """A queue, and in which form it wants what it gets."""

    def __init__(self, queue: Sink, events: bool) -> None:
        if not callable(getattr(queue, "put", None)):
            raise TypeError(f"what listens needs a method put(message); {type(queue).__name__} has none")
        if inspect.iscoroutinefunction(queue.put):
            raise TypeError(f"{type(queue).__name__}.put is a coroutine; see msgstream.aio for asyncio")
        self.queue = queue
        self._events = events
        self._close = None if events else _close_of(queue)

    def deliver(self, event: Event) -> None:
        """Hands over one event."""
        if not self._events:
            if isinstance(event, (Header, Message)):
                self.queue.put(event.message)
                return
            if isinstance(event, Ended) and self._close is not None:
                self._close(event.message)
                return
        self.queue.put(event)


def _close_of(queue: object) -> Optional[Callable[[Any], Any]]:
    """The method that takes the last message. One without a parameter, as multiprocessing.Queue has, means something else."""
    close = getattr(queue, "close", None)
    if not callable(close):
        return None
    try:
        inspect.signature(close).bind(None)
    except TypeError:
        return None
    except ValueError:
        # Written in C, without a signature.
        return None
    return close  # type: ignore[no-any-return]


def _name(stream: str) -> str:
    if not isinstance(stream, str) or not stream:
        raise ValueError(f"the name of a stream is a string of at least one character, not {stream!r}")
    return stream


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


# Clients that are open, for the end of the process and for forks.
_clients: "weakref.WeakSet[RemoteStream]" = weakref.WeakSet()
_finalized_in: Optional[int] = None


def _flush_all() -> None:
    """At the end of a process: one limit for all, the longest that one of them allows."""
    clients = list(_clients)
    deadline = time.monotonic() + max((client.options.exit_time for client in clients), default=0.0)
    for client in clients:
        try:
            client._finish(max(0.0, deadline - time.monotonic()))
        except Exception as error:
            log.warning("%s: %s", client.address, error)


def _flush_in_worker_processes() -> None:
    """The processes of multiprocessing end without atexit; they have finalizers of their own."""
    global _finalized_in
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is None or multiprocessing.parent_process() is None or _finalized_in == os.getpid():
        return
    from multiprocessing.util import Finalize

    _finalized_in = os.getpid()
    Finalize(None, _flush_all, exitpriority=100)


def _after_fork() -> None:
    for client in list(_clients):
        client._after_fork()


atexit.register(_flush_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
