"""A job as a few lines over TCP: what any client sends."""

import json
import socket


def monitor(name, **state):
    """A message of the package."""
    return {".class": f"monitor.{name}", ".version": "1.0", ".state": state}


class Publisher:
    """Says lines, and knows when they have taken effect."""

    def __init__(self, port):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._lines = self._socket.makefile("r", newline="\n", encoding="utf-8")

    def say(self, *actions):
        """Says all of them at once, and waits until they have taken effect."""
        text = "".join(json.dumps(action) + "\n" for action in actions)
        self._socket.sendall(text.encode() + b'{"action":"ping"}\n')
        self._read_pong()

    def raw(self, line):
        """Says a line as it is."""
        self._socket.sendall(line + b'\n{"action":"ping"}\n')
        self._read_pong()

    def _read_pong(self):
        while True:
            event = json.loads(self._lines.readline())
            if event["action"] == "pong":
                return
            if event["action"] in ("error", "close"):
                raise AssertionError(event)

    def put(self, stream, message, **more):
        self.say({"action": "put", "stream": stream, "message": message, **more})

    def close(self, stream, *message):
        self.say({"action": "close", "stream": stream, **({"message": message[0]} if message else {})})

    def end(self):
        """The connection is gone, without a word."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Job:
    """A job of the package, as far as its messages go."""

    def __init__(self, publisher, stream, total=100, started="2026-11-28T12:00:00+00:00", title="A fit", units="steps"):
        self.publisher, self.stream = publisher, stream
        self.known = {"title": title, "total": total, "units": units, "started": started}
        self.publisher.put(stream, monitor("Start", **self.known), header=monitor("Join", k=0, **self.known))

    def steps(self, *steps, **figures):
        """Several steps at once; ``figures`` are functions of the step."""
        actions = []
        for k in steps:
            more = {name: figure(k) for name, figure in figures.items()}
            message = monitor("Progress", k=k, total=self.known["total"], units=self.known["units"], **more)
            actions.append({"action": "put", "stream": self.stream, "message": message, "header": monitor("Join", k=k, **self.known)})
        self.publisher.say(*actions)

    def end(self, kind, **state):
        end = monitor(kind, title=self.known["title"], started=self.known["started"], **state)
        self.publisher.say({"action": "put", "stream": self.stream, "message": end, "header": end}, {"action": "close", "stream": self.stream})
