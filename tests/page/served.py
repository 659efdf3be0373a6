"""A broker that serves the page, for one test. This is the only place that knows how its HTTP address is given."""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: A program that serves the page for a broker that cannot: DIR BROKER_PORT_FILE HTTP_PORT_FILE.
BRIDGE = os.environ.get("MSGSTREAM_PAGE_BRIDGE")
#: Beyond it something hangs. A shorter one is for those who break the page to see a test fail.
DEADLINE = float(os.environ.get("MSGSTREAM_PAGE_DEADLINE", "60"))


def until(condition, what, deadline=DEADLINE):
    """Waits until a condition holds, and returns what it gave."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"in {deadline:.0f} s it did not come to it: {what}")
        time.sleep(0.02)


class Served:
    """A broker with the page on a port of its own. ``settings`` are environment variables without their prefix."""

    def __init__(self, folder, **settings):
        self.folder = folder
        self.settings = {f"MSGSTREAM_{name}": value for name, value in settings.items()}
        self._port_file, self._http_file = folder / "port", folder / "http"
        self._broker = self._bridge = None
        self.port = self.http = 0
        self.start()

    def start(self):
        """Starts the broker, on the ports that it had before if it had some."""
        self._port_file.unlink(missing_ok=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MSGSTREAM_")}
        environment.update(self.settings)
        if not BRIDGE:
            self._http_file.unlink(missing_ok=True)
            environment["MSGSTREAM_HTTP__LISTEN"] = f"127.0.0.1:{self.http}"
            environment["MSGSTREAM_HTTP__PORT_FILE"] = str(self._http_file)
        command = [os.environ["MSGSTREAM_BIN"], "serve", "--listen", f"127.0.0.1:{self.port}", "--port-file", str(self._port_file)]
        with open(self.folder / "broker.log", "ab") as log:
            self._broker = subprocess.Popen(command, env=environment, stderr=log)
        if BRIDGE and self._bridge is None:
            page = ROOT / "src" / "broker" / "http" / "page"
            self._bridge = subprocess.Popen([*BRIDGE.split(), str(page), str(self._port_file), str(self._http_file)])
        self.port = int(until(lambda: self._read(self._port_file), "the broker has a port").split()[0])
        address = until(lambda: self._read(self._http_file), "the page has an address").split()[0]
        self.http = int(address.rsplit(":", 1)[-1])

    def _read(self, path):
        if self._broker.poll() is not None:
            raise AssertionError(f"the broker has ended: {(self.folder / 'broker.log').read_text()}")
        return path.read_text() if path.exists() else ""

    def kill(self):
        """Kills the broker, without a chance to say anything."""
        self._broker.kill()
        self._broker.wait()

    def stop(self):
        """Stops the broker as a service manager does."""
        self._broker.terminate()
        self._broker.wait()

    def close(self):
        for process in (self._broker, self._bridge):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.http}/"


if __name__ == "__main__":
    sys.exit("this is a part of the tests: tests/page/run")
