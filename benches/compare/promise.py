"""What clients do when they come back: plain sockets, which say the same to each broker that can do the like.

Each connection is opened, says what it has to, is answered, and ends its side; the broker's CPU time is read until it has closed the last
one. What was sent is checked by counting, so that no broker is measured at doing less.
"""

import json
import selectors
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 1000
#: Sessions that the broker knows already.
SESSIONS = 10_000
#: Messages that each listener missed.
MISSED = 10
#: With the prefix itself that makes the 10,000 that one connection may listen to by default (`limits.listens`).
STREAMS = 9_999
#: How many connections are opened at a time: Mosquitto lets 100 wait, and the kernel tries the others again a second later.
OPENED = 50
#: In seconds: a broker takes that many connections within it.
OPENING = 0.005
CONTENT = "x" * 100
HEADER = "x" * 1000
#: Beyond this many seconds without a byte something hangs.
DEADLINE = 20


@dataclass
class Work:
    """What connections do, all at once."""

    #: What each of them sends. The last answer to it has the mark.
    sent: list
    mark: bytes
    #: What each of them must have been sent before the mark, and how often.
    expected: tuple = (b"", 0)
    #: What each of them confirms, and what the answer to that is, if the protocol wants it.
    confirmed: bytes = b""
    confirmation: bytes = b""
    #: How many units each of them counts for.
    units: int = 1


@dataclass
class Encryption:
    """How connections are encrypted, if they are."""

    context: ssl.SSLContext
    #: The broker says a line before.
    is_greeted_in_clear: bool


