"""The broker is not there, goes, hangs, and comes back; jobs and listeners go on."""

from __future__ import annotations

import json
import logging
import queue
import socket
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any, List, Optional

import pytest

import msgstream
from conftest import DEADLINE, Broker, Queue, eventually, unstamped, waits_of
from msgstream.incoming import CutShort
from msgstream import CutOff, Ended, Header, Job, Lost, Message, Options, Publisher, RemoteStream, monitor, wire


def quick(**more: Any) -> Options:
    return Options(**{"first_pause": 0.01, "longest_pause": 0.1, "exit_time": DEADLINE, **more})


def test_what_is_published_while_the_broker_is_away_arrives_when_it_is_there(away: Broker) -> None:
    listener = away.listen("fit")
    lost = listener.next()
    assert isinstance(lost, Lost) and lost.reconnecting and "cannot connect" in lost.reason
    with away.remote() as remote:
        remote["fit"] = "header"
        for k in range(1000):
            remote.put("fit", k)
        remote.close("fit")
        assert not remote.flush(0.01)
        assert not remote.connected
        away.start()
        assert remote.flush() and remote.dropped == 0
        # It joined before, between or after: what it has is the end of what was published, without a gap.
        events = list(listener)
        assert events.pop() == Ended("fit")
        messages = [unstamped(event.message) for event in events if isinstance(event, Message)]
        assert messages == list(range(1000 - len(messages), 1000))
        assert all(event == Header("fit", "header") for event in events if not isinstance(event, Message))


def test_a_queue_that_listens_before_it_publishes_gets_all_of_it(away: Broker) -> None:
    with away.remote() as remote:
        fit = Queue()
        remote.listen("fit", fit)
        assert isinstance(fit.get(), Lost)
        remote["fit"] = "not for a listener"
        for k in range(100):
            remote.put("fit", k)
        remote.close("fit", "end")
        away.start()
        assert fit.several(101) == [*range(100), ("closed", "end")]


def follow(event: Any, last: Optional[int]) -> Optional[int]:
    """Between gaps that are shown, each update is in the header or follows the one before."""
    if isinstance(event, (Lost, CutOff)):
        return None
    if isinstance(event, Message):
        assert last is None or event.message == last + 1, (last, event)
    return event.message if isinstance(event, (Header, Message)) else last


def test_of_several_addresses_one_that_answers_is_taken(broker: Broker, tmp_path: Path) -> None:
    """The next one is tried when a connection is lost; the header goes along."""
    (tmp_path / "spare").mkdir()
    spare = Broker(tmp_path / "spare")
    spare.start()
    try:
        with closing(socket.create_server(("127.0.0.1", 0))) as nobody:
            port = nobody.getsockname()[1]
        addresses = f"127.0.0.1:{port}, {broker.address},{spare.address}"
        with RemoteStream(addresses, options=quick()) as remote:
            assert str(remote.address) == f"127.0.0.1:{port},{broker.address},{spare.address}"
            remote["fit"] = "header"
            assert remote.flush()
            assert broker.header_of("fit") == "header"
            broker.kill()
            remote.put("fit", 1)
            assert remote.flush()
            assert spare.header_of("fit") == "header"
            spare.kill()
            broker.start()
            remote["fit"] = "again"
            assert remote.flush()
            assert broker.header_of("fit") == "again"
    finally:
        spare.kill()
        for each in (spare.log, *spare.held):
            each.close()


