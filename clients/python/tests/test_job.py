"""Jobs: what their listeners see, however they end, and how they end with the process."""

from __future__ import annotations

import contextlib
import pickle
import sys
import threading
import time
from typing import Any, Callable, List

import pytest

import msgstream
from conftest import DEADLINE, QUICK, Broker, Queue, unstamped
from msgstream import Ended, Header, Job, Message, Publisher, monitor
from msgstream.monitor import Abort, Complete, Error, Improvement, Join, Log, Progress, Start


def test_a_publisher_is_one_stream(broker: Broker) -> None:
    with broker.remote() as remote, Publisher("fit", remote=remote) as fit:
        fit.header(0)
        assert fit.flush()
        listener = broker.joined("fit")
        fit.put(1)
        fit.put(None, header=None)
        fit.end([2])
        assert list(listener) == [Message("fit", 1), Message("fit", None), Ended("fit", [2])]
        assert list(map(unstamped, broker.listen("fit"))) == [Header("fit", None), Ended("fit", [2])]
        fit.delete()
    # The connection is the caller's, and went with its own block.
    assert fit.dropped == 0
    with pytest.raises(msgstream.Closed):
        fit.put(1)
    for wrong in ("", None):
        with pytest.raises(ValueError, match="the name of a stream"):
            Publisher(wrong)  # type: ignore[arg-type]


def test_to_close_a_publisher_or_a_job_does_not_end_its_stream(broker: Broker) -> None:
    with broker.remote() as remote, contextlib.closing(Publisher("shared", remote=remote)) as shared:
        shared.header(0)
    with contextlib.closing(Publisher("own", broker.address, options=QUICK)) as own:
        own.header(0)
    with contextlib.closing(Job("job", server=broker.address, options=QUICK)) as job:
        job.progress(1)
    # What waited was sent, and what was its own is closed.
    for closed in (own, job.publisher):
        with pytest.raises(msgstream.Closed):
            closed.put(1)
    with broker.listen("shared", "own", "job", timeout=0.2) as listener:
        assert {type(listener.next(DEADLINE)) for _ in range(3)} == {Header}
        with pytest.raises(TimeoutError):
            next(listener)
    with Publisher("own", broker.address, options=QUICK) as another:
        another.end("over")
    assert list(broker.listen("own")) == [Header("own", 0), Ended("own", "over")]


def test_who_joins_at_any_time_sees_each_update_exactly_once(broker: Broker) -> None:
    with Job("fit", "Fit 42", total=10, units="steps", server=broker.address, options=QUICK) as job:
        assert job.flush()
        first = broker.listen("fit")
        join = first.next()
        assert isinstance(join, Header)
        started = join.message.started
        assert started and join.message == Join("Fit 42", None, 10, "steps", started)
        job.progress(1)
        job.progress(2, text="hot", eta=7)
        assert job.flush()
        second = broker.listen("fit").next()
        assert second == Header("fit", Join("Fit 42", 2, 10, "steps", started, {"text": "hot", "eta": 7}))
        job.improvement(1.5, par={"a": 1})
        job.log("a line", "info")
        job.progress(3, 11)
        assert job.flush()
        third = broker.listen("fit").next()
        assert isinstance(third, Header)
        assert third.message == Join("Fit 42", 3, 11, "steps", started, {"eta": 7, "improvement": {"value": 1.5, "par": {"a": 1}}})
        job.put({"free": "content"})
    assert job.ended
    assert [unstamped(event.message) for event in first if isinstance(event, Message)] == [
        Progress(1, 10, "steps"),
        Progress(2, 10, "steps", "hot", {"eta": 7}),
        Improvement(1.5, {"par": {"a": 1}}),
        Log("a line", "info"),
        Progress(3, 11, "steps"),
        {"free": "content"},
        Complete(),
    ]
    assert list(map(unstamped, broker.listen("fit"))) == [Header("fit", Complete()), Ended("fit")]


def ending(broker: Broker, leave: Callable[[Job], Any]) -> List[Any]:
    with broker.remote() as remote:
        job = Job("fit", remote=remote)
        try:
            with job:
                assert job.flush()
                listener = broker.joined("fit")
                leave(job)
        except BaseException as error:
            assert type(error) in (KeyboardInterrupt, SystemExit, ZeroDivisionError)
        assert job.ended
        job.progress(99)
        job.complete("not any more")
        assert remote.flush()
    return [unstamped(event.message) for event in listener if isinstance(event, Message)]


