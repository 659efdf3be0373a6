#!/usr/bin/env python3
"""What a newcomer does: starts the broker, runs the job of examples/, and listens to it in all the ways that happen.

    python3 tests/newcomer.py target/release/msgstream

Three listeners join at different times: one before the job, one that is killed on the way, and one that reads slowly. A fourth
comes after the end. What each received is printed and checked. Nothing waits for a time: each step waits for what the step before
causes. Only the slow reader sleeps, since that is its part.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import resuming

ROOT = Path(__file__).resolve().parent.parent
STREAM = "run-17"
NUMBERS = 20_000
# When whom joins or dies, in numbers that the job has published.
KILLED_JOINS, SLOW_JOINS, KILLED_DIES = 10, 20, 35
# Beyond this something hangs.
DEADLINE = 120

outcomes = []


def check(good, text):
    """Notes the outcome of one check, and says it."""
    outcomes.append(good)
    print(f"{'ok    ' if good else 'FAILED'}  {text}", flush=True)


def statuses():
    """What the job publishes, by its own arithmetic: the header that it begins with, then a status for each number."""
    total, all_of_them = 0.0, [{"count": 0, "mean": None}]
    for count in range(1, NUMBERS + 1):
        total += number(count)
        all_of_them.append({"count": count, "mean": total / count})
    return all_of_them


def number(count):
    """The number that the job reads in the given place."""
    return count % 97 / 8


class Broker:
    """A broker on a free port, with its default settings."""

    def __init__(self, program, folder):
        self.port_file = folder / "port"
        self.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notices.bind(str(folder / "notify"))
        self.notices.settimeout(1)
        settings = {name: value for name, value in os.environ.items() if not name.startswith("MSGSTREAM_")}
        command = [program, "serve", "--listen", "127.0.0.1:0", "--port-file", str(self.port_file), "--log-level", "warn"]
        self.process = subprocess.Popen(command, env={**settings, "NOTIFY_SOCKET": str(folder / "notify")})
        # As systemd does, it waits to be told that the broker is ready; then the port file is there.
        while not self.is_ready():
            if self.process.poll() is not None:
                sys.exit(f"the broker ended with exit code {self.process.returncode} before it was ready")
        self.port = int(self.port_file.read_text())

    def is_ready(self):
        try:
            return b"READY=1" in self.notices.recv(4096)
        except socket.timeout:
            return False

    def stop(self):
        """Asks it to stop. Returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)