@pytest.mark.parametrize("ending", ["kill", "stop"])
def test_both_sides_go_on_when_the_broker_goes_and_comes_back(broker: Broker, ending: str, caplog: pytest.LogCaptureFixture) -> None:
    with broker.remote() as remote, broker.remote() as other:
        remote.put("fit", -1, header=-1)
        assert remote.flush()
        listener, fit = broker.joined("fit"), Queue()
        other.listen("fit", fit)
        assert fit.get() == -1
        remote.put("fit", 0, header=0)
        assert (listener.next(), fit.get()) == (Message("fit", 0), 0)

        getattr(broker, ending)()
        for k in range(1, 500):
            remote.put("fit", k, header=k)
        with pytest.raises(TimeoutError):
            listener.next(0.05)
        eventually(lambda: listener.trouble and remote.trouble and other.trouble)
        assert fit.items.empty()
        broker.start()
        # They are told when they have joined again, and the broker, started again, does not know what is missing.
        for gap in (fit.get(), listener.next()):
            assert isinstance(gap, Lost if ending == "kill" else CutOff) and gap.reconnecting and gap.missed is None, gap
            assert ending == "kill" or gap.code == "shutdown"
        assert listener.trouble is None and other.trouble is None
        for k in range(500, 1000):
            remote.put("fit", k, header=k)
        remote.close("fit")
        assert remote.flush()

        last = None
        for event in listener:
            last = follow(event, last)
        assert last == 999
        received: List[Any] = []
        while received[-1:] != [("closed", None)]:
            received.append(fit.get())
        assert [item for item in received if isinstance(item, int)][-1] == 999
    assert "connecting again, what is published waits" in caplog.text
    assert f"connected to {broker.address} again" in caplog.text


def test_killed_again_and_again_nothing_is_lost_that_a_listener_could_have_had(broker: Broker) -> None:
    stop = threading.Event()
    published: List[int] = []
    with broker.remote(options=quick()) as remote:

        def publish() -> None:
            k = 0
            while not stop.is_set():
                remote.put("fit", k, header=k)
                published.append(k)
                k += 1
                stop.wait(0.0005)

        thread = threading.Thread(target=publish)
        thread.start()
        try:
            listener = broker.listen("fit")
            last: Optional[int] = None
            for _ in range(4):
                count = 0
                while count < 50:
                    event = listener.next(DEADLINE)
                    last, count = follow(event, last), count + isinstance(event, Message)
                broker.kill()
                broker.start()
        finally:
            stop.set()
            thread.join()
        remote.close("fit", "end")
        for event in listener:
            last = follow(event, last)
        assert event == Ended("fit", "end")
        assert last == published[-1]
        assert remote.dropped == 0


def test_a_restarted_broker_gets_the_headers_again(broker: Broker) -> None:
    with broker.remote() as remote:
        remote["running"] = {"k": 7}
        remote["ended"] = 1
        remote.close("ended")
        remote["deleted"] = 1
        del remote["deleted"]
        assert remote.flush()
        broker.kill()
        broker.start()
        assert broker.header_of("running") == {"k": 7}
        with broker.listen("ended", timeout=0.05) as listener, pytest.raises(TimeoutError):
            # What had ended is not opened again.
            next(listener)


def test_without_room_progress_is_dropped_counted_and_told(away: Broker, caplog: pytest.LogCaptureFixture) -> None:
    options = quick(queue=20_000)
    fits = Queue()
    with away.remote() as listening:
        listening.listen("fit", fits, events=True)
        assert isinstance(fits.get(), Lost)
        job = Job("fit", title="Fit", server=away.address, options=options)
        began = time.monotonic()
        for k in range(2000):
            job.progress(k, 2000)
        job.log("careful", "warning")
        job.complete()
        # It has not waited for anybody.
        assert time.monotonic() - began < DEADLINE
        dropped = job.publisher.dropped
        assert 1000 < dropped < 2000
        assert "the oldest messages are dropped" in caplog.text
        away.start()
        assert not job.flush(), "some of it was dropped"
        assert job.flush(), "which is said once"
        assert "messages have been dropped so far" in caplog.text
        job.close()
        with away.listen("fit") as listener:
            assert list(map(unstamped, listener)) == [Header("fit", monitor.Complete()), Ended("fit")]


