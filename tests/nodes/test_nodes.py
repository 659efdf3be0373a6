"""Several nodes of one space: one order everywhere, whatever happens to nodes, to NATS and to the network."""

from __future__ import annotations

import concurrent.futures
import json
import os
import queue
import random
import subprocess
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

import pytest

from cluster import NatsServer
from lab import LOG, Lab, agreed, stands
from node import BIN, LEASE, Node, Stopwatch
from place import HERE, Network
from program import Program, environment
from talk import Client, Ended, longest_pause
from waiting import holds_for, until

Say = Callable[[str], None]

#: How long faults go on.
SECONDS = float(os.environ.get("NODES_SECONDS", "120"))
#: Within this all go on after a fault: elections of JetStream, of which there may be several in a row behind a cut, and the lease of a node.
RECOVERY = 90


# One order


def test_two_nodes_have_one_order(lab: Callable[..., Lab]) -> None:
    it = lab(1)
    north, south = it.two()
    for number, nodes in enumerate([(north, south), (south, north)] * 2):
        it.listener(f"listener-{number}", f"s{number // 2}", nodes, patience=60)
    for number in range(4):
        it.publisher(f"p{number}", ["s0", "s1"], [(north, south), (south, north)][number % 2], most=1500, patience=60)
    for number in range(6):
        publisher, some = it.publishers[number % 4], 100 * (number + 1)
        until(lambda: publisher.confirmed >= some, f"{some} messages of {publisher.name} are confirmed")
        it.listener(f"late-{number}", f"s{number % 2}", [(north, south), (south, north)][number // 3], patience=60)
    for publisher in it.publishers:
        publisher.until_said()
    agreed("s0", north, south)
    it.finish(south)
    assert it.gaps == 0 and [each.moves for each in (*it.publishers, *it.listeners)] == [0] * 14
    assert [len(each.heard.messages) for each in it.listeners[:4]] == [3000] * 4
    agreed("s0", north, south)


def test_what_is_done_at_one_node_is_so_at_the_other(lab: Callable[..., Lab]) -> None:
    it = lab(1)
    north, south = it.two()
    with Client(north.address) as a, Client(south.address) as b:
        a.do("header", stream="s", message={"of": 3})
        # Each sees its own actions at once, and the others' soon: a put goes behind all that was before it in the space.
        b.do("put", stream="s", message=1)
        assert agreed("s", north, south)["state"] == "running"
        epoch = a.do("put", stream="s", message=2)["position"]["epoch"]
        assert b.ask("put", stream="s", message=3, of="another")["message"]["code"] == "stale"
        assert b.do("put", stream="s", message=3, of=epoch)["position"] == {"epoch": epoch, "sequence": 3}
        assert b.ask("header", stream="s", message=1, **{"if": "absent"})["message"]["code"] == "stale"
        b.do("listen", stream="s")
        a.do("close", stream="s", message="done")
        assert b.until_heard(lambda event: event["action"] == "close", "the end")["message"] == "done"
        a.do("put", stream="s", message=0)
        assert agreed("s", north, south)["state"] == "ended"
        b.do("header", stream="s", message="again")
        assert a.do("put", stream="s", message=1)["position"]["epoch"] != epoch
        agreed("s", north, south)
        b.do("listen", prefix="")
        a.do("put", stream="new", message=1, header=1)
        b.until_heard(lambda event: event["action"] == "joined" and event["stream"] == "new", "a stream that is new")
        a.do("delete", stream="s")
        b.until_heard(lambda event: event["action"] == "close" and event["stream"] == "s", "that the stream is deleted")
        until(lambda: stands(north, "s")["state"] == "waiting" == stands(south, "s")["state"], "both have forgotten the stream")


def test_receipts_count_the_listeners_of_all_nodes(lab: Callable[..., Lab], say: Say) -> None:
    it = lab(1)
    north, south = it.two()
    for number in range(5):
        it.listener(f"listener-{number}", "s", [(north, south), (south, north)][number % 2])
    took = Stopwatch()

    def counted(client: Client) -> int:
        return int(client.do("put", stream="s", message={"by": "x", "n": 0, "heads": False})["listeners"])

    with Client(north.address) as a, Client(south.address) as b:
        until(lambda: counted(a) == 5 == counted(b), "both count five listeners")
        say(f"all listeners were counted after {took():.2f} s")
        it.listeners.pop().leave()
        took = Stopwatch()
        until(lambda: counted(a) == 4 == counted(b), "both count four listeners")
        say(f"and one fewer after {took():.2f} s")


def test_a_session_goes_on_at_another_node(lab: Callable[..., Lab]) -> None:
    it = lab(1)
    north, south = it.two()
    with Client(north.address) as a, Client(south.address) as b:
        session = "a session of the tests of nodes"
        assert (a.do("session", session=session)["known"], a.do("put", stream="s", message=1)["action"]) == (False, "receipt")
        answer = b.do("session", session=session)
        assert (answer["known"], answer["taken"]) == (True, 1)
        with pytest.raises(Ended, match="taken_over"):
            a.until_heard(lambda event: False, "that the session is another's")
        b.do("put", stream="s", message=2)
        b.end()
    # It ended in order, so it is over.
    with Client(north.address) as a:
        assert a.do("session", session=session)["known"] is False


# Seen to fail: the second time it was a stream that waits, on all nodes.
def test_asking_for_a_stream_leaves_nothing_behind(lab: Callable[..., Lab]) -> None:
    it = lab(1)
    north, south = it.two()
    for _ in range(2):
        answer = north.place.http(north.place.address, north.http, "/api/streams/nobody", RECOVERY)
        assert answer and answer[0] == 404, answer
    with Client(north.address) as client:
        client.do("put", stream="s", message=1)
    until(lambda: names(south) == ["s"], "the other node follows")


def test_spaces_are_apart(lab: Callable[..., Lab]) -> None:
    it = lab(1)
    north, _ = it.two()
    elsewhere = it.make("elsewhere", nodes__space="another")
    elsewhere.start()
    with Client(north.address) as a, Client(elsewhere.address) as b:
        a.do("header", stream="s", message=1)
        b.do("put", stream="t", message=1, header=1)
        assert b.do("listen", stream="s")["state"] == "waiting"
        assert names(north) == ["s"]
        until(lambda: "t" in names(elsewhere), "the other space has its own")


# Faults


class Faults:
    """What is done to nodes and NATS servers. Each says what it did, once it is over, and that it has happened is asserted."""

    def __init__(self, it: Lab, dice: random.Random) -> None:
        self._it, self._dice = it, dice
        self.done: Dict[str, int] = {}

    def round(self, kind: str) -> str:
        how, what = kind.split(" ", 1)
        target = self._target(what)
        assert target.is_alive and target.state() != "T"
        if how == "kill":
            seconds = self._dice.uniform(0.1, 3)
            target.kill()
            assert not target.is_alive
            time.sleep(seconds)
            target.begin()
        else:
            seconds = self._dice.uniform(1, 8)
            target.stop()
            assert target.state() == "T"
            time.sleep(seconds)
            assert target.state() == "T"
            target.cont()
        self.done[kind] = self.done.get(kind, 0) + 1
        return f"{kind} ({target.name}) for {seconds:.1f} s"

    def _target(self, what: str) -> Program:
        if what in ("north", "south"):
            return next(node for node in self._it.nodes if node.name == what)
        leader = self._it.cluster.until_led(LOG)
        if what == "leader":
            return leader
        return self._dice.choice([server for server in self._it.cluster.servers if server is not leader])


KINDS = [f"{how} {what}" for how in ("kill", "stop") for what in ("north", "south", "leader", "follower")]


def test_nothing_is_lost_or_doubled_while_all_kinds_of_things_fail(
    lab: Callable[..., Lab], say: Say, seed: int, request: pytest.FixtureRequest
) -> None:
    say(f"NODES_SEED={seed}")
    dice = random.Random(seed)
    it = lab(3)
    north, south = it.two()
    ways = [(north, south), (south, north)]
    for number in range(4):
        it.listener(f"listener-{number}", f"s{number // 2}", ways[number % 2])
    for number in range(4):
        it.publisher(f"p{number}", ["s0", "s1"], ways[number % 2], rate=100)
    it.until_all_go_on(RECOVERY)
    faults, began, rounds = Faults(it, dice), Stopwatch(), 0
    while began() < SECONDS or len(faults.done) < len(KINDS):
        if rounds % len(KINDS) == 0:
            kinds = dice.sample(KINDS, len(KINDS))
        begun = time.monotonic()
        what = faults.round(kinds[rounds % len(KINDS)])
        rounds += 1
        over = Stopwatch()
        it.until_all_go_on(RECOVERY)
        took = over()
        # One fault at a time: the next comes when there is nothing left of this one.
        for node in (north, south):
            node.until_ready(RECOVERY)
        it.cluster.until_ready()
        if request.config.get_verbosity() > 0:
            paused = max(longest_pause(each.times, begun) for each in (*it.publishers, *it.listeners))
            say(f"{rounds:3} {what}: all went on {took:.1f} s after it was over, the longest pause was {paused:.1f} s; {it.in_numbers()}")
        if rounds % 4 == 0:
            it.listener(f"late-{rounds}", f"s{rounds // 4 % 2}", dice.choice(ways))
    it.finish(north)
    assert set(faults.done) == set(KINDS) and sum(faults.done.values()) == rounds >= len(KINDS)
    say(f"{rounds} faults in {began():.0f} s: {it.in_numbers()}")
    assert all(each.moves > 0 for each in it.publishers)
    agreed("s0", north, south)


def lead(it: Lab, server: NatsServer) -> None:
    """Has a server lead the log of the space, and no other soon after it."""
    times = 0

    def leads() -> bool:
        nonlocal times
        if it.cluster.until_led(LOG) is server:
            times += 1
            return times == 10
        times = 0
        try:
            with it.cluster.servers[-1].connect() as nats:
                nats.request(f"$JS.API.STREAM.LEADER.STEPDOWN.{LOG}")
        except (OSError, ValueError):
            pass
        return False

    until(leads, f"{server.name} leads")


@pytest.mark.parametrize("with_leader, seconds", [(True, 15.0), (False, 8.0)], ids=["with the leader", "without the leader"])
def test_a_node_that_is_cut_off_with_a_minority(
    lab: Callable[..., Lab], network: Callable[..., Network], say: Say, with_leader: bool, seconds: float
) -> None:
    left, right = ["nats-a", "node-a"], ["nats-b", "nats-c", "node-b"]
    net = network(*left, *right)
    it = lab(places=[net["nats-a"], net["nats-b"], net["nats-c"]])
    first, second, third = it.cluster.servers
    # Each knows the servers of both sides.
    north, south = it.make("north", net["node-a"]), it.make("south", net["node-b"])
    for node in (north, south):
        node.start()
    it.pairs("s", north, south, rate=100)
    for number, nodes in enumerate([(north, south), (south, north)]):
        it.publisher(f"q{number}", ["s"], nodes, place=nodes[0].place, rate=100, patience=60)
    it.until_all_go_on(RECOVERY)
    lead(it, first if with_leader else second)
    it.until_all_go_on(RECOVERY)
    cut_off = [publisher for publisher in it.publishers if publisher.name.endswith("0")]
    others = [publisher for publisher in it.publishers if publisher not in cut_off]

    def reach(of: Program, port: int, to: Program) -> bool:
        return of.place.reaches(to.place.address, port)

    net.cut(left, right)
    began = Stopwatch()
    assert not reach(north, second.port, second) and not reach(second, first.port, first) and not reach(south, north.address.port, north)
    assert reach(north, first.port, first) and reach(south, third.port, third) and reach(north, north.address.port, north)
    # What was on its way is not there any more.
    before = [publisher.confirmed for publisher in cut_off]
    it_went_on = False
    while began() < seconds or not it_went_on:
        assert began() < RECOVERY, "the side of most did not go on"
        it_went_on = it_went_on or all(publisher.times[-1] > time.monotonic() - began() + 3 for publisher in others)
        holds_for(0.5, lambda: True, "time passes")
    after = [publisher.confirmed for publisher in cut_off]
    assert after == before, "something was confirmed by a side that has not the most servers"
    say(f"the side of most went on, its longest pause was {max(longest_pause(each.times, time.monotonic() - began()) for each in others):.1f} s")
    until(lambda: north.health() not in (None, 200), "the node that is cut off knows it")
    until(lambda: south.health() == 200, "the side of most is well")
    assert north.health() not in (None, 200)
    assert not reach(north, second.port, second)
    net.heal()
    assert reach(north, second.port, second)
    healed = Stopwatch()
    it.until_all_go_on(RECOVERY)
    say(f"all went on {healed():.1f} s after it was healed")
    until(lambda: north.health() == 200, "the node is well again")
    it.finish(south)
    say(it.in_numbers())
    agreed("s", north, south)


def test_clients_of_a_dead_node_go_on_at_the_other(lab: Callable[..., Lab], say: Say) -> None:
    it = lab(1)
    north, south = it.two()
    # Nobody leaves a node that is only slow.
    it.pairs("s", north, south, rate=200, patience=60)
    it.until_all_go_on(RECOVERY)
    killed = time.monotonic()
    north.kill()
    it.until_all_go_on(RECOVERY)
    until(lambda: time.monotonic() > killed + LEASE + 2, "the node is gone for the other")
    it.until_all_go_on(RECOVERY)
    for each in (*it.publishers, *it.listeners):
        say(f"{each.name}, which was at {'the dead' if each.name.endswith('0') else 'the other'} node: {longest_pause(each.times, killed):.2f} s")
    assert [each.moves > 0 for each in (*it.publishers, *it.listeners)] == [True, False] * 2
    it.finish(south)
    assert it.gaps == 0


def one_through_a_server_that_does_not_lead(it: Lab) -> Tuple[Node, Node, NatsServer]:
    """Two nodes that each hear through one server, and the server of the first: while that stands still, the first is behind."""
    first, second, _ = it.cluster.servers
    north, south = it.make("north", nodes__nats=[first.url]), it.make("south", nodes__nats=[second.url])
    for node in (north, south):
        node.start()
    return north, south, first


def is_read_from(server: NatsServer) -> bool:
    """Whether this server sends the log to two nodes, and no other server does."""
    try:
        with server.connect() as nats:
            told = nats.request(f"$JS.API.CONSUMER.LIST.{LOG}")
    except (OSError, ValueError):
        return False
    senders = [(each.get("cluster") or {}).get("leader") for each in told.get("consumers") or [] if each.get("push_bound")]
    return senders == [server.name] * 2


def stop_one_that_does_not_lead(it: Lab, server: NatsServer) -> None:
    """Another one leads, and sends the log to both nodes."""

    def is_so() -> bool:
        lead(it, it.cluster.servers[1])
        return is_read_from(it.cluster.servers[1])

    until(is_so, "the one that leads is read from")
    server.stop()


# Seen to fail: it was told of a gap, and heard a second time what it had heard.
def test_a_listener_that_is_ahead_of_its_new_node_waits_for_it(lab: Callable[..., Lab]) -> None:
    it = lab(3)
    north, south, first = one_through_a_server_that_does_not_lead(it)
    listener = it.listener("listener", "s", (south, north))
    it.publisher("p", ["s"], (south, north), rate=100)
    it.until_all_go_on(RECOVERY)
    before = stands(north, "s")["position"]
    until(lambda: stands(north, "s")["position"] != before, "the other node follows")
    stop_one_that_does_not_lead(it, first)
    began = Stopwatch()
    listener.until_heard(20)
    moves, joins = listener.moves, listener.joins
    south.kill()
    until(lambda: listener.moves > moves, "it goes to the other node")
    # The node finds another way to NATS after four seconds.
    holds_for(0.5, lambda: listener.joins == joins or began() > 3, "it waits")
    first.cont()
    it.until_all_go_on(RECOVERY)
    it.finish(north)
    assert it.gaps == 0


def test_whoever_asks_a_node_that_is_behind_is_told_what_others_were_told(lab: Callable[..., Lab]) -> None:
    it = lab(3)
    north, south, first = one_through_a_server_that_does_not_lead(it)
    with Client(south.address) as client:
        client.do("header", stream="s", message=1)
        position = client.do("put", stream="s", message=2)["position"]
        agreed("s", north, south)
        stop_one_that_does_not_lead(it, first)
        stopped = Stopwatch()
        client.do("close", stream="s")
        client.do("header", stream="new", message=3)

    def answer(path: str) -> "concurrent.futures.Future[Optional[Tuple[int, bytes]]]":
        return asking.submit(HERE.http, HERE.address, north.http, path, RECOVERY)

    with concurrent.futures.ThreadPoolExecutor() as asking:
        # A browser that has had the end asks no more if it hears that there is nothing behind it.
        of_the_end = f"/api/streams/s/events?after={position['epoch']}.{position['sequence']}.end"
        began = Stopwatch()
        end, new = answer(of_the_end), answer("/api/streams/new")
        holds_for(0.3, lambda: not end.done() and not new.done() or stopped() > 3, "they wait")
        first.cont()
        told, found = end.result(), new.result()
        if began() >= 4:
            # They were not kept waiting for longer, or turned away.
            it.nodes[0].until_ready(RECOVERY)
            told, found = answer(of_the_end).result(), answer("/api/streams/new").result()
        assert told == (204, b"")
        assert found and found[0] == 200 and json.loads(found[1])["header"] == 3, found


def test_a_node_that_stood_still_cuts_its_publishers_off_and_goes_on(lab: Callable[..., Lab], say: Say) -> None:
    it = lab(1)
    north, south = it.two()
    # They would wait for their node for as long as it takes.
    it.pairs("s", north, south, rate=100, patience=60)
    it.until_all_go_on(RECOVERY)
    north.stop()
    began = Stopwatch()
    while began() < LEASE + 4:
        it.publishers[1].until_confirmed(5)
    assert north.state() == "T" and it.publishers[0].moves == 0
    north.cont()
    until(lambda: it.publishers[0].moves > 0, "the publisher is cut off")
    say(f"the publisher was told: {it.publishers[0].failures[0][1]}")
    it.until_all_go_on(RECOVERY)
    it.finish(north)
    assert it.gaps == 0
    agreed("s", north, south)


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_without_nats_publishers_wait(lab: Callable[..., Lab], say: Say, how: str) -> None:
    it = lab(1)
    north, south = it.two()
    it.pairs("s", north, south, rate=200, patience=60)
    it.until_all_go_on(RECOVERY)
    until(lambda: (north.health(), south.health()) == (200, 200), "both are well")
    server = it.cluster.servers[0]
    server.kill() if how == "kill" else server.stop()
    began = Stopwatch()
    # Only what NATS had taken is confirmed, and nobody is told anything.
    confirmed: List[int] = []

    def is_quiet() -> bool:
        confirmed.append(sum(each.confirmed for each in it.publishers))
        return len(confirmed) > 50 and confirmed[-50] == confirmed[-1]

    until(is_quiet, "nothing is confirmed")
    # Whoever asks is not kept waiting until NATS is back.
    answer = HERE.http(HERE.address, north.http, "/api/streams/nobody", RECOVERY)
    assert answer and answer[0] == 503 and b"does not hear the others" in answer[1], answer
    answer = HERE.http(HERE.address, north.http, "/api/streams", RECOVERY)
    assert answer and answer[0] == 503 and b"does not hear the others" in answer[1], answer
    until(lambda: north.health() not in (None, 200) and south.health() not in (None, 200), "both say that they are not well")
    say(f"/healthz says so after {began():.1f} s")
    while began() < 10:
        holds_for(0.5, lambda: sum(each.confirmed for each in it.publishers) == confirmed[-1], "nothing is confirmed")
        assert [each.moves for each in it.listeners] == [0, 0]
    server.begin() if how == "kill" else server.cont()
    it.cluster.until_ready()
    back = Stopwatch()
    it.until_all_go_on(RECOVERY)
    until(lambda: (north.health(), south.health()) == (200, 200), "both are well")
    say(f"all went on {back():.1f} s after NATS was there again")
    it.finish(north)
    assert it.gaps == 0


# Wills


def test_the_will_of_a_publisher_that_dies_with_its_node(lab: Callable[..., Lab], say: Say) -> None:
    session = 6
    it = lab(1, limits__session_time=f"{session}s")
    north, south = it.two()
    lost, moves = it.listener("lost", "s0", (south, north)), it.listener("moves", "s1", (south, north))
    dies = it.publisher("dies", ["s0"], (north, south), will=("s0", "lost"), rate=50)
    it.publisher("moves", ["s1"], (north, south), will=("s1", "lost"), rate=50)
    it.until_all_go_on(RECOVERY)
    dies.rest()
    dies.until_rested()
    north.kill()
    took = Stopwatch()
    dies.die()
    lost.until_over()
    say(f"the will was told after {took():.1f} s, with a session time of {session} s and a lease of {LEASE} s")
    assert lost.last == "lost" and took() > session - 0.5
    # The other has come to the second node in time, and goes on beyond the time in which its will would have been told.
    while took() < session + LEASE + 6:
        it.publishers[1].until_confirmed(5)
        assert not moves.heard.is_over
    it.publishers[1].finish()
    with Client(south.address) as client:
        client.do("close", stream="s1", message="over")
    moves.until_over()
    assert moves.last == "over"
    it.check()
    assert stands(south, "s0")["state"] == "ended"


def test_a_will_without_a_session_is_told_when_the_connection_ends(lab: Callable[..., Lab]) -> None:
    it = lab(1)
    north, south = it.two()
    with Client(south.address) as listener:
        listener.do("listen", stream="s")
        client = Client(north.address)
        client.do("will", stream="s", message="lost")
        client.end(in_order=False)
        assert listener.until_heard(lambda event: event["action"] == "close", "the will")["message"] == "lost"


# Nodes that come and go


def filled(at: Node) -> List[str]:
    """Streams of all kinds: their names."""
    with Client(at.address) as client:
        for number in range(30):
            client.do("put", stream=f"running-{number}", message={"step": number}, header={"of": number})
            client.do("put", stream=f"running-{number}", message={"step": number + 1})
        client.do("header", stream="ended", message=1)
        client.do("close", stream="ended", message="done")
        client.do("close", stream="ended without a word")
        client.do("put", stream="without header", message=1)
        client.do("header", stream="again", message=1)
        client.do("close", stream="again", message="first")
        client.do("header", stream="again", message=2)
        client.do("header", stream="deleted", message=1)
        client.do("delete", stream="deleted")
    return [f"running-{number}" for number in range(30)] + ["ended", "ended without a word", "without header", "again"]


def names(node: Node) -> List[str]:
    return sorted(str(each["stream"]) for each in node.streams() if not str(each["stream"]).startswith("$"))


def test_a_node_that_comes_late_has_everything(lab: Callable[..., Lab]) -> None:
    it = lab(1)
    north, south = it.two()
    streams = filled(north)
    it.listener("first", "s", (north, south))
    it.publisher("p", ["s"], (south, north), rate=200)
    it.until_all_go_on(RECOVERY)
    late = it.make("late")
    late.start()
    it.listener("at the late one", "s", (late,))
    it.publisher("q", ["s"], (late,), rate=200)
    it.until_all_go_on(RECOVERY)
    until(lambda: sorted({*streams, "s"}) == names(late) == names(north), "both list all streams")
    for stream in streams:
        agreed(stream, late, north, south)
    # A listener that has its position from another node goes on there.
    late.terminate()
    late.start()
    it.until_all_go_on(RECOVERY)
    it.finish(late)
    assert it.gaps == 0


def test_a_log_that_is_full_forgets_what_all_have(lab: Callable[..., Lab], say: Say) -> None:
    """So much is said that the log cannot keep it. Nodes that begin then have everything nevertheless."""
    it = lab(1, nodes__log="16MiB", replay__stream="1MiB")
    north, south = it.two()
    streams = filled(south)
    before = {stream: agreed(stream, north, south) for stream in streams}
    it.listener("listener", "s", (south, north))
    it.publisher("p0", ["s"], (north, south), most=1500, filler=16000)
    it.publishers[0].until_confirmed(200)
    north.kill()
    it.publishers[0].until_said(120)
    it.publisher("p1", ["s"], (south,), most=1500, filler=16000)
    it.publishers[1].until_said(120)
    took = Stopwatch()
    north.start()
    say(f"a node that has missed 40 MB was there after {took():.1f} s")
    late = it.make("late")
    took = Stopwatch()
    late.start()
    say(f"a new node was there after {took():.1f} s")
    for node in (north, late):
        assert {stream: stands(node, stream) for stream in streams} == before
    agreed("s", north, south, late)
    it.finish(late)
    assert it.gaps == 0


def test_a_node_that_is_stopped_in_order_loses_nothing(lab: Callable[..., Lab], say: Say) -> None:
    session = 4
    it = lab(1, limits__session_time=f"{session}s")
    north, south = it.two()
    it.pairs("s", north, south, rate=200, will=("s", "lost"))
    it.until_all_go_on(RECOVERY)
    stopped = time.monotonic()
    assert north.terminate() == 0
    took = Stopwatch()
    while took() < session + LEASE + 3:
        it.publishers[0].until_confirmed(5)
    say(f"the longest pause was {max(longest_pause(each.times, stopped) for each in (*it.publishers, *it.listeners)):.2f} s")
    assert all(not listener.heard.is_over for listener in it.listeners)
    north.start()
    it.until_all_go_on(RECOVERY)
    it.finish(north)
    assert it.gaps == 0 and [listener.last for listener in it.listeners] == ["over"] * 2


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_all_nodes_are_started_again(lab: Callable[..., Lab], how: str) -> None:
    it = lab(1)
    north, south = it.two()
    streams = filled(south)
    before = {stream: agreed(stream, north, south) for stream in streams}
    it.pairs("s", north, south, rate=200)
    it.until_all_go_on(RECOVERY)
    for node in (north, south):
        node.kill() if how == "kill" else node.terminate()
    for node in (north, south):
        node.begin()
    for node in (north, south):
        node.until_ready()
    it.until_all_go_on(RECOVERY)
    for node in (north, south):
        assert {stream: stands(node, stream) for stream in streams} == before
    # That no session was forgotten is checked there.
    it.finish(south)
    assert it.gaps == 0


# What there is beside plain lines


def test_nodes_are_told_of(lab: Callable[..., Lab]) -> None:
    it = lab(1)
    north, south = it.two()
    with Client(south.address) as client:
        for name in ("north", "south"):
            client.ask("listen", stream=f"$nodes/{name}")
            client.until_heard(lambda event: event["action"] == "put" and event["stream"] == f"$nodes/{name}", f"how {name} stands")
    for node in (north, south):
        code, said = node.run("nodes")
        assert code == 0 and "north" in said and "south" in said, said


def test_the_clients_go_on_at_another_node(lab: Callable[..., Lab]) -> None:
    import msgstream

    it = lab(1)
    north, south = it.two()
    both = f"{north.address},{south.address}"
    events: "queue.Queue[Any]" = queue.Queue()
    job, remote = msgstream.RemoteStream(both), msgstream.RemoteStream(both)
    command = HERE.command(BIN, "listen", "job", "--server", both, "--json", "--reconnect")
    by_program = subprocess.Popen(command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    command = HERE.command(BIN, "put", "job", "--server", both)
    lines = subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
    try:
        remote.listen("job", events, events=True)
        job.header("job", {"of": 300})
        job.flush()
        with Client(south.address) as client:
            until(lambda: client.do("put", stream="job", message="begin")["listeners"] >= 2, "both listen")
        assert lines.stdin is not None
        for number in range(300):
            job.put("job", {"job": number})
            lines.stdin.write(json.dumps({"put": number}) + "\n")
            lines.stdin.flush()
            if number == 100:
                job.flush()
                north.kill()
        job.flush()
        lines.stdin.close()
        assert lines.wait(30) == 0
        job.close("job", "complete")
        job.flush()
        assert job.dropped == 0
        heard: List[Any] = []
        while not heard or not isinstance(heard[-1], msgstream.Ended):
            heard.append(events.get(timeout=30))
        assert [event for event in heard if isinstance(event, msgstream.Lost)] == []
        said, _ = by_program.communicate(timeout=30)
        printed = [json.loads(line) for line in said.splitlines()]
    finally:
        for process in (by_program, lines):
            process.kill()
            process.wait()
        job.close()
        remote.close()
    for messages in (
        [event.message for event in heard if isinstance(event, msgstream.Message)],
        [event["message"] for event in printed if event["action"] == "put"],
    ):
        for key in ("job", "put"):
            assert [message[key] for message in messages if isinstance(message, dict) and key in message] == list(range(300)), key
