"""The clients of docs/protocol.md, as they stand there, over ways that break off again and again. Part of tests/newcomer.py."""

import contextlib
import itertools
import json
import random
import re
import selectors
import socket
import struct
import threading
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs/protocol.md"
# Beyond this something hangs.
DEADLINE = 60


def shown(title):
    """What the page's example under a title defines. It does not wait before it connects again, and what it says is kept in `said`."""
    code = re.search(rf"### {title}.*?```python\n(.*?)```", PAGE.read_text(), re.DOTALL).group(1)
    client = {}
    exec(code.replace("time.sleep(1)", "pass"), client)
    client["said"] = []
    client["print"] = lambda *words: client["said"].append(" ".join(map(str, words)))
    return client


class Way:
    """A way to the broker. Each connection carries so many bytes to the broker and to the client, wherever in a line that is, and is reset
    then: `cuts` says how many, and when there is none left, all is carried."""

    def __init__(self, to, cuts):
        self.to, self.cuts, self.resets = to, iter(cuts), 0
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client = self.server.accept()[0]
            cuts = next(self.cuts, (1 << 60, 1 << 60))
            broker = socket.create_connection(("127.0.0.1", self.to))
            threading.Thread(target=self.carry, args=(client, broker, cuts), daemon=True).start()

    def carry(self, client, broker, cuts):
        left, other = dict(zip((client, broker), cuts)), {client: broker, broker: client}
        with client, broker, selectors.DefaultSelector() as selector, contextlib.suppress(OSError):
            for end in other:
                selector.register(end, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    some = key.fileobj.recv(min(1 << 16, left[key.fileobj]))
                    if not some:
                        return
                    other[key.fileobj].sendall(some)
                    left[key.fileobj] -= len(some)
                    if left[key.fileobj] == 0:
                        self.resets += 1
                        for end in other:
                            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        return


def listener(port, check):
    """The listener: its connections break off after four kilobytes."""
    client = shown("A listener that misses nothing")
    way = Way(port, itertools.repeat((1 << 60, 4096)))
    heard = []
    listening = threading.Thread(target=lambda: heard.extend(client["listen"]("127.0.0.1", way.port, "resets")), daemon=True)
    listening.start()
    with socket.create_connection(("127.0.0.1", port)) as job:
        lines, first, count = job.makefile("rw", newline="\n"), None, 0
        while first is None or count < first + 2000:
            lines.write(json.dumps({"action": "put", "stream": "resets", "message": count, "receipt": count}) + "\n")
            lines.flush()
            if json.loads(lines.readline())["listeners"] and first is None:
                first = count
            count += 1
        lines.write('{"action":"close","stream":"resets"}\n')
        lines.flush()
    listening.join(DEADLINE)
    good = heard == list(range(first, count)) and way.resets > 10 and client["said"] == []
    check(good, f"resumed has all {count - first:,} messages, each once, across {way.resets} broken connections")


def publisher(port, check):
    """The publisher: its connections break off within what it sends and within what it is answered."""
    client = shown("A publisher that loses and doubles nothing")
    dice, count = random.Random(1), 3000
    way = Way(port, [(dice.randint(1, 8000), dice.choice([1 << 60, dice.randint(1, 400)])) for _ in range(60)])
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as connection:
        lines = connection.makefile("rw", newline="\n")
        lines.write('{"action":"listen","stream":"sent","receipt":1}\n')
        lines.flush()
        lines.readline()

        def publish():
            job = client["Publisher"]("127.0.0.1", way.port)
            for number in range(count):
                job.send(action="put", stream="sent", message=number)
            job.send(action="close", stream="sent")
            job.close()

        publishing = threading.Thread(target=publish, daemon=True)
        publishing.start()
        heard = [json.loads(line).get("message") for line in iter(lines.readline, '{"action":"close","stream":"sent"}\n')]
        publishing.join(DEADLINE)
    good = heard == list(range(count)) and way.resets > 20 and client["said"] == [] and not publishing.is_alive()
    check(good, f"publish has sent {count:,} messages that came once each, across {way.resets} broken connections")


class Answers:
    """A broker for the publisher in place of its sockets. A broken connection is noticed by reading, not by writing."""

    def __init__(self):
        #: What was taken of each session, in lines; and every message.
        self.sessions, self.messages = {}, []
        #: Whether what is written arrives; how many of the next answers to a session do not; and those that wait to be read.
        self.carries, self.lost, self.waiting = False, 0, []

    def create_connection(self, *_, **__):
        self.carries, self.waiting = True, []
        return self

    def makefile(self, **_):
        return self

    def sendall(self, sent):
        for action in map(json.loads, sent.splitlines() if self.carries else []):
            if action["action"] == "session":
                self.session = action["session"]
                answer = {"action": "session", "known": self.session in self.sessions, "taken": self.sessions.setdefault(self.session, 0)}
                if self.lost:
                    self.lost -= 1
                else:
                    self.waiting.append(answer)
                continue
            self.sessions[self.session] += 1
            if action["action"] == "put":
                self.messages.append(action["message"])
            elif action["action"] == "ping":
                self.waiting.append({"action": "pong"})

    def readline(self):
        if not self.waiting:
            raise ConnectionResetError
        return json.dumps(self.waiting.pop(0)) + "\n"


def publisher_whose_answers_are_lost(check):
    """Two cases that a way breaks too rarely for."""

    def publish(first, then, between):
        """Publishes so many messages, waits for them, publishes others that do not arrive, and ends."""
        client, broker = shown("A publisher that loses and doubles nothing"), Answers()
        client["socket"] = broker
        job = client["Publisher"]("", 0)
        for number in range(first + then):
            if number == first:
                job.flush()
                broker.carries = False
                between(broker)
            job.send(action="put", stream="sent", message=number)
        job.close()
        return broker.messages == list(range(first + then)), client["said"]

    # Seen to fail: it flushed within its flush, and took the second answer for that to what it sent next.
    check(publish(999, 1000, lambda broker: None) == (True, []), "publish waits for one answer at a time, also with 999 messages to be confirmed")

    def restart(broker):
        broker.sessions.clear()
        broker.lost = 1

    # Seen to fail: it took the session that had begun for its own, and gave up 400 messages.
    good, said = publish(100, 500, restart)
    check(good and "forgotten" in "".join(said), "publish knows another session by its count, if the first answer of a restarted broker was lost")