def test_a_loss_is_told_to_those_whose_it_is_and_taken_from_nobody(away: Broker) -> None:
    with away.remote(options=quick(queue=20_000)) as remote:
        other = Publisher("other", remote=remote)
        with Job("fit", remote=remote) as job:
            for k in range(2000):
                job.progress(k)
        # It has left, which waits and says nothing.
        assert job.publisher.dropped > 0
        other.put(1)
        away.start()
        assert other.flush(), "nothing of its own was dropped"
        assert not remote.flush() and remote.flush()
        assert not job.flush() and job.flush()


def test_to_flush_again_and_again_without_a_broker_leaves_nothing_behind(away: Broker) -> None:
    with away.remote(options=quick(exit_time=0.01)) as remote:
        remote.put("fit", 1)
        size = remote._out.size
        for _ in range(1000):
            assert not remote.flush(0.0)
            remote.settle(0.0)
        assert remote._out.size == size and len(remote._out.waiting) < 200
        with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
            patch.setattr(threading.Event, "wait", interrupted)
            remote.flush()
        assert remote._out.size == size


def interrupted(event: threading.Event, timeout: Optional[float] = None) -> bool:
    raise KeyboardInterrupt


def test_those_who_listen_are_told_in_the_stream_how_many_are_missing(broker: Broker) -> None:
    job = Job("fit", server=broker.address, options=quick(queue=20_000))
    job.start()
    assert job.flush()
    broker.kill()
    eventually(lambda: not job.publisher.remote.connected)
    for k in range(2000):
        job.progress(k, 2000)
    job.complete()
    dropped = job.publisher.dropped
    assert dropped > 1000

    # A broker that is only there to read, since no listener can be quicker than the publisher for certain.
    stand_in = socket.socket()
    stand_in.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    stand_in.bind(("127.0.0.1", broker.port))
    stand_in.listen()
    stand_in.settimeout(DEADLINE)
    try:
        peer, _ = stand_in.accept()
        with peer, peer.makefile("rwb") as file:
            asked = json.loads(file.readline())
            assert asked["action"] == "session"
            taken = job.publisher.remote._out._sent.taken
            file.write(json.dumps({**asked, "known": True, "taken": taken, "broker": "the same"}).encode() + b"\n")
            file.flush()
            first = file.readline()
    finally:
        stand_in.close()
    assert f"{dropped} messages are missing here".encode() in first
    broker.start()
    assert not job.flush(), "some of it was dropped"
    job.close()


def test_headers_are_sent_once_however_often_they_changed(away: Broker) -> None:
    with away.remote(options=quick(queue=20_000)) as remote:
        for k in range(5000):
            remote["fit"] = k
        assert len(remote._out.waiting) < 200
        away.start()
        assert remote.flush()
        assert remote.dropped == 0
        assert away.header_of("fit") == 4999


def test_a_full_queue_waits_for_a_broker_that_is_there(broker: Broker) -> None:
    with broker.remote(options=quick(queue=10_000)) as remote:
        remote["fit"] = "ready"
        remote.flush()
        listener = broker.joined("fit")
        thread = threading.Thread(target=lambda: [remote.put("fit", k) for k in range(20_000)])
        thread.start()
        for k in range(20_000):
            assert listener.next(DEADLINE) == Message("fit", k)
        thread.join()
        assert remote.dropped == 0


def test_a_signal_handler_does_not_wait_for_room_in_the_middle_of_a_put(broker: Broker) -> None:
    with broker.remote(options=quick(queue=1000, answer_time=2 * DEADLINE)) as remote:
        remote["fit"] = 0
        assert remote.flush()
        listener = broker.joined("fit")
        broker.pause()
        with remote._lock:
            remote._put_in(wire.put("fit", '"' + "x" * 2000 + '"'))
        add, handled = remote._out.add, threading.Event()

        def handler(entry: Any) -> None:
            """Called where a signal may come: before the entry stands in the queue."""
            remote._out.add = add  # type: ignore[method-assign]
            remote.put("fit", "from the handler")
            handled.set()
            add(entry)

        remote._out.add = handler  # type: ignore[method-assign]
        putting = threading.Thread(target=remote.put, args=("fit", "interrupted"))
        putting.start()
        came_back = handled.wait(DEADLINE / 6)
        broker.resume()
        putting.join()
        assert came_back
        assert [listener.next(DEADLINE).message for _ in range(3)][1:] == ["from the handler", "interrupted"]


