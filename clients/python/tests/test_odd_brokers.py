"""Brokers that are not quite there: that say nothing, or not what was asked, or what none would say."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from typing import Any, Callable, Dict, Iterator, List, Optional

import pytest

import msgstream
from conftest import DEADLINE, Broker, Queue, eventually
from msgstream import Lost, Options, RemoteStream, aio, wire
from msgstream.entries import HANGUP, CONTROL, Entry
from msgstream.listens import Listens
from msgstream.outgoing import Outgoing
from msgstream.patience import Progress

#: What a broker answers: to the line, which it has read, with these.
Answers = Callable[[Dict[str, Any]], Optional[str]]


class Peer:
    """Takes connections, reads all that comes, and answers as it was told."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        #: How many connections it has had.
        self.made = 0
        self._open: List[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> "Peer":
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for each in self._open:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            self.made += 1
            self._open.append(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        try:
            for line in peer.makefile("r", encoding="utf-8", newline="\n"):
                answer = self._answers(json.loads(line))
                if answer is not None:
                    peer.sendall(answer.encode() + b"\n")
            # Nobody has to wait for the end of a connection that he has ended himself.
            peer.shutdown(socket.SHUT_RDWR)
        except (OSError, ValueError):
            pass


def polite(said: Dict[str, Any]) -> Optional[str]:
    """Answers to pings and to sessions, and to nothing else."""
    if said["action"] == "ping":
        return json.dumps({"action": "pong", "receipt": said["receipt"]})
    if said["action"] == "session":
        return json.dumps({"action": "session", "session": said["session"], "known": False, "taken": 0, "broker": "b"})
    return None


def curt(said: Dict[str, Any]) -> Optional[str]:
    """Answers to sessions alone."""
    return polite(said) if said["action"] == "session" else None


QUIET = Options(first_pause=0.01, longest_pause=0.1, idle_time=0.05, answer_time=0.2, exit_time=0.0)


@pytest.mark.parametrize("prefix", [False, True])
def test_a_broker_that_answers_no_listen_is_left(prefix: bool) -> None:
    with Peer(polite) as peer, RemoteStream(peer.address, options=QUIET) as remote:
        queue = Queue()
        if prefix:
            remote.listen_prefix("fit", queue)
        else:
            remote.listen("fit", queue)
        lost = queue.get()
        assert isinstance(lost, Lost) and lost.reconnecting and "not to those who listen" in lost.reason
        eventually(lambda: peer.made > 2)


def test_a_loop_leaves_it_too() -> None:
    async def main() -> None:
        async with aio.listen("fit", server=peer.address, timeout=DEADLINE, options=QUIET) as listener:
            lost = await listener.next(DEADLINE)
            assert isinstance(lost, Lost) and "not to those who listen" in lost.reason

    with Peer(polite) as peer:
        with msgstream.listen("fit", server=peer.address, options=QUIET) as listener:
            lost = listener.next(DEADLINE)
            assert isinstance(lost, Lost) and "not to those who listen" in lost.reason
        asyncio.run(asyncio.wait_for(main(), DEADLINE))


def test_a_listen_that_waits_behind_what_is_answered_is_not_overdue() -> None:
    listens: Listens[str] = Listens(json.loads)
    outgoing = Outgoing(10_000)
    outgoing.connected(lambda stream, dropped: None)
    outgoing.add(wire.put("s", "1"))
    outgoing.take(1 << 20)
    for stream in ("sent", "waiting"):
        outgoing.add(Entry(CONTROL, listens.join(stream, "one"), stream))
        if stream == "sent":
            outgoing.take(1 << 20)
    assert listens.overdue()
    outgoing.confirm(1)
    assert not listens.overdue(outgoing.unanswered())
    outgoing.confirm(2)
    assert listens.overdue(outgoing.unanswered())


def test_a_peer_that_takes_everything_and_says_nothing_is_noticed_by_one_who_goes_on_publishing() -> None:
    with Peer(curt) as peer, RemoteStream(peer.address, options=QUIET) as remote:
        pause = threading.Event()
        for k in range(int(DEADLINE / 0.002)):
            remote.put("fit", k)
            if remote.trouble:
                break
            pause.wait(0.002)
        assert remote.trouble == "the broker has not answered for 0.2 s"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[List[float]]:
    """The time, which stands still."""
    now = [100.0]
    monkeypatch.setattr("msgstream.patience.time.monotonic", lambda: now[0])
    yield now


def test_what_is_on_its_way_cannot_be_answered(clock: List[float]) -> None:
    progress = Progress()
    progress.begin()
    progress.wrote(1000)
    progress.end()
    # As long as some of it is taken, the line is slow.
    for taken in (100, 200, 999, 1000):
        clock[0] += 9.0
        assert progress.moved(taken) == clock[0]
    # What is written and taken since then does not count.
    last = clock[0]
    for taken in (1500, 2000):
        clock[0] += 9.0
        progress.begin()
        progress.wrote(1000)
        progress.end()
        assert progress.moved(taken) == last
    progress.heard()
    assert progress.moved(2500) == clock[0]


def test_what_has_been_taken_is_to_be_answered_in_time(clock: List[float]) -> None:
    progress = Progress()
    progress.wrote(1000)
    clock[0] += 6.0
    assert progress.moved(1000) == 100.0
    progress.wrote(1000)
    clock[0] += 6.0
    assert progress.moved(1500) == 100.0


def test_a_line_that_takes_nothing_does_not_move(clock: List[float]) -> None:
    progress = Progress()
    progress.wrote(1000)
    assert progress.moved(500) == 100.0
    clock[0] += 6.0
    assert progress.moved(500) == 100.0


def test_a_long_text_is_written_to_its_end(clock: List[float]) -> None:
    progress = Progress()
    progress.begin()
    for _ in range(10):
        clock[0] += 9.0
        progress.wrote(1000)
        assert progress.moved(progress.written) == clock[0]
    progress.end()
    last = clock[0]
    clock[0] += 9.0
    progress.begin()
    progress.wrote(1000)
    assert progress.moved(progress.written) == last


@pytest.mark.parametrize("code", ["stale", "limit"])
def test_a_broker_that_was_restarted_and_does_not_take_a_header_again_gets_nothing_more_of_that_run(
    code: str, caplog: pytest.LogCaptureFixture
) -> None:
    lives: List[str] = []
    said_to_second: List[str] = []

    def answer(said: Dict[str, Any]) -> Optional[str]:
        if said["action"] == "session":
            lives.append("life")
            return json.dumps({"action": "session", "session": said["session"], "known": False, "taken": 0, "broker": f"life {len(lives)}"})
        if len(lives) == 1:
            # Its last words are that all so far was taken.
            return polite(said) if said["action"] != "close" else json.dumps({"action": "close"})
        if said["action"] in ("header", "close", "put"):
            said_to_second.append(said["action"])
        if said["action"] == "header":
            message = {"code": code, "reason": "there are too many"}
            return json.dumps({"action": "error", "message": message, "stream": said["stream"], "receipt": said["receipt"]})
        if said["action"] == "listen":
            return json.dumps({"action": "receipt", "receipt": said["receipt"], "state": "waiting"})
        return polite(said)

    options = Options(first_pause=0.01, longest_pause=0.1, exit_time=DEADLINE)
    with Peer(answer) as peer, RemoteStream(peer.address, options=options) as remote:
        remote["fit"] = 1
        assert remote.flush()
        remote.close("fit", "end")
        remote.put("other", 1)
        assert not remote.flush(DEADLINE) and len(lives) == 2
        assert said_to_second == ["header", "put"] and remote._out.headers == {}
        why = "somebody else has begun" if code == "stale" else "the broker has not taken its header again: there are too many"
        assert f"1 headers or ends of 'fit' are not sent again: {why}" in caplog.text
        assert ("the broker refused" in caplog.text) == (code == "limit")


def test_what_hangs_up_while_the_broker_is_asked_how_streams_stand_is_said() -> None:
    outgoing = Outgoing(10_000)
    outgoing.wrote(wire.listen("s", "listen 1"))
    outgoing.add(Entry(CONTROL, wire.listen("s", "listen 2"), "s"))
    outgoing.add(Entry(HANGUP, wire.hangup("s"), "s"))
    outgoing.connected(lambda stream, dropped: None)
    assert outgoing.take(1 << 20) == wire.hangup("s") + wire.ping(1)
    outgoing.disconnected()
    outgoing.add(Entry(HANGUP, wire.hangup("s"), "s"))
    assert not outgoing.waiting, "without a connection there is nothing to hang up from"


def test_who_hangs_up_in_doubt_listens_no_more(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    with broker.remote() as remote, broker.remote() as other:
        remote["fit"] = "header"
        assert remote.flush()
        queue = Queue()
        remote.listen("heard", queue)
        remote.will("fit", "lost")
        assert remote.flush()
        settle, doubts = remote._settle_standings, []

        def hang_up_first() -> None:
            doubts.append(set(remote._doubtful))
            remote.hangup("heard")
            settle()

        monkeypatch.setattr(remote, "_settle_standings", hang_up_first)
        broker.kill()
        broker.start()
        eventually(lambda: doubts)
        assert doubts[0] == {"fit"}
        eventually(lambda: remote.flush(0.1))
        told = Queue()
        other.put("heard", 1)
        other.listen("$streams/heard", told)
        assert told.get()["listeners"] == 0


@pytest.mark.parametrize(
    "line",
    [
        '{"action":"put","stream":"\\ud800","message":1}',
        '{"action":"close","stream":"\\ud800"}',
        '{"action":"joined","stream":"\\ud800","state":"waiting"}',
        '{"action":"put","stream":"\\x","message":1}',
        *(
            f'{{"action":"receipt","receipt":"listen 1","state":"waiting","position":{position}}}'
            for position in [
                '{"epoch":"\\ud800","sequence":1}',
                '{"epoch":"e","sequence":true}',
                '{"epoch":"e","sequence":-1}',
                '{"epoch":"e","sequence":18446744073709551616}',
                '{"epoch":"e","sequence":1.0}',
                '{"epoch":7,"sequence":1}',
                '{"epoch":"e"}',
                "[]",
            ]
        ),
    ],
)
def test_what_could_not_be_said_again_is_no_line(line: str) -> None:
    parser = wire.Parser()
    assert parser.message(line) is None
    with pytest.raises(wire.WireError, match="which no msgstream broker says"):
        parser.line(line)


def test_a_reason_is_one_line_of_a_log_and_no_book(caplog: pytest.LogCaptureFixture) -> None:
    told = "no\nERROR all is lost\u001b[2J\u202e" + "o" * 10_000

    def answer(said: Dict[str, Any]) -> Optional[str]:
        if said["action"] == "put":
            return json.dumps({"action": "error", "message": {"code": "bad\ncode", "reason": told}, "stream": "fit"})
        return polite(said)

    with Peer(answer) as peer, RemoteStream(peer.address, options=QUIET) as remote:
        remote.put("fit", 1)
        assert not remote.flush(DEADLINE)
    (record,) = [record for record in caplog.records if "refused" in record.getMessage()]
    shown = record.getMessage()
    assert shown.isprintable() and "bad code: no ERROR all is lost [2J ooo" in shown and len(shown) < 5000


def test_the_refusals_of_a_broker_that_goes_on_and_on_are_counted_within_bounds(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("msgstream.receiving._MOST_REFUSALS", 5)

    def answer(said: Dict[str, Any]) -> Optional[str]:
        if said["action"] == "put":
            error = {"action": "error", "message": {"code": "limit", "reason": "no"}}
            return "\n".join(json.dumps({**error, "stream": f"fit-{k}"}) for k in range(100))
        return polite(said)

    with Peer(answer) as peer, RemoteStream(peer.address, options=QUIET) as remote:
        remote.put("fit", 1)
        assert not remote.flush(DEADLINE)
        assert len(remote._refused) == 6 and sum(remote._refused.values()) == 100
        # Of any stream it may be one.
        assert not remote.flush(DEADLINE, "another") and remote.flush(DEADLINE, "another")
    assert len(caplog.records) < 20


def test_a_count_that_is_none_is_not_known() -> None:
    for count in ("true", "-1", "1.5", '"1"'):
        assert wire.Parser().line(f'{{"action":"receipt","receipt":"r","missed":{count}}}').missed is None
    said = wire.Parser().line('{"action":"session","session":"s","known":true,"taken":-1,"broker":"b"}')
    assert said.session is None
    assert wire.Parser().line('{"action":"pong","receipt":true}').receipt is None


def test_a_broker_that_says_such_a_line_is_left_and_said_so() -> None:
    def odd(said: Dict[str, Any]) -> Optional[str]:
        if said["action"] == "listen":
            return '{"action":"receipt","receipt":"listen 1","state":"waiting","position":{"epoch":"\\ud800","sequence":1}}'
        return polite(said)

    with Peer(odd) as peer, RemoteStream(peer.address, options=QUIET) as remote:
        remote.listen("fit", Queue())
        eventually(lambda: "which no msgstream broker says" in (remote.trouble or ""))


def test_a_broker_that_has_no_room_for_a_moment_is_named_and_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    turned_away: List[int] = []

    def answers(line: Dict[str, Any]) -> Optional[str]:
        if len(turned_away) < 3:
            turned_away.append(peer.made)
            return '{"action":"close","message":{"code":"limit","reason":"there are too many"}}'
        return polite(line)

    with Peer(answers) as peer:
        # A program that publishes and ends.
        with RemoteStream(peer.address, options=Options(first_pause=0.01, longest_pause=0.1, exit_time=DEADLINE)) as remote:
            remote.put("fit", 1)
        assert peer.made > 3 and remote._out.unfinished == 0
    assert f"{peer.address}: there are too many; " in caplog.text
