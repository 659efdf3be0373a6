"""TLS byte by byte: both sides in memory, and a server of the test's own that sees what is on the wire."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import Any, Iterator

import pytest

from certificates import Authority, Certificate, serving
from conftest import DEADLINE
from msgstream import Options
from msgstream.access import Access
from msgstream.address import Address
from msgstream.connection import Connection
from msgstream.incoming import CutShort
from msgstream.tls import Secure, context, explained


class Pair:
    """Both sides of a connection, in memory."""

    def __init__(self, authority: Authority, good: Certificate, oldest: bool = False) -> None:
        self.client = Secure(context(str(authority.file), None, None), "localhost")
        self._come, self._go = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = serving(good, oldest=oldest).wrap_bio(self._come, self._go, server_side=True)

    def answer(self, said: bytes) -> bytes:
        self._come.write(said)
        try:
            self.server.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self._go.read()

    def say(self, text: bytes) -> bytes:
        self.server.write(text)
        return self._go.read()

    def end(self) -> bytes:
        with pytest.raises(ssl.SSLError):
            # The other side has not said so yet, or has said something else.
            self.server.unwrap()
        return self._go.read()

    def hear(self, said: bytes) -> bytes:
        self._come.write(said)
        return self.server.read()

    def shake(self) -> None:
        hello, done = self.client.shake(None)
        assert not done
        nothing, done = self.client.shake(self.answer(hello))
        assert done and not nothing
        assert self.hear(self.client.seal(memoryview(b"hello"))) == b"hello"
        assert self.client.open(self._go.read()) == b""


def test_a_handshake_may_come_in_any_pieces_and_may_end_at_any_byte(authority: Authority, good: Certificate) -> None:
    pair = Pair(authority, good)
    said = pair.answer(pair.client.shake(None)[0])
    for at in range(len(said)):
        pair = Pair(authority, good)
        said = pair.answer(pair.client.shake(None)[0])
        if at:
            _, done = pair.client.shake(said[:at])
            assert not done or at > len(said) - 5
        with pytest.raises(OSError, match="the connection ended in the handshake of TLS"):
            pair.client.shake(b"")
    pair = Pair(authority, good)
    said = pair.answer(pair.client.shake(None)[0])
    steps = [pair.client.shake(said[at : at + 1]) for at in range(len(said))]
    assert [done for _, done in steps] == [False] * (len(said) - 1) + [True]
    assert not any(go for go, _ in steps) and pair.hear(pair.client.seal(memoryview(b"hello"))) == b"hello"


def test_who_speaks_no_tls_is_found_out_by_the_first_byte(authority: Authority, good: Certificate) -> None:
    for said in (b"{", b"-ERR", b"HTTP/1.1 400 Bad Request\r\n", b"\xff"):
        secure = Pair(authority, good).client
        secure.shake(None)
        with pytest.raises(OSError, match="it speaks no TLS there"):
            secure.shake(said)


def test_what_comes_with_the_end_of_the_handshake_is_not_left_behind(authority: Authority, good: Certificate) -> None:
    pair = Pair(authority, good, oldest=True)
    go, _ = pair.client.shake(None)
    go, _ = pair.client.shake(pair.answer(go))
    # In TLS 1.2 it is the server that says the last.
    _, done = pair.client.shake(pair.answer(go) + pair.say(b"full\n"))
    assert done and pair.client.unread and pair.client.open(None) == b"full\n" and not pair.client.unread


def test_what_comes_is_told_once_its_record_is_complete(authority: Authority, good: Certificate) -> None:
    pair = Pair(authority, good)
    pair.shake()
    assert pair.client.open(pair.say(b"a") + pair.say(b"b" * 40_000)) == b"a" + b"b" * 40_000
    said = pair.say(b"one\n") + pair.say(b"two\n")
    heard = [pair.client.open(said[at : at + 1]) for at in range(len(said))]
    assert [each for each in heard if each] == [b"one\n", b"two\n"] and heard[-1] == b"two\n"
    # What is complete does not wait for what is not.
    said, rest = pair.say(b"one\n"), pair.say(b"two\n")
    assert pair.client.open(said + rest[:7]) == b"one\n" and pair.client.open(rest[7:]) == b"two\n"
    # The end is told behind what came before it, however it comes.
    assert pair.client.open(pair.say(b"last\n") + pair.end()) == b"last\n" and pair.client.ended


def test_one_who_seals_waits_for_one_who_opens(authority: Authority, good: Certificate) -> None:
    pair = Pair(authority, good)
    pair.shake()
    tls, reads, goes_on = pair.client._tls, threading.Event(), threading.Event()

    class Slow:
        """What two threads must not use at once."""

        def read(self, most: int) -> bytes:
            reads.set()
            assert goes_on.wait(DEADLINE)
            return tls.read(most)

        def write(self, data: memoryview) -> int:
            assert goes_on.is_set()
            return tls.write(data)

    pair.client._tls = Slow()  # type: ignore[assignment]
    said, heard, sealed = pair.say(b"one\n"), [], []
    opening = threading.Thread(target=lambda: heard.append(pair.client.open(said)), daemon=True)
    opening.start()
    assert reads.wait(DEADLINE)
    sealing = threading.Thread(target=lambda: sealed.append(pair.client.seal(memoryview(b"two\n"))), daemon=True)
    sealing.start()
    sealing.join(0.1)
    goes_on.set()
    sealing.join(DEADLINE)
    opening.join(DEADLINE)
    assert heard == [b"one\n"] and pair.hear(sealed[0]) == b"two\n"


def test_an_end_without_a_word_is_one_and_what_is_broken_is_told_behind_what_was_said(authority: Authority, good: Certificate) -> None:
    pair = Pair(authority, good)
    pair.shake()
    assert not pair.client.ended and pair.client.open(b"") == b"" and pair.client.ended
    pair = Pair(authority, good)
    pair.shake()
    said = pair.say(b"one\n")
    broken = bytearray(pair.say(b"two\n"))
    broken[-1] ^= 1
    assert pair.client.open(said + bytes(broken)) == b"one\n" and pair.client.unread
    with pytest.raises(ssl.SSLError) as raised:
        pair.client.open(None)
    assert str(explained(raised.value, "localhost", None, None)).startswith("TLS has failed: ")


def test_one_may_read_after_one_has_said_the_last(authority: Authority, good: Certificate) -> None:
    pair = Pair(authority, good)
    pair.shake()
    assert pair.hear(pair.client.end()) == b""
    assert pair.client.open(pair.say(b"last\n")) == b"last\n"
    assert pair.client.end() == b""


def test_an_end_is_one_also_for_who_has_said_the_last(authority: Authority, good: Certificate) -> None:
    pair = Pair(authority, good)
    pair.shake()
    assert pair.hear(pair.client.end()) == b""
    said = pair.say(b"last\n")
    pair.server.unwrap()
    assert pair.client.open(said + pair._go.read()) == b"last\n" and pair.client.ended
    assert pair.client.open(None) == b"" and pair.client.ended


class Raw:
    """One connection with TLS to a server of the test's own, which sees each byte."""

    def __init__(self, authority: Authority, good: Certificate, **options: Any) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address.read(f"tls://localhost:{self._listener.getsockname()[1]}")
        self.pair = Pair(authority, good)
        self.peer: socket.socket
        #: In bytes.
        self.taken = 0
        self._thread = threading.Thread(target=self._shake, daemon=True)
        self._thread.start()
        access = Access(ca=authority.file)
        self.connection = Connection(self.address, Options(**options), access, limit=DEADLINE)
        self._thread.join(DEADLINE)

    def _shake(self) -> None:
        self.peer, _ = self._listener.accept()
        self.peer.settimeout(DEADLINE)
        while True:
            said = self.peer.recv(1 << 16)
            self.taken += len(said)
            self.peer.sendall(self.pair.answer(said))
            try:
                self.pair.server.do_handshake()
                return
            except ssl.SSLWantReadError:
                pass

    def close(self) -> None:
        self.connection.close()
        self.peer.close()
        self._listener.close()


