#!/usr/bin/env python3
"""How many small messages a second go from Python through the broker to one listener.

    python3 benches/python_publish.py target/release/msgstream [MESSAGES [ROUNDS]]

Starts the broker and, for each round, a publisher as a process of its own; this process listens, counts, and checks that every
message came, once and in order. The time is from the first message that is put to the last that is received, with its decoding.
"""

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

PACKAGE = pathlib.Path(__file__).resolve().parent.parent / "clients" / "python" / "src"
sys.path.insert(0, str(PACKAGE))

from msgstream import Ended, Header, Message, RemoteStream, listen  # noqa: E402

#: What must be reached, in messages a second.
TARGET = 50_000


def publish(count: int) -> None:
    """The publisher's process. The header is the time of its beginning, on the clock that processes share."""
    with RemoteStream() as remote:
        remote.put("bench", "begin", header=time.monotonic())
        for k in range(count):
            remote.put("bench", {"k": k, "chisq": 1.25, "step": "fit"})
        remote.close("bench")
        assert remote.flush(120), "the broker has not confirmed everything"


def measure(server: str, count: int) -> float:
    """One round: messages a second."""
    with RemoteStream(server) as remote:
        remote["bench"] = "ready"
        assert remote.flush()
        listener = listen("bench", server=server, timeout=120)
        assert listener.next(120) == Header("bench", "ready")
    environment = {**os.environ, "MSGSTREAM_SERVER": server}
    publisher = subprocess.Popen([sys.executable, __file__, "--publish", str(count)], env=environment)
    k = 0
    for event in listener:
        if isinstance(event, Message) and isinstance(event.message, dict):
            assert event.message["k"] == k, f"message {event.message['k']} came where {k} should"
            k += 1
        elif isinstance(event, Message):
            assert event.message == "begin" and k == 0
        else:
            assert isinstance(event, Ended), event
    ended = time.monotonic()
    assert publisher.wait(120) == 0
    assert k == count, f"{k} of {count} messages came"
    with listen("bench", server=server, timeout=120) as listener:
        header = next(listener)
        assert isinstance(header, Header)
        begun = header.message
    return count / (ended - begun)


def main() -> int:
    if sys.argv[1:2] == ["--publish"]:
        publish(int(sys.argv[2]))
        return 0
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 64
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 300_000
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    with tempfile.TemporaryDirectory() as scratch:
        port_file = pathlib.Path(scratch) / "port"
        command = [sys.argv[1], "serve", "--listen", "127.0.0.1:0", "--port-file", str(port_file), "--log-level", "warn"]
        broker = subprocess.Popen(command)
        try:
            while not port_file.exists():
                assert broker.poll() is None, "the broker has not started"
                time.sleep(0.01)
            server = f"127.0.0.1:{port_file.read_text().split()[0]}"
            rates = []
            for _ in range(rounds):
                rates.append(measure(server, count))
                print(f"{rates[-1]:10,.0f} messages/s, all {count:,} in order", flush=True)
        finally:
            broker.terminate()
            broker.wait()
    median = statistics.median(rates)
    print(f"{median:10,.0f} messages/s, the median of {rounds}; at least {TARGET:,} are wanted")
    return 0 if median >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
