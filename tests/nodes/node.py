"""The program as one of several nodes, or on its own."""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from place import HERE, Place, free_port
from program import Program, environment
from talk import Address, Client
from waiting import DEADLINE, until

BIN = os.environ.get("MSGSTREAM_BIN", "")

#: A node of which nothing is heard for this long is gone. Short, since tests wait for it.
LEASE = 4
#: So much is kept of each stream that whoever comes back misses nothing, and sessions wait for longer than any fault lasts.
SETTINGS = {"replay.stream": "32MiB", "limits.session_time": "2min", "outbox.limit": "64MiB"}


class Node(Program):
    """One broker, which keeps its ports from one life to the next. Without ``nats`` it is no node; ``settings`` have two
    underscores for a point."""

    def __init__(
        self,
        name: str,
        folder: Path,
        nats: Sequence[str] = (),
        replicas: int = 1,
        place: Place = HERE,
        ports: int = 1,
        settings: Optional[Mapping[str, object]] = None,
    ) -> None:
        super().__init__(name, folder, place)
        self.addresses = [Address(place.address, 7342 + number if place.is_apart else free_port()) for number in range(ports)]
        self.http = 7380 if place.is_apart else free_port()
        values: Dict[str, object] = {"log.level": "debug", "http.listen": [f"{place.address}:{self.http}"], **SETTINGS}
        # Nobody but us can reach a machine of ours.
        values.update({"auth.allow_anonymous": True} if place.is_apart else {})
        values["listen"] = [str(address) for address in self.addresses]
        if nats:
            values.update({"nodes.nats": list(nats), "nodes.space": "lab", "nodes.name": name})
            values.update({"nodes.replicas": replicas, "nodes.lease": f"{LEASE}s"})
        values.update({key.replace("__", "."): value for key, value in (settings or {}).items()})
        text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
        (folder / "msgstream.toml").write_text(text)

    @property
    def address(self) -> Address:
        return self.addresses[0]

    def begin(self) -> None:
        assert BIN, "run tests/nodes/run, or set MSGSTREAM_BIN to the program"
        self.spawn(BIN, "serve", "--config", str(self.folder / "msgstream.toml"), environment=environment())

    def start(self, deadline: float = DEADLINE) -> None:
        """Starts it, and waits until it answers."""
        self.begin()
        self.until_ready(deadline)

    def until_ready(self, deadline: float = DEADLINE) -> None:
        def answers() -> bool:
            self.must_be_alive()
            try:
                with Client(self.address, self.place, patience=1) as client:
                    return bool(client.ask("ping")["action"] == "pong")
            except OSError:
                return False

        until(answers, f"{self.name} answers", deadline)

    def health(self) -> Optional[int]:
        """The status of /healthz, or nothing if there is no answer."""
        answer = self.place.http(self.place.address, self.http, "/healthz")
        return answer[0] if answer else None

    def health_in_words(self) -> str:
        answer = self.place.http(self.place.address, self.http, "/healthz")
        return answer[1].decode().strip() if answer else "no answer"

    def streams(self) -> List[Dict[str, object]]:
        """What the node says of all streams."""
        answer = self.place.http(self.place.address, self.http, "/api/streams", timeout=10)
        assert answer and answer[0] == 200, answer
        told: List[Dict[str, object]] = json.loads(answer[1])
        return told

    def run(self, *words: str, deadline: float = DEADLINE) -> Tuple[int, str]:
        """A command of the program that is spoken to this node: how it ended, and what it said."""
        command = self.place.command(BIN, *words, "--server", str(self.address))
        done = subprocess.run(
            command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=deadline
        )
        return done.returncode, done.stdout


def knows_nodes() -> bool:
    """Whether the program has nodes at all."""
    command = [BIN, "serve", "--check"]
    checked = subprocess.run(command, env=environment(MSGSTREAM_NODES__NATS="nats://127.0.0.1:4222"), capture_output=True, timeout=20)
    return checked.returncode == 0


class Stopwatch:
    """How long something took."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self) -> float:
        return time.monotonic() - self._began
