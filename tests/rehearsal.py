#!/usr/bin/env python3
"""An upgrade, rehearsed: a broker with a store is stopped and started again, several times, under jobs and their listeners.

    python3 tests/rehearsal.py target/release/msgstream [ANOTHER_PROGRAM]

Two jobs publish by the Python client, one by plain lines with a session. Each is listened to by the Python client, by `msgstream listen` and by
plain lines that resume. At the end each listener must have had each message exactly once, in order, and have been told of no loss. The longest
pause that a listener saw across a restart is printed. Brokers that are started again are of ANOTHER_PROGRAM, if there is one.
"""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "clients/python/src"))

from msgstream import Ended, Header, Lost, Message, RemoteStream  # noqa: E402

RESTARTS = 3
# Messages of one job between two restarts, and the pause between two of them: a job that is busy with something else too. A broker runs for
# more than a second, so that its clients take their connections for good ones and do not wait longer and longer before the next.
MESSAGES, PAUSE = 200, 0.008
# Beyond this something hangs.
DEADLINE = 90

outcomes = []


def check(good, text):
    """Notes the outcome of one check, and says it."""
    outcomes.append(good)
    print(f"{'ok    ' if good else 'FAILED'}  {text}", flush=True)


class Broker:
    """A broker with a store, which keeps its port from one life to the next."""

    def __init__(self, programs, folder):
        self.programs, self.folder, self.port, self.process = programs, folder, 0, None

    def start(self, program):
        port_file = self.folder / "port"
        port_file.unlink(missing_ok=True)
        command = [program, "serve", "--listen", f"127.0.0.1:{self.port}", "--port-file", port_file, "--store", self.folder / "store.redb"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MSGSTREAM_")}
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if " listening" in line:
                break
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        while not (port_file.exists() and port_file.read_text().strip()):
            time.sleep(0.001)
        self.port = int(port_file.read_text())

    def stop(self):
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        return code, time.monotonic() - began


class Heard:
    """What one listener has had: numbers, the times between them, and what else it was told."""

    def __init__(self, name):
        self.name, self.numbers, self.told, self.pause, self._at = name, [], [], 0.0, None
        self.over = threading.Event()

    def message(self, number):
        now = time.monotonic()
        if self._at is not None:
            self.pause = max(self.pause, now - self._at)
        self._at = now
        self.numbers.append(number)


def listen_by_client(address, stream, heard):
    """The Python client's listener."""
    events = queue.Queue()
    remote = RemoteStream(address)
    remote.listen(stream, events, events=True)

    def read():
        while True:
            event = events.get()
            if isinstance(event, Message):
                heard.message(event.message)
            elif isinstance(event, Ended):
                heard.over.set()
                remote.close()
                return
            elif not isinstance(event, Header):
                heard.told.append(repr(event))

    threading.Thread(target=read, daemon=True).start()


def listen_by_program(program, address, stream, heard):
    """`msgstream listen`, in a pipe."""
    command = [program, "listen", stream, "--server", address, "--json", "--reconnect"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def read():
        for line in process.stdout:
            event = json.loads(line)
            if event["action"] == "put" and isinstance(event["message"], int):
                heard.message(event["message"])
            elif event["action"] == "close":
                heard.over.set()
            elif event["action"] != "put":
                heard.told.append(line.strip())
        if code := process.wait():
            heard.told.append(f"exit code {code}")

    threading.Thread(target=read, daemon=True).start()


class Lines:
    """A connection of plain lines, made again when it is lost."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.lines = self.socket.makefile("rb")

    def say(self, **members):
        self.socket.sendall(json.dumps(members).encode() + b"\n")

    def hear(self):
        line = self.lines.readline()
        return json.loads(line) if line.endswith(b"\n") else None


def connected(port):
    """Plain lines to the broker, as soon as it is there."""
    while True:
        try:
            return Lines(port)
        except OSError:
            time.sleep(0.01)


def listen_by_lines(port, stream, heard):
    """The protocol's own way: count, and resume."""

    def read():
        position = None
        while not heard.over.is_set():
            lines = connected(port)
            try:
                lines.say(action="listen", stream=stream, receipt=1, **({"after": position} if position else {}))
                counts = False
                while (event := lines.hear()) is not None:
                    if event["action"] == "receipt":
                        if position is not None and (not event["resumed"] or event["position"] != position):
                            heard.told.append(json.dumps(event))
                        position, counts = dict(event["position"]), True
                    elif event["action"] == "put" and counts:
                        position["sequence"] += 1
                        heard.message(event["message"])
                    elif event["action"] == "close" and "stream" in event:
                        heard.over.set()
                        break
            except OSError:
                pass

    threading.Thread(target=read, daemon=True).start()


class LinesJob:
    """A job of plain lines with a session: it numbers its lines, and goes on behind those that were taken."""

    def __init__(self, port, stream):
        self.port, self.stream, self.written, self.lines = port, stream, [], None
        self.session = "a session of the rehearsal " + os.urandom(8).hex()
        self.unknown, self._begun = 0, False

    def _connect(self):
        while True:
            lines = connected(self.port)
            try:
                lines.say(action="session", session=self.session)
                answer = lines.hear()
                if answer is None:
                    continue
                self.unknown += self._begun and not answer["known"]
                self._begun = True
                for line in self.written[answer["taken"]:]:
                    lines.socket.sendall(line)
            except OSError:
                continue
            self.lines = lines
            return

    def say(self, **members):
        self.written.append(json.dumps(members).encode() + b"\n")
        if self.lines is None:
            return self._connect()
        try:
            self.lines.socket.sendall(self.written[-1])
        except OSError:
            self._connect()

    def confirm(self):
        """Waits until all lines have taken effect: the answer of a ping that carries its number says so."""
        number = len(self.written)
        self.say(action="ping", receipt=number)
        while True:
            try:
                while (event := self.lines.hear()) is not None:
                    if event["action"] == "pong" and event["receipt"] == number:
                        return
            except OSError:
                pass
            self._connect()


def main():
    programs = [str(Path(program).resolve()) for program in sys.argv[1:3]]
    threading.Thread(target=lambda: (time.sleep(DEADLINE), print("FAILED  it hangs", flush=True), os.killpg(0, signal.SIGKILL)), daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(programs, Path(folder))
        broker.start(programs[0])
        address = f"127.0.0.1:{broker.port}"
        jobs = [RemoteStream(address) for _ in range(2)]
        lines_job = LinesJob(broker.port, "job-lines")
        streams = ["job-0", "job-1", "job-lines"]
        for number, job in enumerate(jobs):
            job.will(streams[number], "lost")
            job.header(streams[number], {"state": "begun"})
            job.flush()
        lines_job.say(action="will", stream="job-lines", message="lost")
        lines_job.say(action="header", stream="job-lines", message={"state": "begun"})
        lines_job.confirm()
        listeners = []
        for stream in streams:
            heard = [Heard(f"{kind} of {stream}") for kind in ("the Python client's listener", "msgstream listen", "plain lines")]
            listen_by_client(address, stream, heard[0])
            listen_by_program(programs[0], address, stream, heard[1])
            listen_by_lines(broker.port, stream, heard[2])
            listeners += heard
        # All have joined before the first message.
        probe = connected(broker.port)
        for stream in streams:
            while True:
                probe.say(action="listen", stream=f"$streams/{stream}")
                event = probe.hear()
                probe.say(action="hangup")
                if event["message"]["listeners"] >= 3:
                    break
                time.sleep(0.01)
        published, restarting = 0, None
        stops, starts = [], []

        def restart():
            stops.append(broker.stop())
            began = time.monotonic()
            broker.start(programs[-1])
            starts.append(time.monotonic() - began)

        for _ in range(2 * RESTARTS + 1):
            for _ in range(MESSAGES):
                for job, stream in zip(jobs, streams):
                    job.put(stream, published)
                    if published % 50 == 0:
                        job.header(stream, {"state": "at", "number": published})
                lines_job.say(action="put", stream="job-lines", message=published)
                published += 1
                time.sleep(PAUSE)
            if restarting is not None:
                restarting.join()
                lines_job.confirm()
                # An upgrade comes when the one before is over for all.
                waited = time.monotonic()
                while any(len(heard.numbers) < published for heard in listeners):
                    time.sleep(0.01)
                    if time.monotonic() - waited > 30:
                        check(False, "after a restart some are behind: " + ", ".join(f"{heard.name} {len(heard.numbers)} of {published}" for heard in listeners))
                        return 1
                restarting = None
            elif len(stops) < RESTARTS:
                restarting = threading.Thread(target=restart)
                restarting.start()
        for job, stream in zip(jobs, streams):
            job.close(stream, "complete")
            job.flush()
            dropped = job.dropped
            check(dropped == 0, f"the job of {stream} gave up {dropped} messages")
        lines_job.say(action="close", stream="job-lines", message="complete")
        lines_job.confirm()
        check(lines_job.unknown == 0, "the session of plain lines was known after each restart")
        check([code for code, _ in stops] == [0] * RESTARTS, f"{RESTARTS} stops in good order, the longest took {max(took for _, took in stops):.2f} s, and the longest start {max(starts):.2f} s")
        for heard in listeners:
            heard.over.wait(30)
            expected = list(range(published))
            missing, doubled = len(set(expected) - set(heard.numbers)), len(heard.numbers) - len(set(heard.numbers))
            check(heard.numbers == expected and not heard.told, f"{heard.name}: {len(heard.numbers)} of {published} messages, {missing} missing, {doubled} twice, longest pause {heard.pause:.2f} s {' '.join(heard.told[:3])}")
        for job in jobs:
            job.close()
        broker.stop()
    print(f"{sum(outcomes)} of {len(outcomes)} checks passed; the longest pause was {max(heard.pause for heard in listeners):.2f} s", flush=True)
    return 0 if all(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
