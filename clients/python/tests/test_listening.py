"""Those who listen through a client: slow ones, ones that publish, ones that fail. Nobody else is held up by them."""

from __future__ import annotations

import threading
from typing import Any, Callable, List

import pytest

from conftest import DEADLINE, Broker, Queue, eventually
from msgstream import CutOff, Header, Job, Message, Options, Publisher


class Stuck:
    """Takes nothing until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.got: List[Any] = []

    def put(self, message: Any) -> None:
        self.let_go.wait(DEADLINE)
        self.got.append(message)


class Calling:
    def __init__(self, call: Callable[[Any], Any]) -> None:
        self.put = call


def test_one_that_takes_nothing_holds_up_neither_others_nor_what_is_published(broker: Broker) -> None:
    with broker.remote(options=Options(answer_time=DEADLINE)) as remote:
        stuck, other = Stuck(), Queue()
        remote["fit"] = "header"
        remote.listen("fit", stuck)
        remote.listen("fit", other)
        for k in range(3000):
            remote.put("fit", k)
        assert remote.flush() and remote.connected and remote.dropped == 0
        assert other.several(3001) == ["header", *range(3000)]
        assert stuck.got == []
        stuck.let_go.set()
        eventually(lambda: stuck.got == ["header", *range(3000)])


def test_one_that_never_takes_anything_is_hung_up_and_costs_a_bounded_amount(broker: Broker) -> None:
    with broker.remote() as publisher, broker.remote(options=Options(queue=100_000)) as remote:
        stuck, other = Stuck(), Queue()
        remote.listen("fit", stuck, events=True)
        remote.listen("fit", other)
        assert remote.flush()
        for k in range(200):
            publisher.put("fit", "x" * 10_000)
        assert publisher.flush()
        other.several(200)
        stuck.let_go.set()
        eventually(lambda: stuck.got and isinstance(stuck.got[-1], CutOff))
        assert stuck.got[-1].code == "slow_listener" and len(stuck.got) < 110
        publisher.put("fit", "last")
        assert other.get() == "last"
        assert isinstance(stuck.got[-1], CutOff), "nothing comes after that"


def test_one_that_publishes_what_it_gets_waits_for_room_like_everybody(broker: Broker) -> None:
    with broker.remote(options=Options(queue=1 << 20)) as remote:
        sizes: List[int] = []
        echoed = Queue()

        def echo(message: Any) -> None:
            for _ in range(20):
                remote.put("echo", message)
                sizes.append(remote._out.size)

        remote.listen("echo", echoed)
        remote.listen("fit", Calling(echo))
        assert remote.flush()
        for _ in range(20):
            remote.put("fit", "x" * 50_000)
        assert len(echoed.several(400)) == 400
        assert max(sizes) < (2 << 20), "the limit, and what one thread may be beyond it"


def test_one_may_flush_and_close_its_client(broker: Broker) -> None:
    with broker.remote() as publisher:
        remote, echo = broker.remote(), Queue()
        publisher.listen("echo", echo)
        done = threading.Event()

        def last(message: Any) -> None:
            for k in range(100):
                remote.put("echo", k)
            assert remote.flush()
            remote.put("echo", "last")
            remote.close("echo")
            remote.close()
            done.set()

        remote.listen("fit", Calling(last))
        assert remote.flush()
        publisher.put("fit", 1)
        assert done.wait(DEADLINE)
        assert echo.several(101) == [*range(100), "last"]


def test_one_that_fails_is_hung_up_from_that_stream_only_and_told(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    with broker.remote() as remote:
        events: List[Any] = []

        def put(event: Any) -> None:
            events.append(event)
            if isinstance(event, Message) and event.message == "bad":
                raise OSError("full")

        queue = Calling(put)
        remote.listen("one", queue, events=True)
        remote.listen("two", queue, events=True)
        assert remote.flush()
        remote.put("one", "bad")
        eventually(lambda: events and isinstance(events[-1], CutOff))
        assert events[-1].stream == "one" and events[-1].code == "listener_failed"
        assert remote.flush()
        remote.put("one", "unheard")
        remote.put("two", "heard")
        eventually(lambda: events[-1] == Message("two", "heard"))
        assert Message("one", "unheard") not in events
    assert "failed and is hung up" in caplog.text


def test_a_broken_connection_does_not_end_the_program(broker: Broker, script: Callable[..., Any]) -> None:
    ended = script(
        """
import os, signal, socket, msgstream
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
remote = msgstream.RemoteStream()
remote.put("fit", 1)
assert remote.flush()
# As if the broker had ended the connection in the midst of a write.
connection = remote._connection
connection._socket.shutdown(socket.SHUT_WR)
try:
    connection.send("x")
except Exception as error:
    print(type(error).__name__)
remote.close(timeout=1.0)
print("lives")
"""
    )
    assert ended.returncode == 0 and ended.stdout.split() == ["CutShort", "lives"], ended


def test_publishers_that_are_forgotten_give_back_their_threads(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    before = threading.active_count()
    for k in range(20):
        Publisher("fit", broker.address).put(k)
        Job(f"job {k}", server=broker.address).log("hello")
    eventually(lambda: threading.active_count() <= before)
    with broker.listen("job 1") as listener:
        assert isinstance(listener.next(), Header), "all of it was sent before"
    assert caplog.text == "", "nothing has failed"


def test_what_is_put_at_the_moment_at_which_a_client_is_given_up_is_sent(broker: Broker) -> None:
    with broker.remote() as remote:
        remote["fit"] = 0
        assert remote.flush()
        wait_for_work = remote._wait_for_work

        def put_meanwhile() -> bool:
            """Right after the thread has found that nothing is left to do."""
            goes_on = wait_for_work()
            if not goes_on:
                remote._wait_for_work = wait_for_work  # type: ignore[method-assign]
                remote.put("fit", "late", header="late")
            return goes_on

        remote._wait_for_work = put_meanwhile  # type: ignore[method-assign]
        remote.forget()
        eventually(lambda: broker.header_of("fit") == "late")


def test_close_without_a_stream_is_not_close_of_none(broker: Broker) -> None:
    with broker.remote() as remote:
        with pytest.raises(ValueError, match="name of a stream"):
            remote.close(None)
        remote.put("fit", 1)
        assert remote.flush()
