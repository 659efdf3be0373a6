"""A job that is lost ends as lost; one that takes its leave, or comes back, does not."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

import msgstream
from conftest import DEADLINE, QUICK, Broker, eventually, messages, unstamped
from msgstream import Ended, Header, Job, RemoteStream, monitor, wire
from msgstream.contrib.progress import State
from msgstream.monitor import Complete, Join, Lost
from proxy import Proxy


@pytest.fixture
def broker(away: Broker) -> Broker:
    """One that soon takes for lost whoever does not come back."""
    return away.start(LIMITS__SESSION_TIME="150ms")


@pytest.fixture
def network(broker: Broker) -> Iterator[Proxy]:
    with Proxy(broker.port) as proxy:
        yield proxy


def until_all_who_are_lost_have_ended(broker: Broker) -> None:
    """Waits until somebody is taken for lost who went after them."""
    with socket.create_connection(("127.0.0.1", broker.port), DEADLINE) as connection, connection.makefile("rw", newline="\n") as file:
        file.write(wire.session("the last that is lost") + wire.header("last", "0") + wire.will("last", "1") + wire.ping(1))
        file.flush()
        assert '"session"' in file.readline() and '"pong"' in file.readline()
        listener = broker.joined("last")
    assert list(listener) == [Ended("last", 1)]


def standing(broker: Broker, stream: str = "fit") -> "str | None":
    with broker.remote() as remote:
        return remote.standing(stream)


KILLED = {
    "threads": """
job = msgstream.Job("fit", title="Fit").start()
job.progress(1)
job.flush()
os.kill(os.getpid(), signal.SIGKILL)
""",
    "asyncio": """
async def main():
    async with msgstream.aio.Job("fit", title="Fit") as job:
        await job.progress(1)
        await job.flush()
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
""",
}


def test_the_log_of_a_program_that_is_killed_is_lost(broker: Broker, listener: msgstream.Listener, script: Callable[..., Any]) -> None:
    text = """
import logging, os, signal
from msgstream.contrib.logging import Handler
handler = Handler("fit")
logging.getLogger().addHandler(handler)
logging.error("one")
assert handler._publisher.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert script(text).returncode == -9
    one, end = listener
    assert one.message == monitor.Log("one", "error") and isinstance(end.message, Lost)


@pytest.mark.parametrize("how", KILLED)
def test_a_job_that_is_killed_is_lost(broker: Broker, listener: msgstream.Listener, script: Callable[..., Any], how: str) -> None:
    ended = script("import asyncio, os, signal, msgstream\n" + KILLED[how])
    assert ended.returncode == -9, ended.stderr
    *events, end = listener
    assert isinstance(end, Ended) and isinstance(end.message, Lost)
    assert end.message.title == "Fit" and end.message.started and end.message.reason is None
    state = State("fit")
    said = [state.take(event) for event in [*events, end]]
    assert state.outcome == "lost" and state.over and said[-1] == "lost: no connection to the job any more"
    # Late listeners learn it as well.
    assert [event for event in broker.listen("fit") if isinstance(event, Ended)] == [end]


LEAVES = {
    "the program ends": "remote = begin()",
    "the program fails": "remote = begin()\nraise RuntimeError",
    "it exits": "remote = begin()\nsys.exit(3)",
    "it is closed": "begin().close()",
    "a block is left": "with begin():\n    pass",
    "a block is left by an exception": "with begin():\n    raise RuntimeError",
    "nobody holds it": "begin().forget()",
    "a worker ends": "if __name__ == '__main__':\n    each = multiprocessing.get_context('spawn').Process(target=begin)\n    each.start()\n    each.join()",
}

BEGIN = """
import multiprocessing, sys, msgstream

def begin():
    remote = msgstream.RemoteStream()
    remote["fit"] = "begun"
    remote.will("fit", "lost")
    assert remote.flush()
    return remote

"""


@pytest.mark.parametrize("how", LEAVES)
def test_who_leaves_is_not_lost(broker: Broker, script: Callable[..., Any], how: str) -> None:
    script(BEGIN + LEAVES[how])
    until_all_who_are_lost_have_ended(broker)
    assert standing(broker) == "running"
    assert broker.header_of("fit") == "begun"