@pytest.fixture
def raw(authority: Authority, good: Certificate) -> Iterator[Raw]:
    raw = Raw(authority, good, idle_time=1.0)
    yield raw
    raw.close()


def test_half_a_record_is_nothing_yet_and_waits_no_longer(raw: Raw) -> None:
    while raw.connection.readable(0.0):
        # The tickets of the handshake, which say nothing.
        assert raw.connection.receive(0.0) is None
    said = raw.pair.say(b'{"action":"pong"}\n')
    raw.peer.sendall(said[:10])
    assert raw.connection.readable(DEADLINE) and raw.connection.receive(0.05) is None
    assert not raw.connection.readable(0.0)
    raw.peer.sendall(said[10:])
    assert raw.connection.receive(DEADLINE) == ['{"action":"pong"}']
    raw.peer.sendall(raw.pair.end())
    for _ in range(2):
        assert raw.connection.readable(DEADLINE)
        with pytest.raises(CutShort, match="the connection ended without a word"):
            raw.connection.receive(DEADLINE)


@pytest.mark.parametrize("way", ["finish", "shutdown"])
def test_an_end_is_said(raw: Raw, way: str) -> None:
    getattr(raw.connection, way)()
    assert raw.pair.hear(raw.peer.recv(1 << 16)) == b'{"action":"ping","receipt":0}\n'
    # Without the word that is an exception.
    assert raw.pair.server.read() == b"" and raw.peer.recv(1) == b""


def test_an_end_is_not_said_in_the_middle_of_a_record(raw: Raw) -> None:
    # As if another thread waited for the system to take the rest of one.
    raw.connection._is_sending = True
    raw.connection.shutdown()
    assert raw.pair.hear(raw.peer.recv(1 << 16)) == b'{"action":"ping","receipt":0}\n'
    assert raw.peer.recv(1) == b""
    with pytest.raises(ssl.SSLWantReadError):
        raw.pair.server.read()


def test_what_is_on_its_way_is_counted_as_it_is_on_the_wire(raw: Raw) -> None:
    raw.connection.send("x" * 1_000_000)
    # Each record is longer than what it says.
    written = raw.connection._progress.written
    assert written > 1_000_000 + 61 * 20
    while raw.taken < written:
        raw.taken += len(raw.peer.recv(1 << 16))
    raw.peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        raw.peer.recv(1)
    assert raw.taken == written
