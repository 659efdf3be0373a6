"""What is told to be durable outlives a crash of the broker, and nobody is told so before it does."""

from __future__ import annotations

import asyncio
import json
import random
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import pytest

import msgstream
from conftest import DEADLINE, QUICK, Broker, eventually, unstamped
from msgstream import BrokerError, Ended, Header, Job, Options, Publisher, RemoteStream, aio, monitor, wire
from msgstream.entries import CLOSE, HEADER, MARK, WILL, Entry
from msgstream.errors import refusal
from msgstream.outgoing import Outgoing
from proxy import Proxy
from test_odd_brokers import Peer, polite
from test_store import SEED

#: Long enough for a broker to be killed meanwhile.
SLOW = "400ms"
NEVER = "1h"


class Crashing:
    """A broker with a store, and the way to it, on which nobody comes back."""

    def __init__(self, broker: Broker, store: Path, interval: str) -> None:
        self.broker = broker
        self._store = str(store)
        self.start(interval)
        self.network = Proxy(broker.port)

    def start(self, interval: str) -> None:
        self.broker.start(STORE__PATH=self._store, STORE__INTERVAL=interval)

    def first(self, stream: str = "other") -> None:
        """The first that a new store is given is saved at once. What is told next waits for the second save."""
        with self.broker.remote() as other:
            other.header(stream, 1, durable=True)
            assert other.flush()

    def __enter__(self) -> "Crashing":
        self.network.__enter__()
        return self

    def __exit__(self, *unused: object) -> None:
        self.network.__exit__()

    def crash(self, interval: str = NEVER) -> None:
        """What the broker finds then is what it had stored: its clients are not there to tell it again."""
        self.network.refuse()
        self.broker.kill()
        self.start(interval)

    def found(self, stream: str) -> List[Any]:
        """Header and end of a stream that has ended."""
        with self.broker.listen(stream) as listener:
            return [unstamped(event) if isinstance(event, Header) else event for event in listener]

    def standing(self, stream: str) -> Optional[str]:
        with self.broker.remote() as other:
            return other.standing(stream, DEADLINE)


@pytest.fixture
def crashing(stored: Broker, tmp_path: Path) -> "Callable[[str], Crashing]":
    return lambda interval: Crashing(stored, tmp_path / "store", interval)


# Seen to fail: a flush that did not wait for the store.
def test_what_was_durable_is_there_after_a_kill(crashing: Callable[[str], Crashing]) -> None:
    with crashing(SLOW) as world, RemoteStream(world.network.address, options=QUICK) as remote:
        remote.header("goes", 1, durable=True)
        assert remote.flush()
        remote.header("begins", 1, durable=True)
        remote["ends"] = 1
        remote.put("ends", 2, header=2)
        remote.close("ends", "end", durable=True)
        remote.delete("goes", durable=True)
        assert remote.flush()
        world.crash()
        assert world.found("ends") == [Header("ends", 2), Ended("ends", "end")]
        assert [world.standing(stream) for stream in ("begins", "goes")] == ["running", "waiting"]
        assert world.broker.header_of("begins") == 1


def test_so_it_is_in_asyncio(crashing: Callable[[str], Crashing]) -> None:
    async def main(address: str) -> None:
        async with aio.RemoteStream(address, options=QUICK) as remote, aio.Publisher("goes", remote=remote) as publisher:
            await publisher.header(1, durable=True)
            assert await publisher.flush()
            await publisher.delete(durable=True)
            remote.header("begins", 1, durable=True)
            async with aio.Publisher("ends", remote=remote) as other:
                await other.header(1)
                await other.end("end", durable=True)
            assert await remote.flush()
            world.crash()

    with crashing(SLOW) as world:
        asyncio.run(main(world.network.address))
        assert world.found("ends") == [Header("ends", 1), Ended("ends", "end")]
        assert [world.standing(stream) for stream in ("begins", "goes")] == ["running", "waiting"]


# Seen to fail: a job that was not durable.
def test_a_durable_job_has_ended_when_its_block_is_left(crashing: Callable[[str], Crashing]) -> None:
    async def main(address: str) -> None:
        async with aio.Job("aio", server=address, options=QUICK, durable=True) as job:
            await job.progress(1)

    with crashing(SLOW) as world:
        with Job("fit", server=world.network.address, options=QUICK, durable=True) as job:
            assert job.start().flush()
            job.progress(1)
        asyncio.run(main(world.network.address))
        world.crash()
        for stream in ("fit", "aio"):
            assert world.found(stream) == [Header(stream, monitor.Complete()), Ended(stream)]