def interrupt(job: Job) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("leave", "message"),
    [
        (lambda job: None, Complete()),
        (lambda job: job.complete({"chisq": 1.5}), Complete({"chisq": 1.5})),
        (lambda job: job.abort("asked"), Abort("asked")),
        (lambda job: job.error("no data"), Error("no data")),
        (lambda job: sys.exit(0), Complete()),
        (lambda job: sys.exit(3), Error("exit status 3")),
        (interrupt, Abort("interrupted")),
    ],
)
def test_every_way_to_end_is_told(broker: Broker, leave: Callable[[Job], Any], message: Any) -> None:
    assert ending(broker, leave) == [message]


def test_an_exception_is_told_with_where_it_was(broker: Broker) -> None:
    (error,) = ending(broker, lambda job: 1 / 0)
    assert isinstance(error, Error) and error.reason == "ZeroDivisionError: division by zero"
    assert error.traceback and "in ending" in error.traceback


def test_a_value_that_is_refused_does_not_stay_in_the_header(broker: Broker) -> None:
    with Job("fit", server=broker.address, options=QUICK) as job:
        job.progress(1)
        with pytest.raises(msgstream.EncodeError, match=r"message.value is NaN"):
            job.improvement(float("nan"))
        job.progress(2)
        assert job.flush()
        assert broker.header_of("fit").more == {}


def test_items_are_tracked(broker: Broker) -> None:
    with Job("fit", server=broker.address, options=QUICK) as job:
        assert job.flush()
        listener = broker.joined("fit")
        assert list(job.track("abc", every=0)) == ["a", "b", "c"]
        assert sum(1 for _ in job.track(iter(range(1000)), total=1000, every=3600)) == 1000
    told = [unstamped(event.message) for event in listener if isinstance(event, Message)]
    assert told == [Progress(0, 3), Progress(1, 3), Progress(2, 3), Progress(3, 3), Progress(3, 3)] + [
        Progress(0, 1000),
        Progress(1, 1000),
        Progress(1000, 1000),
        Complete(),
    ]


def test_updates_of_several_threads_and_their_headers_stay_in_step(broker: Broker) -> None:
    with Job("fit", server=broker.address, options=QUICK) as job:
        assert job.flush()
        listener = broker.joined("fit")
        done: "List[int]" = []
        lock = threading.Lock()

        def work() -> None:
            for _ in range(200):
                with lock:
                    done.append(1)
                    job.progress(len(done))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert job.flush()
        assert broker.header_of("fit").k == 800
    assert [event.message.k for event in listener if isinstance(event, Message) and isinstance(event.message, Progress)] == list(range(1, 801))


def test_a_job_ends_itself_whatever_the_broker_does(away: Broker) -> None:
    options = msgstream.Options(exit_time=0.01)
    with Job("fit", server=away.address, options=options) as job:
        for k in range(100):
            job.progress(k)
    with pytest.raises(ZeroDivisionError), Job("fit", server=away.address, options=options):
        raise ZeroDivisionError
    with pytest.raises(msgstream.Disconnected):
        Job("fit", server=away.address, strict=True)


def test_the_exception_of_a_strict_job_is_its_own(broker: Broker) -> None:
    with pytest.raises(ZeroDivisionError), Job("fit", server=broker.address, strict=True, options=QUICK):
        broker.kill()
        raise ZeroDivisionError


def test_the_dispatcher_listens_to_a_job(broker: Broker) -> None:
    class Monitor(monitor.Dispatcher):
        def __init__(self) -> None:
            self.queue = Queue()

        def onMonitorJoin(self, message: Join) -> None:
            self.queue.put("join")

        def onMonitorProgress(self, message: Progress) -> None:
            self.queue.put(message.k)

        def onMonitorComplete(self, message: Complete) -> None:
            self.queue.put("complete")

        def onMonitorMessage(self, message: Any) -> None:
            self.queue.put(type(message))

        def onMonitorClose(self) -> None:
            self.queue.put("closed")

    with broker.remote() as remote:
        watch = Monitor()
        with Job("fit", server=broker.address, options=QUICK) as job:
            assert job.flush()
            remote.listen("fit", watch)
            assert watch.queue.get() == "join"
            job.progress(1)
            job.log("line")
        assert watch.queue.several(4) == [1, Log, "complete", "closed"]



