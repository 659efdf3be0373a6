"""The broker under test, and ways to wait that end."""

from __future__ import annotations

import dataclasses
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional

import pytest

import msgstream
from msgstream import Listener, Options, RemoteStream, access, configuration, lifetime, monitor

if TYPE_CHECKING:
    from certificates import Authority, Certificate

#: No test waits longer than this for something that must come. Machines may be slow; passing tests never wait that long.
DEADLINE = 30.0

#: As the defaults, but so that the tests of silence and absence are quick.
QUICK = Options(first_pause=0.01, longest_pause=0.1, exit_time=DEADLINE)

HERE = Path(__file__).resolve().parent

# In the background of a shell without job control SIGINT is ignored, and so it would be by all programs that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    """Those that take longest begin first, each before a quick one: workers, which take two at a time, share them."""
    longest = [item for item in items if item.get_closest_marker("long")]
    others = [item for item in items if item not in longest]
    items[:] = [each for pair in zip(longest, others) for each in pair] + others[len(longest) :]


def program() -> str:
    """The broker: MSGSTREAM_BIN, or what cargo built in this repository."""
    given = os.environ.get("MSGSTREAM_BIN")
    if given:
        return given
    target = Path(os.environ.get("CARGO_TARGET_DIR") or HERE.parents[2] / "target")
    built = [path for path in (target / kind / "msgstream" for kind in ("debug", "release")) if path.exists()]
    if not built:
        pytest.exit("no broker: run cargo build, or set MSGSTREAM_BIN to the program", returncode=64)
    return str(max(built, key=lambda path: path.stat().st_mtime))


def eventually(condition: Callable[[], Any], what: str = "") -> Any:
    """Waits until a condition holds, and fails when it does not."""
    deadline = time.monotonic() + DEADLINE
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited for {what or condition} in vain"
        pause.wait(0.002)


def unstamped(message: Any) -> Any:
    """A message of a job, or an event with one, without its times and, of an end, its title, which tests would have to know."""
    if isinstance(message, (msgstream.Header, msgstream.Message)):
        return type(message)(message.stream, unstamped(message.message))
    if isinstance(message, monitor.Start):
        return dataclasses.replace(message, started=None)
    if isinstance(message, (monitor.Complete, monitor.Abort, monitor.Error)):
        return dataclasses.replace(message, title=None, started=None, ended=None)
    return message


def held_port() -> socket.socket:
    """A port that nobody else is given as long as this is open, though nobody listens there: tests run beside each other."""
    held = socket.socket()
    # The broker has this too, and so may listen there.
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held


class Broker:
    """A broker of its own for each test, on a port that stays the same when it comes back."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.socket = f"unix:{scratch}/socket"
        self.held = [held_port(), held_port()]
        self.port, self.tls_port = (held.getsockname()[1] for held in self.held)
        #: With one, it also has an address with TLS.
        self.certificate: "Optional[Certificate]" = None
        self.process: Optional["subprocess.Popen[bytes]"] = None
        self.log = open(scratch / "broker.log", "ab")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def tls_address(self) -> str:
        return f"tls://localhost:{self.tls_port}"

    def start(self, **settings: str) -> "Broker":
        """Starts it. Settings are variables without their prefix: ``OUTBOX__LIMIT="1MiB"``."""
        port_file = self.scratch / "port"
        if port_file.exists():
            # A killed broker leaves it.
            port_file.unlink()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MSGSTREAM_")}
        listens = ["--listen", self.address, "--listen", self.socket]
        if self.certificate is not None:
            listens += ["--listen", f"tls://127.0.0.1:{self.tls_port}"]
            settings = {"TLS__CERTIFICATE": str(self.certificate.certificate), "TLS__KEY": str(self.certificate.key), **settings}
        environment = {**kept, **{f"MSGSTREAM_{name}": value for name, value in settings.items()}}
        self.process = subprocess.Popen(
            [program(), "serve", *listens, "--port-file", str(port_file)],
            stderr=self.log,
            env=environment,
        )
        eventually(lambda: port_file.exists() or self.process.poll() is not None, "the broker's port file")
        assert self.process.poll() is None, (self.scratch / "broker.log").read_text()
        return self

    def kill(self) -> None:
        """As a crash does it: nobody is told."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(DEADLINE)

    def stop(self) -> None:
        """As an operator does it."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(DEADLINE)

    def pause(self) -> None:
        """It hangs: connections stay, and nobody answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def remote(self, **more: Any) -> RemoteStream:
        return RemoteStream(self.address, **{"options": QUICK, **more})

    def listen(self, *streams: str, **more: Any) -> Listener:
        return msgstream.listen(*streams, **{"server": self.address, "timeout": DEADLINE, "options": QUICK, **more})

    def joined(self, stream: str, **more: Any) -> Listener:
        """A listener whom the broker knows already, of a stream that has a header."""
        listener = self.listen(stream, **more)
        assert isinstance(listener.next(DEADLINE), msgstream.Header)
        return listener


    def header_of(self, stream: str) -> Any:
        """What somebody gets who joins as soon as there is a header."""

        def header() -> Any:
            with self.listen(stream, timeout=0.1) as listener:
                try:
                    return next(event for event in listener if isinstance(event, msgstream.Header))
                except (TimeoutError, StopIteration):
                    return None

        return unstamped(eventually(header, f"the header of {stream}").message)


