"""A job and three listeners behind networks that fail, and a job that is killed at the end: each message once, and the truth about the end.

``MSGSTREAM_FAULTS`` is how many seconds the faults of each kind last, ``MSGSTREAM_SEED`` what they are drawn from.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest

import msgstream
from certificates import Authority, Certificate
from conftest import DEADLINE, HERE, Broker, Tokens, eventually, program
from msgstream import Ended, Header, Message, Options, aio, monitor
from msgstream.serial import from_wire
from proxy import Proxy

PAGE = HERE.parents[2] / "docs" / "protocol.md"
SECONDS = float(os.environ.get("MSGSTREAM_FAULTS", "1"))
SEED = int(os.environ.get("MSGSTREAM_SEED", "1"))

#: Whoever is away for longer than this is lost. No fault lasts as long.
SESSION_TIME = 10

#: A connection that says nothing is soon given up.
HASTY = Options(first_pause=0.01, longest_pause=0.1, idle_time=0.5, answer_time=0.5)

# About 12 KB a second, so that what the broker keeps is more than what comes while a client pauses, ten seconds at most. It says how far
# it is, and how much it has dropped.
JOB = """
import itertools, sys, time
import msgstream

options = msgstream.Options(first_pause=0.01, longest_pause=0.1, idle_time=0.5, answer_time=0.5)
with msgstream.Job("fit", title="Fit", server=sys.argv[1], options=options) as job:
    for count in itertools.count():
        job.log(str(count))
        if count % 10 == 9:
            print(count, job.publisher.remote.dropped, flush=True)
        time.sleep(0.01)
