"""How the bars of tqdm end: as the code around them does, whatever their count."""

from __future__ import annotations

import gc
import io
import signal
from pathlib import Path
from typing import Any, Iterator, List, Optional

import pytest

from conftest import Broker, messages
from msgstream import Listener, Options, RemoteStream
from msgstream.contrib import tqdm as module
from msgstream.contrib.tqdm import tqdm
from msgstream.monitor import Abort, Complete, Error, Progress


def bar(broker: Broker, items: Any = None, **more: Any) -> Any:
    return tqdm(items, file=io.StringIO(), stream="fit", server=broker.address, **more)


def broken(before: int) -> Iterator[int]:
    yield from range(before)
    raise ZeroDivisionError("no more")


def test_an_exception_of_the_iterable_is_an_error(broker: Broker, listener: Listener) -> None:
    with pytest.raises(ZeroDivisionError):
        for _ in bar(broker, broken(3)):
            pass
    *_, progress, end = messages(listener)
    assert progress == Progress(3) and end.reason == "ZeroDivisionError: no more" and "in broken" in end.traceback


def test_an_exception_in_a_block_is_an_error_even_of_a_full_bar(broker: Broker, listener: Listener) -> None:
    with pytest.raises(ZeroDivisionError), bar(broker, range(5)) as full:
        for _ in full:
            pass
        raise ZeroDivisionError("too late")
    *_, progress, end = messages(listener)
    assert progress == Progress(5, 5) and end.reason == "ZeroDivisionError: too late" and "Traceback" in end.traceback


def test_an_exception_in_a_loop_in_a_block_is_named(broker: Broker, listener: Listener) -> None:
    with pytest.raises(ZeroDivisionError), bar(broker, range(5)) as full:
        for k in full:
            1 // (2 - k)
    end = messages(listener)[-1]
    assert isinstance(end, Error) and end.reason.startswith("ZeroDivisionError")


def test_ctrl_c_in_a_block_is_an_abort(broker: Broker, listener: Listener) -> None:
    with pytest.raises(KeyboardInterrupt), bar(broker, total=2) as full:
        full.update(2)
        raise KeyboardInterrupt
    assert messages(listener)[-1] == Abort("interrupted")


def in_turn(*iterables: Any) -> Iterator[Any]:
    for iterable in iterables:
        yield from iterable


