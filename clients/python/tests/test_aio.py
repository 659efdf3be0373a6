"""The asyncio forms, on the real broker."""

from __future__ import annotations

import asyncio
import gc
from typing import Any, Callable, Coroutine, List

import pytest

import msgstream
from conftest import DEADLINE, QUICK, Broker, unstamped, waits_of
from msgstream import CutOff, Disconnected, Ended, Header, Lost, Message, Options, aio
from msgstream.monitor import Abort, Complete, Error, Join, Log, Progress

Main = Callable[[], Coroutine[Any, Any, None]]


def run(main: Main) -> None:
    asyncio.run(asyncio.wait_for(main(), DEADLINE * 2))


def listen(broker: Broker, *streams: str, **more: Any) -> aio.Listener:
    return aio.listen(*streams, **{"server": broker.address, "timeout": DEADLINE, "options": QUICK, **more})


def test_a_loop_sees_all_of_a_job(broker: Broker) -> None:
    async def main() -> None:
        async with aio.Job("fit", "Fit", total=3, server=broker.address, options=QUICK) as job:
            assert await job.flush()
            listener = listen(broker, "fit")
            join = await listener.next()
            assert isinstance(join, Header) and isinstance(join.message, Join)
            for k in range(3):
                await job.progress(k + 1)
            await job.log("line")
            await job.put({"free": 1})
            await job.improvement(1.5)
        events = [event async for event in listener]
        messages = [unstamped(event.message) for event in events if isinstance(event, Message)]
        assert messages[:5] == [Progress(1, 3), Progress(2, 3), Progress(3, 3), Log("line"), {"free": 1}]
        assert messages[-1] == Complete() and events[-1] == Ended("fit")

    run(main)


def test_several_streams_and_a_unix_socket(broker: Broker) -> None:
    async def main() -> None:
        async with aio.Publisher("a", broker.socket, options=QUICK) as a, aio.Publisher("b", remote=a.remote) as b:
            await a.header("A")
            await b.header("B")
            assert await a.flush()
            async with listen(broker, "a", "b", server=broker.socket) as listener:
                assert [await listener.next(), await listener.next()] == [Header("a", "A"), Header("b", "B")]
                await a.put(1, header=1)
                await b.put(2)
                await a.end()
                await b.delete()
                assert [event async for event in listener] == [Message("a", 1), Message("b", 2), Ended("a"), Ended("b")]

    run(main)


def test_to_close_a_publisher_does_not_end_its_stream(broker: Broker) -> None:
    async def main() -> None:
        async with aio.RemoteStream(broker.address, options=QUICK) as remote:
            own, shared = aio.Publisher("own", broker.address, options=QUICK), aio.Publisher("shared", remote=remote)
            for publisher in (own, shared):
                async with publisher:
                    await publisher.header(0)
                    await publisher.close()
            with pytest.raises(msgstream.Closed):
                await own.put(1)
            async with listen(broker, "own", "shared") as listener:
                assert {(await listener.next()).stream for _ in range(2)} == {"own", "shared"}
                await shared.end("over")
                assert await listener.next() == Ended("shared", "over")
                with pytest.raises(TimeoutError):
                    await listener.next(0.1)

    run(main)


@pytest.mark.parametrize(
    ("raised", "message"), [(asyncio.CancelledError, Abort("cancelled")), (KeyError, Error("KeyError")), (None, Complete())]
)
def test_every_way_to_end_is_told(broker: Broker, raised: Any, message: Any) -> None:
    async def job() -> None:
        async with aio.Job("fit", server=broker.address, options=QUICK):
            if raised is not None:
                raise raised

    async def main() -> None:
        task = asyncio.ensure_future(job())
        await asyncio.wait([task])
        assert task.cancelled() or type(task.exception()) is (raised or type(None))

    run(main)
    header = broker.header_of("fit")
    assert type(header) is type(message) and getattr(header, "reason", None) == getattr(message, "reason", None)


