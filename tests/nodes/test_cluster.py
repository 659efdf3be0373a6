"""The NATS servers and the network that the other tests stand on: what is done to them has happened."""

from __future__ import annotations

import json
from typing import Callable

import pytest

from cluster import Cluster, NatsServer
from nats import NatsError
from place import Network
from waiting import until


def make_stream(server: NatsServer, replicas: int) -> None:
    with server.connect() as nats:
        config = {"name": "msgstream-lab", "subjects": ["msgstream.lab"], "num_replicas": replicas, "storage": "file"}
        nats.request("$JS.API.STREAM.CREATE.msgstream-lab", json.dumps(config).encode())


def put(server: NatsServer) -> int:
    """Has something stored, and says which number it has."""
    with server.connect() as nats:
        return int(nats.request("msgstream.lab", b"x")["seq"])


def puts(server: NatsServer) -> bool:
    try:
        return put(server) > 0
    except (OSError, ValueError):
        return False


def test_one_server_keeps_what_it_has_when_it_is_killed(cluster: Callable[..., Cluster]) -> None:
    servers = cluster(1)
    one = servers.servers[0]
    make_stream(one, 1)
    assert servers.until_led("msgstream-lab") is one
    assert put(one) == 1
    one.kill()
    assert not one.place.reaches(one.place.address, one.port)
    one.begin()
    servers.until_ready()
    assert put(one) == 2


def test_a_question_without_an_answer_fails(cluster: Callable[..., Cluster]) -> None:
    with cluster(1).servers[0].connect() as nats:
        with pytest.raises(NatsError, match="nobody answers"):
            nats.request("nobody")
        with pytest.raises(NatsError, match="not found"):
            nats.request("$JS.API.STREAM.INFO.none")


def test_three_servers_go_on_without_their_leader(cluster: Callable[..., Cluster]) -> None:
    servers = cluster(3)
    make_stream(servers.servers[0], 3)
    first = servers.until_led("msgstream-lab")
    assert put(first) == 1
    # Killed.
    first.kill()
    second = servers.until_led("msgstream-lab", other_than=first)
    until(lambda: puts(second), "the second leader takes what is put")
    first.begin()
    servers.until_ready()
    # Stopped: it is there for the system, and does not answer.
    leader = servers.until_led("msgstream-lab")
    leader.stop()
    third = servers.until_led("msgstream-lab", other_than=leader)
    until(lambda: puts(third), "the third leader takes what is put")
    assert leader.ask("/jsz") is None
    leader.cont()
    servers.until_ready()


def test_a_cut_is_a_cut(cluster: Callable[..., Cluster], network: Callable[..., Network]) -> None:
    net = network("a", "b", "c")
    servers = cluster(places=[net["a"], net["b"], net["c"]])
    one, two, three = servers.servers
    make_stream(one, 3)
    servers.until_led("msgstream-lab")

    def reaches(of: NatsServer, to: NatsServer) -> bool:
        return of.place.reaches(to.place.address, to.port)

    assert reaches(one, two) and reaches(two, one) and reaches(two, three)
    net.cut(["a"], ["b", "c"])
    assert not reaches(one, two) and not reaches(two, one) and not reaches(three, one)
    assert reaches(two, three) and reaches(one, one)
    # The side of most goes on, the other does not.
    until(lambda: servers.leader("msgstream-lab") in (two, three) or None, "a leader on the side of most")
    until(lambda: puts(two), "the side of most takes what is put")
    assert not puts(one)
    net.heal()
    assert reaches(one, two) and reaches(three, one)
    servers.until_ready()
    until(lambda: puts(one), "all take what is put")
    # A link that is down.
    net.unplug("b")
    assert not reaches(one, two) and not reaches(two, three) and reaches(one, three)
    net.plug("b")
    until(lambda: reaches(one, two), "the link is up again")
