"""The wire contract's tests with brokers that are nodes, each alone in a space of its own: contract.py FOLDER [arguments of cargo test].

The folder, of which what was in it is gone, keeps the NATS server's log. Arguments choose tests: none is all dialogues."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from cluster import alone
from program import last_words

ROOT = Path(__file__).resolve().parents[2]
#: Far more than it takes.
LONGEST = 900
#: What nodes do not hold to by their nature, and why. Dialogues have a line for that themselves: "not of nodes".
NOT_OF_NODES = {
    "faults::many_streams::names_that_come_and_go": "nodes remember a stream for a minute at least after the last that was done to it",
    "faults::many_streams::two_hundred_thousand": "the same",
    "faults::stalled::one_that_reads_slowly": "4,000 receipts, one by one, take longer than the write time in which nothing is read",
}


def main() -> int:
    folder = Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    servers = alone(folder)
    try:
        servers.start()
        servers.until_ready()
        environment = {**os.environ, "MSGSTREAM_TEST_NATS": servers.urls[0]}
        left_out = [word for name in NOT_OF_NODES for word in ("--skip", name)]
        command = ["cargo", "test", "--locked", "--test", "broker", "--", *(sys.argv[2:] or ["contract::"]), *left_out]
        code = subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, timeout=LONGEST).returncode
        if not all(server.is_alive for server in servers.servers):
            print(last_words([*servers.servers]))
            return 1
        return code
    finally:
        servers.close()
        shutil.rmtree(folder / "nats-1" / "store", ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
