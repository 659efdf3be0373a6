"""The brokers: where they are, how they are started on loopback, and how each one is stopped again."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


class Broker:
    """A program that is started afresh for each measurement, so that none inherits another's memory."""

    def __init__(self, name, protocol, port, command, version, package=None):
        self.name, self.protocol, self.port, self.command = name, protocol, port, command
        self.version_command, self.package = version, package
        self.process = None

    def program(self):
        """The path of the program, or None. Debian keeps servers where users' paths do not lead."""
        path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
        return shutil.which(self.command[0], path=path)

    def version(self):
        """What it calls itself, in one line."""
        done = subprocess.run([self.program(), *self.version_command], capture_output=True, text=True, check=False)
        lines = (done.stdout + done.stderr).strip().splitlines()
        return lines[0] if lines else "unknown"

    def __enter__(self):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                raise RuntimeError(f"port {self.port} is in use; {self.name} needs it")
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([self.program(), *self.command[1:]], stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log)
        try:
            self.await_port()
        except BaseException:
            self.__exit__()
            raise
        return self

    def await_port(self):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                self.log.seek(0)
                raise RuntimeError(f"{self.name} ended at once: {self.log.read().decode(errors='replace')[-500:]}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError(f"{self.name} does not listen on port {self.port}")

    def __exit__(self, *_):
        """Ends this process and no other."""
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def brokers(msgstream, relay):
    """All five, with the configuration that stands in `config/`; msgstream has its defaults, and once no window."""
    config = HERE / "config"
    no_window = ["serve", "--config", str(config / "msgstream-no-window.toml")]
    return [
        Broker("relay", "relay", 27000, [str(relay), "27000"], ["--version"]),
        Broker("msgstream", "msgstream", 27342, [str(msgstream), "serve", "--listen", "127.0.0.1:27342"], ["--version"]),
        Broker("msgstream-no-window", "msgstream", 27343, [str(msgstream), *no_window], ["--version"]),
        Broker("redis", "redis", 26379, ["redis-server", str(config / "redis.conf")], ["--version"], "redis-server"),
        Broker("nats", "nats", 24222, ["nats-server", "-c", str(config / "nats.conf")], ["--version"], "nats-server"),
        Broker("mosquitto", "mqtt", 21883, ["mosquitto", "-c", str(config / "mosquitto.conf")], ["-h"], "mosquitto"),
    ]


def install(missing):
    """Installs Debian's packages of the brokers that are not there."""
    packages = [broker.package for broker in missing]
    if not shutil.which("apt-get"):
        raise SystemExit(f"please install {', '.join(packages)}: there is no apt-get here")
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    print(f"installing {', '.join(packages)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([*sudo, "apt-get", "install", "-y", "-q", *packages], check=True, env=environment, stdout=subprocess.DEVNULL)


def build(with_relay=True):
    """Builds the release binary and, if wanted, the relay; returns their paths."""
    # One after the other: an example brings what only tests need, and the program would be built with it, a clock for tests
    # among it. What is measured is what is installed.
    for what in [["--example", "relay"]] * with_relay + [["--bin", "msgstream"]]:
        subprocess.run(["cargo", "build", "--release", "--locked", *what], cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    return target / "msgstream", target / "examples" / "relay"