def test_the_beginning_of_a_durable_job_is_there_after_a_kill(crashing: Callable[[str], Crashing]) -> None:
    with crashing(SLOW) as world:
        world.first()
        job = Job("fit", title="Fit", server=world.network.address, options=QUICK, durable=True).start()
        assert job.flush()
        world.crash(SLOW)
        assert world.broker.header_of("fit").title == "Fit"
        job.publisher.remote.close(timeout=0)


@pytest.mark.parametrize("strict", [False, True])
def test_without_a_store_all_is_done_and_nothing_durable(broker: Broker, caplog: pytest.LogCaptureFixture, strict: bool) -> None:
    with Publisher("fit", broker.address, options=QUICK, strict=strict) as publisher:
        # One after the other: what strict raises comes with the first answer, and there may be one for each.
        for say in (publisher.header, publisher.end):
            say("this", durable=True)
            if strict:
                with pytest.raises(BrokerError, match="store.path"):
                    publisher.flush()
            else:
                assert not publisher.flush()
        if not strict:
            eventually(lambda: "that is not durable: nothing can be durable: this broker has no store (store.path)" in caplog.text)
            assert "nothing was done" not in caplog.text
        assert publisher.flush(), "told once"
    with broker.listen("fit") as listener:
        assert list(listener) == [Header("fit", "this"), Ended("fit", "this")]


def test_a_broker_that_is_older_than_stores_is_found_out(caplog: pytest.LogCaptureFixture) -> None:
    said: List[Dict[str, Any]] = []

    def answers(line: Dict[str, Any]) -> Optional[str]:
        said.append(line)
        if line["action"] == "delete":
            return json.dumps({"action": "receipt", "receipt": line["receipt"], "listeners": 0})
        return polite(line)

    with Peer(answers) as peer, RemoteStream(peer.address, options=QUICK) as remote:
        remote.close("fit", "end", durable=True)
        assert not remote.flush() and remote.flush()
        eventually(lambda: "the broker is older than this client" in caplog.text)
    assert [line["stream"] for line in said if line["action"] == "close" and "stream" in line] == ["fit"]


def test_what_the_broker_could_not_say_is_asked_on_the_next_connection(crashing: Callable[[str], Crashing]) -> None:
    with crashing("1s") as world, RemoteStream(world.network.address, options=QUICK) as remote:
        world.first()
        remote["fit"] = 1
        remote.close("fit", "end", durable=True)
        eventually(lambda: remote._out.unstored and world.standing("fit") == "ended")
        world.network.refuse()
        eventually(lambda: remote.trouble)
        world.network.allow()
        assert remote.flush() and remote._out.unstored == 0
        world.crash()
        assert world.found("fit") == [Header("fit", 1), Ended("fit", "end")]


# Seen to fail: an end that was confirmed and forgotten, and a deletion.
@pytest.mark.parametrize("stands", ["as before", "older", "unknown"])
@pytest.mark.parametrize("action", ["close", "delete", "header"])
def test_what_a_crash_has_undone_is_told_again(crashing: Callable[[str], Crashing], tmp_path: Path, stands: str, action: str) -> None:
    with crashing(NEVER) as world, RemoteStream(world.network.address, options=QUICK) as remote:
        world.first("other" if stands == "unknown" else "fit")
        remote["fit"] = 1 if stands == "as before" else 2
        tell = {"close": lambda: remote.close("fit", "end", durable=True), "delete": lambda: remote.delete("fit", durable=True)}
        tell.get(action, lambda: remote.header("fit", 3, durable=True))()
        eventually(lambda: remote._out.unstored and not remote._out.waiting)
        assert not remote.flush(0.05)
        world.broker.kill()
        eventually(lambda: not remote.connected)
        world.start(SLOW)
        assert remote.flush() and not remote._out.withheld
        world.crash()
        if action == "close":
            assert world.found("fit") == [Header("fit", 1 if stands == "as before" else 2), Ended("fit", "end")]
        elif action == "header":
            assert world.broker.header_of("fit") == 3
        else:
            assert world.standing("fit") == "waiting"