def test_a_broker_that_hangs_holds_up_a_job_for_a_limited_time_only(broker: Broker) -> None:
    options = quick(queue=20_000, answer_time=0.2, idle_time=0.1, connect_time=0.2, exit_time=0.05)
    remote = broker.remote(options=options)
    fit = Queue()
    remote["fit"] = 0
    remote.listen("fit", fit)
    assert fit.get() == 0
    broker.pause()
    for k in range(5000):
        remote.put("fit", k, header=k)
    assert remote.dropped > 0 and not remote.connected
    eventually(lambda: remote.trouble)
    broker.resume()
    assert not remote.flush(), "some of it was dropped"
    # What was not dropped has come, and nothing else is missing.
    last = -1
    while last != 4999:
        k = fit.get()
        assert isinstance(k, int)
        last = k
    assert broker.header_of("fit") == 4999
    broker.pause()
    remote.put("fit", 1)
    began = time.monotonic()
    remote.close()
    assert time.monotonic() - began < DEADLINE / 2
    broker.resume()


def test_a_listener_notices_a_broker_that_hangs_and_finds_it_again(broker: Broker) -> None:
    options = quick(answer_time=0.1, idle_time=0.05, connect_time=0.2)
    with broker.remote() as remote:
        remote["fit"] = 1
        remote.flush()
        listener = broker.joined("fit", options=options)
        broker.pause()
        while listener.trouble is None:
            with pytest.raises(TimeoutError):
                listener.next(0.05)
        assert "has not answered for 0.1 s" in listener.trouble
        broker.resume()
        # And one that is only silent is left alone: here it answers.
        with pytest.raises(TimeoutError):
            listener.next(0.3)
        remote.put("fit", 2)
        assert listener.next(DEADLINE) == Message("fit", 2)


def test_a_slow_listener_is_cut_off_told_so_and_joins_again(away: Broker) -> None:
    limits = {"LIMITS__LINE": "64KiB", "LIMITS__HEADER": "64KiB", "TCP__SEND_BUFFER": "64KiB"}
    # Nothing is read before all is published, which takes a busy machine longer than the broker waits for a reader usually.
    broker = away.start(OUTBOX__LIMIT="1MiB", OUTBOX__DRAIN_TIME="60s", OUTBOX__WRITE_TIME="60s", **limits)
    with broker.remote() as remote:
        remote["fit"] = "header"
        remote.flush()
        listener = broker.joined("fit")
        text = "x" * 50_000
        for k in range(1000):
            remote.put("fit", [k, text], header=k)
        assert remote.flush()
        k, event = -1, listener.next(DEADLINE)
        while isinstance(event, Message):
            k += 1
            assert event.message[0] == k
            event = listener.next(DEADLINE)
        assert isinstance(event, CutOff) and event.code == "slow_listener" and event.reconnecting and 0 < k < 999
        assert event.missed == 999 - k
        assert listener.next(DEADLINE) == Header("fit", 999)


def test_without_reconnecting_a_loss_is_the_end(broker: Broker) -> None:
    with broker.remote() as remote:
        remote["fit"] = 1
        remote.flush()
        listener = broker.joined("fit", reconnect=False)
        broker.kill()
        events = list(listener)
        assert [type(event) for event in events] == [Lost] and not events[0].reconnecting
        assert list(broker.listen("fit", reconnect=False)) == [Lost("fit", f"cannot connect to {broker.address}: Connection refused")]
        broker.start()
        remote.flush()