class Program:
    """One of the programs of examples/, as a newcomer runs it."""

    def __init__(self, name, port):
        command = [sys.executable, str(ROOT / "examples" / name), STREAM, str(port)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def line(self):
        return self.process.stdout.readline().rstrip("\n")

    def messages(self, count):
        """The next messages that it shows; fewer if something else comes before."""
        lines = []
        while len(lines) < count and (line := self.line()).startswith("{"):
            lines.append(json.loads(line))
        return lines

    def rest(self):
        """All that it still says, and its exit code."""
        said = self.process.stdout.read().splitlines()
        return said, self.process.wait(DEADLINE)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Job(Program):
    def __init__(self, port):
        super().__init__("job.py", port)
        self.fed = 0

    def feed(self, upto):
        for count in range(self.fed + 1, upto + 1):
            self.process.stdin.write(f"{number(count)}\n")
        self.process.stdin.flush()
        self.fed = upto


class SlowReader:
    """A listener that rests after every few messages. Keeps its lines as they came."""

    def __init__(self, port):
        connection = socket.socket()
        # A small buffer of the kernel, so that what is not read soon waits in the broker.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(DEADLINE)
        connection.connect(("127.0.0.1", port))
        connection.sendall(json.dumps({"action": "listen", "stream": STREAM, "receipt": 1}).encode() + b"\n")
        self.stream = connection.makefile("rb")
        # The header and the receipt: with the receipt it is sure to have joined.
        header, receipt = self.stream.readline(), self.stream.readline()
        # How long the job has been running, and its position, differ each time.
        self.lines = [header, re.sub(rb',"age":.*', b"}", receipt)]
        self.thread = threading.Thread(target=self.read)

    def read(self):
        for line in self.stream:
            self.lines.append(line)
            if b'"close"' in line:
                break
            if len(self.lines) % 50 == 0:
                time.sleep(0.001)

    def expected(self, published):
        """What it must have received, to the byte: Python's JSON as it was sent, in the broker's envelope."""
        put = [f'{{"action":"put","stream":"{STREAM}","message":{json.dumps(status)}}}' for status in published[SLOW_JOINS:]]
        receipt = '{"action":"receipt","receipt":1,"state":"running"}'
        result = json.dumps({"result": published[-1]["mean"]})
        end = f'{{"action":"close","stream":"{STREAM}","message":{result}}}'
        return [line.encode() + b"\n" for line in [put[0], receipt, *put[1:], end]]


def session(broker, programs):
    """The whole story. Every program goes into `programs` as soon as it runs, so that none is left behind."""

    def run(program):
        programs.append(program)
        return program

    readme = (ROOT / "README.md").read_text()
    shown = all((ROOT / "examples" / name).read_text() in readme for name in ["job.py", "listen.py"])
    check(shown, "README  shows the programs of examples/ as they are")

    published = statuses()
    end = f"{STREAM} has ended: {json.dumps({'result': published[-1]['mean']})}"

    early = run(Program("listen.py", broker.port))
    check(early.line() == f"{STREAM} is waiting", "early   listens before there is a job, and is told that the stream is waiting")

    job = run(Job(broker.port))
    job.feed(KILLED_JOINS)
    received = early.messages(KILLED_JOINS)
    check(received == published[1 : KILLED_JOINS + 1], f"early   gets the first {KILLED_JOINS} messages of the job")

    killed = run(Program("listen.py", broker.port))
    header, state = json.loads(killed.line()), killed.line()
    check(header == published[KILLED_JOINS], f"killed  joins the running job; its header is the status of message {KILLED_JOINS}")
    check(state == f"{STREAM} is running", "killed  is told that the stream is running")

    job.feed(SLOW_JOINS)
    received += early.messages(SLOW_JOINS - KILLED_JOINS)
    slow = SlowReader(broker.port)
    check(slow.lines == slow.expected(published)[:2], f"slow    joins; its header is the status of message {SLOW_JOINS}")

    job.feed(KILLED_DIES)
    got = killed.messages(KILLED_DIES - KILLED_JOINS)
    killed.kill()
    check(
        got == published[KILLED_JOINS + 1 : KILLED_DIES + 1],
        f"killed  has messages {KILLED_JOINS + 1} to {KILLED_DIES}, each once and in order, and is killed",
    )

    slow.thread.start()
    job.feed(NUMBERS)
    job.process.stdin.close()
    received += early.messages(NUMBERS - SLOW_JOINS)
    behind = NUMBERS - (SLOW_JOINS + len(slow.lines) - 2)
    check(received == published[1:], f"early   has all {NUMBERS:,} messages, each once and in order (slow is {behind:,} behind)")
    check(early.rest() == ([end], 0), "early   gets the end with its result")

    told = f"{STREAM}: {NUMBERS} numbers; the broker says {{'action': 'receipt', 'receipt': 'end', 'listeners': 2}}"
    check(job.rest() == ([told], 0), "job     is told that its end reached two listeners: one is dead, and it did not notice")

    slow.thread.join(DEADLINE)
    check(
        slow.lines == slow.expected(published),
        f"slow    has messages {SLOW_JOINS + 1:,} to {NUMBERS:,} and the end, to the byte, in its own time",
    )

    late = run(Program("listen.py", broker.port))
    check(late.rest() == ([json.dumps(published[-1]), end], 0), "late    joins after the end: gets the last status, and the end with its result")

    resuming.listener(broker.port, check)
    resuming.publisher(broker.port, check)
    resuming.publisher_whose_answers_are_lost(check)

    check(broker.stop() == 0, "broker  stops when asked to, with exit code 0")
    check(not broker.port_file.exists(), "broker  has removed its port file")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        broker, programs = Broker(sys.argv[1], Path(folder)), []

        def give_up():
            print(f"FAILED  nothing for {DEADLINE} s: everything is killed", flush=True)
            outcomes.append(False)
            for each in [broker, *programs]:
                each.process.kill()

        watch = threading.Timer(DEADLINE, give_up)
        watch.daemon = True
        watch.start()
        try:
            session(broker, programs)
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            check(False, f"the session broke off: {error!r}")
        finally:
            watch.cancel()
            for each in [*programs, broker]:
                if each.process.poll() is None:
                    each.process.kill()
                    each.process.wait()
    print(f"{outcomes.count(True)} passed, {outcomes.count(False)} failed")
    sys.exit(not all(outcomes))


if __name__ == "__main__":
    main()