"""


def reset(network: Proxy, chance: random.Random) -> None:
    network.refuse()
    network.allow()


def refuse(network: Proxy, chance: random.Random) -> None:
    network.refuse()
    time.sleep(chance.uniform(0.0, 0.5))
    network.allow()


def freeze(network: Proxy, chance: random.Random) -> None:
    network.freeze()
    time.sleep(chance.uniform(0.1, 1.0))
    network.thaw()


def freeze_and_reset(network: Proxy, chance: random.Random) -> None:
    network.freeze()
    time.sleep(chance.uniform(0.0, 0.5))
    network.refuse()
    network.allow()
    network.thaw()


Fault = Callable[[Proxy, random.Random], None]

KINDS: Dict[str, List[Fault]] = {
    "resets": [reset, refuse],
    "freezes": [freeze],
    "both": [reset, refuse, freeze, freeze_and_reset],
}


def disturb(network: Proxy, faults: List[Fault], chance: random.Random, end: float) -> None:
    """A fault every 0.2 to 2 s until the end, and each at least once."""
    while faults or time.monotonic() < end:
        for fault in faults:
            time.sleep(chance.uniform(0.2, 2.0))
            fault(network, chance)
        if time.monotonic() >= end:
            return


def sizes(seed: int, most: int) -> Iterator[int]:
    """After how many bytes each connection breaks, wherever in a line that is."""
    chance = random.Random(seed)
    while True:
        yield chance.randrange(300, most)


class Heard:
    """What one listener is told, in a thread of its own."""

    def __init__(self, name: str, follow: "Callable[[str, Heard], None]", address: str) -> None:
        self.name = name
        self.logs: List[int] = []
        self.end: Any = None
        #: Gaps and complaints, of which there must be none.
        self.others: List[Any] = []
        self.thread = threading.Thread(target=follow, args=(address, self), daemon=True)
        self.thread.start()

    def message(self, message: Any) -> None:
        if isinstance(message, monitor.Log):
            self.logs.append(int(message.text))

    def event(self, event: Any) -> None:
        if isinstance(event, Ended):
            self.end = event.message
        elif isinstance(event, Message):
            self.message(event.message)
        elif not isinstance(event, Header):
            self.others.append(event)

    @property
    def latest(self) -> int:
        return self.logs[-1] if self.logs else -1


def in_python(address: str, heard: Heard) -> None:
    for event in msgstream.listen("fit", server=address, options=HASTY):
        heard.event(event)


def by_command(address: str, heard: Heard) -> None:
    """The client in Rust."""
    command = [program(), "listen", "--reconnect", "--json", "--server", address, "fit"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        errors = process.stderr

        def complaints() -> None:
            heard.others.extend(line for line in errors if not re.search("is away: .*; trying again$|has not begun$", line))

        reader = threading.Thread(target=complaints, daemon=True)
        reader.start()
        for line in process.stdout:
            said = json.loads(line, object_hook=from_wire)
            if said["action"] == "put":
                heard.message(said["message"])
            elif said["action"] == "close":
                heard.end = said["message"]
        reader.join()
    if process.returncode != 3:
        heard.others.append(f"exit code {process.returncode}")


def by_the_page(address: str, heard: Heard) -> None:
    """The listener of docs/protocol.md, on a plain socket."""
    text = PAGE.read_text()
    found = re.search(r"### A listener that misses nothing.*?```python\n(.*?)```", text, re.DOTALL)
    assert found
    # What it waits for is shortened, and what it prints is a gap.
    code = found[1].replace("time.sleep(1)", "time.sleep(0.01)").replace("timeout=60", "timeout=1")
    page: Dict[str, Any] = {"print": lambda *told: heard.others.append(told)}
    exec(code, page)
    host, port = address.split(":")
    for message in page["listen"](host, int(port), "fit"):
        heard.message(json.loads(json.dumps(message), object_hook=from_wire))
    # It does not say what the last message was, only that the stream has ended.
    heard.end = monitor.Lost()


def in_asyncio(address: str, heard: Heard) -> None:
    async def follow() -> None:
        async for event in aio.listen("fit", server=address, options=HASTY):
            heard.event(event)

    asyncio.run(follow())


#: Outside its repository the package has no such page.
WAYS: "List[Callable[[str, Heard], None]]" = [in_python, by_command, *([by_the_page] if PAGE.exists() else [])]

#: Those that know TLS and tokens.
SECURE_WAYS = [in_python, by_command, in_asyncio]


def until_all_listen(broker: Broker, count: int, server: str) -> None:
    """Waits until the broker says so."""
    for event in broker.listen("$streams/fit", server=server):
        if isinstance(event, (Header, Message)) and event.message["listeners"] == count:
            return


@pytest.mark.long
@pytest.mark.parametrize(("kind", "tls"), [*((kind, "") for kind in KINDS), ("freezes", "tls://"), ("both", "tls://")])
def test_each_message_comes_once_through_all_faults_and_the_end_says_that_the_job_was_lost(
    kind: str, tls: str, away: Broker, authority: Authority, good: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways, settings = WAYS, {"LIMITS__SESSION_TIME": f"{SESSION_TIME}s"}
    if tls:
        ways, away.certificate, tokens = SECURE_WAYS, good, Tokens(tmp_path / "tokens")
        settings["AUTH__TOKENS"] = str(tokens.file)
        monkeypatch.setenv("MSGSTREAM_CA", str(authority.file))
        monkeypatch.setenv("MSGSTREAM_TOKEN", tokens.new("all", "fit"))
    away.start(**settings)
    # Behind the faults, which break handshakes too.
    port = away.tls_port if tls else away.port
    with contextlib.ExitStack() as stack:
        # Those that freeze only are not to break by themselves.
        cuts = [None if kind == "freezes" else sizes(SEED + place, 20_000 if tls else 300_000) for place in range(4)]
        networks = [stack.enter_context(Proxy(port, cut)) for cut in cuts]
        listeners = [Heard(way.__name__, way, tls + network.address) for way, network in zip(ways, networks[1:])]
        server = f"tls://127.0.0.1:{away.tls_port}" if tls else away.address
        until_all_listen(away, len(ways), server)
        job = subprocess.Popen([sys.executable, "-c", JOB, tls + networks[0].address], stdout=subprocess.PIPE, text=True)
        stack.callback(job.kill)
        assert job.stdout
        lines = job.stdout
        said, dropped = [-1], [0]

        def read() -> None:
            for line in lines:
                count, lost = line.split()
                said.append(int(count))
                dropped.append(int(lost))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        eventually(lambda: said[-1] >= 0, "the job to begin")
        waits = subprocess.Popen([program(), "wait", "--server", server, "fit"], stderr=subprocess.DEVNULL)
        stack.callback(waits.kill)

        end = time.monotonic() + SECONDS
        chances = [random.Random(SEED * 10 + place) for place in range(4)]
        troubles = [
            threading.Thread(target=disturb, args=(network, KINDS[kind], chance, end), daemon=True)
            for network, chance in zip(networks, chances)
        ]
        for trouble in troubles:
            trouble.start()
        for trouble in troubles:
            trouble.join(SECONDS + DEADLINE)
            assert not trouble.is_alive()

        # The job does not wait for a network that is frozen.
        networks[0].freeze()
        point = said[-1]
        eventually(lambda: said[-1] > point + 100, "the job to go on")
        networks[0].thaw()
        # Listeners give a silent connection up: those that can be told to do so soon.
        for network in [network for way, network in zip(ways, networks[1:]) if way is not by_command]:
            made = network.made
            network.freeze()
            eventually(lambda: network.made > made, "another connection")
            network.thaw()

        goal = said[-1]
        for listener in listeners:
            eventually(lambda: listener.latest >= goal, f"{listener.name} to have all")
        assert job.poll() is None
        job.kill()
        job.wait()
        reader.join(DEADLINE)
        lines.close()
        for listener in listeners:
            listener.thread.join(DEADLINE + SESSION_TIME)
            assert not listener.thread.is_alive(), listener.name
        assert waits.wait(DEADLINE) == 3
        resets = sum(network.resets for network in networks)
        made = sum(network.made for network in networks)
    for listener in listeners:
        assert not listener.others, listener.name
        assert listener.logs == list(range(listener.latest + 1)), listener.name
        assert isinstance(listener.end, monitor.Lost), listener.name
    assert len({listener.latest for listener in listeners}) == 1
    assert dropped[-1] == 0
    print(f"{len(listeners[0].logs)} messages, {made} connections, {resets} of them broken within their data")
