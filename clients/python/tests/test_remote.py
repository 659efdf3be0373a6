"""Publishing and listening as the origin did it, and as a loop, on a broker that is there."""

from __future__ import annotations

import multiprocessing
import queue
import threading
from typing import Any, Dict, List

import pytest

import msgstream
from conftest import DEADLINE, Broker, Queue, eventually
from msgstream import BrokerError, Closed, CutOff, Disconnected, EncodeError, Ended, Event, Header, Lost, Message, Options, RemoteStream, Undecodable, aio


def test_a_queue_gets_the_header_then_each_message_then_the_end(broker: Broker) -> None:
    with broker.remote() as remote:
        remote["fit"] = {"k": 0}
        fit = Queue()
        remote.listen("fit", fit)
        assert fit.get() == {"k": 0}
        for k in range(3):
            remote.put("fit", k, header={"k": k})
        remote.close("fit", "done")
        assert fit.several(4) == [0, 1, 2, ("closed", "done")]
        late = Queue()
        remote.listen("fit", late)
        assert late.several(2) == [{"k": 2}, ("closed", "done")]
        del remote["fit"]
        assert remote.flush()
        remote.put("fit", "nobody hears it")
        remote["fit"] = "anew"
        remote.listen("fit", late)
        assert late.get() == "anew"


def test_host_and_port_a_socket_or_the_environment_say_where(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSGSTREAM_SERVER", broker.socket)
    clients = [RemoteStream("127.0.0.1", broker.port), RemoteStream(broker.address), RemoteStream(broker.socket), RemoteStream()]
    for at, client in enumerate(clients):
        client["where"] = at
        assert client.flush()
        with msgstream.listen("where", server=str(client.address), timeout=DEADLINE) as listener:
            assert next(listener) == Header("where", at)
        client.close()


def test_several_queues_and_streams_share_one_connection(broker: Broker) -> None:
    with broker.remote() as remote:
        remote["a"], remote["b"] = "A", "B"
        first, both, bare = Queue(), Queue(), queue.Queue()
        remote.listen("a", first)
        assert first.get() == "A"
        remote.put("a", 1)
        remote.listen("a", both)
        remote.put("a", 2)
        remote.listen("b", both, events=True)
        remote.listen("b", bare)
        remote.put("b", 3)
        assert first.several(2) == [1, 2]
        assert both.several(4) == ["A", 2, Header("b", "B"), Message("b", 3)]
        assert [bare.get(timeout=DEADLINE) for _ in range(2)] == ["B", 3]

        remote.hangup("a", first)
        remote.put("a", 4)
        assert both.get() == 4
        remote.hangup(queue=both)
        remote.put("a", 5)
        remote.put("b", 6)
        assert bare.get(timeout=DEADLINE) == 6
        remote.hangup()
        remote.put("b", 7)
        remote.close("b")
        assert remote.flush()
        remote.listen("b", bare)
        # What has no close(message) gets the end as an event.
        assert [bare.get(timeout=DEADLINE) for _ in range(2)] == ["B", Ended("b", None)]
        assert first.items.empty() and both.items.empty() and bare.empty()


def test_the_queues_of_multiprocessing_listen_too(broker: Broker) -> None:
    # Its close() takes no message, and means something else.
    shared: "multiprocessing.Queue[Any]" = multiprocessing.Queue()
    with broker.remote() as remote:
        remote["fit"] = 1
        remote.close("fit", [2])
        remote.listen("fit", shared)
        assert [shared.get(timeout=DEADLINE) for _ in range(2)] == [1, Ended("fit", [2])]
    shared.close()
    shared.join_thread()


def test_what_cannot_listen_is_told_so(broker: Broker) -> None:
    class Awaited:
        async def put(self, message: Any) -> None:
            """As asyncio.Queue has it."""

    with broker.remote() as remote:
        with pytest.raises(TypeError, match=r"needs a method put\(message\)"):
            remote.listen("fit", object())  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="see msgstream.aio"):
            remote.listen("fit", Awaited())
        for name in ("", None, 7):
            with pytest.raises(ValueError, match="the name of a stream"):
                remote.put(name, 1)  # type: ignore[arg-type]
    with pytest.raises(Closed):
        remote.put("fit", 1)
    with pytest.raises(Closed):
        remote.listen("fit", Queue())
    remote.close()


