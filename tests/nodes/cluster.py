"""Real NATS servers with JetStream: one, or three that are one cluster."""

import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from nats import Nats
from place import HERE, Place, free_port
from program import Program
from waiting import until

#: JetStream elects anew after four to nine seconds, and perhaps more than once.
ELECTION = 90


class NatsServer(Program):
    """One server, which keeps its ports and its store from one life to the next."""

    def __init__(self, name: str, folder: Path, place: Place) -> None:
        super().__init__(name, folder, place)
        self.port, self.monitoring, self.routes = (4222, 8222, 6222) if place.is_apart else (free_port(), free_port(), free_port())
        self.url = f"nats://{place.address}:{self.port}"

    def configure(self, others: Sequence["NatsServer"]) -> None:
        """``others`` are all servers of the cluster, this one included, or nobody."""
        lines = [
            f'server_name: "{self.name}"',
            f'listen: "{self.place.address}:{self.port}"',
            f'http: "{self.place.address}:{self.monitoring}"',
            # More than there is on disk: streams reserve the most that they may take.
            f'jetstream {{ store_dir: "{self.folder / "store"}", max_memory_store: 256MB, max_file_store: 10TB }}',
            'ping_interval: "5s"',
        ]
        if others:
            routes = ", ".join(f'"nats-route://{other.place.address}:{other.routes}"' for other in others)
            lines.append(f'cluster {{ name: "lab", listen: "{self.place.address}:{self.routes}", routes: [{routes}] }}')
        (self.folder / "nats.conf").write_text("\n".join(lines) + "\n")

    def begin(self) -> None:
        self.spawn("nats-server", "-c", str(self.folder / "nats.conf"))

    def ask(self, path: str) -> Optional[Dict[str, Any]]:
        """What its monitoring tells, or nothing if it does not answer."""
        answer = self.place.http(self.place.address, self.monitoring, path)
        if answer is None or answer[0] != 200:
            return None
        told: Dict[str, Any] = json.loads(answer[1])
        return told

    @property
    def is_current(self) -> bool:
        """Whether it has all that it should have of the log. Of a consumer whose node is gone it may say for a minute that it has not."""
        answer = self.place.http(self.place.address, self.monitoring, "/healthz")
        if answer is None:
            return False
        told: Dict[str, Any] = json.loads(answer[1])
        return told.get("status") == "ok" or "JetStream consumer" in str(told.get("error"))

    def connect(self) -> Nats:
        return Nats(self.place, self.place.address, self.port)

    def _detail(self, stream: str) -> Optional[Dict[str, Any]]:
        told = self.ask("/jsz?streams=1&config=1") or {}
        for account in told.get("account_details", []):
            for detail in account.get("stream_detail", []):
                if detail["name"] == stream:
                    found: Dict[str, Any] = detail
                    return found
        return None

    def leads(self, stream: str) -> bool:
        """Whether it holds itself for the leader of a stream."""
        detail = self._detail(stream)
        if detail is None:
            return False
        cluster = detail.get("cluster")
        return cluster is None or bool(cluster.get("leader") == self.name)

    def log_in_words(self, stream: str) -> str:
        """How its copy of a stream stands."""
        detail = self._detail(stream)
        if detail is None:
            return "no answer"
        state = detail["state"]
        leader = (detail.get("cluster") or {}).get("leader")
        return f"leader {leader}, {state['messages']} messages up to {state['last_seq']} of {state['last_ts']}"


class Cluster:
    """All servers."""

    def __init__(self, folder: Path, places: Sequence[Place]) -> None:
        self.servers = [NatsServer(f"nats-{number}", folder / f"nats-{number}", place) for number, place in enumerate(places, 1)]
        for server in self.servers:
            server.configure(self.servers if len(places) > 1 else [])

    @property
    def urls(self) -> List[str]:
        return [server.url for server in self.servers]

    @property
    def replicas(self) -> int:
        return len(self.servers)

    def start(self) -> None:
        for server in self.servers:
            if not server.is_alive:
                server.begin()

    def until_ready(self) -> None:
        """Waits until all servers have a leader and all that they should have, and JetStream answers."""

        def is_ready() -> bool:
            for server in self.servers:
                server.must_be_alive()
            return all(server.is_current for server in self.servers) and (self.replicas == 1 or self.meta_leader() is not None) and self.answers()

        until(is_ready, "JetStream is ready", ELECTION)

    def meta_leader(self) -> Optional[NatsServer]:
        """Who leads JetStream itself, as the most servers say."""
        said = [((server.ask("/jsz") or {}).get("meta_cluster") or {}).get("leader") for server in self.servers]
        for server in self.servers:
            if said.count(server.name) * 2 > len(self.servers):
                return server
        return None

    def answers(self, through: Optional[NatsServer] = None) -> bool:
        """Whether JetStream answers, at all servers or at one."""
        for server in [through] if through else self.servers:
            try:
                with server.connect() as nats:
                    nats.request("$JS.API.INFO")
            except (OSError, ValueError):
                return False
        return True

    def leader(self, stream: str) -> Optional[NatsServer]:
        """Who leads a stream, or nobody at this moment."""
        for server in self.servers:
            if server.is_alive and server.state() != "T" and server.leads(stream):
                return server
        return None

    def until_led(self, stream: str, other_than: Optional[NatsServer] = None) -> NatsServer:
        """Waits until a stream has a leader, and says who."""

        def leader() -> Optional[NatsServer]:
            found = self.leader(stream)
            return found if found is not other_than else None

        return until(leader, f"{stream} has a leader", ELECTION)

    def close(self) -> None:
        for server in self.servers:
            server.close()


def alone(folder: Path) -> Cluster:
    """One server."""
    return Cluster(folder, [HERE])


def three(folder: Path, places: Optional[Sequence[Place]] = None) -> Cluster:
    """Three servers that are one cluster."""
    return Cluster(folder, places or [HERE] * 3)