def test_what_is_not_entered_says_so() -> None:
    with pytest.raises(RuntimeError, match="Publisher is used with 'async with'"):
        aio.Publisher("fit").remote
    with pytest.raises(RuntimeError, match="Job is used with 'async with'"):
        aio.Job("fit").job
    with pytest.raises(ValueError, match="listen needs the names"):
        aio.listen()


def test_a_full_queue_is_awaited_without_holding_up_the_loop(broker: Broker) -> None:
    async def main() -> None:
        options = Options(queue=20_000, exit_time=DEADLINE)
        async with aio.Publisher("fit", broker.address, options=options) as fit:
            await fit.header("ready")
            assert await fit.flush()
            listener = listen(broker, "fit")
            assert await listener.next() == Header("fit", "ready")
            ticks: List[int] = []

            async def tick() -> None:
                while True:
                    ticks.append(1)
                    await asyncio.sleep(0)

            ticking = asyncio.ensure_future(tick())

            async def publish() -> None:
                for k in range(5000):
                    await fit.put(k)

            publishing = asyncio.ensure_future(publish())
            for k in range(5000):
                assert await listener.next() == Message("fit", k)
            await publishing
            ticking.cancel()
            assert fit.remote.dropped == 0 and ticks
            await listener.close()
            assert await listener.next() is None

    run(main)


def test_both_sides_go_on_when_the_broker_comes_back(broker: Broker) -> None:
    async def main() -> None:
        async with aio.Publisher("fit", broker.address, options=QUICK) as fit:
            await fit.header(0)
            assert await fit.flush()
            listener = listen(broker, "fit")
            assert await listener.next() == Header("fit", 0)
            await asyncio.to_thread(broker.stop)
            await fit.put(1, header=1)
            with pytest.raises(TimeoutError):
                await listener.next(0.05)
            assert listener.trouble is not None
            await asyncio.to_thread(broker.start)
            # One that was started again cannot know what is missing.
            cut = await listener.next()
            assert isinstance(cut, CutOff) and (cut.code, cut.reconnecting, cut.missed) == ("shutdown", True, None)
            assert listener.trouble is None
            event = await listener.next()
            while not isinstance(event, (Header, Message)) or event.message != 1:
                event = await listener.next()
            await fit.end()
        assert [event async for event in listener] == [Ended("fit")]

    run(main)


def test_a_broker_that_hangs_is_noticed(broker: Broker) -> None:
    async def main() -> None:
        options = Options(answer_time=0.1, idle_time=0.05, connect_time=0.2, first_pause=0.01, longest_pause=0.1)
        with broker.remote() as remote:
            remote["fit"] = 0
            assert await asyncio.to_thread(remote.flush)
            async with listen(broker, "fit", options=options) as listener:
                assert await listener.next() == Header("fit", 0)
                with pytest.raises(TimeoutError, match="nothing came"):
                    await listener.next(0.2)
                broker.pause()
                while listener.trouble is None:
                    with pytest.raises(TimeoutError):
                        await listener.next(0.05)
                assert "has not answered" in listener.trouble
                for k in range(3):
                    remote.put("fit", k)
                broker.resume()
                assert [await listener.next() for _ in range(3)] == [Message("fit", k) for k in range(3)]

    run(main)


def test_without_reconnecting_a_loss_is_the_end(away: Broker) -> None:
    async def main() -> None:
        events = [event async for event in listen(away, "fit", reconnect=False)]
        assert len(events) == 1 and isinstance(events[0], Lost) and "cannot connect" in events[0].reason
        with pytest.raises(Disconnected):
            async with aio.Publisher("fit", away.address, strict=True):
                pass

    run(main)
    assert issubclass(aio.RemoteStream, msgstream.RemoteStream)