EXITS = """
import os, sys, msgstream
remote = msgstream.RemoteStream()
remote["exit"] = "begun"
for k in range(20000):
    remote.put("exit", k, header=k)
if sys.argv[1] == "close":
    remote.close()
elif sys.argv[1] == "raise":
    raise RuntimeError("the job's own")
elif sys.argv[1] == "exit":
    sys.exit(3)
"""


@pytest.mark.parametrize(("how", "code"), [("end", 0), ("close", 0), ("raise", 1), ("exit", 3)])
def test_a_program_that_ends_has_sent_all(broker: Broker, script: Callable[..., Any], how: str, code: int) -> None:
    with broker.remote() as remote:
        remote["exit"] = "ready"
        assert remote.flush()
        listener = broker.joined("exit")
        ended = script(EXITS, how)
        assert ended.returncode == code, ended.stderr
        assert [listener.next(DEADLINE) for _ in range(20000)] == [Message("exit", k) for k in range(20000)]
        assert broker.header_of("exit") == 19999


def test_a_program_ends_in_time_without_a_broker_and_says_what_is_lost(script: Callable[..., Any]) -> None:
    text = """
import logging, msgstream
logging.basicConfig()
job = msgstream.Job("fit", options=msgstream.Options(exit_time=0.1)).start()
job.progress(1)
"""
    ended = script(text, MSGSTREAM_SERVER="127.0.0.1:1")
    assert ended.returncode == 0
    assert "2 lines for 127.0.0.1:1 were not confirmed and are given up" in ended.stderr


def test_a_client_waits_for_no_longer_than_it_allows_whatever_others_do(script: Callable[..., Any]) -> None:
    text = """
import msgstream
here = msgstream.RemoteStream(options=msgstream.Options(exit_time=20.0))
here.put("here", 1)
away = msgstream.RemoteStream("127.0.0.1:1", options=msgstream.Options(exit_time=0.1))
away.put("away", 1)
assert here.flush()
"""
    begun = time.monotonic()
    ended = script(text)
    assert ended.returncode == 0
    assert "1 lines for 127.0.0.1:1 were not confirmed and are given up" in ended.stderr
    assert time.monotonic() - begun < 10


def test_nothing_is_kept_of_jobs_that_have_ended(broker: Broker) -> None:
    with broker.remote() as remote:
        for number in range(100):
            with Job(f"job {number}", remote=remote) as job:
                job.progress(1)
        assert remote.flush() and not remote._notices and not remote._out.headers
        # One that begins before the end of the one before is confirmed keeps its own.
        with remote._lock:
            Job("fit", remote=remote).complete()
            second = Job("fit", remote=remote)
        assert remote.flush() and list(remote._notices) == ["fit"]
        second.complete()
        assert remote.flush() and not remote._notices


def test_ctrl_c_while_the_end_waits_for_room_still_ends_the_stream(broker: Broker) -> None:
    with broker.remote() as remote:
        job = Job("fit", remote=remote).start()
        assert job.flush()
        listener = broker.joined("fit")
        add, interrupts = remote._add, [KeyboardInterrupt]

        def interrupted(entry: Any) -> None:
            add(entry)
            if interrupts:
                # As in the wait for room, where the entry is in the queue already.
                raise interrupts.pop()

        remote._add = interrupted  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            job.complete()
        assert job.ended
        assert list(map(unstamped, listener)) == [Message("fit", Complete()), Ended("fit")]


GOES_ON = """
import atexit, threading
ends, done = threading.Event(), threading.Event()
def last():
    ends.set()
    print(done.wait(10))
# What is registered first is called last: when all clients have been closed.
atexit.register(last)
import msgstream
job = msgstream.Job("fit", options=msgstream.Options(exit_time=20.0)).start()
publisher = msgstream.Publisher("other")
queue = type("Queue", (), {"put": lambda self, message: None})()
def work():
    k = 0
    while not ends.is_set():
        job.progress(k := k + 1)
    job.progress(k)
    job.log("late")
    publisher.put(k, header=k)
    publisher.remote.listen("fit", queue)
    assert not job.flush()
    job.complete()
    job.publisher.remote.close()
    done.set()
threading.Thread(target=work, daemon=True).start()
assert job.flush()
"""


