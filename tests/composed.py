"""Runs what packaging/docker/compose.nodes.yaml says, on loopback addresses in place of containers: python3 tests/composed.py PROGRAM

Each service has an address of its own, which stands in for its name and for 0.0.0.0. Its command is run as it is, with its variables. Both
nodes have the same streams, and still do when one of the NATS servers is killed. Exits with 99 if something is missing here.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

FILE = pathlib.Path(__file__).resolve().parents[1] / "packaging" / "docker" / "compose.nodes.yaml"
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
#: Beyond it something hangs.
DEADLINE = 60


def until(what, condition):
    """Waits until a condition holds, and returns what it gave."""
    end = time.monotonic() + DEADLINE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise SystemExit(f"in {DEADLINE} s it did not come to it: {what}")
        time.sleep(0.1)


class Services:
    """The services of the file, as processes of this machine."""

    def __init__(self, services, program, folder):
        self.services, self.program, self.folder = services, program, folder
        # Nobody else is likely to use these.
        self.addresses = {name: f"127.77.7.{number}" for number, name in enumerate(services, 1)}
        self.running = {}

    def here(self, name, text):
        """A text of a service with addresses in place of names."""
        text = str(text).replace("0.0.0.0", self.addresses[name]).replace("/data", str(self.folder / name))
        for other, address in self.addresses.items():
            text = text.replace(f"//{other}:", f"//{address}:")
        return text

    def start(self, name):
        service = self.services[name]
        command = [self.here(name, word) for word in service["command"]]
        environment = {"PATH": PATH, "MSGSTREAM_AUTH__ALLOW_ANONYMOUS": "true", "MSGSTREAM_STORE__PATH": "/nonexistent/store"}
        environment.update({key: self.here(name, value) for key, value in service.get("environment", {}).items()})
        if service["image"].startswith("nats:"):
            command = [shutil.which("nats-server", path=PATH), "--addr", self.addresses[name], *command]
        else:
            command = [self.program, *command]
        with open(self.folder / f"{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=self.folder)

    def ask(self, name, *words):
        """A command of the program that is spoken to a node, and what it printed; nothing if it failed."""
        command = [self.program, *words, "--server", f"{self.addresses[name]}:7342"]
        done = subprocess.run(command, env={"PATH": PATH, "XDG_CONFIG_HOME": "/nonexistent"}, capture_output=True, text=True, timeout=DEADLINE)
        return done.stdout if done.returncode == 0 else None

    def kill(self, name):
        self.running[name].kill()
        self.running.pop(name).wait()

    def end(self):
        for process in self.running.values():
            process.kill()
        for process in self.running.values():
            process.wait()

    def logs(self):
        return "".join(f"-- {log.name}\n{log.read_text()}" for log in sorted(self.folder.glob("*.log")))


def play(services):
    nodes = [name for name, service in services.services.items() if service["image"] == "msgstream"]
    servers = [name for name in services.services if name not in nodes]
    assert (nodes, len(servers)) == (["north", "south"], 3), services.services
    # In another order than that of the file: none is needed.
    for name in reversed(services.services):
        services.start(name)

    def all_nodes():
        told = services.ask("north", "nodes", "--json") or ""
        return {json.loads(line)["node"] for line in told.splitlines()} == set(nodes)

    until("both are nodes of one space", all_nodes)
    until("a header is taken", lambda: services.ask("north", "header", "job", "1") is not None)
    until("the other node has it", lambda: services.ask("south", "get", "job") == "1\n")
    services.kill(servers[0])
    until("two servers are enough", lambda: services.ask("south", "header", "job", "2") is not None)
    until("both nodes go on", lambda: services.ask("north", "get", "job") == "2\n")


def main():
    try:
        import yaml
    except ImportError:
        print("python3-yaml is not here: skipped")
        return 99
    if shutil.which("nats-server", path=PATH) is None:
        print("nats-server is not here: skipped")
        return 99
    services = yaml.safe_load(FILE.read_text())["services"]
    with tempfile.TemporaryDirectory() as folder:
        running = Services(services, os.path.abspath(sys.argv[1]), pathlib.Path(folder))
        try:
            play(running)
        except BaseException:
            print(running.logs())
            raise
        finally:
            running.end()
    print("two nodes on three NATS servers, and on two")
    return 0


if __name__ == "__main__":
    sys.exit(main())
