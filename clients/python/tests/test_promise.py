"""A job and three listeners behind networks that fail, and a job that is killed at the end: each message once, and the truth about the end.

``MSGSTREAM_FAULTS`` is how many seconds the faults last, ``MSGSTREAM_SEED`` what they are drawn from.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from typing import Any, Callable, Dict, Iterator, List

import msgstream
from conftest import DEADLINE, Broker, program
from msgstream import AnyEvent, Ended, Header, Message, Options, aio
from msgstream.serial import from_wire
from proxy import Proxy

SECONDS = float(os.environ.get("MSGSTREAM_FAULTS", "3"))
SEED = int(os.environ.get("MSGSTREAM_SEED", "1"))

#: Whoever is away for longer than this is lost. No fault lasts as long.
SESSION_TIME = 10

HASTY = Options(first_pause=0.01, longest_pause=0.1)

# About 12 KB a second, so that what the broker keeps is more than what comes while a client pauses, ten seconds at most.
JOB = """
import itertools, sys, time
import msgstream

options = msgstream.Options(first_pause=0.01, longest_pause=0.1)
with msgstream.Job("fit", title="Fit", server=sys.argv[1], options=options) as job:
    for count in itertools.count():
        job.log(str(count))
        if count % 20 == 19:
            assert job.flush(60)
            print(count + 1, flush=True)
        time.sleep(0.01)
"""


def sizes(seed: int) -> Iterator[int]:
    """After how many bytes each connection breaks."""
    chance = random.Random(seed)
    while True:
        yield chance.randrange(300, 300_000)


def disturb(networks: List[Proxy]) -> Dict[str, int]:
    """One fault after another, and how many of each there were."""
    chance = random.Random(SEED)
    faults = {"reset": 0, "refused for a while": 0, "frozen": 0, "frozen, then reset": 0}
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        time.sleep(chance.uniform(0.02, 0.3))
        network, fault = chance.choice(networks), chance.choice(sorted(faults))
        faults[fault] += 1
        if fault.startswith("frozen"):
            network.freeze()
            time.sleep(chance.uniform(0.0, 0.4))
        if fault != "frozen":
            network.refuse()
        if fault == "refused for a while":
            time.sleep(chance.uniform(0.0, 0.6))
        network.allow()
        network.thaw()
    return faults


class Heard:
    """What one listener is told, in a thread of its own."""

    def __init__(self, name: str, follow: "Callable[[str, Heard], None]", address: str) -> None:
        self.name = name
        self.logs: List[int] = []
        self.end: Any = None
        #: Gaps, of which there must be none.
        self.others: List[Any] = []
        self.joined = threading.Event()
        self.thread = threading.Thread(target=follow, args=(address, self), daemon=True)
        self.thread.start()

    def take(self, event: AnyEvent) -> None:
        if isinstance(event, Ended):
            self.end = event.message
        elif isinstance(event, Message) and isinstance(event.message, msgstream.monitor.Log):
            self.logs.append(int(event.message.text))
        elif not isinstance(event, (Header, Message)):
            self.others.append(event)
        self.joined.set()


def in_threads(address: str, heard: Heard) -> None:
    for event in msgstream.listen("fit", server=address, options=HASTY):
        heard.take(event)


def in_asyncio(address: str, heard: Heard) -> None:
    async def follow() -> None:
        async for event in aio.listen("fit", server=address, options=HASTY):
            heard.take(event)

    asyncio.run(follow())


def by_command(address: str, heard: Heard) -> None:
    """The client in Rust."""
    kinds = {"header": Header, "put": Message, "close": Ended}
    command = [program(), "listen", "--reconnect", "--json", "--server", address, "fit"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        complaints = process.stderr

        def gaps() -> None:
            # That the connection failed and is back is said as well, and is no gap.
            heard.others.extend(line for line in complaints if "missing" in line)

        reader = threading.Thread(target=gaps, daemon=True)
        reader.start()
        for line in process.stdout:
            said = json.loads(line, object_hook=from_wire)
            heard.take(kinds[said["action"]](said["stream"], said.get("message")))
        reader.join()


def test_each_message_comes_once_through_all_faults_and_the_end_says_that_the_job_was_lost(away: Broker) -> None:
    away.start(LIMITS__SESSION_TIME=f"{SESSION_TIME}s")
    with contextlib.ExitStack() as stack:
        networks = [stack.enter_context(Proxy(away.port, sizes(SEED + place))) for place in range(4)]
        job = subprocess.Popen([sys.executable, "-c", JOB, networks[0].address], stdout=subprocess.PIPE, text=True)
        try:
            assert job.stdout
            lines = job.stdout
            confirmed = [int(lines.readline())]
            ways = (in_threads, in_asyncio, by_command)
            listeners = [Heard(way.__name__, way, network.address) for way, network in zip(ways, networks[1:])]
            for listener in listeners:
                assert listener.joined.wait(DEADLINE), listener.name
            reader = threading.Thread(target=lambda: confirmed.extend(int(line) for line in lines), daemon=True)
            reader.start()
            faults = disturb(networks)
            assert job.poll() is None
        finally:
            job.kill()
            job.wait()
        reader.join(DEADLINE)
        lines.close()
        for listener in listeners:
            listener.thread.join(DEADLINE + SESSION_TIME)
            assert not listener.thread.is_alive(), listener.name
        resets = sum(network.resets for network in networks)
    for listener in listeners:
        first, last = listener.logs[0], listener.logs[-1]
        assert listener.logs == list(range(first, last + 1)), listener.name
        assert last + 1 >= confirmed[-1], listener.name
        assert not listener.others, listener.name
        assert isinstance(listener.end, msgstream.monitor.Lost), listener.name
    assert len({listener.logs[-1] for listener in listeners}) == 1
    print(f"{[len(listener.logs) for listener in listeners]} messages, {faults}, {resets} resets within the data")