def test_a_thread_that_goes_on_while_the_program_ends_is_no_error(script: Callable[..., Any]) -> None:
    ended = script(GOES_ON)
    # That lines are given up may be said, since they are.
    assert (ended.returncode, ended.stdout) == (0, "True\n") and "Traceback" not in ended.stderr, ended.stderr


FORKS = """
import os, sys, msgstream
job = msgstream.Job("fork", options=msgstream.Options(exit_time=20.0))
with job:
    remote = job.publisher.remote
    remote["who"] = "parent"
    assert remote.flush()
    remote.listen("who", type("Q", (), {"put": lambda self, message: print("heard", message, flush=True)})())
    assert remote.flush()
    # What waits here is the parent's, and is not sent twice.
    for k in range(1000):
        job.progress(k)
    child = os.fork()
    if child == 0:
        job.log("from the child")
        assert job.flush()
        if sys.argv[1] == "exit":
            sys.exit(0)
        os._exit(0)
    assert os.waitpid(child, 0) == (child, 0)
    job.progress(1000)
    remote.put("who", "still listening")
    assert remote.flush()
"""


@pytest.mark.parametrize("how", ["exit", "_exit"])
def test_a_forked_child_is_a_client_of_its_own(broker: Broker, script: Callable[..., Any], how: str) -> None:
    with broker.remote() as remote:
        remote["fork"] = "ready"
        assert remote.flush()
        listener = broker.joined("fork")
        ended = script(FORKS, how)
        assert ended.returncode == 0, ended.stderr
        # Not once more in the child, and once only.
        assert ended.stdout.splitlines() == ["heard parent", "heard still listening"]
        messages = [unstamped(event.message) for event in listener if isinstance(event, Message)]
        assert sum(1 for message in messages if isinstance(message, Start)) == 1
        assert [message.k for message in messages if isinstance(message, Progress)] == list(range(1001))
        assert messages.count(Log("from the child")) == 1
        # The child that left the block did not end the job.
        assert messages.index(Log("from the child")) < len(messages) - 1
        assert messages[-1] == Complete() and messages.count(Complete()) == 1


LISTENS = """
import os, sys, msgstream
remote = msgstream.RemoteStream(options=msgstream.Options(exit_time=20.0))
remote["fit"] = 0
assert remote.flush()
with msgstream.listen("fit", timeout=20) as listener:
    assert next(listener) == msgstream.Header("fit", 0)
    child = os.fork()
    if child == 0:
        if sys.argv[1] == "reads":
            # It goes on where its parent was.
            remote.put("fit", "from the child")
            assert next(listener) == msgstream.Message("fit", "from the child")
            assert remote.flush()
        sys.exit(0)
    assert os.waitpid(child, 0) == (child, 0)
    remote.put("fit", "the last")
    for event in listener:
        print(event.message)
        if event.message == "the last":
            break
"""


@pytest.mark.parametrize("what", ["leaves", "reads"])
def test_a_forked_child_leaves_its_parents_listener_alone(script: Callable[..., Any], what: str) -> None:
    ended = script(LISTENS, what)
    heard = ["from the child", "the last"] if what == "reads" else ["the last"]
    assert (ended.returncode, ended.stdout.splitlines()) == (0, heard), ended.stderr


POOL = """
import multiprocessing, sys, msgstream
remote = msgstream.RemoteStream(options=msgstream.Options(exit_time=20.0))
def work(k):
    remote.put("pool", k, essential=True)
if __name__ == "__main__":
    remote["pool"] = "begun"
    assert remote.flush()
    context = multiprocessing.get_context(sys.argv[1])
    workers = [context.Process(target=work, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    sys.exit(sum(worker.exitcode for worker in workers))
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_processes_of_multiprocessing_send_all_before_they_end(broker: Broker, script: Callable[..., Any], method: str) -> None:
    with broker.remote() as remote:
        remote["pool"] = "ready"
        assert remote.flush()
        listener = broker.joined("pool")
        ended = script(POOL, method)
        assert ended.returncode == 0, ended.stderr
        events = [listener.next(DEADLINE) for _ in range(4)]
        assert sorted(event.message for event in events if isinstance(event, Message)) == [0, 1, 2, 3]


def test_a_fork_while_other_threads_publish_does_not_hang(broker: Broker, script: Callable[..., Any]) -> None:
    text = """
