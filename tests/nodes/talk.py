"""Clients in plain lines, as docs/protocol.md has them: one that asks, publishers that go on at the next address, listeners that do too."""

from __future__ import annotations

import collections
import contextlib
import json
import secrets
import socket
import threading
import time
from typing import Any, Callable, Deque, Dict, List, NamedTuple, Optional, Sequence, Tuple

from checker import Gap, Heard, Message, Position, Said
from place import HERE, Place
from waiting import DEADLINE, until

Event = Dict[str, Any]

#: How long a client waits for an answer before it tries another address.
PATIENCE = 3.0


class Address(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Silent(OSError):
    """Nothing has come for too long."""


class Ended(OSError):
    """The connection has ended, and why if that was said."""


class Lines:
    """One connection."""

    def __init__(self, address: Address, place: Place, patience: float) -> None:
        self._socket = place.connect(address.host, address.port, patience)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._patience, self._rest = patience, b""
        self._events: Deque[Event] = collections.deque()

    def say(self, *lines: bytes) -> None:
        self._socket.settimeout(self._patience)
        self._socket.sendall(b"".join(lines))

    def hear(self, timeout: Optional[float] = None) -> Optional[Event]:
        """The next event, or nothing if none comes in time. Raises if the connection has ended, also by a word of the broker."""
        end = time.monotonic() + (self._patience if timeout is None else timeout)
        while not self._events:
            self._socket.settimeout(max(end - time.monotonic(), 0.001))
            try:
                some = self._socket.recv(1 << 16)
            except (TimeoutError, socket.timeout):
                return None
            if not some:
                raise Ended("the end of the file")
            *whole, self._rest = (self._rest + some).split(b"\n")
            self._events.extend(json.loads(line) for line in whole)
        event = self._events.popleft()
        if event["action"] == "close" and "stream" not in event:
            raise Ended((event.get("message") or {}).get("code", "close"))
        return event

    def must_hear(self) -> Event:
        event = self.hear()
        if event is None:
            raise Silent(f"nothing for {self._patience:.0f} s")
        return event

    def end(self, in_order: bool) -> None:
        """Ends it by a word, or without one as if the program had died."""
        if in_order:
            with contextlib.suppress(OSError):
                self.say(line("close"))
                while self.hear() is not None:
                    pass
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def line(action: str, **more: Any) -> bytes:
    return json.dumps({"action": action, **more}, separators=(",", ":")).encode() + b"\n"


class Client:
    """Says one thing after the other, and waits for each to be answered."""

    def __init__(self, address: Address, place: Place = HERE, patience: float = DEADLINE) -> None:
        self._lines, self._count = Lines(address, place, patience), 0
        #: What came and was no answer.
        self.events: List[Event] = []

    def ask(self, action: str, **more: Any) -> Event:
        """The answer: a receipt, a pong, what a session is, or an error."""
        self._count += 1
        self._lines.say(line(action, **more, receipt=self._count))
        while True:
            event = self._lines.must_hear()
            if event.get("receipt") == self._count:
                return event
            self.events.append(event)

    def do(self, action: str, **more: Any) -> Event:
        """The same of what must not be refused."""
        answer = self.ask(action, **more)
        assert answer["action"] != "error", (action, more, answer)
        return answer

    def until_heard(self, condition: Callable[[Event], object], what: str, deadline: float = DEADLINE) -> Event:
        """Waits for an event that is no answer. Those before it are passed over."""
        end = time.monotonic() + deadline
        while True:
            while self.events:
                event = self.events.pop(0)
                if condition(event):
                    return event
            heard = self._lines.hear(max(end - time.monotonic(), 0.001))
            if heard is None:
                raise AssertionError(f"in {deadline:.0f} s it was not told: {what}")
            self.events.append(heard)

    def end(self, in_order: bool = True) -> None:
        self._lines.end(in_order)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.end(in_order=False)


class Runner:
    """A client with a thread of its own, which goes on at the next address when something fails."""

    #: All that there are, so that a test that fails leaves none behind.
    begun: "List[Runner]" = []

    def __init__(self, name: str, addresses: Sequence[Address], place: Place, patience: float) -> None:
        self.name, self._addresses, self._place, self._patience = name, list(addresses), place, patience
        self._which, self._over = 0, threading.Event()
        self._connection: Optional[Lines] = None
        #: When something was confirmed, or came.
        self.times: List[float] = []
        #: What had it go on elsewhere, and when.
        self.failures: List[Tuple[float, str]] = []
        self._trouble: Optional[BaseException] = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.begun.append(self)

    @property
    def address(self) -> Address:
        """Where it is, or tries to be."""
        return self._addresses[self._which % len(self._addresses)]

    @property
    def moves(self) -> int:
        return len(self.failures)

    def _run(self) -> None:
        pause = 0.02
        while not self._over.is_set():
            began = time.monotonic()
            try:
                self._connection = Lines(self.address, self._place, self._patience)
                self._talk(self._connection)
                return
            except OSError as failure:
                self.failures.append((time.monotonic(), f"{self.address}: {failure or type(failure).__name__}"))
                if self._connection is not None:
                    self._connection.end(in_order=False)
            except BaseException as trouble:
                self._trouble = trouble
                return
            self._which += 1
            pause = 0.02 if time.monotonic() - began > 1 else min(2 * pause, 0.5)
            self._over.wait(pause)

    def _talk(self, connection: Lines) -> None:
        raise NotImplementedError

    def must_be_well(self) -> None:
        assert self._trouble is None, f"{self.name}: {self._trouble!r}"

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def abandon(self) -> None:
        """Has it end soon, however it is."""
        self._over.set()

    def _join(self, what: str, deadline: float) -> None:
        self._thread.join(deadline)
        self.must_be_well()
        assert not self.is_running, f"{self.name} {what} not in {deadline:.0f} s; its failures: {self.failures[-5:]}"


class Publisher(Runner):
    """Says numbered messages in its streams in turn, as fast as it is answered or so many a second, under one session. Goes on as the protocol
    says: from the line that the broker has not taken. Every tenth message is a header as well. ``filler`` makes each so many bytes longer."""

    def __init__(
        self,
        name: str,
        streams: Sequence[str],
        addresses: Sequence[Address],
        *,
        place: Place = HERE,
        rate: Optional[float] = None,
        window: int = 64,
        patience: float = PATIENCE,
        will: Optional[Tuple[str, Any]] = None,
        most: Optional[int] = None,
        filler: int = 0,
    ) -> None:
        super().__init__(name, addresses, place, patience)
        self.said = {stream: Said(name, stream) for stream in streams}
        self._streams, self._rate, self._window, self._most = list(streams), rate, window, most
        self._filler = {"filler": "x" * filler} if filler else {}
        self._session, self._known_before = secrets.token_hex(16), False
        #: Lines that have not been confirmed: the number of the first, and what each says.
        self._taken = 0
        self._kept: Deque[Tuple[bytes, Optional[Tuple[str, Message]]]] = collections.deque()
        self._count, self._finishing, self._quiet = 0, threading.Event(), threading.Event()
        self._began = time.monotonic()
        #: What was refused; how often the session was forgotten; and what the receipts say of listeners.
        self.refused: List[Event] = []
        self.forgotten = 0
        self.listeners: List[int] = []
        if will is not None:
            self._kept.append((line("will", stream=will[0], message=will[1], receipt=1), None))
        self._thread.start()

    @property
    def confirmed(self) -> int:
        return len(self.times)

    def _numbered(self) -> None:
        """Has the next message to be said."""
        stream = self._streams[self._count % len(self._streams)]
        message = Message(self.name, self._count, self._count // len(self._streams) % 10 == 0)
        self._count += 1
        content = {"by": message.by, "n": message.n, "heads": message.heads}
        more: Dict[str, Any] = {"header": content} if message.heads else {}
        number = self._taken + len(self._kept) + 1
        self._kept.append((line("put", stream=stream, message={**content, **self._filler}, **more, receipt=number), (stream, message)))
        self.said[stream].messages.append(message)

    def _wants(self) -> bool:
        if self._finishing.is_set() or self._quiet.is_set() or self._most is not None and self._count >= self._most:
            return False
        due = self._rate is None or self._count < (time.monotonic() - self._began) * self._rate
        return due and len(self._kept) < self._window

    def _talk(self, connection: Lines) -> None:
        self._begin(connection)
        said, heard = 0, time.monotonic()
        while not self._over.is_set():
            while self._wants():
                self._numbered()
            if said < len(self._kept):
                if said == 0:
                    heard = time.monotonic()
                connection.say(*(self._kept[index][0] for index in range(said, len(self._kept))))
                said = len(self._kept)
            if self._finishing.is_set() and not self._kept:
                connection.end(in_order=True)
                return
            event = connection.hear(0.02 if self._rate or not self._kept else 0.2)
            if event is not None:
                heard = time.monotonic()
                if self._take(event):
                    said -= 1
            elif self._kept and time.monotonic() - heard > self._patience:
                raise Silent(f"no receipt for {self._patience:.0f} s")
            elif not self._kept:
                heard = time.monotonic()

    def _begin(self, connection: Lines) -> None:
        """Says who this is, and leaves out what has been taken."""
        connection.say(line("session", session=self._session))
        answer = connection.must_hear()
        assert answer["action"] == "session", answer
        if answer["known"] and answer["taken"] >= self._taken:
            while self._taken < answer["taken"]:
                self._confirm(None)
        else:
            if self._known_before:
                self.forgotten += 1
                for _, what in self._kept:
                    if what is not None:
                        self.said[what[0]].doubtful.add(what[1])
            self._taken = answer["taken"]
            # Their receipts have the numbers that their lines have now.
            self._kept = collections.deque(
                (json.dumps({**json.loads(text), "receipt": number}, separators=(",", ":")).encode() + b"\n", what)
                for number, (text, what) in enumerate(self._kept, self._taken + 1)
            )
        self._known_before = True

    def _take(self, event: Event) -> bool:
        """Notes an answer, and says whether it was one."""
        if event["action"] == "error":
            self.refused.append(event)
        elif event["action"] != "receipt":
            return False
        assert event["receipt"] == self._taken + 1, f"the receipt of line {self._taken + 1} is {event}"
        self._confirm(event)
        return True

    def _confirm(self, event: Optional[Event]) -> None:
        _, what = self._kept.popleft()
        self._taken += 1
        if what is None or event is not None and event["action"] == "error":
            return
        said = self.said[what[0]]
        said.confirmed.add(what[1])
        self.times.append(time.monotonic())
        if event is not None and "position" in event:
            said.positions[what[1]] = Position(**event["position"])
        if event is not None:
            self.listeners.append(event["listeners"])

    def until_confirmed(self, more: int = 1, deadline: float = DEADLINE) -> None:
        """Waits until so many more are confirmed."""
        wanted = self.confirmed + more

        def is_so() -> bool:
            self.must_be_well()
            return self.confirmed >= wanted

        until(is_so, f"{more} more of {self.name} are confirmed; its failures: {self.failures[-5:]}", deadline)

    def until_said(self, deadline: float = DEADLINE) -> None:
        """Waits until the most that it is to say is said, and confirmed or refused."""

        def is_so() -> bool:
            self.must_be_well()
            return self._count == self._most and not self._kept

        until(is_so, f"{self.name} has said all; its failures: {self.failures[-5:]}", deadline)

    def rest(self) -> None:
        """Says nothing new from now on."""
        self._quiet.set()

    def until_rested(self, deadline: float = DEADLINE) -> None:
        """Waits until all that was said is confirmed, and stays."""
        self.rest()
        until(lambda: not self._kept, f"all of {self.name} is confirmed", deadline)

    def go_on(self) -> None:
        self._quiet.clear()

    def finish(self, deadline: float = DEADLINE) -> None:
        """Waits until all that was said is confirmed, and ends in order."""
        self._finishing.set()
        self._join("has ended", deadline)
        self._over.set()

    def die(self) -> None:
        """Is gone without a word, and does not come back."""
        self._over.set()
        self._join("is dead", 10)
        if self._connection is not None:
            self._connection.end(in_order=False)


class Listener(Runner):
    """Listens to a stream to its end, and goes on at the next address behind what it has."""

    def __init__(
        self, name: str, stream: str, addresses: Sequence[Address], *, place: Place = HERE, patience: float = PATIENCE, is_whole: bool = True
    ) -> None:
        super().__init__(name, addresses, place, patience)
        self.heard, self.stream = Heard(name, stream, is_whole), stream
        self._position: Optional[Position] = None
        #: The last message of the stream, if that has ended.
        self.last: Any = None
        self.joins = 0
        self._thread.start()

    def _talk(self, connection: Lines) -> None:
        after = {"after": self._position._asdict()} if self._position else {}
        connection.say(line("listen", stream=self.stream, receipt=1, **after))
        header: Optional[Message] = None
        has_joined, heard, asked = False, time.monotonic(), False
        while not self._over.is_set():
            event = connection.hear(min(0.5, self._patience / 4))
            now = time.monotonic()
            if event is None:
                if now - heard > self._patience:
                    raise Silent(f"not even a pong for {self._patience:.0f} s")
                if not asked:
                    connection.say(line("ping"))
                    asked = True
                continue
            heard, asked = now, False
            if event["action"] == "put" and not has_joined:
                header = _message(event["message"])
            elif event["action"] == "put":
                assert self._position is not None
                self._position = Position(self._position.epoch, self._position.sequence + 1)
                self.heard.messages.append((self._position, _message(event["message"])))
                self.times.append(now)
            elif event["action"] == "receipt":
                self._join_at(event, header)
                has_joined = True
            elif event["action"] == "close":
                self.last, self.heard.is_over = event.get("message"), True
                connection.end(in_order=True)
                return
            else:
                assert event["action"] == "pong", event

    def _join_at(self, receipt: Event, header: Optional[Message]) -> None:
        position = Position(**receipt["position"])
        if self._position is None:
            self.heard.first = position
        elif not receipt["resumed"]:
            self.heard.gaps.append(Gap(self._position, position, receipt.get("missed")))
        else:
            assert position == self._position and header is None, (receipt, self._position, header)
        if self._position is None or not receipt["resumed"]:
            self.heard.headers.append((position, header))
        self._position = position
        self.joins += 1

    def until_joined(self, deadline: float = DEADLINE) -> None:
        def is_so() -> bool:
            self.must_be_well()
            return self.joins > 0

        until(is_so, f"{self.name} has joined; its failures: {self.failures[-5:]}", deadline)

    def until_heard(self, more: int = 1, deadline: float = DEADLINE) -> None:
        """Waits until it has heard so many more."""
        wanted = len(self.times) + more

        def is_so() -> bool:
            self.must_be_well()
            return len(self.times) >= wanted

        until(is_so, f"{self.name} hears {more} more; its failures: {self.failures[-5:]}", deadline)

    def until_over(self, deadline: float = DEADLINE) -> None:
        """Waits for the end of the stream."""
        self._join(f"has heard the end of {self.stream}", deadline)
        assert self.heard.is_over, self.name

    def leave(self) -> None:
        """Listens no longer."""
        self._over.set()
        self._join("has ended", 10)
        if self._connection is not None:
            self._connection.end(in_order=True)


def _message(content: Any) -> Message:
    return Message(content["by"], content["n"], content["heads"])


def longest_pause(times: Sequence[float], since: float) -> float:
    """The longest time in which nothing came, of those that ended after a moment, in seconds."""
    return max((later - earlier for earlier, later in zip(times, times[1:]) if later >= since), default=float("inf"))
