#!/usr/bin/env python3
"""What somebody has after ``pip install msgstream``: the broker, the command line and the package, and nothing else.

    VENV/bin/python tests/wheel.py

Run with the Python of an environment in which the wheel was installed. Starts the broker of the wheel, publishes from the package,
and reads with the command line.
"""

import json
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import msgstream

# Beyond this something hangs.
DEADLINE = 60
PROGRAM = Path(sysconfig.get_path("scripts")) / "msgstream"


def port_in(file, broker):
    deadline = time.monotonic() + DEADLINE
    while not file.exists():
        assert broker.poll() is None and time.monotonic() < deadline, "the broker does not listen"
        time.sleep(0.01)
    return file.read_text().strip()


def main():
    inside = Path(sysconfig.get_path("purelib")) in Path(msgstream.__file__).parents
    assert inside, f"this is not the installed package: {msgstream.__file__}"
    version = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True, timeout=DEADLINE).stdout
    print(version.strip(), "at", PROGRAM)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "port"
        broker = subprocess.Popen([PROGRAM, "serve", "--listen", "127.0.0.1:0", "--port-file", file, "--log-level", "warn"])
        try:
            server = f"127.0.0.1:{port_in(file, broker)}"
            with msgstream.RemoteStream(server) as remote:
                remote["fit"] = {"k": 3}
                assert remote.flush(), "not published"
            got = subprocess.run([PROGRAM, "get", "--server", server, "fit"], capture_output=True, text=True, check=True, timeout=DEADLINE)
            assert json.loads(got.stdout.splitlines()[0]) == {"k": 3}, got.stdout
            put = [PROGRAM, "close", "--server", server, "fit", '"done"']
            with msgstream.listen("fit", server=server) as listener:
                assert listener.next(DEADLINE).message == {"k": 3}
                subprocess.run(put, check=True, timeout=DEADLINE)
                assert listener.next(DEADLINE) == msgstream.Ended("fit", "done")
        finally:
            broker.terminate()
            code = broker.wait(DEADLINE)
    assert code == 0, f"the broker ended with {code}"
    print("the broker, the command line and the package of the wheel work together")


if __name__ == "__main__":
    sys.exit(main())