import os, threading, msgstream
remote = msgstream.RemoteStream(options=msgstream.Options(exit_time=20.0))
stop = threading.Event()
def publish():
    while not stop.is_set():
        remote.put("busy", 1)
threads = [threading.Thread(target=publish, daemon=True) for _ in range(3)]
for thread in threads: thread.start()
for _ in range(20):
    child = os.fork()
    if child == 0:
        remote.put("busy", 2)
        os._exit(0 if remote.flush() else 1)
    assert os.waitpid(child, 0) == (child, 0)
stop.set()
for thread in threads: thread.join()
"""
    ended = script(text)
    assert ended.returncode == 0, ended.stderr


class Meddling:
    """Does something while it is encoded, as a signal handler does in the middle of an update."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act

    def state(self) -> str:
        self.act()
        return "state"


@pytest.fixture
def meddling() -> Any:
    msgstream.serial.register(Meddling, "meddling", to_state=Meddling.state, from_state=lambda state, version: state)
    yield Meddling
    msgstream.serial.unregister(Meddling)


def test_what_a_signal_handler_tells_in_the_middle_of_an_update_is_told(broker: Broker, meddling: Any) -> None:
    with broker.remote() as remote:
        job = Job("fit", remote=remote).start()
        assert remote.flush()
        listener = broker.joined("fit")
        job.progress(1, what=meddling(lambda: job.log("from within")))
        job.progress(2, what=meddling(lambda: job.abort("asked to end")))
        assert job.ended
        job.put("not any more", header="nor this")
        assert remote.flush()
        told = [unstamped(event.message) for event in listener if isinstance(event, Message)]
        assert Log("from within") in told and told[-1] == Abort("asked to end")
        assert [message.k for message in told if isinstance(message, Progress)][-1] == 2
        # The update that was under way has not opened the stream again.
        assert list(map(unstamped, broker.listen("fit"))) == [Header("fit", Abort("asked to end")), Ended("fit")]


SIGNALS = """
import signal, msgstream
job = msgstream.Job("signals", options=msgstream.Options(exit_time=20.0)).start()
signal.signal(signal.SIGALRM, lambda *unused: job.log("tick"))
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.002)
for k in range(5000):
    job.progress(k)
signal.setitimer(signal.ITIMER_REAL, 0)
assert job.flush()
"""


def test_a_signal_handler_may_publish_whatever_it_interrupts(script: Callable[..., Any]) -> None:
    ended = script(SIGNALS)
    assert ended.returncode == 0, ended.stderr