def test_a_cancelled_wait_loses_nothing_and_several_may_wait(broker: Broker) -> None:
    async def main() -> None:
        with broker.remote() as remote:
            remote["fit"] = -1
            assert await asyncio.to_thread(remote.flush)
            async with listen(broker, "fit") as listener:
                got: List[Any] = []
                for steps in range(40):
                    # Cancelled after each number of turns of the loop: at each place where it waits.
                    waiting = asyncio.ensure_future(listener.next())
                    for _ in range(steps):
                        await asyncio.sleep(0)
                    waiting.cancel()
                    await asyncio.wait([waiting])
                    if not waiting.cancelled():
                        got.append(waiting.result())
                    remote.put("fit", steps)
                # It may have joined as late as now.
                while not got:
                    got.append(await listener.next())
                remote.put("fit", 40)
                while got[-1:] != [Message("fit", 40)]:
                    got.append(await listener.next())
                numbers = [unstamped(event.message) for event in got]
                assert isinstance(got[0], Header) and numbers[1:] == list(range(numbers[1], 41))

                both = [asyncio.ensure_future(listener.next()) for _ in range(2)]
                await asyncio.sleep(0)
                remote.put("fit", "one")
                done, rest = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                remote.put("fit", "two")
                if rest:
                    await asyncio.wait(rest)
                assert {task.result().message for task in both} == {"one", "two"}

    run(main)


def test_to_close_ends_whoever_waits(broker: Broker) -> None:
    async def main() -> None:
        listener = listen(broker, "fit")
        waiting = [asyncio.ensure_future(listener.next()), asyncio.ensure_future(listener.next())]
        with pytest.raises(TimeoutError):
            await listener.next(0.01)
        await listener.close()
        assert [await each for each in waiting] == [None, None]

    run(main)


def test_to_close_ends_at_each_place_where_it_waits(broker: Broker) -> None:
    async def main() -> None:
        for steps in range(60):
            listener = listen(broker, "fit")
            waiting = asyncio.ensure_future(listener.next())
            for _ in range(steps):
                await asyncio.sleep(0)
            await asyncio.wait_for(listener.close(), DEADLINE / 3)
            assert await waiting is None

    run(main)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_a_listener_goes_on_in_another_loop(broker: Broker) -> None:
    with broker.remote() as remote:
        remote["fit"] = 1
        assert remote.flush()
        listener = listen(broker, "fit")

        async def first() -> None:
            assert await listener.next() == Header("fit", 1)
            with pytest.raises(TimeoutError):
                await listener.next(0.0)

        async def second() -> None:
            assert await listener.next() == Message("fit", 2)
            await listener.close()

        run(first)
        remote.put("fit", 2)
        run(second)
        # asyncio warns of the connection that its first loop left behind: here, and not in another test.
        gc.collect()


def test_waiting_takes_no_thread_of_the_loop(broker: Broker) -> None:
    async def main() -> None:
        used: List[Any] = []
        loop = asyncio.get_running_loop()
        original = loop.run_in_executor
        async with aio.Publisher("fit", broker.address, options=Options(queue=1000, exit_time=DEADLINE)) as fit:
            await fit.put("connected")
            assert await fit.flush()
            loop.run_in_executor = lambda *arguments: used.append(arguments) or original(*arguments)  # type: ignore
            await asyncio.gather(*(fit.put("x" * 100) for _ in range(1000)))
            assert await fit.flush() and fit.remote.dropped == 0
            assert used == []

    run(main)


def test_a_strict_client_that_nobody_waits_for_any_more_is_closed(broker: Broker) -> None:
    made: List[Any] = []

    async def main() -> None:
        publisher = aio.Publisher("fit", broker.address, strict=True, options=QUICK)
        make = publisher._make

        def remember() -> Any:
            made.append(make())
            return made[-1]

        publisher._make = remember
        entering = asyncio.ensure_future(publisher.__aenter__())
        await asyncio.sleep(0)
        entering.cancel()
        await asyncio.wait([entering])
        assert entering.cancelled()
        while not made or not made[0]._closed:
            await asyncio.sleep(0.001)

    run(main)


