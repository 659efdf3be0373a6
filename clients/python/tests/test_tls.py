"""TLS: all clients over it, what is wrong with certificates, and brokers without it."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest

import msgstream
from certificates import Authority, Certificate, serving
from conftest import DEADLINE, QUICK, Broker, Queue, eventually
from front import Front
from msgstream import BadAddress, BadConfig, CutOff, Disconnected, Ended, Header, Lost, Message, Options, RemoteStream, aio
from msgstream.incoming import CutShort, Incoming
from msgstream.tls import context
from test_examples import block_with


@pytest.fixture(params=["1.3", "1.2"])
def front(request: pytest.FixtureRequest, broker: Broker, good: Certificate) -> Iterator[Front]:
    """What speaks TLS by OpenSSL, for a broker that speaks it by another library."""
    with Front(broker.port, serving(good, oldest=request.param == "1.2")) as front:
        yield front


async def follow(server: str, **more: Any) -> List[msgstream.AnyEvent]:
    async with aio.listen("fit", server=server, timeout=DEADLINE, **{"options": QUICK, **more}) as listener:
        return [event async for event in listener]


@pytest.fixture
def secure(away: Broker, good: Certificate) -> Broker:
    """A broker that speaks it itself."""
    away.certificate = good
    return away.start()


def test_all_clients_work_over_it(front: Front, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    all_clients(front.address, authority, monkeypatch)
    assert not front.failures


def test_all_clients_work_with_a_broker_that_speaks_it_itself(secure: Broker, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    all_clients(secure.tls_address, authority, monkeypatch)


def all_clients(address: str, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    told, large = Queue(), "x" * 3_000_000
    monkeypatch.setenv("MSGSTREAM_CA", str(authority.file))
    with RemoteStream(address, strict=True) as remote, msgstream.Publisher("fit", address) as publisher:
        remote.listen("fit", told)
        remote["fit"] = "header"
        assert remote.flush()
        with msgstream.listen("fit", server=address, timeout=DEADLINE, options=QUICK) as listener:
            assert next(listener) == Header("fit", "header")
            publisher.put(large)
            publisher.end("done")
            assert publisher.flush()
            assert list(listener) == [Message("fit", large), Ended("fit", "done")]
        assert told.several(2) == [large, ("closed", "done")]
        header, ended = asyncio.run(follow(address))
        assert header == Header("fit", "header") and isinstance(ended, Ended)
    command = [sys.executable, "-m", "msgstream", "listen", "fit", "--server", address]
    listened = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
    assert listened.returncode == 0 and listened.stdout.count("\n") == 2, listened
    del os.environ["MSGSTREAM_CA"]
    listened = subprocess.run([*command, "--ca", str(authority.file)], capture_output=True, text=True, timeout=DEADLINE)
    assert listened.returncode == 0 and listened.stdout.count("\n") == 2, listened


def test_the_program_of_the_tutorial_does_what_it_says(
    broker: Broker, authority: Authority, good: Certificate, tmp_path: Path, script: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    own = authority.make("me")
    for name, file in [("authority.pem", authority.file), ("me.pem", own.certificate), ("me.key", own.key)]:
        shutil.copy(file, tmp_path / name)
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("mst_secret")
    with Front(broker.port, serving(good, authority), ["mst_secret"]) as front:
        text = block_with("/home/me/token").replace("/home/me", str(tmp_path)).replace("tls://broker.example", front.address)
        ended = script(text)
        assert (ended.returncode, ended.stderr) == (0, "") and front.shown == ["mst_secret"]
        *_, end = broker.listen("fit-42")
        assert isinstance(end, Ended)


def test_both_directions_are_full_at_once(front: Front, authority: Authority) -> None:
    told = Queue()
    with RemoteStream(front.address, ca=authority.file) as remote:
        remote["fit"] = "header"
        remote.listen("fit", told)
        assert told.get() == "header"
        for k in range(2000):
            remote.put("fit", f"{k:05}" * 1000)
        assert remote.flush()
        assert told.several(2000) == [f"{k:05}" * 1000 for k in range(2000)]
        assert remote.repeated == 0


def test_a_broker_that_stops_for_a_while_holds_up_what_waits_and_nothing_is_lost(front: Front, broker: Broker, authority: Authority) -> None:
    told = Queue()
    with RemoteStream(front.address, ca=authority.file, options=QUICK) as remote:
        remote["fit"] = "header"
        remote.listen("fit", told)
        assert told.get() == "header"
        broker.pause()
        connection = remote._connection
        for k in range(1500):
            remote.put("fit", f"{k:05}" * 2000)
        # The last that goes is in the middle of the queue, so the system takes no more.
        eventually(lambda: connection is not None and connection._is_sending)
        broker.resume()
        assert remote.flush()
        assert told.several(1500) == [f"{k:05}" * 2000 for k in range(1500)]
        assert remote._connection is connection


def failing(address: str, **more: Any) -> "List[str]":
    """How all kinds of clients say that they cannot connect."""
    with pytest.raises(Disconnected) as raised:
        RemoteStream(address, strict=True, **more)
    (lost,) = msgstream.listen("fit", server=address, reconnect=False, **more)
    (lost_too,) = asyncio.run(follow(address, reconnect=False, **more))
    assert isinstance(lost, (CutOff, Lost)) and isinstance(lost_too, (CutOff, Lost))
    return [str(raised.value), lost.reason, lost_too.reason]


@pytest.mark.parametrize(
    ("made", "host", "part"),
    [
        ({"since": -10, "days": 5}, "localhost", "its certificate, or one that vouches for it, has expired; whoever runs the broker can renew it"),
        ({"since": 5}, "localhost", "its certificate, or one that vouches for it, is not valid yet"),
        ({"names": ("broker.example",)}, "localhost", "its certificate is not for 'localhost'; use a name that it is for"),
        ({"names": ("localhost",)}, "127.0.0.1", "its certificate is not for '127.0.0.1'"),
    ],
)
def test_a_certificate_that_is_not_good_is_refused_with_the_cure(
    made: Dict[str, Any], host: str, part: str, broker: Broker, authority: Authority
) -> None:
    with Front(broker.port, serving(authority.make("bad", **made))) as front:
        address = f"tls://{host}:{front.port}"
        for said in failing(address, ca=authority.file):
            assert said.startswith(f"cannot connect to {address}: {part}"), said
        # It is told why.
        eventually(lambda: len(front.failures) == 3)
        assert all("ALERT" in failure.upper() for failure in front.failures), front.failures


def test_an_authority_that_is_not_known_is_said(front: Front, authority: Authority, tmp_path: Path) -> None:
    for said in failing(front.address):
        assert 'is from nobody whom this system trusts' in said and 'give the authority\'s own as "ca"' in said
    other = Authority(tmp_path, "other")
    for said in failing(front.address, ca=other.file):
        assert f"its certificate is from none of the authorities in {other.file}" in said
    # A folder of them is as good as a file.
    folder = tmp_path / "folder"
    folder.mkdir()
    name = subprocess.run(["openssl", "x509", "-hash", "-noout", "-in", authority.file], capture_output=True, text=True)
    if name.returncode == 0:
        shutil.copy(authority.file, folder / f"{name.stdout.strip()}.0")
        RemoteStream(front.address, strict=True, ca=folder).close()


def test_a_broker_that_speaks_it_itself_is_told_from_one_that_does_not(secure: Broker, authority: Authority, tmp_path: Path) -> None:
    for said in failing(f"localhost:{secure.tls_port}"):
        assert "tls://" in said
    for said in failing(f"tls://localhost:{secure.port}", ca=authority.file):
        assert "it speaks no TLS there" in said
    for said in failing(f"tls://127.0.0.2:{secure.tls_port}", ca=authority.file):
        assert "refused" in said or "Connect call failed" in said
    for said in failing(secure.tls_address):
        assert "is from nobody whom this system trusts" in said
    other = Authority(tmp_path, "other").make("me")
    secure.stop()
    secure.start(TLS__CLIENT_CA=str(authority.file), TLS__CLIENT_CERTIFICATES="required")
    for said in failing(secure.tls_address, ca=authority.file):
        assert "it wants a certificate of this client" in said
    for said in failing(secure.tls_address, ca=authority.file, **other.files):
        assert "it does not accept the certificate in" in said
    own = authority.make("me")
    RemoteStream(secure.tls_address, strict=True, ca=authority.file, **own.files).close()


def test_what_the_system_trusts_is_trusted(front: Front, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    # As OpenSSL has it, that is the file of this variable.
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    RemoteStream(front.address, strict=True).close()


def test_a_broker_without_tls_is_found_out_and_one_with_it_too(broker: Broker, authority: Authority) -> None:
    address = f"tls://{broker.address}"
    for said in failing(address, ca=authority.file):
        assert said == f'cannot connect to {address}: it speaks no TLS there; leave "tls://" away, or name the port where it does'
    # What one says who expects TLS.
    for said in (b"\x15\x03\x01\x00\x02\x02\x46", b"\x16\x03"):
        with pytest.raises(CutShort, match='the broker speaks TLS there: write "tls://" before the address'):
            Incoming().feed(said)


@pytest.mark.parametrize("oldest", [False, True])
def test_a_broker_that_wants_a_certificate_is_shown_one(broker: Broker, authority: Authority, good: Certificate, tmp_path: Path, oldest: bool) -> None:
    other = Authority(tmp_path, "other")
    own, stranger = authority.make("own", names=("me",)), other.make("own", names=("me",))
    with Front(broker.port, serving(good, authority, oldest)) as front:
        for said in failing(front.address, ca=authority.file):
            assert 'it wants a certificate of this client: give "certificate" and "key"' in said
        for said in failing(front.address, ca=authority.file, **stranger.files):
            assert f"it does not accept the certificate in {stranger.certificate}" in said
        with RemoteStream(front.address, strict=True, ca=authority.file, **own.files) as remote:
            remote.close("fit")
            assert remote.flush()
        (ended,) = asyncio.run(follow(front.address, ca=authority.file, **own.files))
        assert isinstance(ended, Ended)
        # Both in one file.
        both = tmp_path / "both.pem"
        both.touch(mode=0o600)
        both.write_bytes(own.certificate.read_bytes() + own.key.read_bytes())
        RemoteStream(front.address, strict=True, ca=authority.file, certificate=both).close()


def test_files_that_cannot_be_used_are_said_where_they_are_given(authority: Authority, good: Certificate, tmp_path: Path) -> None:
    other, locked = authority.make("other"), authority.make("locked", password=b"word")
    empty = tmp_path / "empty"
    empty.touch()
    for given, part in [
        ({"ca": tmp_path / "none"}, f"cannot read {tmp_path / 'none'}: No such file"),
        ({"ca": empty}, f"there are no certificates in {empty}"),
        ({"key": good.key}, "is of no use without the certificate"),
        ({"certificate": good.certificate, "key": tmp_path / "none"}, f"cannot read {tmp_path / 'none'}"),
        ({"certificate": good.certificate, "key": other.key}, f"the key in {other.key} does not belong to the certificate in {good.certificate}"),
        ({"certificate": good.certificate}, f"there is no certificate in {good.certificate}"),
        ({"certificate": empty, "key": good.key}, f"there is no certificate in {empty}"),
        (locked.files, "the key of the certificate has a password"),
    ]:
        for make in (RemoteStream, lambda server, **more: aio.listen("fit", server=server, **more)):
            with pytest.raises(BadConfig) as raised:
                make("tls://localhost:1", **given)
            assert part in str(raised.value)
    with pytest.raises(BadAddress, match='localhost:1 is an address without TLS, .*; write "tls://" before it'):
        RemoteStream("localhost:1", ca=authority.file)


def test_a_key_that_everybody_can_read_is_warned_of(good: Certificate, caplog: pytest.LogCaptureFixture) -> None:
    context(None, **good.files)
    assert not caplog.text
    good.key.chmod(0o644)
    context(None, **good.files)
    assert f"everybody on this machine can read or write the key in {good.key}: chmod 600" in caplog.text


def test_files_that_change_count_from_the_next_connection_on(front: Front, broker: Broker, authority: Authority, tmp_path: Path) -> None:
    told = Queue()
    ca = tmp_path / "ca.pem"
    shutil.copy(authority.file, ca)
    with RemoteStream(front.address, ca=ca, options=QUICK) as remote:
        remote["fit"] = "header"
        remote.listen("fit", told)
        assert told.get() == "header"
        for k in range(5):
            other = Authority(tmp_path, f"other-{k}")
            front.context = serving(other.make("good"))
            shutil.copy(other.file, ca)
            # A connection that there is goes on.
            remote.put("fit", k)
            assert remote.flush() and told.get() == k
            front.reset()
            remote.put("fit", k + 0.5)
            assert remote.flush() and told.get() == k + 0.5
        assert remote.repeated == 0


def test_a_forked_child_leaves_the_connection_alone(front: Front, authority: Authority) -> None:
    with RemoteStream(front.address, ca=authority.file, options=QUICK) as remote:
        remote["fit"] = 0
        assert remote.flush()
        with msgstream.listen("fit", server=front.address, ca=authority.file, timeout=DEADLINE, options=QUICK) as listener:
            assert next(listener) == Header("fit", 0)
            connections = remote._connection, listener._connection
            child = os.fork()
            if child == 0:
                try:
                    remote.put("fit", 1)
                    os._exit(0 if remote.flush() and next(listener) == Message("fit", 1) else 1)
                finally:
                    os._exit(2)
            assert os.waitpid(child, 0)[1] == 0
            assert next(listener) == Message("fit", 1)
            remote.put("fit", 2)
            assert remote.flush() and next(listener) == Message("fit", 2)
            assert (remote._connection, listener._connection) == connections


def test_a_peer_that_says_nothing_in_the_handshake_is_left(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tls://127.0.0.1:{silent.getsockname()[1]}"
        options = Options(connect_time=0.1)
        for said in failing(address, ca=authority.file, options=options):
            assert said == f"{address} does not answer"