def test_a_job_that_was_started_again_is_not_ended_by_its_predecessor(broker: Broker, script: Callable[..., Any], network: Proxy) -> None:
    first = Job("fit", server=network.address, options=QUICK).start()
    assert first.flush()
    with Job("fit", server=broker.address, options=QUICK) as second:
        assert second.flush()
        listener = broker.joined("fit")
        network.refuse()
        until_all_who_are_lost_have_ended(broker)
        second.progress(1)
    assert messages(listener) == [monitor.Progress(1), Complete()]
    first.publisher.remote.close(timeout=0)


def test_a_will_can_be_changed_and_taken_back(broker: Broker, network: Proxy) -> None:
    remote = RemoteStream(network.address, options=QUICK)
    for stream in ("kept", "changed", "taken back", "ended"):
        remote[stream] = 0
        remote.will(stream, "first")
    assert remote.flush()
    remote.will("changed", None)
    remote.will("taken back")
    remote.close("ended", "well")
    assert remote.flush()
    listeners = {stream: broker.joined(stream) for stream in ("kept", "changed", "ended")}
    network.refuse()
    assert list(listeners["kept"]) == [Ended("kept", "first")]
    assert list(listeners["changed"]) == [Ended("changed", None)]
    assert list(listeners["ended"]) == [Ended("ended", "well")]
    until_all_who_are_lost_have_ended(broker)
    assert standing(broker, "taken back") == "running"
    remote.close(timeout=0)


def test_a_job_that_comes_back_in_time_is_not_lost(away: Broker) -> None:
    broker = away.start(LIMITS__SESSION_TIME="1h")
    with Proxy(broker.port) as network, Job("fit", server=network.address, options=QUICK) as job:
        assert job.flush()
        listener = broker.joined("fit")
        network.refuse()
        eventually(lambda: job.publisher.remote.trouble)
        job.progress(1)
        network.allow()
        assert job.flush()
    assert messages(listener) == [monitor.Progress(1), Complete()]


def test_a_job_that_comes_back_too_late_begins_anew(broker: Broker, network: Proxy, caplog: pytest.LogCaptureFixture) -> None:
    with Job("fit", server=network.address, options=QUICK) as job:
        job.progress(1)
        assert job.flush()
        for k in (2, 3):
            lost = broker.joined("fit")
            network.refuse()
            (end,) = lost
            assert isinstance(end.message, Lost)
            network.allow()
            job.progress(k)
            assert job.flush()
            assert broker.header_of("fit").k == k
            # Its will stands again.
        listener = broker.joined("fit")
        job.progress(4)
    assert messages(listener) == [monitor.Progress(4), Complete()]
    assert caplog.text.count("it begins anew") == 2


def test_a_job_that_ended_while_it_was_taken_for_lost_has_ended(broker: Broker, network: Proxy) -> None:
    with Job("fit", server=network.address, options=QUICK) as job:
        job.progress(1)
        assert job.flush()
        lost = broker.joined("fit")
        network.refuse()
        (end,) = lost
        assert isinstance(end.message, Lost)
        job.complete("result")
        network.allow()
    assert list(map(unstamped, broker.listen("fit"))) == [Header("fit", Complete("result")), Ended("fit")]


def test_a_restarted_broker_gets_the_will_again_if_the_run_is_still_ones_own(away: Broker) -> None:
    broker = away.start(LIMITS__SESSION_TIME="150ms")
    with Proxy(broker.port) as network, RemoteStream(network.address, options=QUICK) as remote:
        for stream in ("own", "taken"):
            remote[stream] = "own"
            remote.will(stream, "lost")
        assert remote.flush()
        network.refuse()
        broker.kill()
        broker.start(LIMITS__SESSION_TIME="150ms")
        with broker.remote() as other:
            other["taken"] = "by another"
            assert other.flush()
        network.allow()
        assert broker.header_of("own") == "own" and remote.flush()
        listener = broker.joined("own")
        network.refuse()
        assert list(listener) == [Ended("own", "lost")]
        until_all_who_are_lost_have_ended(broker)
        assert broker.header_of("taken") == "by another" and standing(broker, "taken") == "running"
        network.allow()


