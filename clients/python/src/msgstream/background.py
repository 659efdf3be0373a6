"""What a client does in the background: one thread connects and sends, one receives. What is sent, and to whom, is said by
``RemoteStream``; here is the life of its connections."""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from . import lifetime
from .address import Address
from .connection import Connection, CutShort
from .encoding import Codec, decoder
from .errors import BrokerError, Closed, Disconnected
from .events import Event, Message
from .listens import Listens
from .options import Options
from .outgoing import CONTROL, MARK, Entry, Outgoing, Waiting
from .sinks import Target
from .wire import Line

log = logging.getLogger("msgstream")

#: What one write takes: large enough that its cost does not count, small enough that confirmations keep coming.
_BATCH = 1 << 18

#: What is put where messages had to be dropped.
Notice = Callable[[int], Any]


class Background:
    """The queue, the threads and the connection of one client."""

    #: A connection that is made, and not yet served.
    _opened: Optional[Connection]

    def __init__(self, address: Address, options: Options, strict: bool, codec: Codec) -> None:
        self.address = address
        self.options = options
        self.strict = strict
        self._codec = codec
        self._decode = decoder(codec)
        self._closed = False
        self._begin()
        lifetime.survives_forks(self)
        if strict:
            try:
                self._opened = Connection(address, options)
            except CutShort as short:
                self._closed = True
                raise Disconnected(short.reason) from None
            with self._lock:
                self._start()
        lifetime.opened(self)

    def _begin(self) -> None:
        """What a process starts with: also a forked one, whose copies of these belong to threads that it does not have."""
        # A signal handler, or an object that is collected, may publish in the middle of what its thread does here.
        self._lock = threading.RLock()
        self._work = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        #: For those who cannot wait in a thread.
        self._when_room: List[Callable[[], object]] = []
        self._idle = False
        self._thread: Optional[threading.Thread] = None
        self._receiver: Optional[threading.Thread] = None
        self._opened = None
        #: How the first receiver gets its connection.
        self._first: "Optional[queue.SimpleQueue[Optional[Connection]]]" = None
        self._connection: Optional[Connection] = None
        self._connected = False
        self._broken: Optional[CutShort] = None
        self._ask = False
        self._ending = False
        self._failure: Optional[Exception] = None
        self._last_trouble = ""
        self._notices: Dict[str, Notice] = {}
        self._refused: Dict[Tuple[str, Optional[str]], int] = {}
        self._out = Outgoing(self.options.queue)
        self._listens: Listens[Target] = Listens(self._decode)

    def flush(self, timeout: Optional[float] = 30.0) -> bool:
        """Waits until all that was asked before has taken effect at the broker. False if that took longer than ``timeout``
        seconds; in strict mode that raises Disconnected. None waits for ever."""
        if threading.current_thread() in (self._thread, self._receiver):
            raise RuntimeError("flush would wait for its own thread: a queue's put cannot call it")
        over = threading.Event()
        mark = self._mark(over.set)
        if mark is None:
            return True
        over.wait(timeout)
        return self._flushed(mark, timeout)

    def _mark(self, when_over: Callable[[], object]) -> Optional[Entry]:
        """Puts in a mark for whoever waits until all before it has taken effect, or will not; None if there is nothing to wait for."""
        with self._lock:
            if self._closed:
                raise Closed("this client is closed")
            self._raise_failure()
            if self._out.empty:
                return None
            mark = Entry(MARK, "", when_over=when_over)
            self._put_in(mark)
            return mark

    def _flushed(self, mark: Entry, timeout: Optional[float]) -> bool:
        """What a flush says that has waited for its mark."""
        with self._lock:
            self._raise_failure()
        if self.strict and not mark.done:
            raise Disconnected(f"{self.address} has not confirmed everything within {timeout} s")
        return mark.done

    # The queue. What is not for the threads is called with the lock held.

    def _put_in(self, entry: Waiting) -> None:
        self._out.add(entry)
        if self._idle:
            self._wake()
        elif self._thread is None:
            self._start()

    def _when_full(self) -> None:
        self._make_room()

    def _make_room(self) -> None:
        """Waits while the broker takes what is queued; drops while it is away."""
        if threading.current_thread() is self._receiver:
            # A queue that publishes what it gets. Waiting here would wait for ourselves.
            if not self._connected:
                self._out.trim()
            return
        deadline = time.monotonic() + self.options.answer_time
        while self._is_full():
            before = self._out.size
            if not self._room.wait(max(0.0, deadline - time.monotonic())):
                deadline = self._more_patience()
            elif self._out.size < before:
                deadline = time.monotonic() + self.options.answer_time

    def _is_full(self) -> bool:
        """Whether there is something to wait for before more is put in. While the broker is away there is not: it makes room."""
        if self._out.size <= self._out.limit or self._ending:
            return False
        self._raise_failure()
        if not self._connected:
            self._out.trim()
        return self._connected

    def _more_patience(self) -> float:
        """Nothing has been confirmed for ``answer_time``. Until when that may go on: a long message on a slow line takes long; a
        broker that takes nothing counts as away."""
        connection = self._connection
        deadline = 0.0 if connection is None else connection.moved + self.options.answer_time
        if deadline <= time.monotonic():
            self._sever(CutShort(f"the broker has confirmed nothing for {self.options.answer_time:g} s"))
        return deadline

    def _tell_room(self) -> None:
        """There may be room. Whoever waits for it looks again."""
        self._room.notify_all()
        tell, self._when_room = self._when_room, []
        for each in tell:
            each()

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
            return
        lifetime.in_worker_processes_too()

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
        if self._first is not None:
            self._first.put(None)
        if self._opened is not None:
            # Closed before it was used.
            self._opened.close()

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
            first_receiver, self._first = self._first, None
            if first_receiver is None or self._receiver is None:
                self._receiver = threading.Thread(
                    target=self._receive, args=(connection,), name=f"msgstream {self.address} receiver", daemon=True
                )
            receiver = self._receiver
        if self._last_trouble:
            log.warning("connected to %s again%s", self.address, self._said_dropped(missing))
            self._last_trouble = ""
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
        self._out.release()
        self._tell_room()

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

    def _receive_first(self, first: "queue.SimpleQueue[Optional[Connection]]") -> None:
        connection = first.get()
        if connection is not None:
            self._receive(connection)

    def _receive(self, connection: Connection) -> None:
        try:
            while True:
                lines = connection.receive(self.options.idle_time)
                if lines is None:
                    self._ask_for_a_word(connection)
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
                self._tell_room()
            known = said.receipt
            deliveries = self._listens.settle(said)
        if said.action == "error" and known is None:
            self._refusal(said)
        self._deliver(deliveries)

    def _deliver(self, deliveries: "List[Tuple[Tuple[Target, ...], Event]]") -> None:
        for targets, event in deliveries:
            for target in targets:
                try:
                    target.deliver(event)
                except BaseException:
                    # Its owner's mistake, or its way to stop. The other queues, and what is published, go on.
                    log.exception("a queue that listens to %s failed and is hung up", self.address)
                    with self._lock:
                        for line in self._listens.leave(None, lambda other, failed=target: other is failed):  # type: ignore[misc]
                            self._put_in(Entry(CONTROL, line))

    def _refusal(self, said: Line) -> None:
        key = (said.code, said.stream)
        count = self._refused[key] = self._refused.get(key, 0) + 1
        error = BrokerError(said.code, said.reason, said.stream)
        if self.strict:
            with self._lock:
                self._failure = self._failure or error
        # A program that repeats its mistake should not fill its log with it.
        if count & (count - 1) == 0:
            log.error("the broker refused, %d times so far: %s", count, error)

    def _ask_for_a_word(self, connection: Connection) -> None:
        with self._lock:
            since = self._out.asked_since()
            if since is None:
                self._ask = True
                self._wake()
            elif time.monotonic() - max(since, connection.moved) >= self.options.answer_time:
                raise CutShort(f"the broker has not answered for {self.options.answer_time:g} s")

    def _sever(self, short: CutShort) -> None:
        """The connection is of no use any more. Called with the lock held."""
        if self._broken is None:
            self._broken = short
        self._connected = False
        if self._connection is not None:
            self._connection.shutdown()
        self._work.notify_all()
        self._tell_room()

    # The end.

    def finish(self, timeout: Optional[float] = None) -> None:
        if self._closed:
            return
        timeout = self.options.exit_time if timeout is None else timeout
        deadline = time.monotonic() + timeout
        try:
            # In strict mode a failure is told to whoever closes.
            self._flush_at_exit(timeout)
        finally:
            with self._lock:
                self._closed = self._ending = True
                thread, receiver = self._thread, self._receiver
                left = self._out.unfinished
                self._work.notify_all()
                self._release_all()
            if left:
                log.warning("%d lines for %s were not confirmed and are given up", left, self.address)
            lifetime.closed(self)
            if thread is None:
                if self._opened is not None:
                    self._opened.close()
            elif threading.current_thread() not in (thread, receiver):
                # What was confirmed needs no more time, and the rest has had it.
                thread.join(max(0.05, min(1.5, deadline - time.monotonic())))
                with self._lock:
                    if self._connection is not None:
                        # It hangs; this ends what it waits for.
                        self._connection.shutdown()

    def _flush_at_exit(self, timeout: float) -> None:
        with self._lock:
            if self._failure is None and (self._out.empty or self._thread is None):
                return
        if threading.current_thread() in (self._thread, self._receiver):
            return
        if not self.flush(timeout):
            log.warning("%s did not take everything within %g s", self.address, round(timeout, 1))

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
