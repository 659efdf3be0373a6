"""Asks a broker over HTTP what browsers and programs ask, from outside and with nothing but Python: whatever stands before it, a published
port or a proxy, lets everything through.

    python3 tests/asked.py http://127.0.0.1:7380              asks there
    python3 tests/asked.py http://127.0.0.1:7380 http://broker:7380   asks there as those do who know it by another address

Says what it has seen, and fails at the first answer that is not as it should be. Writes to streams whose names begin with `asked-`, and
deletes them.
"""

import base64
import hashlib
import http.client
import json
import os
import re
import socket
import struct
import sys
from urllib.parse import urlsplit

#: Beyond it something hangs.
DEADLINE = 30
#: A message larger than a proxy takes or holds back unless it is told.
LARGE = json.dumps("x" * (3 << 20))


class Asked:
    """A broker that is asked at one address, by the name that the client believes it has."""

    def __init__(self, address, called=None):
        self.host, self.port = urlsplit(address).hostname, urlsplit(address).port
        self.called = called or address
        self.name = urlsplit(self.called).netloc

    def request(self, method, path, body=None, **headers):
        """The answer to one request, of which nothing but the head has been read."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=DEADLINE)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"Host": self.name, **headers})
        return connection.getresponse()

    def get(self, path, status=200, method="GET", body=None, **headers):
        """The body of an answer that must have this status."""
        answer = self.request(method, path, body, **headers)
        text = answer.read().decode()
        assert answer.status == status, f"{method} {path}: {answer.status} {text[:300]}"
        return text

    def page(self):
        """The page and every file that it names."""
        text = self.get("/")
        assert "<title>" in text, text[:300]
        files = re.findall(r'(?:src|href)="([^"#:]+)"', text)
        assert any(name.endswith(".js") for name in files), text[:2000]
        for name in files:
            assert self.get("/" + name.removeprefix("/")), name
        return f"the page and its {len(files)} files"

    def health(self):
        """Whether it is well, by all who ask."""
        for path in ("/healthz", "/readyz"):
            assert json.loads(self.get(path)) == {"status": "ok"}
        assert "\nmsgstream_connections_limit " in self.get("/metrics")
        return "/healthz, /readyz, /metrics"

    def streams(self):
        """What a page of the same address sends comes back, and what a page of another sends does not come in."""
        own = {"Origin": self.called, "Sec_Fetch_Site": "same-origin"}
        # A name that is not written as it stands in an address.
        path = "/api/streams/asked-1%2Fa%20b%25"
        assert "position" in self.get(path, method="PUT", body='{"of":3}', **own)
        told = json.loads(self.get(path))
        assert (told["stream"], told["header"]) == ("asked-1/a b%", {"of": 3}), told
        assert "asked-1/a b%" in [stream["stream"] for stream in json.loads(self.get("/api/streams?prefix=asked-"))]
        self.get(path, method="POST", body="1", status=403, Origin="http://evil.example")
        self.get(path, method="DELETE", **own)
        return "/api/streams"

    def web_socket(self):
        """A WebSocket takes a line and answers it."""
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "GET /ws HTTP/1.1", f"Host: {self.name}", f"Origin: {self.called}", "Connection: keep-alive, Upgrade", "Upgrade: websocket",
            "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}",
        ]
        with socket.create_connection((self.host, self.port), timeout=DEADLINE) as connection:
            connection.sendall("".join(line + "\r\n" for line in [*lines, ""]).encode())
            heard = connection.makefile("rb")
            status = heard.readline().decode()
            assert " 101 " in status, status
            head = "".join(iter(lambda: heard.readline().decode(), "\r\n"))
            accepted = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
            assert accepted in head, head
            line = b'{"action":"ping","receipt":7}'
            mask = os.urandom(4)
            connection.sendall(b"\x81" + bytes([0x80 | len(line)]) + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(line)))
            answer = b'{"action":"pong","receipt":7}'
            frame = heard.read(2 + len(answer))
            assert frame == b"\x81" + struct.pack("B", len(answer)) + answer, frame
        return "/ws"

    def events(self):
        """Events come one by one, each as soon as it has been put; and a listener that comes back goes on where it was."""
        path = "/api/streams/asked-2/events"
        # Of one that was cut off before.
        self.get("/api/streams/asked-2", method="DELETE")
        self.get("/api/streams/asked-2", method="PUT", body='{"of":3}')
        first = self.request("GET", path, Origin=self.called)
        assert first.getheader("Content-Type") == "text/event-stream", first.getheaders()
        assert event(first) == {"event": "header", "data": '{"of":3}'}
        assert event(first)["event"] == "joined"
        for message in ("1", LARGE, "2"):
            self.get("/api/streams/asked-2", method="POST", body=message)
            # Only now is the next one put.
            told = event(first)
            assert told["data"] == message, told["data"][:300]
        first.close()
        self.get("/api/streams/asked-2", method="POST", body="3")
        second = self.request("GET", path, Last_Event_ID=told["id"])
        joined = event(second)
        assert joined["event"] == "joined" and json.loads(joined["data"])["resumed"], joined
        assert event(second)["data"] == "3"
        self.get("/api/streams/asked-2/close", method="POST")
        closed = event(second)
        assert closed["event"] == "close", closed
        assert second.readline() == b"", "something comes behind the end"
        self.get(path, status=204, Last_Event_ID=closed["id"])
        self.get("/api/streams/asked-2", method="DELETE")
        return "/api/streams/NAME/events, one by one, one of 3 MB, and from Last-Event-ID on"


def event(answer):
    """The next event, without comments."""
    told = {}
    while line := answer.readline().decode().rstrip("\n"):
        name, _, value = line.partition(": ")
        if name:
            told[name] = value
    return told or event(answer)


def main(address, called=None):
    asked = Asked(address, called)
    for question in (asked.health, asked.page, asked.web_socket, asked.streams, asked.events):
        print(f"{asked.called}: {question()}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