def test_a_client_is_flushed_and_closed_without_holding_up_the_loop(broker: Broker) -> None:
    async def main() -> None:
        async with aio.RemoteStream(broker.address, options=QUICK) as remote:
            turns = 0

            async def turn() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    if turns == 2:
                        broker.resume()
                    await asyncio.sleep(0)

            broker.pause()
            remote["fit"] = 1
            turning = asyncio.ensure_future(turn())
            assert await remote.flush()
            turning.cancel()
            assert turns > 1
        assert broker.header_of("fit") == 1

    run(main)


def test_a_listener_that_nobody_waits_for_any_more_ends_its_connection(broker: Broker) -> None:
    async def main() -> None:
        with broker.remote() as remote:
            remote["fit"] = 1
            assert await asyncio.to_thread(remote.flush)
            for _ in range(3):
                listener = listen(broker, "fit")
                assert await listener.next() == Header("fit", 1)
                with pytest.raises(TimeoutError):
                    await listener.next(0.01)
                del listener
            # Their tasks end by themselves; nothing tells them to but that nobody holds the listeners.
            while len(asyncio.all_tasks()) > 2:
                gc.collect()
                await asyncio.sleep(0.001)

    run(main)


def test_flush_tells_what_was_refused_also_when_nothing_is_left_to_wait_for(broker: Broker) -> None:
    async def main() -> None:
        # The client believes that the broker takes larger headers than it does.
        async with aio.RemoteStream(broker.address, options=Options(header=4 << 20, exit_time=DEADLINE)) as remote:
            remote["large"] = "x" * (2 << 20)
            while not remote._out.empty:
                await asyncio.sleep(0.001)
            assert not await remote.flush() and await remote.flush()

    run(main)


def test_nothing_is_dropped_while_the_first_connection_is_made(broker: Broker) -> None:
    async def main() -> None:
        async with aio.Publisher("fit", broker.address, options=Options(queue=1 << 20, exit_time=DEADLINE)) as fit:
            for _ in range(3):
                await fit.put("x" * (5 << 20))
            assert await fit.flush() and fit.dropped == 0

    run(main)


def test_a_flush_that_is_cancelled_leaves_nothing_behind(away: Broker) -> None:
    async def main() -> None:
        async with aio.RemoteStream(away.address, options=Options(exit_time=0.01)) as remote:
            remote.put("fit", 1)
            size = remote._out.size
            for _ in range(100):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(remote.flush(), 0.001)
                assert not await remote.flush(0.0)
            assert remote._out.size == size

    run(main)


def test_jobs_that_share_a_client_wait_for_no_broker_that_was_never_there(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = waits_of(monkeypatch)

    async def main() -> None:
        async with aio.RemoteStream("127.0.0.1:1", options=Options(exit_time=DEADLINE / 10)) as remote:
            for number in range(3):
                async with aio.Job(f"epoch {number}", remote=remote) as job:
                    await job.progress(1)
                    while not remote._away:
                        await asyncio.sleep(0.001)
            # Each has waited within the budget that all of them share, which was none.
            assert len(waits) == 3 and max(waits) < DEADLINE / 10

    run(main)


def test_a_client_that_would_hold_up_the_loop_is_not_taken(away: Broker) -> None:
    with away.remote() as remote, pytest.raises(TypeError, match="an msgstream.aio.RemoteStream, not msgstream.remote.RemoteStream"):
        aio.Job("fit", remote=remote)


def test_a_listener_that_is_left_in_the_middle_leaves_nothing_open(broker: Broker, script: Callable[..., Any]) -> None:
    with broker.remote() as remote:
        remote["fit"] = 1
        assert remote.flush()
    ended = script(
        """
import asyncio, warnings
from msgstream import aio
warnings.simplefilter("error")
async def main():
    async for event in aio.listen("fit"):
        break
asyncio.run(main())
""",
        PYTHONWARNINGS="error",
    )
    assert ended.returncode == 0 and ended.stderr == "", ended.stderr