class Client:
    """A connection, without a library."""

    def __init__(self, port, encryption=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        self.received = bytearray()
        if encryption:
            if encryption.is_greeted_in_clear:
                self.until(b"\r\n")
            self.socket = encryption.context.wrap_socket(self.socket, server_hostname="127.0.0.1")

    def read(self):
        """Reads what is there. False at the end."""
        part = self.socket.recv(1 << 20)
        self.received += part
        while isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            self.received += self.socket.recv(1 << 20)
        return bool(part)

    def until(self, mark):
        """Reads until this has come, and returns all that has."""
        while mark not in self.received:
            if not self.read():
                raise RuntimeError(f"the broker ended the connection: {bytes(self.received[-300:])!r}")
        received, self.received = bytes(self.received), bytearray()
        return received

    def ask(self, sent, mark):
        self.socket.sendall(sent)
        return self.until(mark)

    def end(self):
        """Ends this side, and waits until the broker has ended its own."""
        self.socket.shutdown(socket.SHUT_WR)
        while self.read():
            pass
        self.socket.close()


def all_of(clients, sent, mark):
    """Has each client send its bytes, all at once, and waits until the mark has come to each. Returns what each received."""
    for client, each in zip(clients, sent):
        client.socket.sendall(each)
    answers = {}
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
        while len(answers) < len(clients):
            ready = selector.select(DEADLINE)
            if not ready:
                raise RuntimeError(f"{len(clients) - len(answers)} connections were not answered")
            for key, _ in ready:
                client = key.data
                is_open = client.read()
                # It comes last, so that a long answer need not be searched again and again.
                if mark in client.received[-4096:]:
                    selector.unregister(client.socket)
                    answers[client], client.received = bytes(client.received), bytearray()
                elif not is_open:
                    raise RuntimeError(f"the broker ended the connection: {bytes(client.received[-300:])!r}")
    return [answers[client] for client in clients]


def connect(port, count, encryption):
    """Opens connections, no faster than brokers take them."""
    clients = []
    while len(clients) < count:
        clients += [Client(port, encryption) for _ in range(min(OPENED, count - len(clients)))]
        time.sleep(OPENING)
    return clients


def do(work, port, encryption=None):
    """Opens all connections, has them do the work, and closes them again."""
    clients = connect(port, len(work.sent), encryption)
    text, times = work.expected
    for answer in all_of(clients, work.sent, work.mark):
        if text and answer.count(text) != times:
            raise RuntimeError(f"{text!r} came {answer.count(text)} times instead of {times}: {answer[:300]!r}")
    if work.confirmed:
        all_of(clients, [work.confirmed] * len(clients), work.confirmation)
    for client in clients:
        client.end()


def hold_sessions(port, greetings, mark):
    """Begins a session with each greeting, and breaks its connection off."""
    for begin in range(0, len(greetings), CONNECTIONS):
        some = greetings[begin : begin + CONNECTIONS]
        do(Work(some, mark), port)


def lines(*actions):
    return b"".join(json.dumps(action).encode() + b"\n" for action in actions)


class Msgstream:
    """JSON lines."""

    ping, pong = lines({"action": "ping"}), b'{"action":"pong"}'

    def connect(self, _):
        return Work([self.ping] * CONNECTIONS, self.pong)

    def session(self, port):
        sessions = [lines({"action": "session", "session": f"session number {number:09}"}) + self.ping for number in range(SESSIONS)]
        hold_sessions(port, sessions, self.pong)
        return Work(sessions[:: SESSIONS // CONNECTIONS], self.pong, expected=(b'"known":true,"taken":', 1))

    def listen(self, _, **asked):
        return Work([lines({"action": "listen", "receipt": 1, **(asked or {"stream": "job"})}) + self.ping] * CONNECTIONS, self.pong)

    def resume(self, port):
        publisher = Client(port)
        put = {"action": "put", "stream": "job", "message": CONTENT}
        receipt = publisher.ask(lines({**put, "receipt": 1}), b"\n")
        publisher.ask(lines(*[put] * MISSED) + self.ping, self.pong)
        publisher.end()
        work = self.listen(port, stream="job", after=json.loads(receipt)["position"])
        work.expected = (CONTENT.encode(), MISSED)
        return work

    def wildcard(self, port):
        return self.listen(port, prefix="fit-")

    def prefix(self, port):
        publisher = Client(port)
        headers = [{"action": "header", "stream": f"fit-{number:06}", "message": HEADER} for number in range(STREAMS)]
        publisher.ask(lines(*headers) + self.ping, self.pong)
        publisher.end()
        listen = lines({"action": "listen", "prefix": "fit-", "receipt": "joined"})
        return Work([listen], b'"receipt":"joined"', expected=(HEADER.encode(), STREAMS), units=STREAMS)


class Redis:
    """RESP, with commands in a line."""

    ping, pong = b"PING\r\n", b"+PONG\r\n"

    def connect(self, _):
        return Work([self.ping] * CONNECTIONS, self.pong)

    def listen(self, _, command=b"SUBSCRIBE job\r\n"):
        # A subscriber is answered in another form.
        return Work([command + self.ping] * CONNECTIONS, b"pong\r\n$0\r\n\r\n")

    def resume(self, port):
        publisher = Client(port)
        for number in range(MISSED):
            publisher.ask(f"XADD job 1-{number + 1} message {CONTENT}\r\n".encode(), b"\r\n")
        publisher.end()
        return Work([b"XREAD STREAMS job 1-0\r\n" + self.ping] * CONNECTIONS, self.pong, expected=(CONTENT.encode(), MISSED))

    def wildcard(self, port):
        return self.listen(port, b"PSUBSCRIBE fit-*\r\n")


class Nats:
    """The protocol of core NATS."""

    def listen(self, _, command=b"SUB job 1\r\n"):
        return Work([b'CONNECT {"verbose":false}\r\n' + command + b"PING\r\n"] * CONNECTIONS, b"PONG\r\n")

    def connect(self, port):
        return self.listen(port, b"")

    def wildcard(self, port):
        return self.listen(port, b"SUB fit.> 1\r\n")


def packet(kind, *parts):
    """An MQTT packet. Bytes are put in as they are, a text with its length."""
    body = b"".join(part if isinstance(part, bytes) else len(part).to_bytes(2, "big") + part.encode() for part in parts)
    length, rest = b"", len(body)
    while rest >= 128:
        length, rest = length + bytes([rest % 128 | 128]), rest // 128
    return bytes([kind]) + length + bytes([rest]) + body


class Mqtt:
    """MQTT 3.1.1."""

    ping, pong = packet(0xC0), packet(0xD0)

    def hello(self, number, clean=2):
        return packet(0x10, "MQTT", bytes([4, clean, 0, 0]), f"client number {number:09}")

    def listen(self, _, topic="job"):
        subscribe = packet(0x82, b"\0\1", topic, b"\0")
        return Work([self.hello(number) + subscribe + self.ping for number in range(CONNECTIONS)], self.pong)

    def connect(self, _):
        return Work([self.hello(number) + self.ping for number in range(CONNECTIONS)], self.pong)

    def session(self, port):
        sessions = [self.hello(number, clean=0) + self.ping for number in range(SESSIONS)]
        hold_sessions(port, sessions, self.pong)
        return Work(sessions[:: SESSIONS // CONNECTIONS], self.pong, expected=(packet(0x20, b"\1\0"), 1))

    def resume(self, port):
        """The messages that wait for a session's subscription: each is confirmed by whom it was sent to."""
        hellos = [self.hello(number, clean=0) for number in range(CONNECTIONS)]
        hold_sessions(port, [hello + packet(0x82, b"\0\1", "job", b"\1") + self.ping for hello in hellos], self.pong)
        publisher = Client(port)
        put = [packet(0x32, "job", bytes([0, number + 1]), CONTENT.encode()) for number in range(MISSED)]
        publisher.ask(self.hello(CONNECTIONS) + b"".join(put) + self.ping, self.pong)
        publisher.end()
        confirmed = b"".join(packet(0x40, bytes([0, number + 1])) for number in range(MISSED)) + self.ping
        return Work([hello + self.ping for hello in hellos], self.pong, (CONTENT.encode(), MISSED), confirmed, self.pong)

    def wildcard(self, port):
        return self.listen(port, "fit/#")

    def prefix(self, port):
        """Retained messages: each topic's last one, for whoever comes later."""
        publisher = Client(port)
        retained = [packet(0x31, f"fit/{number:06}", HEADER.encode()) for number in range(STREAMS)]
        publisher.ask(self.hello(0) + b"".join(retained) + self.ping, self.pong)
        publisher.end()
        listen = self.hello(1) + packet(0x82, b"\0\1", "fit/#", b"\0") + self.ping
        return Work([listen], self.pong, expected=(HEADER.encode(), STREAMS), units=STREAMS)


SPOKEN = {"msgstream": Msgstream(), "redis": Redis(), "nats": Nats(), "mqtt": Mqtt()}


def cpu(process):
    """The CPU time of a process and its threads so far, in seconds."""
    tasks = Path(f"/proc/{process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def measure(broker, row):
    """One run of a row against a broker that is up; its report in the generator's form, or what went wrong."""
    try:
        work = getattr(SPOKEN[broker.protocol], row.work)(broker.port)
        encryption = Encryption(ssl.create_default_context(cafile=broker.ca), broker.protocol == "nats") if broker.ca else None
        units, before, begin = len(work.sent) * work.units, cpu(broker.process), time.monotonic()
        do(work, broker.port, encryption)
        used, seconds = cpu(broker.process) - before, time.monotonic() - begin
    except (OSError, RuntimeError) as error:
        return {"error": f"{error}"}
    costs = {"us_per_unit": used * 1e6 / units, "cpu_seconds": used, "bytes_per_connection": None}
    return {"unit": row.unit, "units": units, "seconds": seconds, "units_per_second": units / seconds, "broker": costs, "latency": None}
