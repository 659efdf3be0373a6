"""What a client does in the background: one thread connects and sends, one receives. What is sent, and to whom, is said by
``RemoteStream``; here is the life of its connections."""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from . import lifetime, wire
from .address import Address
from .connection import Connection
from .deliveries import Deliveries
from .encoding import Codec, decoder
from .errors import BrokerError, Closed, Disconnected
from .events import Event, Message
from .incoming import CutShort
from .listens import Listens
from .options import Options
from .outgoing import CONTROL, HANGUP, MARK, Entry, Outgoing, Waiting
from .patience import Retry
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
        #: There is no connection, and none is being made for the first time: what has no room is dropped.
        self._away = False
        #: The streams that the broker is asked about before anything is sent, and since when.
        self._doubtful: Set[str] = set()
        self._doubtful_since = 0.0
        #: Who has asked how a stream stands.
        self._askers: Dict[str, List[Callable[[str], object]]] = {}
        #: Nobody uses it any more: its threads end once all is confirmed.
        self._forgotten = False
        self._ask = False
        self._ending = False
        self._failure: Optional[Exception] = None
        self._last_trouble = ""
        self._said_dropping = False
        self._notices: Dict[str, Notice] = {}
        self._refused: Dict[Tuple[str, Optional[str]], int] = {}
        #: What was dropped or refused when ``flush`` last told.
        self._losses_told = 0
        #: What is to be logged once no lock is held, since a handler of logging may publish.
        self._sayings: List[str] = []
        self._out = Outgoing(self.options.queue)
        self._listens: Listens[Target] = Listens(self._decode)
        self._deliveries = Deliveries(f"msgstream {self.address} listeners", self.options.queue, self._give_up)

    def flush(self, timeout: Optional[float] = 30.0) -> bool:
        """Waits until all that was asked before has taken effect at the broker. False if that took longer than ``timeout``
        seconds, or if any of it was dropped or refused; in strict mode that raises. None waits for ever."""
        if threading.current_thread() in (self._thread, self._receiver):
            raise RuntimeError("flush would wait for its own thread: a handler of logging cannot call it there")
        over = threading.Event()
        mark = self._mark(over.set)
        if mark is not None:
            over.wait(timeout)
        return self._flushed(mark, timeout)

    def standing(self, stream: str, timeout: float = 5.0) -> Optional[str]:
        """How a stream stands at the broker: ``"running"``, ``"ended"``, or ``"waiting"`` if there is none. None if the broker does not
        say so within ``timeout`` seconds."""
        answers: List[str] = []
        answered = threading.Event()

        def take(state: str) -> None:
            answers.append(state)
            answered.set()

        with self._lock:
            if self._away or self._closed:
                return None
            self._askers.setdefault(stream, []).append(take)
            listen, *hangups = self._listens.ask(stream)
            self._put_in(Entry(CONTROL, listen, stream))
            for line in hangups:
                self._put_in(Entry(HANGUP, line, stream))
        answered.wait(timeout)
        return answers[0] if answers else None

    def forget(self) -> None:
        """Nobody uses this client any more: once all is confirmed it gives back its connection and its threads. It does not wait."""
        with self._lock:
            self._forgotten = True
            self._wake()

    def _is_forgotten(self) -> bool:
        return self._forgotten and self._out.empty and not self._listens.streams

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

    def _flushed(self, mark: Optional[Entry], timeout: Optional[float]) -> bool:
        """What a flush says that has waited for its mark."""
        with self._lock:
            self._raise_failure()
            losses = self._out.lost + self._out.forgotten + sum(self._refused.values())
            told, self._losses_told = self._losses_told, losses
        done = mark is None or mark.done
        if self.strict and not done:
            raise Disconnected(f"{self.address} has not confirmed everything within {timeout} s")
        return done and losses == told

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
        if threading.current_thread() in (self._thread, self._receiver):
            # A handler of logging that publishes what is logged here. Waiting would wait for ourselves.
            if not self._connected:
                self._trim()
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
        if self._away:
            self._trim()
        return not self._away

    def _trim(self) -> None:
        """Makes room. The first drop of an outage is said at once, the number when it is over."""
        before = self._out.lost
        self._out.trim()
        if self._out.lost > before and not self._said_dropping:
            self._said_dropping = True
            self._sayings.append(f"more than {self.options.queue} bytes wait for {self.address}: the oldest messages are dropped (options.queue)")

    def _speak(self) -> None:
        """Logs what could not be logged with the lock held."""
        sayings, self._sayings = self._sayings, []
        for saying in sayings:
            log.warning("%s", saying)

    def _more_patience(self) -> float:
        """Nothing has been confirmed for ``answer_time``. Until when that may go on: a long message on a slow line takes long; a
        broker that takes nothing counts as away. To make a connection has a time of its own."""
        connection = self._connection
        if connection is None:
            return time.monotonic() + self.options.connect_time
        deadline = connection.moved + self.options.answer_time
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
                # One refusal is one mistake, which is told now; a lost connection stays lost.
                self._failure = None
                self._losses_told += 1
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
            self._away = True
            return
        lifetime.in_worker_processes_too()

    def _run(self) -> None:
        retry = Retry(self.options)
        while self._wait_for_work():
            connection, self._opened = self._opened, None
            try:
                if connection is None:
                    connection = Connection(self.address, self.options)
            except CutShort as short:
                self._trouble(short)
            except Exception as error:
                # Not foreseen, and no reason for this thread to end.
                self._trouble(CutShort(f"cannot connect to {self.address}: {type(error).__name__}: {error}"))
            else:
                retry.answered()
                self._serve(connection)
            if self.strict:
                return
            with self._lock:
                self._work.wait_for(lambda: self._ending, retry.pause())
        if self._first is not None:
            self._first.put(None)
        with self._lock:
            if not self._ending:
                # It is forgotten. Should somebody put something all the same, it begins again.
                self._thread = self._receiver = self._first = None
        if self._opened is not None:
            # Closed before it was used.
            self._opened.close()

    def _wait_for_work(self) -> bool:
        """A client that has nothing to do makes no connection. One that has set headers sees to it that they are there."""
        with self._lock:
            while not (self._ending or self.strict or self._out.waiting or self._out.headers or self._listens.streams):
                if self._forgotten:
                    break
                self._idle = True
                self._work.wait()
            self._idle = False
            return not (self._ending or self._is_forgotten())

    def _serve(self, connection: Connection) -> None:
        """The life of one connection."""
        with self._lock:
            if self._ending:
                connection.close()
                return
            self._broken = None
            missing = self._out.dropped.copy()
            # What was said of them, and may have taken effect, is not said again before the broker has told how they stand.
            self._doubtful, self._doubtful_since = set(self._out.doubtful()), time.monotonic()
            joins = self._listens.again(self._out.controls())
            asks = [line for stream in self._doubtful for line in self._listens.ask(stream)]
            if not self._doubtful:
                self._out.connected(self._notice)
            first = "".join(joins + asks)
            self._connection, self._connected, self._ask = connection, True, bool(first)
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
            self._out.disconnected()
            broken = self._broken or CutShort("the connection ended")
        if not self._ending:
            self._trouble(broken)

    def _send(self, connection: Connection, first: str) -> None:
        """Sends what is queued until the connection ends."""
        connection.send(first)
        while True:
            with self._lock:
                while self._broken is None and not self._ending and (self._doubtful or not (self._out.waiting or self._ask)):
                    if self._is_forgotten():
                        break
                    self._idle = True
                    self._work.wait()
                self._idle = False
                if self._broken is not None:
                    return
                if self._ending or self._is_forgotten():
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
        with self._lock:
            self._away = True
            self._tell_room()
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
        said = connection.incoming.message(line)
        if said is not None and not self._listens.unsettled:
            targets = self._listens.active.get(said.stream or "")
            if targets:
                self._deliveries.put(targets, Message(said.stream or "", self._decode(said.message or "")), len(line))
            return
        said = said or connection.incoming.parse(line)
        with self._lock:
            if said.action == "pong" and isinstance(said.receipt, int):
                self._out.confirm(said.receipt)
                if self._forgotten:
                    self._wake()
                self._tell_room()
                lifetime.leaving.answered(self._name)
            known = said.receipt
            deliveries = self._listens.settle(said)
            if self._listens.standings:
                self._settle_standings()
        if said.action == "error" and known is None:
            self._refusal(said)
        self._deliver(deliveries, len(line))

    def _settle_standings(self) -> None:
        """The broker has told how streams stand. When all doubts are settled, sending begins."""
        standings, self._listens.standings = self._listens.standings, []
        for stream, state, header in standings:
            if stream not in self._doubtful:
                for tell in self._askers.pop(stream, []):
                    tell(state)
                continue
            self._out.reconcile(stream, state, header)
            self._doubtful.discard(stream)
            if not self._doubtful:
                self._out.connected(self._notice)
                self._ask = True
                self._wake()

    def _deliver(self, deliveries: "List[Tuple[Tuple[Target, ...], Event]]", length: int = 0) -> None:
        for targets, event in deliveries:
            self._deliveries.put(targets, event, length)

    def _give_up(self, target: Target, stream: str) -> None:
        """One that takes too long, or fails, listens to that stream no more."""
        with self._lock:
            for name in self._listens.leave(stream, lambda other: other is target):
                self._put_in(Entry(HANGUP, wire.hangup(name), name))

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
            since = self._doubtful_since if self._doubtful else self._out.asked_since()
            if since is None:
                self._ask = True
                self._wake()
            elif time.monotonic() - max(since, connection.moved) >= self.options.answer_time:
                raise CutShort(f"the broker has not answered for {self.options.answer_time:g} s")

    def _sever(self, short: CutShort) -> None:
        """The connection is of no use any more. Called with the lock held."""
        if self._broken is None:
            self._broken = short
        self._connected, self._away = False, True
        if self._connection is not None:
            self._connection.shutdown()
        self._work.notify_all()
        self._tell_room()

    # The end.

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
            self._deliveries.settle(deadline)

    def settle(self, timeout: Optional[float] = None) -> bool:
        """Waits until all is confirmed, as long as that makes sense: within ``timeout``, or what is left of ``options.exit_time`` for this
        outage, and not for a broker that was never there. False if something is not."""
        begun, most = time.monotonic(), self.options.exit_time if timeout is None else timeout
        with self._lock:
            idle = self._failure is None and (self._out.empty or self._thread is None)
        if idle or threading.current_thread() in (self._thread, self._receiver):
            return True
        changed = threading.Event()
        mark = self._mark(changed.set)
        while mark is not None and not mark.done:
            with self._lock:
                changed.clear()
                self._when_room.append(changed.set)
                left = begun + lifetime.leaving.allowed(self._name, most, self._away) - time.monotonic()
                if mark.done or left <= 0.0 or self._failure is not None:
                    break
            changed.wait(left)
        waited = time.monotonic() - begun
        if mark is not None and not mark.done:
            lifetime.leaving.spend(self._name, waited)
        return self._flushed(mark, round(waited, 1))

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