def test_whenever_a_broker_crashes_what_was_said_to_be_durable_is_there(crashing: Callable[[str], Crashing]) -> None:
    chance = random.Random(SEED)
    with crashing("20ms") as world, RemoteStream(world.network.address, options=QUICK) as remote:
        for k in range(8):
            stream = f"fit {k}"
            remote[stream] = 1
            remote.put(stream, 2, header=2)
            remote.close(stream, "end", durable=True)
            time.sleep(chance.uniform(0.0, 0.03))
            world.broker.kill()
            world.start("20ms")
            assert remote.flush()
            world.crash("20ms")
            assert world.found(stream) == [Header(stream, 2), Ended(stream, "end")]
            world.network.allow()


def test_what_somebody_else_begins_after_a_crash_was_not_durable(crashing: Callable[[str], Crashing]) -> None:
    with crashing(NEVER) as world, RemoteStream(world.network.address, options=QUICK) as remote:
        world.first()
        remote.header("fit", "mine", durable=True)
        remote.header("end", "mine")
        remote.close("end", durable=True)
        eventually(lambda: remote._out.unstored == 2 and not remote._out.waiting)
        world.crash(SLOW)
        with world.broker.remote() as other:
            other["fit"] = other["end"] = "theirs"
            assert other.flush()
            world.network.allow()
            assert not remote.flush(DEADLINE, "fit") and not remote.flush(DEADLINE, "end")
            assert [world.broker.header_of(stream) for stream in ("fit", "end")] == ["theirs", "theirs"]


def test_who_waits_for_a_store_waits_no_longer_than_asked(crashing: Callable[[str], Crashing], caplog: pytest.LogCaptureFixture) -> None:
    options = Options(first_pause=0.01, longest_pause=0.1, exit_time=0.1)
    with crashing(NEVER) as world:
        world.first()
        with RemoteStream(world.network.address, options=options) as remote:
            remote.close("fit", durable=True)
            assert not remote.flush(0.05) and not remote.flush(0.05)
            assert world.standing("fit") == "ended"
            eventually(lambda: [entry.kind for entry in remote._out._unstored] == [CLOSE], "nobody waits there any more")
    assert "1 headers or ends were to be durable" in caplog.text


def test_the_end_of_a_client_is_none_of_the_things_that_can_be_durable(away: Broker) -> None:
    with away.remote(options=Options(exit_time=0.0)) as remote, pytest.raises(TypeError, match="the end of a stream"):
        remote.close(durable=True)


# The queue, without a broker.


def begun(limit: int = 10**9) -> Outgoing:
    outgoing = Outgoing(limit)
    outgoing.take_up(wire.Session(False, 0, "life"))
    outgoing.connected(lambda stream, count: None)
    return outgoing


def header(k: int, stream: str = "s") -> Entry:
    return Entry(HEADER, wire.header(stream, str(k)), stream, str(k), durable=True)


def end(k: int, stream: str = "s") -> Entry:
    return Entry(CLOSE, wire.close(stream, str(k)), stream, durable=True)


def questions(outgoing: Outgoing) -> List[Dict[str, Any]]:
    """Of the next lines, those that ask for the store."""
    lines = [json.loads(line) for line in outgoing.take(10**9).splitlines()]
    return [line for line in lines if line.get("durable")]


def confirm(outgoing: Outgoing) -> None:
    outgoing.confirm(outgoing._pings)


def test_one_question_is_asked_at_a_time() -> None:
    outgoing, told = begun(), []
    for k in range(3):
        outgoing.add(end(k, f"s{k}"))
        outgoing.add(Entry(MARK, "", when_over=lambda k=k: told.append(k)))  # type: ignore[misc]
        assert len(questions(outgoing)) == (k == 0), "one is on its way"
        confirm(outgoing)
    assert outgoing.unstored == 3 and not outgoing.empty and not outgoing.answered_store("another", None)
    assert outgoing.answered_store("stored 1", None) and told == [0] and outgoing.asks_store
    (second,) = questions(outgoing)
    assert second["action"] == "delete" and second["stream"].startswith("s1 ") and second["receipt"] == "stored 2"
    confirm(outgoing)
    assert outgoing.answered_store("stored 2", None) and told == [0, 1, 2]
    assert outgoing.empty and outgoing.losses() == 0 and outgoing.size == 0


def test_the_name_of_a_question_is_none_that_is_too_long() -> None:
    for name in ("s" * 1024, "é" * 512):
        outgoing = begun()
        outgoing.add(end(1, name))
        (question,) = questions(outgoing)
        assert len(question["stream"].encode()) in (1023, 1024) and question["stream"][:500] == name[:500]


