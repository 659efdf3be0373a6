"""A space of nodes on NATS servers, and the clients that are at it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from checker import check
from cluster import Cluster
from node import Node, knows_nodes
from place import HERE, Place
from program import Program
from talk import PATIENCE, Address, Client, Event, Listener, Publisher
from waiting import Late, until

#: The stream of JetStream in which the space has its log.
LOG = "msgstream-lab"


class Lab:
    """Nodes are made by name. Everything that is begun here is ended with the test."""

    def __init__(self, cluster: Cluster, folder: Path, settings: Mapping[str, object], run: Callable[[Program], None]) -> None:
        self.cluster, self._folder, self._settings, self._run = cluster, folder, settings, run
        self.nodes: List[Node] = []
        self.publishers: List[Publisher] = []
        self.listeners: List[Listener] = []

    def make(self, name: str, place: Place = HERE, **settings: object) -> Node:
        """A node that has not begun."""
        node = Node(name, self._folder / name, self.cluster.urls, self.cluster.replicas, place, settings={**self._settings, **settings})
        self._run(node)
        self.nodes.append(node)
        return node

    def two(self) -> Tuple[Node, Node]:
        """Two nodes that are ready."""
        assert knows_nodes(), "this program knows no nodes; run --harness for what needs none"
        north, south = self.make("north"), self.make("south")
        for node in (north, south):
            node.begin()
        for node in (north, south):
            node.until_ready()
        return north, south

    @staticmethod
    def from_(first: Node, *others: Node) -> List[Address]:
        """Addresses, in the order in which a client tries them."""
        return [node.address for node in (first, *others)]

    def publisher(self, name: str, streams: Sequence[str], nodes: Sequence[Node], **more: Any) -> Publisher:
        self.publishers.append(Publisher(name, streams, self.from_(*nodes), **more))
        return self.publishers[-1]

    def listener(self, name: str, stream: str, nodes: Sequence[Node], **more: Any) -> Listener:
        """One that has joined."""
        more.setdefault("is_whole", not any(stream in publisher.said for publisher in self.publishers))
        self.listeners.append(Listener(name, stream, self.from_(*nodes), **more))
        self.listeners[-1].until_joined()
        return self.listeners[-1]

    def pairs(self, stream: str, first: Node, second: Node, rate: float, patience: float = PATIENCE, **of_publishers: Any) -> None:
        """A listener and then a publisher at each of two nodes, which know the other. Those of the first have a 0 in their names."""
        ways = [(first, second), (second, first)]
        for number, nodes in enumerate(ways):
            self.listener(f"listener-{number}", stream, nodes, place=nodes[0].place, patience=patience)
        for number, nodes in enumerate(ways):
            self.publisher(f"p{number}", [stream], nodes, place=nodes[0].place, rate=rate, patience=patience, **of_publishers)

    def until_all_go_on(self, deadline: float) -> None:
        """Waits until each publisher has had something confirmed, and each listener has heard something."""
        counts = [publisher.confirmed for publisher in self.publishers], [len(listener.times) for listener in self.listeners]
        everybody = [*self.publishers, *self.listeners]

        def have() -> bool:
            for each in everybody:
                each.must_be_well()
            published = all(each.confirmed > before for each, before in zip(self.publishers, counts[0]))
            return published and all(len(each.times) > before for each, before in zip(self.listeners, counts[1]))

        def standing() -> str:
            publishers = [each.name for each, before in zip(self.publishers, counts[0]) if each.confirmed <= before]
            listeners = [each.name for each, before in zip(self.listeners, counts[1]) if len(each.times) <= before]
            return ", ".join(publishers + listeners)

        try:
            until(have, "all go on", deadline)
        except Late:
            clients = "; ".join(f"{each.name} at {each.address}, after {each.failures[-2:]}" for each in everybody)
            nodes = "; ".join(f"{node.name} at {node.address}: {node.health_in_words()}" for node in self.nodes)
            servers = "; ".join(f"{server.name}: {server.log_in_words(LOG)}" for server in self.cluster.servers)
            raise Late(f"in {deadline:.0f} s these did not go on: {standing()}\n{clients}\n{nodes}\n{servers}") from None

    def finish(self, at: Node) -> None:
        """Has all publishers end and all streams be closed, waits until all listeners know, and checks everything."""
        for publisher in self.publishers:
            if publisher.is_running:
                publisher.finish()
        until(lambda: self._close(at), "all streams are closed")
        for listener in self.listeners:
            listener.until_over()
        self.check()

    def _close(self, at: Node) -> bool:
        try:
            with Client(at.address, at.place, patience=PATIENCE) as client:
                for stream in sorted({listener.stream for listener in self.listeners}):
                    client.do("close", stream=stream, message="over")
        except OSError:
            # As long as NATS elects, a node may have its clients connect again.
            return False
        return True

    def check(self) -> None:
        found = check([said for each in self.publishers for said in each.said.values()], [each.heard for each in self.listeners])
        assert found == [], f"{len(found)} complaints: " + "\n".join(found[:20])
        assert [(each.name, each.refused[:3]) for each in self.publishers if each.refused] == []
        assert [each.name for each in self.publishers if each.forgotten] == [], "sessions were forgotten"

    @property
    def gaps(self) -> int:
        """How many gaps the listeners were told of."""
        return sum(len(listener.heard.gaps) for listener in self.listeners)

    def in_numbers(self) -> str:
        heard = sum(len(listener.times) for listener in self.listeners)
        moves = sum(each.moves for each in (*self.publishers, *self.listeners))
        return f"{sum(each.confirmed for each in self.publishers)} messages confirmed, {heard} heard, {moves} connections lost, {self.gaps} gaps told"


def stands(node: Node, stream: str) -> Dict[str, object]:
    """How a stream stands at a node, and its last messages there: all but the age, which goes on."""
    with Client(node.address, node.place) as client:
        receipt: Event = client.do("listen", stream=stream, last=5)
        client.do("ping")
        events = client.events
    told = {key: value for key, value in receipt.items() if key not in ("age", "receipt", "action")}
    # What came before the receipt is the header, and the rest is the last messages and the end.
    return {**told, "events": events}


def agreed(stream: str, *nodes: Node) -> Dict[str, object]:
    """How a stream stands, once it does so at all nodes: what was done at one is a moment later at another."""

    def same() -> Optional[Dict[str, object]]:
        try:
            all_of_them = [stands(node, stream) for node in nodes]
        except OSError:
            # As long as NATS elects, a node may turn its clients away.
            return None
        return all_of_them[0] if all(each == all_of_them[0] for each in all_of_them) else None

    return until(same, f"{stream} stands the same at {', '.join(node.name for node in nodes)}")
