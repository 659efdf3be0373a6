"""A broker with tokens of its own: who is let in, what they may do, and what becomes of those who are not let in any more."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest

import msgstream
from conftest import DEADLINE, QUICK, Broker, Queue, Tokens, eventually
from msgstream import AuthFailed, CutOff, Denied, Ended, Header, Message, Options, aio
from proxy import Proxy

#: What is refused is soon tried again.
SOON = Options(first_pause=0.01, longest_pause=0.1, refused_pause=0.2, exit_time=DEADLINE)


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path / "tokens")


async def follow(*streams: str, **more: str) -> List[msgstream.AnyEvent]:
    async with aio.listen(*streams, timeout=DEADLINE, options=SOON, **more) as listener:
        return [event async for event in listener]


def test_rights_are_those_of_the_token(away: Broker, tokens: Tokens) -> None:
    token, other = tokens.new("fits", "fit-"), tokens.new("others", "other-")
    broker = away.start(AUTH__TOKENS=str(tokens.file))
    with broker.remote(token=token, strict=True) as remote, broker.remote(token=other) as reader:
        remote["fit-1"] = "header"
        remote.close("fit-1", "done")
        assert remote.flush()
        for listened in (list(broker.listen("fit-1", token=token)), asyncio.run(follow("fit-1", server=broker.address, token=token))):
            header, ended = listened
            assert header == Header("fit-1", "header") and isinstance(ended, Ended)
        for refused in (
            lambda: remote.put("other-1", 1),
            lambda: remote.header("fit", 1),
            lambda: remote.close("Fit-1"),
            lambda: remote.delete("other-1"),
            lambda: remote.will("other-1", "gone"),
        ):
            refused()
            with pytest.raises(Denied, match='^denied: "fits" has no right to'):
                remote.flush()
        # What is refused changes nothing for the rest.
        remote.put("fit-1", 1)
        assert remote.flush() and remote.repeated == 0
        told = Queue()
        reader.listen("fit-1", told, events=True)
        reader.listen_prefix("", told)
        for _ in range(2):
            end = told.get()
            assert isinstance(end, CutOff) and end.code == "denied" and not end.reconnecting
        reader.listen("other-1", told)
        reader.put("other-1", 1)
        assert told.get() == 1
    for nobody in ("fit", "other-2", "$streams/other-2"):
        for (end,) in (list(broker.listen(nobody, token=token)), asyncio.run(follow(nobody, server=broker.address, token=token))):
            assert isinstance(end, CutOff) and end.code == "denied"


def test_a_token_that_is_replaced_while_a_job_runs_lets_it_in_again(away: Broker, tokens: Tokens, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(tokens.new("fits", "fit-"))
    reads = tokens.new("all", "")
    broker = away.start(AUTH__TOKENS=str(tokens.file))
    with msgstream.Job("fit-1", server=broker.address, options=SOON, token=file) as job:
        remote = job.publisher.remote
        job.log("one")
        assert job.publisher.flush()
        tokens.run("revoke", "fits")
        eventually(lambda: remote.trouble)
        job.log("two")
        eventually(lambda: caplog.text.count("did not let this client in") > 1)
        file.write_text(tokens.new("fits-2", "fit-"))
        assert job.publisher.flush()
        job.complete()
        assert job.publisher.flush()
        listener = broker.listen("fit-1", token=reads, last=10)
        texts = [event.message.text for event in listener if isinstance(event, Message) and isinstance(event.message, msgstream.monitor.Log)]
        assert texts == ["one", "two"] and remote.repeated == 0
    assert not any(word.startswith("mst_") for word in caplog.text.split())


def test_a_job_that_may_publish_and_not_listen_is_there_again_on_a_broker_that_was_restarted(away: Broker, tokens: Tokens) -> None:
    token, reads = tokens.run("new", "job", "--publish", "fit-"), tokens.run("new", "all", "--listen", "")
    settings = {"AUTH__TOKENS": str(tokens.file), "LIMITS__SESSION_TIME": "1s"}
    broker = away.start(**settings)
    text = """
