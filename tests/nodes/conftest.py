"""What the tests share: programs that are ended after each test, and whose last words are shown if it fails."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Callable, Iterator, List, Sequence

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from cluster import Cluster  # noqa: E402
from place import HERE, Network, Place  # noqa: E402
from lab import Lab  # noqa: E402
from program import Program, last_words  # noqa: E402
from talk import Runner  # noqa: E402

_running: List[Program] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[None]") -> Iterator[None]:
    report = yield
    if report.failed and _running:  # type: ignore[attr-defined]
        report.sections.append(("last words", last_words(_running)))  # type: ignore[attr-defined]
    return report


@pytest.fixture(autouse=True)
def everything_ends() -> Iterator[None]:
    yield
    _end()


def _end() -> None:
    while Runner.begun:
        Runner.begun.pop().abandon()
    while _running:
        _running.pop().close()


@pytest.fixture
def run() -> Callable[[Program], None]:
    """Has a program ended after the test."""
    return _running.append


@pytest.fixture
def cluster(tmp_path: Path) -> Callable[..., Cluster]:
    """Starts NATS servers: ``cluster(3)``."""

    def start(servers: int = 1, places: Sequence[Place] = ()) -> Cluster:
        made = Cluster(tmp_path, places or [HERE] * servers)
        _running.extend(made.servers)
        made.start()
        made.until_ready()
        return made

    return start


@pytest.fixture
def network() -> Iterator[Callable[..., Network]]:
    """Makes networks: ``network("a", "b")``."""
    if os.geteuid() != 0:
        pytest.skip("networks of our own need root")
    made: List[Network] = []

    def make(*names: str) -> Network:
        made.append(Network(names))
        return made[-1]

    yield make
    _end()
    for each in made:
        each.close()


@pytest.fixture
def lab(cluster: Callable[..., Cluster], tmp_path: Path) -> Callable[..., Lab]:
    """Makes a space: ``lab(3)`` is one of two nodes on three NATS servers."""

    def make(servers: int = 1, places: Sequence[Place] = (), **settings: str) -> Lab:
        return Lab(cluster(servers, places), tmp_path, settings, _running.append)

    return make


@pytest.fixture
def say(capsys: "pytest.CaptureFixture[str]") -> Callable[[str], None]:
    """Says something whether or not the test fails."""

    def aloud(text: str) -> None:
        with capsys.disabled():
            print(f"\n  {text}", end="", flush=True)

    return aloud


@pytest.fixture
def seed() -> int:
    """Chance, which can be had again."""
    given = os.environ.get("NODES_SEED")
    return int(given) if given else int.from_bytes(os.urandom(4), "big")