@pytest.mark.parametrize("way", ["break", "return", "return a value", "end", "zip", "close", "nested"])
def test_what_is_left_in_order_is_complete(broker: Broker, listener: Listener, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setattr(module, "_GRACE", 0.01 if way == "zip" else 1000.0)

    def work() -> Optional[int]:
        if way == "zip":
            for _ in zip(range(2), bar(broker, range(2))):
                pass
        elif way == "close":
            open_bar = bar(broker, total=5)
            open_bar.update(2)
            open_bar.close()
        else:
            for k in in_turn(bar(broker, range(5))) if way == "nested" else bar(broker, range(5), total=7):
                if way == "break" and k == 2:
                    break
                if way == "return" and k == 2:
                    return None
                if way == "return a value" and k == 2:
                    return k
        return None

    work()
    assert messages(listener)[-1] == Complete()


def test_an_exception_in_a_loop_is_an_error_if_the_program_goes_on(
    broker: Broker, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_GRACE", 0.01)
    with pytest.raises(ZeroDivisionError):
        for k in bar(broker, range(5)):
            1 // (2 - k)
    end = messages(listener)[-1]
    assert isinstance(end, Error) and end.reason.startswith("an exception left the loop at 2 of 5, ")
    assert Path(__file__).name in end.reason


def test_the_next_bar_of_the_stream_does_not_wait_for_the_end_of_the_one_before(
    broker: Broker, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_GRACE", 1000.0)
    with pytest.raises(ZeroDivisionError):
        for k in bar(broker, range(5)):
            1 // k
    again = bar(broker, range(2))
    assert isinstance(messages(listener)[-1], Error)
    late = broker.joined("fit")
    assert list(again) == [0, 1]
    assert messages(late)[-1] == Complete()


@pytest.mark.parametrize(("count", "end"), [(2, Abort("left open at 2 of 5")), (5, Complete())])
def test_what_is_dropped_without_a_word_ends_by_its_count(
    broker: Broker, listener: Listener, monkeypatch: pytest.MonkeyPatch, count: int, end: Any
) -> None:
    monkeypatch.setattr(module, "_GRACE", 0.01)
    bar(broker, total=5).update(count)
    gc.collect()
    assert messages(listener)[-1] == end


def test_close_while_an_exception_is_handled_is_an_error(broker: Broker, listener: Listener) -> None:
    full = bar(broker, total=1)
    with pytest.raises(ZeroDivisionError):
        try:
            full.update(1)
            raise ZeroDivisionError("why")
        finally:
            full.close()
    assert messages(listener)[-1].reason == "ZeroDivisionError: why"


def test_close_at_the_end_of_an_iterator_is_none(broker: Broker, listener: Listener) -> None:
    try:
        raise KeyError
    except KeyError:
        # What is handled all the while says nothing about the bar.
        full = bar(broker, total=1)
        try:
            next(iter([]))
        except StopIteration:
            full.close()
    assert messages(listener)[-1] == Complete()


def test_bars_share_a_connection_and_do_not_wait_for_it(away: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: List[Any] = []
    monkeypatch.setattr(RemoteStream, "flush", lambda *given: waits.append(given))
    bars = [bar(away, range(3), disable=True) for _ in range(3)]
    remotes = {id(each._job.publisher.remote) for each in bars}
    bars[0]._job.publisher.remote.options = Options(exit_time=0.01)
    assert [list(each) for each in bars] == [[0, 1, 2]] * 3
    assert len(remotes) == 1 and waits == []


PROGRAM = """
import os, signal, sys
from msgstream.contrib.tqdm import tqdm

def items():
    yield from range(2)
    {iterable}
    yield 2

def main():
    for k in tqdm(items(), total=3, stream="fit", disable=True):
        if k == 1:
            {body}

bar = tqdm(total=2, stream="fit", disable=True) if "{left}" else None
if bar is not None:
    bar.update(int("{left}" or 0))
    {after}
else:
    main()
"""


def program(iterable: str = "pass", body: str = "pass", left: str = "", after: str = "pass") -> str:
    return PROGRAM.format(iterable=iterable, body=body, left=left, after=after)


@pytest.mark.parametrize(
    ("text", "status", "end"),
    [
        (program(body="1 // 0"), 1, "ZeroDivisionError"),
        (program(body="raise KeyError(k)"), 1, "KeyError: 1"),
        (program(iterable="raise KeyError(7)"), 1, "KeyError: 7"),
        (program(body="os.kill(os.getpid(), signal.SIGINT); signal.pause()"), -signal.SIGINT, "interrupted"),
        (program(iterable="signal.raise_signal(signal.SIGINT)"), -signal.SIGINT, "interrupted"),
        (program(body="sys.exit(3)"), 3, "an exception left the loop at 1 of 3"),
        (program(left="2", after="raise KeyError(7)"), 1, "KeyError: 7"),
        (program(left="1", after="raise KeyError(7)"), 1, "KeyError: 7"),
        (program(left="1", after="signal.raise_signal(signal.SIGINT)"), -signal.SIGINT, "interrupted"),
        (program(left="1"), 0, "left open at 1 of 2"),
        (program(left="2"), 0, None),
        (program(), 0, None),
        (program(body="break"), 0, None),
    ],
)
def test_the_end_of_the_program_is_the_end_of_its_bars(
    broker: Broker, listener: Listener, script: Any, text: str, status: int, end: Optional[str]
) -> None:
    ended = script(text)
    assert ended.returncode == status, ended.stderr
    last = messages(listener)[-1]
    if end is None:
        assert last == Complete()
    elif status in (0, -signal.SIGINT):
        assert last == Abort(end)
    else:
        assert isinstance(last, Error) and last.reason.startswith(end)


FORKED_BAR = """
import os, sys
from msgstream.contrib.tqdm import tqdm
for k in tqdm(range(3), stream="fit", disable=True):
    if k == 1:
        child = os.fork()
        if child == 0:
            sys.exit(0)
        assert os.waitpid(child, 0) == (child, 0)
"""


def test_a_forked_child_does_not_end_the_bar_of_its_parent(broker: Broker, listener: Listener, script: Any) -> None:
    ended = script(FORKED_BAR)
    assert ended.returncode == 0, ended.stderr
    told = messages(listener)
    assert told[-1] == Complete() and not [message for message in told if isinstance(message, Abort)]