def test_what_is_too_large_for_a_header_does_not_silence_the_job(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    large = [0.5] * 400_000
    with Job("fit", total=3, server=broker.address, options=QUICK) as job:
        assert job.flush()
        listener = broker.joined("fit")
        job.progress(1)
        job.improvement(2.5, x=large)
        job.progress(2, curve=large)
        assert job.flush()
        header = broker.header_of("fit")
        assert header.k == 2 and header.more == {"improvement": {"value": 2.5}}
        job.complete(large)
    told = [unstamped(event.message) for event in listener if isinstance(event, Message)]
    assert told == [Progress(1, 3), Improvement(2.5, {"x": large}), Progress(2, 3, more={"curve": large}), Complete(large)]
    (late,) = [unstamped(event.message) for event in broker.listen("fit") if isinstance(event, Header)]
    assert isinstance(late, Complete) and late.result is None and "left out" in late.more["text"]
    assert caplog.text.count("what is large is left out") == 1 and "refused" not in caplog.text


def test_an_end_that_is_too_large_for_a_line_is_told_without_what_makes_it_so(away: Broker) -> None:
    broker = away.start(LIMITS__LINE="64KiB", LIMITS__HEADER="32KiB")
    options = msgstream.Options(exit_time=DEADLINE, line=64 * 1024, header=32 * 1024)
    with pytest.raises(ValueError), Job("fit", server=broker.address, options=options):
        raise ValueError("x" * 100_000)
    header = broker.header_of("fit")
    assert isinstance(header, Error) and header.reason.startswith("ValueError: xxx") and len(header.reason) == 10_000


def test_a_job_that_is_cancelled_has_not_failed(broker: Broker) -> None:
    import asyncio

    def steps() -> Any:
        with Job("fit", server=broker.address, options=QUICK):
            yield

    running = steps()
    next(running)
    running.close()
    assert broker.header_of("fit") == Abort("cancelled")

    with pytest.raises(asyncio.CancelledError), Job("other", server=broker.address, options=QUICK):
        raise asyncio.CancelledError
    assert broker.header_of("other") == Abort("cancelled")


SENT = """
import concurrent.futures, multiprocessing, sys, msgstream
def work(job, k):
    job.log(str(k))
    return id(job.publisher.remote)
def leave(job):
    with job:
        job.log("left")
if __name__ == "__main__":
    options = msgstream.Options(exit_time=20.0)
    with msgstream.Job("fit", options=options, nan="null") as job:
        assert job.flush()
        with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            # One client for all tasks of a worker.
            assert len(set(pool.map(work, [job] * 4, range(4)))) == 1
            pool.submit(leave, job).result()
        job.progress(1)
"""


def test_a_job_can_be_sent_to_worker_processes(broker: Broker, script: Callable[..., Any]) -> None:
    with broker.remote() as remote:
        remote["fit"] = "ready"
        assert remote.flush()
        listener = broker.joined("fit")
        ended = script(SENT)
        assert ended.returncode == 0, ended.stderr
        told = [unstamped(event.message) for event in listener if isinstance(event, Message)]
        assert [message.text for message in told if isinstance(message, Log)] == ["0", "1", "2", "3", "left"]
        assert sum(isinstance(message, Start) for message in told) == 1
        assert told[-2:] == [Progress(1), Complete()]


SENT_ONE_BY_ONE = """
import concurrent.futures, multiprocessing, msgstream
def work(fit, job, k):
    with fit:
        fit.put(k)
    job.log(str(k))
    return id(fit.remote._connection), id(job.publisher.remote._connection)
if __name__ == "__main__":
    options = msgstream.Options(exit_time=20.0)
    with msgstream.Publisher("fit", options=options) as fit, msgstream.Job("job", options=options) as job:
        with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            used = list(pool.map(work, [fit] * 4, [job] * 4, range(4)))
        fit.end()
    print(len(set(used)))
"""


def test_the_tasks_of_a_worker_share_a_connection_though_each_gives_its_publisher_back(broker: Broker, script: Callable[..., Any]) -> None:
    with broker.remote() as remote:
        remote["fit"] = "ready"
        assert remote.flush()
        listener = broker.joined("fit")
        ended = script(SENT_ONE_BY_ONE)
        assert (ended.returncode, ended.stdout) == (0, "1\n"), ended.stderr
        assert list(listener) == [*(Message("fit", k) for k in range(4)), Ended("fit")]


def test_a_client_that_comes_back_is_the_same(away: Broker) -> None:
    remote, fit = away.remote(), Publisher("fit", away.address)
    assert pickle.loads(pickle.dumps(remote)) is remote
    assert pickle.loads(pickle.dumps(fit)).remote is fit.remote
    fit.close()
    remote.close()


LATE = """
import os, sys, time, msgstream
read, write = os.pipe()
with msgstream.Job("late", total=10) as job:
    child = os.fork()
    if child == 0:
        # It outlives the block, and goes on telling.
        os.read(read, 1)
        job.progress(2)
        job.log("late")
        job.put("late", header="late")
        job.error("late")
        os._exit(0)
    job.progress(1)
os.write(write, b"x")
os.waitpid(child, 0)
"""


def test_a_child_that_goes_on_after_the_end_does_not_open_the_job_again(broker: Broker, script: Callable[..., Any]) -> None:
    assert script(LATE).returncode == 0
    with broker.listen("late") as listener:
        assert list(map(unstamped, listener)) == [Header("late", Complete()), Ended("late")]


WORKERS = """
import multiprocessing, msgstream
def work(k):
    job.log(f"last {k}")
if __name__ == "__main__":
    with msgstream.Job("pool") as job:
        job.log("first")
        assert job.flush()
        with multiprocessing.get_context("fork").Pool(4) as pool:
            pool.map(work, range(40))
"""


def test_what_workers_say_last_is_said_although_their_pool_ends_them(broker: Broker, script: Callable[..., Any]) -> None:
    with broker.remote() as remote:
        pool = Queue()
        remote.listen("pool", pool)
        assert remote.flush()
        assert script(WORKERS).returncode == 0
        texts = {getattr(message, "text", None) for message in pool.several(43)}
        assert {f"last {k}" for k in range(40)} <= texts