def test_a_queue_that_fails_is_hung_up_and_the_others_go_on(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    class Failing:
        def put(self, message: Any) -> None:
            raise RuntimeError("full up")

    with broker.remote() as remote:
        good = Queue()
        remote["fit"] = 0
        remote.listen("fit", Failing())
        remote.listen("fit", good)
        remote.put("fit", 1)
        assert good.several(2) == [0, 1]
    assert "full up" in caplog.text


def test_a_queue_may_publish(broker: Broker) -> None:
    with broker.remote(options=Options(queue=1, exit_time=DEADLINE)) as remote:
        echoes = Queue()

        class Echo:
            def put(self, message: Any) -> None:
                remote.put("echo", message)

        remote["fit"], remote["echo"] = 0, "ready"
        remote.listen("echo", echoes)
        assert echoes.get() == "ready"
        remote.listen("fit", Echo())
        assert echoes.get() == 0
        remote.put("fit", 1)
        assert echoes.get() == 1


def test_flush_returns_when_all_has_taken_effect(broker: Broker) -> None:
    with broker.remote() as remote:
        for k in range(1000):
            remote["fit"] = k
        assert remote.flush()
        assert broker.listen("fit").next() == Header("fit", 999)


def test_many_threads_publish_in_the_order_of_each(broker: Broker) -> None:
    with broker.remote() as remote:
        remote["fit"] = "ready"
        assert remote.flush()
        listener = broker.joined("fit")

        def publish(who: int) -> None:
            for k in range(2000):
                remote.put("fit", [who, k])

        threads = [threading.Thread(target=publish, args=(who,)) for who in range(4)]
        for thread in threads:
            thread.start()
        seen: Dict[int, int] = {}
        for _ in range(8000):
            event = listener.next(DEADLINE)
            assert isinstance(event, Message)
            who, k = event.message
            assert k == seen.get(who, -1) + 1
            seen[who] = k
        for thread in threads:
            thread.join()


def test_a_loop_sees_typed_events_until_all_streams_have_ended(broker: Broker) -> None:
    with broker.remote() as remote:
        remote["a"] = 1
        remote["b"] = 2
        assert remote.flush()
        listener = broker.listen("a", "b")
        assert [listener.next(), listener.next()] == [Header("a", 1), Header("b", 2)]
        remote.put("a", {"x": "\u00e9 \u2028 \U0001f600"})
        remote.close("a")
        remote.put("b", None)
        remote.close("b", "last")
        assert list(listener) == [
            Message("a", {"x": "\u00e9 \u2028 \U0001f600"}),
            Ended("a"),
            Message("b", None),
            Ended("b", "last"),
        ]
        assert listener.next() is None


def test_a_loop_may_wait_only_so_long_and_go_on(broker: Broker) -> None:
    with broker.remote() as remote, broker.listen("fit", timeout=0.01) as listener:
        with pytest.raises(TimeoutError, match="nothing came within 0.01 s"):
            next(listener)
        remote["fit"] = 1
        remote.flush()
        eventually(lambda: remote.put("fit", 2) or _next(listener), "a message")
    assert list(listener) == []


def _next(listener: Any) -> Any:
    try:
        return next(listener)
    except TimeoutError:
        return None


def test_large_messages_and_odd_names_pass(broker: Broker) -> None:
    with broker.remote() as remote:
        for name in ('a "quoted" \\ name', "\u00e9\u2028\U0001f600", "with\nnewline"):
            remote[name] = name
            remote.flush()
            listener = broker.joined(name)
            large = "x" * (5 << 20)
            remote.put(name, large)
            assert listener.next() == Message(name, large)
            listener.close()


def test_what_cannot_be_decoded_is_shown_as_that(broker: Broker) -> None:
    with broker.remote() as remote:
        remote["fit"] = 0
        fit = Queue()
        remote.listen("fit", fit)
        assert fit.get() == 0
        listener = broker.joined("fit")
        deep = "[" * 100_000 + "]" * 100_000

        class Raw:
            @staticmethod
            def encode(message: Any) -> str:
                return str(message)

            decode = encode

        with broker.remote(codec=Raw) as other:
            other.put("fit", deep)
            other.put("fit", 1)
        event = listener.next()
        assert isinstance(event, Message) and isinstance(event.message, Undecodable) and event.message.text == deep
        assert listener.next() == Message("fit", 1)
        assert fit.get() == event.message
        assert fit.get() == 1


def test_the_codec_can_be_replaced_as_in_the_origin(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    class Backwards:
        @staticmethod
        def encode(message: str) -> str:
            return msgstream.JsonCodec().encode(message[::-1])

        @staticmethod
        def decode(text: str) -> str:
            return str(msgstream.JsonCodec().decode(text))[::-1]

    with broker.remote() as plain:
        monkeypatch.setattr(msgstream, "codec", Backwards)
        with broker.remote() as remote:
            remote["fit"] = "header"
            fit, raw = Queue(), Queue()
            remote.listen("fit", fit)
            assert fit.get() == "header"
            plain.listen("fit", raw)
            assert raw.get() == "redaeh"
            remote.put("fit", "message")
            assert (fit.get(), raw.get()) == ("message", "egassem")
            assert broker.listen("fit").next() == Header("fit", "header")

    class Lines:
        @staticmethod
        def encode(message: Any) -> Any:
            return message

        decode = encode

    with broker.remote(codec=Lines) as remote:
        for wrong, why in [("1\n2", "on several lines"), (b"1", "encoded as bytes"), ("\ud800", "not valid Unicode")]:
            with pytest.raises(msgstream.EncodeError, match=why):
                remote.put("fit", wrong)


def test_nan_is_refused_or_null(broker: Broker) -> None:
    with broker.remote() as remote, pytest.raises(ValueError, match=r"message\.params\[1\] is NaN"):
        remote.put("fit", {"params": [1.0, float("nan")]})
    with broker.remote(nan="null") as remote:
        remote["fit"] = {"params": [1.0, float("nan")]}
        assert remote.flush()
    assert broker.listen("fit").next() == Header("fit", {"params": [1.0, None]})


def test_a_refusal_of_the_broker_is_logged_and_the_rest_goes_on(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    # The client believes that the broker takes larger headers than it does.
    with broker.remote(options=Options(header=4 << 20)) as remote:
        for _ in range(5):
            remote.put("large", 1, header="x" * (2 << 20))
        remote["fit"] = 1
        assert not remote.flush(), "some of it was refused"
        assert remote.flush(), "which is said once"
    refusals = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert len(refusals) == 3 and "limit" in refusals[0] and "(stream 'large')" in refusals[0], refusals


def test_what_cannot_be_sent_is_refused_where_it_is_put(broker: Broker) -> None:
    with broker.remote() as remote:
        for wrong in ("$mine", "caf\udce9.dat", "x" * 1025, "", None):
            for put in (lambda: remote.put(wrong, 1), lambda: remote.header(wrong, 1), lambda: remote.close(wrong), lambda: remote.delete(wrong)):
                with pytest.raises(ValueError, match="name"):
                    put()
        for wrong in ("caf\udce9.dat", "x" * 1025, "", None):
            for listen in (lambda: remote.listen(wrong, Queue()), lambda: msgstream.listen("fit", wrong), lambda: aio.listen(wrong)):
                with pytest.raises(ValueError, match="name"):
                    listen()
        small = [remote.put("fit", k) for k in range(1000)]
        with pytest.raises(EncodeError, match="takes a line of 209715.. bytes, more than 16777216 .*send it in parts"):
            remote.put("fit", "x" * (20 << 20))
        with pytest.raises(EncodeError, match="header takes 2097154 bytes, more than 1048576"):
            remote["fit"] = "x" * (2 << 20)
        assert remote.flush() and remote.dropped == 0 and len(small) == 1000


def test_a_refused_listen_is_told_to_its_queue(away: Broker) -> None:
    broker = away.start(LIMITS__LISTENS="1")
    with broker.remote() as remote:
        fit = Queue()
        remote["b"] = 0
        remote.listen("a", fit)
        remote.listen("b", fit)
        event = fit.get()
        assert isinstance(event, CutOff) and (event.stream, event.code, event.reconnecting) == ("b", "limit", False)
    listener = broker.listen("a", "b")
    assert listener.next() == event
    listener.close()


def test_strict_says_at_once_what_is_wrong(broker: Broker, away: Broker) -> None:
    with pytest.raises(Disconnected, match="cannot connect to 127.0.0.1:1"):
        RemoteStream("127.0.0.1", 1, strict=True)
    with broker.remote(strict=True, options=Options(header=4 << 20)) as remote:
        remote["fit"] = 1
        assert remote.flush()
        remote["large"] = "x" * (2 << 20)
        with pytest.raises(BrokerError, match="limit") as raised:
            remote.flush()
        assert (raised.value.code, raised.value.stream) == ("limit", "large")
        # One refusal is one mistake.
        remote.put("fit", 2)
        assert remote.flush()
    fit = Queue()
    remote = broker.remote(strict=True)
    remote.listen("fit", fit)
    assert fit.get() == 1
    broker.kill()
    event = fit.get()
    assert isinstance(event, msgstream.Lost) and not event.reconnecting
    eventually(lambda: not remote.connected)

    def put() -> bool:
        try:
            remote.put("fit", 2)
            return False
        except Disconnected:
            return True

    eventually(put, "a put that fails")
    with pytest.raises(Disconnected):
        remote.flush()
    with pytest.raises(Disconnected):
        remote.close()


def test_strict_flush_fails_where_nobody_confirms(broker: Broker) -> None:
    remote = broker.remote(strict=True)
    broker.pause()
    remote.put("fit", 1)
    with pytest.raises(Disconnected, match="has not confirmed everything within 0.05 s"):
        remote.flush(0.05)
    broker.resume()
    assert remote.flush()
    remote.close()


def test_events_are_told_from_messages() -> None:
    kinds: List[Event] = [Header("s", 1), Message("s", 1), Ended("s"), CutOff("s", "c", "r"), msgstream.Lost("s", "r")]
    assert all(isinstance(kind, Event) for kind in kinds)
    assert [msgstream.is_last(kind) for kind in kinds] == [False, False, True, True, True]
    assert not msgstream.is_last(msgstream.Lost("s", "r", reconnecting=True))


def test_a_queue_that_exits_is_hung_up_and_the_rest_goes_on(broker: Broker) -> None:
    class Exiting:
        def put(self, message: Any) -> None:
            raise SystemExit

    with broker.remote() as remote:
        remote["fit"] = 0
        other = Queue()
        remote.listen("fit", Exiting())
        remote.listen("fit", other)
        assert remote.flush()
        assert other.get() == 0
        remote.put("fit", 1)
        # The connection has stayed: no Lost, no second header.
        assert other.get() == 1


def test_a_loop_that_ctrl_c_interrupts_misses_nothing(broker: Broker) -> None:
    class Interrupted(msgstream.JsonCodec):
        interrupts = 1

        def decode(self, text: str) -> Any:
            if text == "3" and self.interrupts:
                self.interrupts -= 1
                raise KeyboardInterrupt
            return super().decode(text)

    with broker.remote() as remote:
        remote["fit"] = 0
        assert remote.flush()
        listener = broker.joined("fit", codec=Interrupted())
        for k in range(1, 6):
            remote.put("fit", k, header=k)
        assert remote.flush()
        remote.close("fit")
        seen: List[Any] = []
        with pytest.raises(KeyboardInterrupt):
            for event in listener:
                seen.append(event)
        seen += list(listener)
        assert seen == [*(Message("fit", k) for k in range(1, 6)), Ended("fit")]


def test_another_thread_may_end_a_loop(broker: Broker) -> None:
    with broker.remote() as remote:
        remote["fit"] = 0
        assert remote.flush()
        listener = broker.joined("fit", timeout=None)
        seen: List[Any] = []
        thread = threading.Thread(target=lambda: seen.extend(listener))
        thread.start()
        remote.put("fit", 1)
        eventually(lambda: seen == [Message("fit", 1)])
        listener.close()
        thread.join(DEADLINE / 3)
        assert not thread.is_alive() and seen == [Message("fit", 1)]


def test_a_flush_that_waits_ends_with_its_client(away: Broker) -> None:
    remote = away.remote(options=Options(exit_time=0.01))
    remote.put("fit", 1)
    answers: List[bool] = []
    thread = threading.Thread(target=lambda: answers.append(remote.flush(None)))
    thread.start()
    eventually(lambda: any(getattr(entry, "when_over", None) for entry in list(remote._out.waiting)))
    remote.close()
    thread.join(DEADLINE / 3)
    assert answers == [False]


def test_the_codec_that_was_replaced_counts_also_with_nan(away: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hexadecimal:
        @staticmethod
        def encode(message: Any) -> str:
            return '"' + repr(message).encode().hex() + '"'

        @staticmethod
        def decode(text: str) -> Any:
            return bytes.fromhex(text[1:-1]).decode()

    monkeypatch.setattr(msgstream, "codec", Hexadecimal)
    assert away.remote(nan="null").encoded(float("nan")) == '"6e616e"'
    with pytest.raises(ValueError, match="nan is"):
        away.remote(nan="nil")


def test_a_port_is_a_number() -> None:
    with pytest.raises(msgstream.BadAddress, match="a port from 1 to 65535"):
        RemoteStream("localhost", "7342")  # type: ignore[arg-type]
    with pytest.raises(msgstream.BadAddress, match="is a string"):
        RemoteStream(7342)  # type: ignore[arg-type]
