"""The clients of these tests against one broker on its own, under two addresses: they go on, and the checker finds nothing."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Callable, List, Sequence

import pytest

from checker import check
from node import Node
from program import Program
from talk import Client, Listener, Publisher
from waiting import until


@pytest.fixture
def broker(run: Callable[[Program], None], tmp_path: Path) -> Callable[..., Node]:
    def start(**settings: str) -> Node:
        made = Node("alone", tmp_path / "broker", ports=2, settings=settings)
        run(made)
        made.start()
        return made

    return start


def end(broker: Node, publishers: Sequence[Publisher], listeners: Sequence[Listener]) -> List[str]:
    """Has all end, and says what is wrong."""
    for publisher in publishers:
        publisher.finish()
    with Client(broker.address) as client:
        for stream in {listener.stream for listener in listeners}:
            client.do("close", stream=stream, message="over")
    for listener in listeners:
        listener.until_over()
    return check([said for publisher in publishers for said in publisher.said.values()], [listener.heard for listener in listeners])


def test_publishers_and_listeners_have_one_order(broker: Callable[..., Node]) -> None:
    one = broker()
    addresses = one.addresses
    listeners = [Listener(f"listener-{n}", f"s{n % 2}", [addresses[n // 2], addresses[1 - n // 2]]) for n in range(4)]
    for each in listeners:
        each.until_joined()
    publishers = [Publisher(f"p{n}", ["s0", "s1"], addresses, most=2000) for n in range(3)]
    publishers[0].until_confirmed(500)
    late = Listener("late", "s0", addresses, is_whole=False)
    late.until_joined()
    publishers[0].until_confirmed(100)
    for publisher in publishers:
        publisher.until_said()
    assert end(one, publishers, [*listeners, late]) == []
    assert [len(each.heard.messages) for each in listeners] == [3000] * 4
    assert late.last == "over" and late.heard.headers[0][1] is not None
    assert [(p.moves, p.refused, p.forgotten) for p in publishers] == [(0, [], 0)] * 3


def test_they_go_on_when_the_broker_stands_still_for_a_while(broker: Callable[..., Node]) -> None:
    one = broker()
    listeners = [Listener(f"listener-{n}", "s", one.addresses, patience=0.5) for n in range(2)]
    for each in listeners:
        each.until_joined()
    publishers = [Publisher(f"p{n}", ["s"], one.addresses, rate=500, patience=0.5) for n in range(3)]
    for _ in range(3):
        publishers[0].until_confirmed(50)
        moves = [each.moves for each in (*publishers, *listeners)]
        one.stop()
        # They notice, and find nobody at the other address.
        until(lambda: all(each.moves > before for each, before in zip((*publishers, *listeners), moves)), "all try to go on elsewhere")
        one.cont()
        for publisher in publishers:
            publisher.until_confirmed(50)
    assert end(one, publishers, listeners) == []
    assert all(each.joins > 3 for each in listeners) and all(publisher.forgotten == 0 for publisher in publishers)


def test_they_go_on_when_the_broker_is_stopped_and_started(broker: Callable[..., Node], tmp_path: Path) -> None:
    one = broker(store__path=str(tmp_path / "store"))
    listener = Listener("listener", "s", one.addresses)
    listener.until_joined()
    publishers = [Publisher(f"p{n}", ["s"], one.addresses, rate=500) for n in range(3)]
    for _ in range(3):
        publishers[0].until_confirmed(50)
        assert one.terminate() == 0
        one.start()
        for publisher in publishers:
            publisher.until_confirmed(50)
    assert end(one, publishers, [listener]) == []
    assert listener.heard.gaps == [] and all(publisher.forgotten == 0 for publisher in publishers)


def test_a_broker_that_is_killed_forgets_and_that_is_told(broker: Callable[..., Node], tmp_path: Path, seed: int) -> None:
    print(f"NODES_SEED={seed}")
    dice = random.Random(seed)
    one = broker(store__path=str(tmp_path / "store"))
    listeners = [Listener(f"listener-{n}", "s", one.addresses) for n in range(2)]
    for each in listeners:
        each.until_joined()
    publishers = [Publisher(f"p{n}", ["s"], one.addresses, rate=500) for n in range(3)]
    for _ in range(3):
        publishers[0].until_confirmed(dice.randrange(20, 300))
        one.kill()
        one.start()
        for publisher in publishers:
            publisher.until_confirmed(50)
        for listener in listeners:
            listener.until_heard(10)
    found = end(one, publishers, listeners)
    # A session is forgotten if it was there before, so messages may have come twice; and what a gap is as large as is not known.
    assert [each for each in found if "header" not in each] == []
    assert all(len(each.heard.gaps) >= 3 for each in listeners) and all(publisher.forgotten >= 3 for publisher in publishers)


def test_a_publisher_that_dies_leaves_its_will(broker: Callable[..., Node]) -> None:
    one = broker(limits__session_time="1s")
    listeners = [Listener(f"listener-{n}", f"s{n}", one.addresses) for n in range(2)]
    for each in listeners:
        each.until_joined()
    dies, ends = (Publisher(f"p{n}", [f"s{n}"], one.addresses, will=(f"s{n}", "lost"), rate=100) for n in range(2))
    dies.until_confirmed(20)
    ends.until_confirmed(20)
    dies.die()
    listeners[0].until_over()
    assert listeners[0].last == "lost"
    assert end(one, [ends], [listeners[1]]) == []
    assert listeners[1].last == "over"


def test_what_is_refused_is_noted(broker: Callable[..., Node]) -> None:
    one = broker()
    publisher = Publisher("p", ["$x"], one.addresses, most=5)
    publisher.until_said()
    publisher.finish()
    assert [event["message"]["code"] for event in publisher.refused] == ["denied"] * 5
    assert publisher.confirmed == 0


def test_a_client_asks(broker: Callable[..., Node]) -> None:
    one = broker()
    with Client(one.address) as client, Client(one.addresses[1]) as other:
        assert client.do("listen", stream="s")["state"] == "waiting"
        assert other.do("put", stream="s", message=1, header=2)["listeners"] == 1
        heard: Any = client.until_heard(lambda event: event["action"] == "put", "the message")
        assert heard["message"] == 1
        assert one.health() == 200
        assert [each["stream"] for each in one.streams()] == ["s"]
        code, said = one.run("streams")
        assert code == 0 and "s" in said
