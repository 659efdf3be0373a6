"""What a job says touches its own run only: a late copy, or what is sent again, neither reopens nor changes what came after it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from conftest import QUICK, Broker, eventually, messages, unstamped
from msgstream import Ended, Header, Job, RemoteStream, wire
from msgstream.entries import CLOSE, PUT, Entry
from msgstream.monitor import Complete, Log, Progress
from msgstream.outgoing import Outgoing
from msgstream.run import Run
from proxy import Proxy


def of(run: Run, k: int) -> Entry:
    return Entry(PUT, wire.put("s", str(k), str(k)), "s", str(k), False, run=run)


def taken(outgoing: Outgoing) -> List[Dict[str, Any]]:
    return [json.loads(line) for line in outgoing.take(10**6).splitlines()[:-1]]


def connected(outgoing: Outgoing, broker: str) -> None:
    outgoing.disconnected()
    outgoing.take_up(wire.Session(False, 0, broker))
    for stream in outgoing.doubtful():
        outgoing.reconcile(stream, "waiting", None)
    outgoing.connected(lambda stream, count: None)


def test_an_epoch_is_asked_for_until_it_is_known_and_again_of_another_life_of_the_broker() -> None:
    outgoing, run = Outgoing(10_000), Run("s")
    connected(outgoing, "life")
    for k in (1, 2):
        outgoing.add(of(run, k))
    first, second = taken(outgoing)
    assert first["receipt"] == second["receipt"] and "of" not in second
    outgoing.told(first["receipt"], "epoch")
    outgoing.told(second["receipt"], "another")
    outgoing.add(of(run, 3))
    outgoing.add(Entry(CLOSE, wire.close("s"), "s", run=run))
    third, end = taken(outgoing)
    assert (third["of"], end["of"]) == ("epoch", "epoch") and "receipt" not in third
    assert (third["message"], third["header"]) == (3, 3)

    outgoing.confirm(99)
    connected(outgoing, "another life")
    outgoing.add(of(run, 4))
    (fourth,) = taken(outgoing)
    assert "of" not in fourth and fourth["receipt"]
    outgoing.told(fourth["receipt"], None)
    outgoing.add(of(run, 5))
    assert "receipt" not in taken(outgoing)[0], "a broker that counts no messages is asked once"
    connected(outgoing, "a third life")
    outgoing.add(of(run, 6))
    assert taken(outgoing)[-1]["receipt"]


def test_a_copy_does_not_open_a_stream_in_another_life_of_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    outgoing, run = Outgoing(10_000), Run("s")
    run.began("epoch", "life")
    monkeypatch.setattr(run, "_process", 0)
    connected(outgoing, "another life")
    outgoing.add(of(run, 1))
    assert taken(outgoing) == [{"action": "put", "stream": "s", "message": 1}]
    outgoing.confirm(99)
    assert outgoing.headers == {} and outgoing.size == 0
    # What it sets in time is the job's to set again.
    run.began("another epoch", "another life")
    outgoing.add(of(run, 2))
    assert taken(outgoing)[0]["of"] == "another epoch"
    outgoing.confirm(99)
    assert outgoing.headers == {}


LATE = """
import logging, pickle, sys, msgstream
logging.basicConfig()
with open(sys.argv[1], "rb") as file:
    job = pickle.load(file)
for k in range(3):
    job.progress(7 + k)
assert not job.flush()
job.log("from afar")
"""


@pytest.mark.parametrize("strict", [False, True])
def test_a_late_copy_opens_no_stream_that_has_ended(broker: Broker, tmp_path: Path, script: Callable[..., Any], strict: bool) -> None:
    with Job("fit", server=broker.address, options=QUICK, strict=strict) as job:
        eventually(lambda: job._run.epoch)
        (tmp_path / "job").write_bytes(pickle.dumps(job))
    ended = script(LATE, str(tmp_path / "job"))
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("what is told of 'fit' is late") == 1 and "refused" not in ended.stderr
    assert list(map(unstamped, broker.listen("fit"))) == [Header("fit", Complete()), Ended("fit")]


def test_a_copy_that_is_in_time_needs_to_ask_nobody(broker: Broker, tmp_path: Path, script: Callable[..., Any]) -> None:
    with Job("fit", server=broker.address, options=QUICK) as job:
        eventually(lambda: job._run.epoch)
        (tmp_path / "job").write_bytes(pickle.dumps(job))
        listener = broker.joined("fit")
        text = LATE.replace("not job.flush", "job.flush").replace("for k", "job.publisher.remote.standing = None\nfor k")
        ended = script(text, str(tmp_path / "job"))
        assert ended.returncode == 0 and ended.stderr == "", ended.stderr
        assert broker.header_of("fit").k == 9
    assert messages(listener) == [Progress(7), Progress(8), Progress(9), Log("from afar"), Complete()]


def test_what_waited_for_a_connection_does_not_touch_a_later_run(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    with Proxy(broker.port) as network:
        first = Job("fit", server=network.address, options=QUICK).start()
        eventually(lambda: first._run.epoch)
        network.refuse()
        eventually(lambda: first.publisher.remote.trouble)
        first.progress(1)
        first.complete("of the first")
        with RemoteStream(broker.address, options=QUICK) as other:
            other.close("fit")
            other["fit"] = "of another"
            assert other.flush()
            listener = broker.joined("fit")
            network.allow()
            assert not first.flush()
            assert broker.header_of("fit") == "of another" and other.standing("fit") == "running"
            other.put("fit", "the only message")
            other.close("fit")
        assert messages(listener) == ["the only message"]
        first.close()
    assert caplog.text.count("is late and not taken") == 1


def test_a_restarted_broker_is_asked_for_the_epoch_of_its_own(broker: Broker) -> None:
    with Job("fit", server=broker.address, options=QUICK) as job:
        before = eventually(lambda: job._run.epoch)
        broker.kill()
        broker.start()
        job.progress(1)
        assert job.flush()
        eventually(lambda: job._run.epoch != before)
        job.progress(2)
        assert job.flush() and broker.header_of("fit").k == 2
    assert list(map(unstamped, broker.listen("fit"))) == [Header("fit", Complete()), Ended("fit")]


def test_two_jobs_of_one_name_one_after_the_other_in_one_client(broker: Broker) -> None:
    with RemoteStream(broker.address, options=QUICK) as remote:
        with Job("fit", remote=remote) as first:
            first.progress(1)
            assert first.flush()
        with Job("fit", remote=remote) as second:
            eventually(lambda: second._run.epoch)
            assert second._run.epoch != first._run.epoch
            listener = broker.joined("fit")
            second.progress(2)
    assert messages(listener) == [Progress(2), Complete()]
