"""Tokens: where they are from, how they are shown, what a broker says to them, and that nobody else is told."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import multiprocessing
import os
import pickle
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import pytest

import msgstream
from conftest import DEADLINE, QUICK, Broker, Queue, eventually
from front import Front
from msgstream import AuthFailed, BadConfig, CutOff, Denied, Header, Message, Options, RemoteStream, aio, configuration
from msgstream.access import Access
from msgstream.incoming import CutShort, Incoming
from test_odd_brokers import Peer, polite

TOKEN = "mst_GoodBrokersTellNobody0123456789"

#: Refused tokens are tried again soon.
SOON = Options(first_pause=0.01, longest_pause=0.1, refused_pause=0.05, exit_time=DEADLINE)


#: A connection that says nothing is soon given up.
IMPATIENT = dataclasses.replace(QUICK, idle_time=0.05)


def a_file(path: Path, text: str = TOKEN + "\n", mode: int = 0o600) -> Path:
    path.touch()
    path.chmod(mode)
    path.write_text(text)
    return path


def by_argument(path: Path, monkeypatch: pytest.MonkeyPatch, server: str) -> Dict[str, Any]:
    return {"token": TOKEN, "server": server}


def by_file(path: Path, monkeypatch: pytest.MonkeyPatch, server: str) -> Dict[str, Any]:
    return {"token": a_file(path / "token", mode=0o640), "server": server}


def by_variable(path: Path, monkeypatch: pytest.MonkeyPatch, server: str) -> Dict[str, Any]:
    monkeypatch.setenv("MSGSTREAM_TOKEN", TOKEN)
    monkeypatch.setenv("MSGSTREAM_TOKEN_FILE", "/nowhere")
    return {"server": server}


def by_file_of_variable(path: Path, monkeypatch: pytest.MonkeyPatch, server: str) -> Dict[str, Any]:
    monkeypatch.setenv("MSGSTREAM_TOKEN", "")
    monkeypatch.setenv("MSGSTREAM_TOKEN_FILE", str(a_file(path / "token")))
    return {"server": server}


def by_configuration(path: Path, monkeypatch: pytest.MonkeyPatch, server: str) -> Dict[str, Any]:
    configuration.SYSTEM.parent.mkdir()
    file = a_file(configuration.SYSTEM.parent / "token", f"  {TOKEN}\r\n")
    configuration.SYSTEM.write_text(f"token_file = '{file}'\nserver = '{server}'")
    return {"server": None}


WAYS = [by_argument, by_file, by_variable, by_file_of_variable, by_configuration]


@pytest.mark.parametrize("way", WAYS)
def test_it_is_shown_first_on_each_connection_wherever_it_is_from(
    way: Callable[..., Dict[str, Any]], broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def follow() -> None:
        async with aio.listen("fit", timeout=DEADLINE, options=QUICK, **given) as listener:
            assert await listener.next(DEADLINE) == Header("fit", 0)

    with Front(broker.port, tokens=[TOKEN]) as front:
        given = way(tmp_path, monkeypatch, front.address)
        host = {"host": given["server"], **{key: value for key, value in given.items() if key != "server"}}
        with RemoteStream(options=QUICK, **host) as remote:
            remote["fit"] = 0
            assert remote.flush()
            with msgstream.listen("fit", timeout=DEADLINE, options=QUICK, **given) as listener:
                assert listener.next() == Header("fit", 0)
                asyncio.run(follow())
                front.reset()
                for k in range(3):
                    remote.put("fit", k)
                assert remote.flush()
                assert [listener.next() for _ in range(3)] == [Message("fit", k) for k in range(3)]
                # The session is the same one, so nothing came twice.
                assert remote.repeated == 0
        with msgstream.Publisher("fit", strict=True, **given) as publisher:
            publisher.put(3)
            assert publisher.flush()
        with msgstream.Job("job", strict=True, **given) as job:
            job.progress(1)
        assert len(front.shown) == 7 and set(front.shown) == {TOKEN}


def test_an_argument_counts_more_than_the_variable_and_that_more_than_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_configuration(tmp_path, monkeypatch, "theirs")
    assert Access().origin == f"the file {configuration.SYSTEM.parent / 'token'} ({configuration.SYSTEM}, line 1)"
    monkeypatch.setenv("MSGSTREAM_TOKEN_FILE", str(a_file(tmp_path / "other", "other")))
    assert Access().token() == "other"
    monkeypatch.setenv("MSGSTREAM_TOKEN", "variable\n")
    assert (Access().token(), Access().origin) == ("variable", "MSGSTREAM_TOKEN")
    assert (Access("given").token(), Access("given").origin) == ("given", 'the argument "token"')
    assert Access(tmp_path / "other").token() == "other"


def test_a_file_is_read_for_each_connection(broker: Broker, tmp_path: Path) -> None:
    file = a_file(tmp_path / "token")
    with Front(broker.port, tokens=[TOKEN]) as front, RemoteStream(front.address, options=QUICK, token=file) as remote:
        remote.put("fit", 1)
        assert remote.flush()
        front.tokens = ["another"]
        a_file(file, "another")
        front.reset()
        remote.put("fit", 2)
        assert remote.flush()
        assert front.shown == [TOKEN, "another"]
        # Without it nothing is said at all.
        file.unlink()
        front.reset()
        remote.put("fit", 3)
        eventually(lambda: "cannot read the token in" in (remote.trouble or ""))
        assert len(front.shown) == 2
        a_file(file, "another")
        assert remote.flush()


@pytest.mark.parametrize(
    ("text", "mode", "part"),
    [
        (TOKEN, 0o604, "everybody on this machine can use the token in {path}: chmod 600 {path}"),
        (TOKEN, 0o602, "everybody on this machine can use"),
        ("\n", 0o600, "what stands in {path} is empty"),
        (f"{TOKEN} {TOKEN}", 0o600, "what stands in {path} is no token"),
        (f"{TOKEN}\n{TOKEN}", 0o600, "what stands in {path} is no token"),
        (f'"{TOKEN}"', 0o600, "what stands in {path} is no token"),
        (f"{TOKEN}\u00e9", 0o600, "what stands in {path} is no token"),
        (TOKEN * 30, 0o600, "what stands in {path} is no token"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_cure_and_without_the_token(text: str, mode: int, part: str, tmp_path: Path) -> None:
    path = a_file(tmp_path / "token", text, mode)
    for make in (lambda: RemoteStream(token=path), lambda: msgstream.listen("fit", token=path), lambda: aio.listen("fit", token=path)):
        with pytest.raises(BadConfig) as raised:
            make()
        assert part.format(path=path) in str(raised.value) and TOKEN[4:] not in str(raised.value)


@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
def test_what_is_no_file_is_refused_and_not_waited_for(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    with socket.socket(socket.AF_UNIX) as listening:
        if kind == "pipe":
            os.mkfifo(path, 0o600)
        elif kind == "device":
            path = Path("/dev/zero")
        else:
            listening.bind(str(path))
        for make in (lambda: RemoteStream(token=path), lambda: RemoteStream("tls://localhost", ca=path)):
            with pytest.raises(BadConfig) as raised:
                make()
            assert f"{path} is a named pipe, a device or a socket, and not a file; name a file" in str(raised.value)


def test_a_token_in_place_of_its_file_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSGSTREAM_TOKEN_FILE", TOKEN)
    for make in (RemoteStream, lambda: RemoteStream(token=Path(TOKEN))):
        with pytest.raises(BadConfig) as raised:
            make()
        assert TOKEN not in str(raised.value) and "give it in MSGSTREAM_TOKEN, or" in str(raised.value)
        assert raised.value.__cause__ is None and raised.value.__suppress_context__


def test_files_are_where_they_were_when_they_were_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        a_file(tmp_path / folder / "token", folder)
    monkeypatch.chdir(tmp_path / "here")
    given = Access(Path("token"))
    monkeypatch.setenv("MSGSTREAM_TOKEN_FILE", "token")
    found = Access()
    monkeypatch.chdir(tmp_path / "there")
    assert given.token() == found.token() == "here"
    # Also in another process, which may work elsewhere.
    assert Access(**Access.unsealed(*given.sealed())).token() == "here"


def test_a_pipe_is_read_once(broker: Broker) -> None:
    end, writing = os.pipe()
    os.write(writing, TOKEN.encode())
    os.close(writing)
    with Front(broker.port, tokens=[TOKEN]) as front, RemoteStream(front.address, options=QUICK, token=Path(f"/dev/fd/{end}")) as remote:
        os.close(end)
        for k in range(2):
            remote.put("fit", k)
            assert remote.flush()
            front.reset()
        assert front.shown == [TOKEN, TOKEN]


def test_what_is_no_token_is_refused_without_showing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadConfig, match="cannot read the token in .*: No such file"):
        RemoteStream(token=tmp_path / "none")
    for wrong in ("", "secret word", "secret\n", 7, b"secret"):
        with pytest.raises(BadConfig) as raised:
            RemoteStream(token=wrong)  # type: ignore[arg-type]
        assert "secret" not in str(raised.value)
    monkeypatch.setenv("MSGSTREAM_TOKEN", "secret word")
    with pytest.raises(BadConfig, match="^MSGSTREAM_TOKEN is no token"):
        RemoteStream()


@pytest.mark.parametrize(
    ("given", "code", "cure"),
    [
        ({}, "auth_required", 'give a token of that broker, in the variable MSGSTREAM_TOKEN, in a file that MSGSTREAM_TOKEN_FILE or "token_file" in client.toml names'),
        ({"token": TOKEN}, "auth_failed", 'the token came from the argument "token"; "msgstream token new" makes another'),
    ],
)
def test_a_broker_that_lets_nobody_in_says_why_and_what_helps(given: Dict[str, str], code: str, cure: str, broker: Broker) -> None:
    async def follow() -> List[msgstream.AnyEvent]:
        return [event async for event in aio.listen("fit", server=front.address, timeout=DEADLINE, options=QUICK, **given)]

    with Front(broker.port, tokens=["another"]) as front:
        for make in (RemoteStream, lambda *server, **more: msgstream.Publisher("fit", *server, **more)):
            with pytest.raises(AuthFailed) as raised:
                make(front.address, strict=True, options=QUICK, **given)
            assert raised.value.code == code and cure in str(raised.value), raised.value
            assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)
        for events in (list(msgstream.listen("fit", server=front.address, timeout=DEADLINE, options=QUICK, **given)), asyncio.run(follow())):
            (end,) = events
            assert isinstance(end, CutOff) and end.code == code and not end.reconnecting and cure in end.reason, end
        (end,) = msgstream.listen(prefix="fit", server=front.address, timeout=DEADLINE, options=QUICK, **given)
        assert isinstance(end, CutOff) and not end.reconnecting
        # Once each.
        assert len(front.shown) == 5


def test_what_is_published_waits_for_the_token_and_that_is_not_silent(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    troubles: List[Optional[str]] = []
    told = Queue()
    with Front(broker.port, tokens=[]) as front, RemoteStream(front.address, options=SOON, token=TOKEN) as remote:
        remote.when_trouble(troubles.append)
        remote.listen("fit", told, events=True)
        remote.put("fit", 1)
        eventually(lambda: len(front.shown) > 3)
        said = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert len(said) >= 3 and "trying again from time to time" in said[0].getMessage() and "makes another" in said[0].getMessage()
        assert len(troubles) == 1 and remote.trouble == troubles[0]
        lost = told.get()
        assert isinstance(lost, CutOff) and lost.code == "auth_failed" and lost.reconnecting
        front.tokens = [TOKEN]
        assert remote.flush() and remote.trouble is None
        assert told.get() == Message("fit", 1)


def test_why_a_broker_ends_a_connection_is_read_though_it_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = threading.Event()

    def answer(peer: socket.socket) -> None:
        with peer.accept()[0] as client:
            client.recv(1 << 16)
            client.sendall(b'{"action":"close","message":{"code":"auth_failed","reason":"no"}}\n')
        closed.set()

    with socket.create_server(("127.0.0.1", 0)) as peer:
        threading.Thread(target=answer, args=(peer,), daemon=True).start()
        listener = msgstream.listen("fit", server=f"127.0.0.1:{peer.getsockname()[1]}", timeout=DEADLINE, options=QUICK, token=TOKEN)
        joins = listener._joins
        # More than goes before the system knows that the other side has gone.
        monkeypatch.setattr(listener, "_joins", lambda: joins() * 100_000 if closed.wait(DEADLINE) else "")
        (end,) = listener
        assert isinstance(end, CutOff) and end.code == "auth_failed"


def test_a_refused_token_is_not_shown_again_at_once(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    with Front(broker.port, tokens=[]) as front:
        remote = RemoteStream(front.address, options=QUICK, token=TOKEN)
        remote.put("fit", 1)
        eventually(lambda: remote.trouble)
        remote.put("fit", 2)
        assert not remote.flush(0.5)
        assert len(front.shown) == 1
        # It was never let in, so nothing is waited for.
        remote.close()
    assert "did not let this client in" in caplog.text


@pytest.mark.parametrize("kind", ["loop", "asyncio", "prefix"])
def test_a_loop_that_is_refused_goes_on_if_the_file_has_another_token_by_then(kind: str, tmp_path: Path) -> None:
    file = a_file(tmp_path / "token")
    shown: List[str] = []

    def answer(said: Dict[str, Any]) -> Optional[str]:
        if said["action"] == "auth":
            shown.append(said["token"])
        if said["action"] == "listen" and shown[-1] == TOKEN:
            a_file(file, "another")
            return json.dumps({"action": "close", "message": {"code": "auth_failed", "reason": "revoked"}})
        if said["action"] == "listen":
            # That is not known either, and there is none beside.
            return json.dumps({"action": "close", "message": {"code": "auth_failed", "reason": "unknown"}})
        return polite(said)

    async def follow() -> List[msgstream.AnyEvent]:
        return [event async for event in aio.listen("fit", server=peer.address, timeout=DEADLINE, options=QUICK, token=file)]

    with Peer(answer) as peer:
        if kind == "asyncio":
            events = asyncio.run(follow())
        else:
            names, prefix = (["fit"], None) if kind == "loop" else ([], "fit")
            events = list(msgstream.listen(*names, prefix=prefix, server=peer.address, timeout=DEADLINE, options=QUICK, token=file))
    assert shown == [TOKEN, "another"]
    first, last = events
    assert isinstance(first, CutOff) and first.reconnecting and isinstance(last, CutOff) and not last.reconnecting


def test_one_who_publishes_and_is_refused_shows_another_token_as_soon_as_it_is_there(broker: Broker, tmp_path: Path) -> None:
    file = a_file(tmp_path / "token")
    options = Options(first_pause=0.01, longest_pause=0.05, refused_pause=1000 * DEADLINE, exit_time=DEADLINE)
    with Front(broker.port, tokens=["another"]) as front, RemoteStream(front.address, options=options, token=file) as remote:
        remote.put("fit", 1)
        eventually(lambda: front.shown)
        a_file(file, "another")
        assert remote.flush(DEADLINE) and front.shown == [TOKEN, "another"]


def test_a_token_that_the_broker_does_not_know_yet_is_shown_again_soon(broker: Broker, tmp_path: Path) -> None:
    file = a_file(tmp_path / "token")
    options = Options(first_pause=0.01, longest_pause=0.05, refused_pause=1000 * DEADLINE, exit_time=DEADLINE)
    with Front(broker.port, tokens=[]) as front, RemoteStream(front.address, options=options, token=file) as remote:
        remote.put("fit", 1)
        eventually(lambda: front.shown)
        a_file(file, "another")
        eventually(lambda: "another" in front.shown)
        front.tokens = ["another"]
        assert remote.flush(DEADLINE)


@pytest.mark.parametrize("how", ["gone", "open to all", "empty"])
def test_a_loop_that_is_refused_ends_if_the_file_holds_no_token_any_more(how: str, tmp_path: Path) -> None:
    file = a_file(tmp_path / "token")

    def answer(said: Dict[str, Any]) -> Optional[str]:
        if said["action"] != "listen":
            return polite(said)
        if how == "gone":
            file.unlink()
        elif how == "empty":
            a_file(file, "")
        else:
            file.chmod(0o644)
        return json.dumps({"action": "close", "message": {"code": "auth_failed", "reason": "revoked"}})

    with Peer(answer) as peer:
        events = list(msgstream.listen("fit", server=peer.address, timeout=DEADLINE, options=QUICK, token=file))
    last = events[-1]
    assert isinstance(last, CutOff) and not last.reconnecting


def test_the_pauses_of_one_who_is_refused_grow_and_have_an_end() -> None:
    options = Options()
    pauses = [[options.pause_of_refused(attempt) for _ in range(100)] for attempt in (0, 1, 4, 5, 10_000)]
    for several, longest in zip(pauses, (60, 120, 960, 960, 960)):
        assert longest / 2 <= min(several) < max(several) <= longest


def answers(code: str, after: str) -> "Callable[[Dict[str, Any]], Optional[str]]":
    """A broker that takes all tokens, and says this instead of answering such an action."""

    def answer(said: Dict[str, Any]) -> Optional[str]:
        if said["action"] == after:
            message = {"code": code, "reason": f"not with {TOKEN}"}
            if code == "denied":
                return json.dumps({"action": "error", "message": message, "stream": said["stream"], "receipt": said.get("receipt")})
            return json.dumps({"action": "close", "message": message})
        return polite(said)

    return answer


def test_a_token_that_is_revoked_ends_what_it_was_for() -> None:
    with Peer(answers("auth_failed", "put")) as peer:
        with RemoteStream(peer.address, options=QUICK, strict=True, token=TOKEN) as remote:
            remote.put("fit", 1)
            for _ in range(2):
                with pytest.raises(AuthFailed, match=r'not with \.\.\.; the token came from the argument "token"'):
                    remote.flush()
            with pytest.raises(AuthFailed):
                remote.put("fit", 1)
            with pytest.raises(AuthFailed):
                remote.close()


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ("auth", {"action": "close", "message": {"reason": f"not with {TOKEN}"}}),
        ("auth", {"action": "close", "message": {"code": TOKEN}}),
        ("auth", {"action": "close", "message": {"code": f"no {TOKEN}", "reason": [TOKEN]}}),
        ("auth", {"action": "error", "message": {"reason": f"not with {TOKEN}"}}),
        ("put", {"action": "close", "message": {"reason": f"not with {TOKEN}"}}),
        ("put", {"action": "error", "message": {"reason": f"not with {TOKEN}"}}),
        ("put", {"action": "error", "message": {"code": TOKEN, "reason": "no"}}),
        ("put", {"action": "error", "message": {"code": "denied", "reason": "no"}, "stream": f"of {TOKEN}"}),
    ],
)
def test_a_peer_that_says_the_token_again_has_it_told_to_nobody(
    after: str, said: Dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    def answer(line: Dict[str, Any]) -> Optional[str]:
        return json.dumps(said) if line["action"] == after else polite(line)

    told: List[str] = []
    with Peer(answer) as peer:
        with pytest.raises(msgstream.MsgstreamError) as raised, RemoteStream(peer.address, options=QUICK, strict=True, token=TOKEN) as remote:
            remote.put("fit", 1)
            assert not remote.flush(DEADLINE)
        told.append(str(raised.value))
        with RemoteStream(peer.address, options=Options(first_pause=0.01, exit_time=0.0), token=TOKEN) as remote:
            remote.put("fit", 1)
            eventually(lambda: remote.trouble or "refused" in caplog.text)
            told.append(str(remote.trouble))
        if after == "auth":
            with msgstream.listen("fit", server=peer.address, timeout=DEADLINE, options=IMPATIENT, token=TOKEN, reconnect=False) as listener:
                told += map(str, listener)
    told.append(caplog.text)
    assert all(told) and not any(TOKEN in each for each in told), told


def test_a_code_of_the_protocol_stays_what_it_is_whatever_the_token() -> None:
    incoming = Incoming()
    incoming.authenticates("a")
    with pytest.raises(CutShort) as raised:
        incoming.parse('{"action":"close","message":{"code":"auth_failed","reason":"not a"}}')
    assert (raised.value.code, raised.value.reason) == ("auth_failed", "not ...")


def test_the_name_of_a_stream_stays_what_it_is_whatever_the_token() -> None:
    incoming = Incoming()
    incoming.authenticates("fit")
    incoming.parse('{"action":"pong"}')
    said = incoming.parse('{"action":"error","stream":"fit-1","message":{"code":"denied","reason":"not fit"}}')
    assert (said.stream, said.reason) == ("fit-1", "not ...")


def test_what_the_token_gives_no_right_to_is_denied_and_the_rest_goes_on() -> None:
    async def follow() -> List[msgstream.AnyEvent]:
        return [event async for event in aio.listen("fit", server=listened.address, timeout=DEADLINE, options=QUICK, token=TOKEN)]

    with Peer(answers("denied", "put")) as peer, RemoteStream(peer.address, options=QUICK, strict=True, token=TOKEN) as remote:
        remote.put("fit", 1)
        with pytest.raises(Denied) as raised:
            remote.flush()
        cure = "not with ..."
        assert str(raised.value) == f"denied: {cure} (stream 'fit')"
        assert remote.flush() and remote.connected
    with Peer(answers("denied", "listen")) as listened:
        for events in (list(msgstream.listen("fit", server=listened.address, options=QUICK, token=TOKEN)), asyncio.run(follow())):
            assert events == [CutOff("fit", "denied", cure)]


def test_a_broker_that_knows_no_tokens_serves_all_the_same() -> None:
    seen: List[str] = []

    def older(said: Dict[str, Any]) -> Optional[str]:
        seen.append(said["action"])
        if said["action"] in ("auth", "session"):
            return json.dumps({"action": "error", "message": {"code": "bad_action", "reason": f"there is no action {said['action']}"}})
        if said["action"] == "listen":
            return json.dumps({"action": "receipt", "receipt": said["receipt"], "state": "ended"}) + '\n{"action":"close","stream":"fit"}'
        return polite(said)

    async def follow() -> List[msgstream.AnyEvent]:
        return [event async for event in aio.listen("fit", server=peer.address, timeout=DEADLINE, options=QUICK, token=TOKEN)]

    with Peer(older) as peer:
        for strict in (True, False):
            with RemoteStream(peer.address, options=QUICK, strict=strict, token=TOKEN) as remote:
                remote.put("fit", 1)
                assert remote.flush()
        assert seen[:3] == ["auth", "session", "put"]
        assert list(msgstream.listen("fit", server=peer.address, options=QUICK, token=TOKEN)) == [msgstream.Ended("fit", None)]
        assert asyncio.run(follow()) == [msgstream.Ended("fit", None)]


def test_a_program_that_is_no_broker_and_repeats_what_it_is_told_does_not_bring_it_into_a_log(caplog: pytest.LogCaptureFixture) -> None:
    def redis(said: Dict[str, Any]) -> str:
        return f"-ERR unknown command '{json.dumps(said)}', with args beginning with:"

    def echo(said: Dict[str, Any]) -> str:
        return json.dumps(said)

    def mocks(said: Dict[str, Any]) -> str:
        return json.dumps({"action": "close", "message": {"code": "what", "reason": json.dumps(said)}})

    async def follow(server: str) -> msgstream.AnyEvent:
        async with aio.listen("fit", server=server, options=options, token=TOKEN) as listener:
            return await listener.next(DEADLINE)

    # An echo is no answer to a listener, who gives it up.
    options = Options(first_pause=0.01, connect_time=0.2, idle_time=0.2, answer_time=0.2, exit_time=0.0)
    for answer in (redis, echo, mocks):
        with Peer(answer) as peer:
            errors: List[Exception] = []
            try:
                # An echo sounds like an answer for a while.
                with RemoteStream(peer.address, strict=True, options=options, token=TOKEN) as remote:
                    remote.put("fit", 1)
                    remote.flush(0.2)
            except msgstream.MsgstreamError as error:
                errors.append(error)
            remote = RemoteStream(peer.address, options=options, token=TOKEN)
            remote.put("fit", 1)
            eventually(lambda: remote.trouble or answer is echo)
            remote.close()
            with msgstream.listen("fit", server=peer.address, options=options, token=TOKEN) as listener:
                events = [] if answer is echo else [listener.next(DEADLINE), asyncio.run(follow(peer.address))]
            shown = f"{errors!r} {list(map(str, errors))} {remote!r} {vars(remote)} {remote.trouble} {events} {caplog.text}"
            assert errors and TOKEN[4:14] not in shown, answer


def test_what_is_pickled_can_be_used_in_this_program_and_read_in_no_other(broker: Broker, tmp_path: Path) -> None:
    with Front(broker.port, tokens=[TOKEN, "its_own"]) as front:
        with RemoteStream(front.address, options=QUICK, token=TOKEN) as remote:
            data = pickle.dumps(remote)
            assert TOKEN.encode() not in data and TOKEN[4:].encode() not in data
            assert data != pickle.dumps(remote)
            spawn = multiprocessing.get_context("spawn")
            process = spawn.Process(target=_publish, args=(remote,))
            process.start()
            process.join(DEADLINE)
            assert process.exitcode == 0 and front.shown == [TOKEN]
        (tmp_path / "pickled").write_bytes(data)
        program = "import pickle, sys\nremote = pickle.load(open(sys.argv[1], 'rb'))\nremote.put('fit', 1)\nassert remote.flush()\nremote.close()"
        environment = {**os.environ, "MSGSTREAM_TOKEN": "its_own"}
        ended = subprocess.run([sys.executable, "-c", program, str(tmp_path / "pickled")], env=environment, capture_output=True, timeout=DEADLINE)
        assert ended.returncode == 0 and front.shown == [TOKEN, "its_own"], ended.stderr
        with RemoteStream(front.address, options=QUICK, token=a_file(tmp_path / "token")) as remote:
            assert TOKEN.encode() not in pickle.dumps(remote)


def _publish(remote: RemoteStream) -> None:
    remote.put("fit", 1)
    assert remote.flush(DEADLINE)
    remote.close()


def test_the_command_takes_it_from_a_file_and_shows_it_to_nobody(broker: Broker, tmp_path: Path) -> None:
    def command(*arguments: str, server: str = "") -> "subprocess.CompletedProcess[str]":
        words = [sys.executable, "-m", "msgstream", *arguments, "--server", server or front.address]
        return subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE)

    file = a_file(tmp_path / "token")
    with Front(broker.port, tokens=[TOKEN]) as front:
        assert command("put", "fit", "1", "--header", "1", "--token-file", str(file)).returncode == 0
        with RemoteStream(front.address, options=QUICK, token=TOKEN) as remote:
            remote.close("fit")
            assert remote.flush()
        listened = command("listen", "fit", "--token-file", str(file))
        assert listened.returncode == 0 and '"message":1}' in listened.stdout
        for refused in (command("put", "fit", "1"), command("listen", "fit")):
            assert refused.returncode == 77 and "give a token of that broker" in refused.stderr and "trying again" not in refused.stderr
        front.tokens = []
        for refused in (command("put", "fit", "1", "--token-file", str(file)), command("listen", "fit", "--token-file", str(file))):
            assert refused.returncode == 77 and "makes another" in refused.stderr and TOKEN not in refused.stderr + refused.stdout
        file.chmod(0o644)
        open_to_all = command("put", "fit", "1", "--token-file", str(file))
        assert open_to_all.returncode == 78 and "chmod 600" in open_to_all.stderr
    with Peer(answers("denied", "put")) as peer:
        file.chmod(0o600)
        denied = command("put", "fit", "1", "--token-file", str(file), server=peer.address)
        assert denied.returncode == 77 and denied.stderr == "msgstream: denied: not with ... (stream 'fit')\n"