class Tokens:
    """The tokens of a broker, as its operator makes them."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def run(self, *arguments: str) -> str:
        environment = {**os.environ, "MSGSTREAM_AUTH__TOKENS": str(self.file)}
        ended = subprocess.run([program(), "token", *arguments], env=environment, capture_output=True, text=True, timeout=DEADLINE)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip()

    def new(self, name: str, *prefixes: str) -> str:
        rights = [word for prefix in prefixes for right in ("--publish", "--listen") for word in (right, prefix)]
        return self.run("new", name, *rights)


@pytest.fixture
def away(tmp_path: Path) -> Iterator[Broker]:
    """A broker that is not there yet, but whose port is known."""
    broker = Broker(tmp_path)
    try:
        yield broker
    finally:
        if broker.process is not None and broker.process.poll() is None:
            broker.resume()
            broker.kill()
        broker.log.close()
        for held in broker.held:
            held.close()


@pytest.fixture
def broker(away: Broker) -> Broker:
    return away.start()


@pytest.fixture
def stored(away: Broker) -> Broker:
    """A broker that can have a store, and is not there yet."""
    told = subprocess.run([program(), "serve", "--help"], capture_output=True, text=True, timeout=DEADLINE)
    if "--store" not in told.stdout:
        pytest.skip("this broker knows no store")
    return away


@pytest.fixture
def authority(tmp_path: Path) -> "Authority":
    """Who makes certificates."""
    from certificates import Authority

    (tmp_path / "certificates").mkdir()
    return Authority(tmp_path / "certificates")


@pytest.fixture
def good(authority: "Authority") -> "Certificate":
    """One of theirs, for this machine."""
    return authority.make("good")


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What whoever runs the tests has in files and variables is not theirs."""
    for variable in (*configuration.VARIABLES.values(), access.VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    monkeypatch.setattr(configuration, "SYSTEM", tmp_path / "none" / "client.toml")


@pytest.fixture(autouse=True)
def no_shared_clients() -> Iterator[None]:
    """The bars of a test share a client, which would wait for that test's broker at the end of all."""
    yield
    bars = sys.modules.get("msgstream.contrib.tqdm")
    for remote in list(bars._remotes.values()) if bars is not None else ():
        remote.close(timeout=0)
    if bars is not None:
        bars._remotes.clear()


class Queue:
    """A queue that a stream can close: what it got, in order, with its end as a pair."""

    def __init__(self) -> None:
        self.items: "queue.Queue[Any]" = queue.Queue()

    def put(self, message: Any) -> None:
        self.items.put(unstamped(message))

    def close(self, message: Any) -> None:
        self.items.put(("closed", message))

    def get(self) -> Any:
        return self.items.get(timeout=DEADLINE)

    def several(self, count: int) -> List[Any]:
        return [self.get() for _ in range(count)]


@pytest.fixture
def script(broker: Broker, tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs a program of its own beside the broker, as its user would."""

    def run(text: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        path = tmp_path / "script.py"
        path.write_text(text)
        full: Dict[str, str] = {**os.environ, "MSGSTREAM_SERVER": broker.address, **environment}
        return subprocess.run(
            [sys.executable, str(path), *arguments], env=full, capture_output=True, text=True, timeout=DEADLINE * 2
        )

    return run


@pytest.fixture
def listener(broker: Broker) -> Listener:
    """Somebody who listens to "fit" since before it began."""
    with broker.remote() as remote:
        remote["fit"] = "ready"
        assert remote.flush()
        return broker.joined("fit")


def messages(listener: Listener) -> List[Any]:
    """The messages of a stream until its end."""
    return [unstamped(event.message) for event in listener if isinstance(event, msgstream.Message)]


def waits_of(monkeypatch: pytest.MonkeyPatch) -> List[float]:
    """What programs have waited in vain for at their ends, from now on."""
    waits: List[float] = []
    monkeypatch.setattr(lifetime, "leaving", lifetime.Leaving())
    spend = lifetime.leaving.spend

    def counted(address: str, waited: float) -> None:
        waits.append(waited)
        spend(address, waited)

    monkeypatch.setattr(lifetime.leaving, "spend", counted)
    return waits