def test_how_a_stream_stands_is_known_before_the_first_connection_is_made(broker: Broker) -> None:
    with broker.remote() as known:
        known["running"], known["ended"] = 1, 1
        known.close("ended")
        assert known.flush()
    for stream, state in [("running", "running"), ("ended", "ended"), ("unknown", "waiting")]:
        with broker.remote() as remote:
            assert remote.standing(stream, DEADLINE / 3) == state
            assert remote.standing(stream, DEADLINE / 3) == state
            assert not remote._listens.unsettled and remote._out.empty
            # Nobody has become a listener by that, and nobody who is one stops to be one.
            fit = Queue()
            remote.listen("running", fit)
            assert fit.get() == 1
            assert remote.standing("running", DEADLINE / 3) == "running"
            remote.put("running", 2)
            assert fit.get() == 2


def test_how_a_stream_stands_is_not_waited_for_without_a_broker(away: Broker) -> None:
    with away.remote(options=quick(exit_time=0.01)) as remote:
        asking = threading.Thread(target=remote.standing, args=("fit", 20 * DEADLINE), daemon=True)
        asking.start()
        asking.join(DEADLINE)
        assert not asking.is_alive()


def test_what_is_no_broker_is_told_from_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            peer, _ = server.accept()
            with peer:
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(msgstream.Disconnected, match="HTTP/1.1 400 Bad Request.*no msgstream broker says"):
            RemoteStream("127.0.0.1", server.getsockname()[1], strict=True)
        thread.join()


def test_a_client_that_is_never_used_makes_no_connection(away: Broker) -> None:
    remote = away.remote()
    assert remote._thread is None
    assert remote.flush()
    remote.close()
    assert "closed" in repr(remote)


def test_what_is_given_up_at_the_end_is_counted(away: Broker, caplog: pytest.LogCaptureFixture) -> None:
    remote = away.remote(options=quick(exit_time=0.01))
    for k in range(3):
        remote.put("fit", k)
    with caplog.at_level(logging.WARNING):
        remote.close()
    assert "3 lines" in caplog.text and "given up" in caplog.text


