"""Small clients on plain sockets: lines of msgstream, and NATS as far as JetStream needs it. Both do the same work for a message."""

import json
import socket


class Connection:
    """A socket, and what has come and is not taken yet."""

    def __init__(self, port, patience):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=patience)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = bytearray()

    def say(self, data):
        self.socket.sendall(data)

    def more(self):
        some = self.socket.recv(1 << 18)
        if not some:
            raise ConnectionError("the connection has ended")
        self.rest += some

    def line(self):
        """The next line, with its end."""
        at = 0
        while (end := self.rest.find(b"\n", at)) < 0:
            at = len(self.rest)
            self.more()
        line = bytes(self.rest[:end + 1])
        del self.rest[:end + 1]
        return line

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Msgstream(Connection):
    """Lines of JSON."""

    def __init__(self, port, patience=60):
        super().__init__(port, patience)
        self.count = 0

    def ask(self, action):
        """Says an action, and returns its receipt."""
        self.count += 1
        self.say(json.dumps(action | {"receipt": self.count}).encode() + b"\n")
        while True:
            event = json.loads(self.line())
            if event.get("receipt") == self.count:
                if event["action"] == "error":
                    raise RuntimeError(f"{action}: {event}")
                return event

    def published(self, stream, content, confirmed):
        """A message, as it is said."""
        return b'{"action":"put","stream":"%s","message":%s%s}\n' % (stream, content, b',"receipt":1' * confirmed)

    def confirmation(self):
        """Waits for the next receipt."""
        line = self.line()
        if line.startswith(b'{"action":"close"'):
            raise ConnectionError(f"the node has ended the connection: {line!r}")
        if b'"receipt"' not in line:
            raise RuntimeError(f"no receipt: {line[:300]!r}")

    def listen(self, stream):
        self.ask({"action": "listen", "stream": stream.decode()})

    def message(self):
        """Waits for the next message."""
        if not (line := self.line()).startswith(b'{"action":"put"'):
            raise RuntimeError(f"no message: {line[:300]!r}")


class Nats(Connection):
    """NATS, with JetStream."""

    def __init__(self, port, patience=60):
        super().__init__(port, patience)
        self.line()
        self.inbox = b"_INBOX.%d.%d" % (port, self.socket.getsockname()[1])
        self.say(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB %s.> 1\r\nPING\r\n' % self.inbox)
        while self.line() != b"PONG\r\n":
            pass

    def next(self):
        """The next message's subject and content. Answers pings on the way."""
        while True:
            words = self.line().split()
            if words[0] == b"PING":
                self.say(b"PONG\r\n")
            elif words[0] == b"-ERR":
                raise RuntimeError(f"NATS says {words}")
            elif words[0] in (b"MSG", b"HMSG"):
                size = int(words[-1])
                while len(self.rest) < size + 2:
                    self.more()
                content = bytes(self.rest[:size])
                del self.rest[:size + 2]
                return words[1], content

    def ask(self, subject, request):
        """The answer to a request, in JSON. No answer, for want of servers that could, is a ValueError."""
        content = json.dumps(request).encode() if request else b""
        self.say(b"PUB %s %s.ask %d\r\n%s\r\n" % (subject.encode(), self.inbox, len(content), content))
        while True:
            to, answer = self.next()
            if to.endswith(b".ask"):
                told = json.loads(answer)
                if "error" in told:
                    raise ValueError(f"{subject}: {told['error']}")
                return told

    def published(self, subject, content, confirmed):
        reply = b" %s.ack" % self.inbox if confirmed else b""
        return b"PUB %s%s %d\r\n%s\r\n" % (subject, reply, len(content), content)

    def confirmation(self):
        subject, content = self.next()
        if not subject.endswith(b".ack") or b'"seq"' not in content:
            raise RuntimeError(f"no acknowledgement: {content!r}")

    def listen(self, subject):
        """A push consumer of what comes from now on."""
        # JetStream looks for whoever listens to this very subject.
        push = self.inbox.decode().replace("_INBOX", "push")
        self.say(b"SUB %s 2\r\n" % push.encode())
        config = {"deliver_subject": push, "deliver_policy": "new", "ack_policy": "none", "filter_subject": subject.decode(),
                  "mem_storage": True, "num_replicas": 1}
        self.ask("$JS.API.CONSUMER.CREATE.bare", {"stream_name": "bare", "config": config})

    def message(self):
        subject, content = self.next()
        if not content:
            raise RuntimeError(f"no message: {subject!r}")