def cut_off(network: Proxy) -> RemoteStream:
    """A client with a will, whose connection was lost."""
    remote = RemoteStream(network.address, options=QUICK)
    remote["fit"] = "begun"
    remote.will("fit", "lost")
    assert remote.flush()
    network.refuse()
    eventually(lambda: remote.trouble)
    return remote


def test_who_leaves_without_a_connection_comes_back_to_say_so(broker: Broker, network: Proxy) -> None:
    remote = cut_off(network)
    leaving = threading.Thread(target=remote.close)
    leaving.start()
    network.allow()
    leaving.join(DEADLINE)
    assert not leaving.is_alive()
    until_all_who_are_lost_have_ended(broker)
    # In time, or too late, after which it has begun anew.
    assert standing(broker) == "running"


def test_who_is_forgotten_without_a_connection_comes_back_to_say_so(broker: Broker, network: Proxy) -> None:
    remote = cut_off(network)
    thread = remote._thread
    remote.forget()
    network.allow()
    eventually(lambda: not thread.is_alive())
    until_all_who_are_lost_have_ended(broker)
    assert standing(broker) == "running"


CHILD = """
import os, signal, msgstream

job = msgstream.Job("fit").start()
assert job.flush()
child = os.fork()
if child == 0:
    job.progress(1)
    os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(child, 0)
print("waiting", flush=True)
input()
"""


def test_a_copy_in_another_process_that_is_killed_is_not_the_jobs_loss(broker: Broker, tmp_path: Path) -> None:
    path = tmp_path / "job.py"
    path.write_text(CHILD)
    environment = {**os.environ, "MSGSTREAM_SERVER": broker.address}
    with subprocess.Popen([sys.executable, str(path)], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None and job.stdout.readline() == "waiting\n"
        until_all_who_are_lost_have_ended(broker)
        assert standing(broker) == "running" and broker.header_of("fit") == Join(k=1, started=broker.header_of("fit").started)
        job.communicate("")


def test_a_dispatcher_is_told(caplog: pytest.LogCaptureFixture) -> None:
    told = []

    class Watch(monitor.Dispatcher):
        def onMonitorLost(self, message: Lost) -> None:
            told.append(message)

        def onMonitorClose(self) -> None:
            told.append("closed")

    Watch().put(Ended("fit", Lost("gone")))
    assert told == [Lost("gone"), "closed"]
    assert monitor.elapsed(Lost(started="2026-11-28T12:00:00Z")) is None
    assert msgstream.codec.decode(msgstream.codec.encode(Lost("gone"))) == Lost("gone")
    assert '"monitor.Lost"' in msgstream.codec.encode(Lost())
    assert logging.WARNING not in {record.levelno for record in caplog.records}


def test_publishers_leave_wills_too(broker: Broker, network: Proxy) -> None:
    publisher = msgstream.Publisher("fit", network.address, options=QUICK)
    publisher.header(0)
    publisher.will("lost")
    assert publisher.flush()
    listener = broker.joined("fit")
    network.refuse()
    assert list(listener) == [Ended("fit", "lost")]
    publisher.remote.close(timeout=0)


def test_publishers_of_asyncio_leave_wills_too_and_leave(broker: Broker, network: Proxy) -> None:
    async def publish(end: Callable[[], Any]) -> None:
        async with msgstream.aio.Publisher("fit", network.address, options=QUICK) as fit:
            await fit.header(0)
            await fit.will("first")
            await fit.will()
            await fit.will("lost")
            assert await fit.flush()
            await asyncio.get_running_loop().run_in_executor(None, end)

    asyncio.run(publish(lambda: None))
    until_all_who_are_lost_have_ended(broker)
    assert standing(broker) == "running"
    listener = broker.joined("fit")

    def fail() -> None:
        network.refuse()
        assert list(listener) == [Ended("fit", "lost")]
        network.allow()

    asyncio.run(publish(fail))