import sys, msgstream
job = msgstream.Job("fit-1", "Fit", server=sys.argv[1], options=msgstream.Options(first_pause=0.01, longest_pause=0.1))
job.progress(7)
assert job.publisher.flush()
print("begun", flush=True)
input()
"""
    words, environment = [sys.executable, "-c", text, broker.address], {**os.environ, "MSGSTREAM_TOKEN": token}
    with subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as job:
        try:
            assert job.stdout and job.stdout.readline() == "begun\n"
            broker.kill()
            broker.start(**settings)

            def header() -> bool:
                with broker.listen("fit-1", token=reads, timeout=0.2) as listener:
                    try:
                        return isinstance(listener.next(0.2), Header)
                    except TimeoutError:
                        return False

            eventually(header, "the header")
            listener = broker.joined("fit-1", token=reads)
        finally:
            job.kill()
    # Its will is there again too.
    *_, ended = listener
    assert isinstance(ended, Ended) and isinstance(ended.message, msgstream.monitor.Lost)


@pytest.mark.parametrize("is_confirmed", [True, False])
def test_a_stream_that_one_may_publish_to_and_not_listen_to_ends_though_the_broker_is_restarted_meanwhile(
    is_confirmed: bool, away: Broker, tokens: Tokens
) -> None:
    token, reads = tokens.run("new", "job", "--publish", "fit-"), tokens.run("new", "all", "--listen", "")
    broker = away.start(AUTH__TOKENS=str(tokens.file))
    with broker.remote(token=token) as remote:
        if is_confirmed:
            remote["fit-1"] = "begun"
        else:
            remote.put("fit-1", "only that there is a connection")
        assert remote.flush()
        broker.pause()
        remote.put("fit-1", "last", header="result")
        remote.close("fit-1", "end")
        # It is sent, and nobody knows what became of it.
        eventually(lambda: not remote._out.waiting)
        broker.kill()
        broker.start(AUTH__TOKENS=str(tokens.file))
        assert remote.flush()
        header, ended = broker.listen("fit-1", token=reads)
        assert header == Header("fit-1", "result") and isinstance(ended, Ended) and ended.message == "end"


def test_a_job_that_may_not_listen_ends_no_run_that_began_on_a_broker_that_was_restarted(
    away: Broker, tokens: Tokens, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token, all_rights = tokens.run("new", "job", "--publish", "fit-"), tokens.new("all", "")
    broker = away.start(AUTH__TOKENS=str(tokens.file))
    with Proxy(broker.port) as network, msgstream.Job("fit-1", server=network.address, options=QUICK, token=token) as job:
        out = job.publisher.remote._out
        job.progress(7)
        assert job.publisher.flush()
        broker.pause()
        job.complete("done")
        eventually(lambda: not out.waiting)
        network.refuse()
        broker.kill()
        broker.start(AUTH__TOKENS=str(tokens.file))
        with broker.remote(token=all_rights) as other:
            other["fit-1"] = "theirs"
            assert other.flush()
            network.allow()
            assert not job.publisher.flush()
            assert other.standing("fit-1") == "running"
            assert broker.listen("fit-1", token=all_rights).next() == Header("fit-1", "theirs")
    assert "headers or ends of 'fit-1' are not sent again: somebody else has begun or ended it" in caplog.text


def test_what_the_token_gives_no_right_to_ask_about_is_not_told(away: Broker, tokens: Tokens) -> None:
    token = tokens.run("new", "job", "--publish", "fit-")
    broker = away.start(AUTH__TOKENS=str(tokens.file))
    with broker.remote(token=token) as remote:
        remote["fit-1"] = 1
        assert remote.flush()
        assert remote.standing("fit-1") is None and remote.epoch("fit-1") is None


def test_a_token_that_is_revoked_ends_loops_and_strict_clients(away: Broker, tokens: Tokens) -> None:
    token = tokens.new("fits", "fit-")
    broker = away.start(AUTH__TOKENS=str(tokens.file))
    with broker.remote(token=token, strict=True) as remote:
        remote["fit-1"] = 1
        assert remote.flush()
        listener = broker.joined("fit-1", token=token)
        tokens.run("revoke", "fits")
        (end,) = listener
        assert isinstance(end, CutOff) and end.code == "auth_failed" and not end.reconnecting
        eventually(lambda: remote._failure)
        with pytest.raises(AuthFailed):
            remote.flush()
        with pytest.raises(AuthFailed):
            remote.close()