def test_a_program_that_logs_into_its_own_stream_is_not_held_up(broker: Broker) -> None:
    class Into(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            remote.put("log", self.format(record))

    handler = Into()
    logging.getLogger("msgstream").addHandler(handler)
    try:
        with broker.remote() as remote:
            remote["log"] = 0
            remote.flush()
            broker.kill()
            eventually(lambda: not remote.connected)
            broker.start()
            assert remote.flush()
    finally:
        logging.getLogger("msgstream").removeHandler(handler)


def test_a_blocked_queue_does_not_hold_up_what_is_published(broker: Broker) -> None:
    full: "queue.Queue[Any]" = queue.Queue(maxsize=1)
    with broker.remote() as remote, broker.remote() as publisher:
        publisher["fit"] = 0
        publisher.flush()
        remote.listen("fit", full)
        for k in range(100):
            publisher.put("fit", k)
        assert publisher.flush()
        assert full.get(timeout=DEADLINE) == 0
        broker.kill()
        for k in range(100):
            remote.put("other", k)
        broker.start()
        drained = [full.get(timeout=DEADLINE)]
        while not isinstance(drained[-1], Lost):
            drained.append(full.get(timeout=DEADLINE))
        assert drained[:-1] == list(range(len(drained) - 1))
        assert remote.flush()


def test_a_long_message_on_a_slow_line_is_not_given_up(away: Broker) -> None:
    """What counts is when the broker last took something, not when the message began to be sent."""

    class Line:
        def __init__(self, moved: float) -> None:
            self.moved = moved

        def shutdown(self) -> None:
            pass

    remote = away.remote(options=quick(answer_time=100.0))
    remote._out.add("a long message")
    remote._out.take(1)
    # It has been under way for longer than answer_time.
    batches = remote._out._sent._batches
    batches.append(batches.pop()._replace(since=time.monotonic() - 200.0))
    now = time.monotonic()
    moving, stuck = Line(now - 1.0), Line(now - 150.0)
    remote._ask_for_a_word(moving)  # type: ignore[arg-type]
    with pytest.raises(CutShort, match="has not answered for 100 s"):
        remote._ask_for_a_word(stuck)  # type: ignore[arg-type]
    with remote._lock:
        remote._connection = moving  # type: ignore[assignment]
        assert remote._more_patience() > now + 90.0 and remote._broken is None
        remote._connection = stuck  # type: ignore[assignment]
        remote._more_patience()
        assert remote._broken is not None and "has confirmed nothing" in remote._broken.reason
        remote._connection = None
        remote._out.confirm(1)


MANY = """
import msgstream
options = msgstream.Options(exit_time=0.2, connect_time=30.0)
clients = [msgstream.RemoteStream(options=options) for _ in range(12)]
for client in clients:
    client.put("fit", 1)
"""


def test_clients_of_one_program_share_the_time_at_its_end(broker: Broker, script: Any) -> None:
    broker.pause()
    began = time.monotonic()
    ended = script(MANY)
    # A second and a half for each would be eighteen.
    assert ended.returncode == 0 and time.monotonic() - began < 12, ended.stderr


def test_a_strict_client_that_is_closed_at_once_gives_its_connection_back(broker: Broker) -> None:
    for _ in range(20):
        remote = broker.remote(strict=True)
        remote.close(timeout=0)
        eventually(lambda: not remote._thread.is_alive())
        assert (remote._opened or remote._connection) is None or remote._opened._socket.fileno() == -1


def sever(remote: RemoteStream) -> None:
    """Ends its connection, and waits for the next one."""
    connection = remote._connection
    assert connection is not None
    connection.shutdown()
    eventually(lambda: remote.connected and remote._connection not in (None, connection))


def test_a_client_that_comes_back_touches_no_newer_run(broker: Broker) -> None:
    # Its connection fails after everything was confirmed; meanwhile the job is started again by another client.
    with broker.remote(options=quick()) as former, broker.remote() as newer:
        former["job"] = "former"
        assert former.flush()
        newer["job"] = "newer"
        assert newer.flush()
        sever(former)
        former.put("other", 1)
        assert former.flush()
        assert broker.header_of("job") == "newer"


def test_a_header_that_somebody_closed_meanwhile_stays_closed(broker: Broker) -> None:
    with broker.remote(options=quick()) as remote, broker.remote() as other:
        remote["job"] = 1
        assert remote.flush()
        other.close("job", "over")
        assert other.flush()
        sever(remote)
        remote.put("other", 1)
        assert remote.flush()
        with broker.listen("job") as listener:
            assert list(listener) == [Header("job", 1), Ended("job", "over")]


def test_nothing_is_dropped_while_the_first_connection_is_made(broker: Broker) -> None:
    with broker.remote(options=quick(queue=1 << 20)) as remote:
        for k in range(1000):
            remote.put("fit", "x" * 10_000)
        remote.put("fit", "y" * (15 << 20))
        assert remote.flush() and remote.dropped == 0


def test_jobs_without_a_broker_wait_for_none_at_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = waits_of(monkeypatch)
    for number in range(3):
        with Job(f"epoch {number}", server="127.0.0.1:1", options=Options(exit_time=60.0)) as job:
            job.progress(1)
            eventually(lambda: job.publisher.remote._away)
    assert len(waits) == 3 and max(waits) < 30.0


def test_one_outage_costs_a_program_one_leave_taking(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    waits, joins = waits_of(monkeypatch), []
    join = threading.Thread.join

    def counted(thread: threading.Thread, timeout: Optional[float] = None) -> None:
        if threading.current_thread() is threading.main_thread():
            joins.append(timeout or 0.0)
        join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", counted)
    options = quick(exit_time=1.0, connect_time=DEADLINE, answer_time=DEADLINE)
    with broker.remote(options=options) as first:
        first.put("fit", 1)
        assert first.flush()
        broker.pause()
        jobs = [broker.remote(options=options) for _ in range(20)]
        for remote in jobs:
            remote.put("fit", 1)
        for remote in jobs:
            remote.close()
        assert len(waits) == 20 and sum(waits) < 10.0, "less than a second for each"
        assert sum(joins) < 10.0, "nor is it spent on their threads"
        broker.resume()
