"""What the threads of a client and those who use it share: the queue, and what is known of the connection. What is sent, and to whom,
is said by ``RemoteStream``; the threads are in ``sending`` and ``receiving``."""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Optional, Set, Tuple

from . import lifetime
from .access import Access
from .address import Address
from .connection import Connection
from .deliveries import Deliveries
from .encoding import Codec
from .entries import ASK, MARK, Entry, Waiting
from .errors import AuthFailed, BrokerError, Closed, Disconnected
from .incoming import CutShort
from .listening import TroubleCall
from .listens import Standing
from .options import Options
from .outgoing import Outgoing
from .prefix_listens import PrefixListens
from .sinks import Target

log = logging.getLogger("msgstream")

#: What is put where messages had to be dropped.
Notice = Callable[[int], Any]


class Shared:
    """The queue and the state of one client."""

    #: A connection that is made, and not yet served.
    _opened: Optional[Connection]

    address: Address
    options: Options
    strict: bool
    _access: Access
    _name: str
    _codec: Codec
    _decode: Callable[[str], Any]
    _closed: bool

    def _begin(self) -> None:
        """What a process starts with: also a forked one, whose copies of these belong to threads that it does not have."""
        # A signal handler, or an object that is collected, may publish in the middle of what its thread does here.
        self._lock = threading.RLock()
        self._work = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        #: For those who cannot wait in a thread.
        self._when_room: List[Callable[[], object]] = []
        self._idle = False
        #: How many calls are changing the queue at this moment: of one thread, one within the other.
        self._changing = 0
        self._thread: Optional[threading.Thread] = None
        self._receiver: Optional[threading.Thread] = None
        self._opened = None
        #: How the first receiver gets its connection.
        self._first: "Optional[queue.SimpleQueue[Optional[Connection]]]" = None
        self._connection: Optional[Connection] = None
        self._connected = False
        #: The connection has brought a message, or the word that something was taken.
        self._has_moved = False
        self._broken: Optional[CutShort] = None
        #: There is no connection, and none is being made for the first time: what has no room is dropped.
        self._away = False
        #: The streams that the broker is asked about before anything is sent, and since when.
        self._doubtful: Set[str] = set()
        self._doubtful_since = 0.0
        #: What is asked of them once more, and is to be sent before all else.
        self._asked_first: List[str] = []
        #: Who has asked how a stream stands.
        self._askers: Dict[str, List[Callable[[Standing], object]]] = {}
        #: How many actions depended on how their streams stood.
        self._conditions = 0
        #: Nobody uses it any more: its threads end once all is confirmed.
        self._forgotten = False
        #: It has left a connection for that, which is no failure.
        self._parted = False
        self._ask = False
        self._ending = False
        self._failure: Optional[Exception] = None
        self._last_trouble = ""
        #: Who is told of it.
        self._when_trouble: List[TroubleCall] = []
        self._said_dropping = False
        #: What is put where messages had to be dropped, by stream. Each in a tuple of its own, to tell it from one that comes after it.
        self._notices: Dict[str, Tuple[Notice]] = {}
        self._refused: Dict[Tuple[str, Optional[str]], int] = {}
        #: How often something was not durable that was to be.
        self._not_durable = 0
        #: What was dropped or refused when ``flush`` last told: of each stream, and, as None, of all.
        self._losses_told: Dict[Optional[str], int] = {}
        #: What is to be logged once no lock is held, since a handler of logging may publish.
        self._sayings: List[str] = []
        self._out = Outgoing(self.options.queue)
        self._listens: PrefixListens[Target] = PrefixListens(self._decode, _wants_latest, self.options)
        self._deliveries = Deliveries(f"msgstream {self.address} listeners", self.options.queue, self._give_up)

    def flush(self, timeout: Optional[float] = 30.0, stream: Optional[str] = None) -> bool:
        """Waits until all that was asked before has taken effect at the broker, and what was to be ``durable`` is in its store. False if
        that took longer than ``timeout`` seconds, or if any of it, or of ``stream`` alone, was dropped or refused, or cannot be durable, which
        is told once; in strict mode that raises. None waits for ever."""
        if threading.current_thread() in (self._thread, self._receiver):
            raise RuntimeError("flush would wait for its own thread: a handler of logging cannot call it there")
        over = threading.Event()
        mark = self._mark(over.set)
        try:
            if mark is not None:
                over.wait(timeout)
        finally:
            self._withdraw(mark)
        return self._flushed(mark, timeout, stream)

    def standing(self, stream: str, timeout: float = 5.0) -> Optional[str]:
        """How a stream stands at the broker: ``"running"``, ``"ended"``, or ``"waiting"`` if there is none. None if the broker does not
        say so within ``timeout`` seconds, or is away."""
        standing = self._standing(stream, timeout)
        return None if standing is None else standing.state or None

    def epoch(self, stream: str, timeout: float = 5.0) -> Optional[str]:
        """Which run of a stream it is now, for the ``of`` of later actions. None if the broker does not say so within ``timeout`` seconds,
        or is away."""
        standing = self._standing(stream, timeout)
        return None if standing is None or standing.position is None else standing.position[0]

    def _standing(self, stream: str, timeout: float) -> Optional[Standing]:
        answers: List[Standing] = []
        changed = threading.Event()

        def take(standing: Standing) -> None:
            answers.append(standing)
            changed.set()

        with self._lock:
            if self._away or self._closed:
                return None
            self._askers.setdefault(stream, []).append(take)
            self._put_in(Entry(ASK, self._listens.ask(stream), stream))
        deadline = time.monotonic() + timeout
        while True:
            with self._lock:
                changed.clear()
                left = deadline - time.monotonic()
                if answers or self._away or self._ending or left <= 0.0:
                    return answers[0] if answers else None
                self._when_room.append(changed.set)
            changed.wait(left)

    def forget(self) -> None:
        """Nobody uses this client any more: once all is confirmed it gives back its connection and its threads. It does not wait."""
        with self._lock:
            self._forgotten = True
            self._wake()

    def _is_forgotten(self) -> bool:
        return self._forgotten and self._can_leave() and not self._listens.wanted

    def _mark(self, when_over: Callable[[], object], is_idle: Optional[bool] = None) -> Optional[Entry]:
        """Puts in a mark for whoever waits until all before it has taken effect, or will not; None if there is nothing to wait for."""
        with self._lock:
            if self._closed and self._is_over():
                return None
            self._raise_failure()
            if self._out.empty if is_idle is None else is_idle:
                return None
            mark = Entry(MARK, "", when_over=when_over)
            self._put_in(mark)
            return mark

    def _withdraw(self, mark: Optional[Entry]) -> None:
        """Whoever waited for the mark waits no longer. Without a broker it would stay in the queue for ever."""
        if mark is not None and not mark.done:
            with self._lock:
                self._out.withdraw(mark)

    def _confirmed(self, mark: Optional[Entry], timeout: Optional[float]) -> bool:
        """Whether all before the mark has taken effect, but for what was dropped or refused."""
        with self._lock:
            self._raise_failure()
        # Closed with nothing to wait for: at the end of the program, which waits no longer.
        done = mark.done if mark is not None else not self._closed
        if self.strict and not done:
            raise Disconnected(f"{self.address} has not confirmed everything within {timeout} s")
        return done

    def _flushed(self, mark: Optional[Entry], timeout: Optional[float], stream: Optional[str]) -> bool:
        """What a flush says that has waited for its mark."""
        with self._lock:
            done = self._confirmed(mark, timeout)
            losses = self._out.losses(stream)
            losses += sum(count for (_, refused), count in self._refused.items() if stream in (None, refused) or refused is None)
            told = self._losses_told.get(stream, 0)
            if losses != told:
                self._losses_told[stream] = losses
        return done and losses == told

    def _leave_taking(self, timeout: Optional[float], tell: Callable[[], object], forget: Callable[[], object]) -> Iterator[float]:
        """Waits until all is confirmed, as long as that makes sense: within ``timeout``, or what is left of ``options.exit_time`` for
        this outage, and not for a broker that was never there. What it yields is how long to wait until ``tell`` is called, each time;
        ``forget`` is called before, for an earlier call of ``tell`` counts no more."""
        begun, most = time.monotonic(), self.options.exit_time if timeout is None else timeout
        with self._lock:
            idle = self._failure is None and (self._can_leave() or self._thread is None)
        if idle or threading.current_thread() in (self._thread, self._receiver):
            return
        mark = self._mark(tell, self._can_leave())
        try:
            while mark is not None and not mark.done:
                with self._lock:
                    forget()
                    self._when_room.append(tell)
                    left = begun + lifetime.leaving.allowed(self._name, most, self._away) - time.monotonic()
                    if mark.done or left <= 0.0 or self._failure is not None:
                        break
                yield left
        finally:
            self._withdraw(mark)
        waited = time.monotonic() - begun
        if mark is not None and not mark.done:
            lifetime.leaving.spend(self._name, waited)
        self._confirmed(mark, round(waited, 1))

    def _can_leave(self) -> bool:
        """Whether nothing is left to say, and the broker can be told that this client is not lost."""
        return self._out.empty and (self._connected or not self._out.wills)

    def _is_over(self) -> bool:
        """Whether this client was closed by the end of the program, so that whoever goes on has made no mistake. Otherwise it was closed
        by its owner, which raises Closed."""
        if not lifetime.program_ends():
            raise Closed("this client is closed")
        return True

    # The queue. What is not for the threads is called with the lock held.

    def _put_in(self, entry: Waiting) -> None:
        self._changing += 1
        try:
            self._out.add(entry)
        finally:
            self._changing -= 1
        if self._idle:
            self._wake()
        elif self._thread is None:
            self._start()

    def _when_full(self) -> None:
        self._make_room()

    def _make_room(self) -> None:
        """Waits while the broker takes what is queued; drops while it is away."""
        if self._changing:
            # A signal handler that publishes. To wait lets the other threads change what is half changed here.
            return
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
        self._changing += 1
        try:
            self._out.trim()
        finally:
            self._changing -= 1
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
            if isinstance(failure, BrokerError) and not isinstance(failure, AuthFailed):
                # One refusal is one mistake, which is told now; a lost connection stays lost.
                self._failure = None
                for told in {None, failure.stream}:
                    self._losses_told[told] = self._losses_told.get(told, 0) + 1
            raise failure

    def _notice(self, stream: str, dropped: int) -> Optional[str]:
        noticed = self._notices.get(stream)
        try:
            return None if noticed is None else self._codec.encode(noticed[0](dropped))
        except Exception:
            log.exception("what to say about dropped messages of %r could not be said", stream)
            return None

    def _forget_notice(self, stream: str, noticed: "Tuple[Notice]") -> None:
        """The stream has ended, and nothing more can be missing in it."""
        with self._lock:
            if self._notices.get(stream) is noticed:
                del self._notices[stream]

    def _named(self, reason: str) -> str:
        """With the broker before it: a program may have several."""
        return reason if self._name in reason else f"{self._name}: {reason}"

    # What the threads add.

    def _start(self) -> None:
        """Starts them, if they are not there."""
        raise NotImplementedError

    def _sever(self, short: CutShort) -> None:
        """The connection is of no use any more. Called with the lock held."""
        raise NotImplementedError

    def _give_up(self, target: Target, stream: str, is_slow: bool) -> List[str]:
        """One that takes too long, or fails, listens to that stream no more; one that takes too long also not to its prefixes, which are
        returned."""
        raise NotImplementedError


def _wants_latest(target: Target) -> bool:
    return target.latest