def test_an_answer_that_comes_too_soon_is_asked_for_again() -> None:
    outgoing = begun()
    outgoing.add(end(1))
    for k in (1, 2):
        assert len(questions(outgoing)) == 1
        assert outgoing.answered_store(f"stored {k}", None)
        confirm(outgoing)
        assert outgoing.unstored == 1
    # One that comes behind that to the ping shows that the broker knows what it says.
    questions(outgoing)
    confirm(outgoing)
    assert outgoing.answered_store("stored 3", None) and outgoing.empty and outgoing.losses() == 0


def test_an_end_behind_which_the_next_run_has_begun_is_not_told_again() -> None:
    outgoing = begun()
    for entry in (header(1), end(2)):
        outgoing.add(entry)
    outgoing.take(10**9)
    confirm(outgoing)
    assert outgoing.headers == {"s": "1"} and outgoing.unstored == 2, "should the end be lost, it is told again"
    outgoing.add(Entry(HEADER, wire.header("s", "3"), "s", "3"))
    outgoing.add(Entry(WILL, wire.will("s", "4"), "s"))
    outgoing.take(10**9)
    confirm(outgoing)
    assert outgoing.headers == {"s": "3"} and outgoing.wills and outgoing.unstored == 2
    outgoing.disconnected()
    outgoing.take_up(wire.Session(False, 0, "another life"))
    assert outgoing.header_before("s", "running", "3") == ""
    outgoing.reconcile("s", "running", "3", ("e", 0))
    outgoing.connected(lambda stream, count: None)
    assert [json.loads(line)["action"] for line in outgoing.take(10**9).splitlines()] == ["will", "delete", "ping"]
    confirm(outgoing)
    assert outgoing.unstored == 2


def test_a_session_that_was_forgotten_is_no_crash() -> None:
    outgoing = begun()
    for entry in (header(1), Entry(WILL, wire.will("s", "4"), "s"), end(2)):
        outgoing.add(entry)
    outgoing.take(10**9)
    confirm(outgoing)
    outgoing.disconnected()
    outgoing.take_up(wire.Session(False, 0, "life"))
    assert outgoing.doubtful() == ["s"] and outgoing.header_before("s", "ended", "1") == ""
    outgoing.reconcile("s", "ended", "1", ("e", 0))
    outgoing.connected(lambda stream, count: None)
    assert len(questions(outgoing)) == 1 and outgoing.revived == []
    confirm(outgoing)
    assert outgoing.answered_store("stored 2", None) and outgoing.headers == {} and outgoing.empty


def test_a_known_session_is_asked_again_and_nothing_else() -> None:
    outgoing = begun()
    outgoing.add(end(1))
    assert len(questions(outgoing)) == 1
    confirm(outgoing)
    outgoing.disconnected()
    outgoing.take_up(wire.Session(True, 3, "life"))
    assert outgoing.doubtful() == [] and outgoing.asks_store
    outgoing.connected(lambda stream, count: None)
    assert len(questions(outgoing)) == 1


# Seen to fail: the first of the marks stayed, and each flush that took too long while the store could not be written left one more.
def test_who_waits_no_longer_leaves_nothing_behind() -> None:
    outgoing = begun()
    outgoing.add(end(1))
    marks = [Entry(MARK, "", when_over=lambda: None) for _ in range(2)]
    for mark in marks:
        outgoing.add(mark)
    outgoing.take(10**9)
    # Before and after it is known that all before has taken effect.
    outgoing.withdraw(marks[0])
    confirm(outgoing)
    assert len(outgoing._unstored) == 2
    outgoing.withdraw(marks[1])
    assert len(outgoing._unstored) == 1


def test_what_was_refused_is_not_asked_for() -> None:
    outgoing, condition = begun(), wire.condition("action 1", "e", False)
    outgoing.add(Entry(CLOSE, wire.close("s", None, condition), "s", condition=condition, receipt="action 1", durable=True))
    outgoing.take(10**9)
    outgoing.answered("action 1", None, refusal("stale", "over", "s"))
    confirm(outgoing)
    assert outgoing.unstored == 0 and outgoing.empty


def test_ends_that_wait_for_a_store_that_does_not_come_take_no_more_than_their_room() -> None:
    outgoing = begun(10_000)
    for k in range(100):
        outgoing.add(end(k, f"s{k}"))
        outgoing.take(10**9)
        confirm(outgoing)
    assert 0 < outgoing.unstored < 50 and outgoing.losses() == 100 - outgoing.unstored
    assert list(outgoing.not_durable) == [f"s{k}" for k in range(outgoing.losses())]
    assert outgoing.size == 0
