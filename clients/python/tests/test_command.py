"""``python -m msgstream``, what a missing package says, and numbers that are none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from conftest import DEADLINE, Broker, program
from msgstream import Job, Message, monitor
from proxy import Proxy
from terminal import Terminal


def command(broker: Broker, *arguments: str, stdin: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "msgstream", *arguments],
        env={**os.environ, "MSGSTREAM_SERVER": broker.address, **environment},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )


def test_put_and_listen(broker: Broker) -> None:
    with broker.remote() as remote:
        remote["fit"] = "ready"
        assert remote.flush()
        listener = broker.joined("fit")
    assert command(broker, "put", "fit", '{"k": 1}', "--header", '"now"').returncode == 0
    assert command(broker, "put", "fit", "--text", stdin="one\n\u65e5\n").returncode == 0
    wrong = command(broker, "put", "fit", stdin="1\n\nno\n2\n")
    assert wrong.returncode == 65 and wrong.stderr.startswith("msgstream: line 3 is no JSON") and wrong.stderr.endswith("as text\n")
    assert [listener.next(DEADLINE) for _ in range(5)] == [Message("fit", each) for each in ({"k": 1}, "one", "\u65e5", 1, 2)]
    with broker.remote() as remote:
        remote.close("fit", "done")
        assert remote.flush()
    listened = command(broker, "listen", "fit")
    assert (listened.returncode, listened.stderr) == (0, "")
    lines = [json.loads(line) for line in listened.stdout.splitlines()]
    assert lines == [{"action": "put", "stream": "fit", "message": "now"}, {"action": "close", "stream": "fit", "message": "done"}]


def test_listen_on_a_terminal_is_for_people_and_passes_the_outcome_on(broker: Broker) -> None:
    with broker.remote() as remote:
        Job("fit", "Fit", remote=remote).error("no data")
        assert remote.flush()
    with Terminal([sys.executable, "-m", "msgstream", "listen", "fit"], 10, 80, {"MSGSTREAM_SERVER": broker.address}) as terminal:
        assert terminal.end() == 1
        assert "failed" in terminal.rows[0] and terminal.rows[0].endswith(": no data")


def test_listen_says_that_the_broker_is_away_and_what_is_missing(away: Broker) -> None:
    broker = away.start(REPLAY__STREAM="1KiB")
    with broker.remote() as remote, Proxy(broker.port) as network:
        remote["fit"] = {"k": 0}
        assert remote.flush()
        with Terminal([sys.executable, "-m", "msgstream", "listen", "fit"], 20, 120, {"MSGSTREAM_SERVER": network.address}) as terminal:
            terminal.shows("fit: 0")
            for missed in (0, 50):
                network.refuse()
                terminal.shows("; trying again")
                for k in range(missed):
                    remote.put("fit", {"k": k}, header={"k": k})
                assert remote.flush()
                network.allow()
                terminal.shows("connected again" if missed == 0 else "msgstream: fit: 50 messages are missing: ")
                remote.put("fit", {"k": 100 + missed})
                terminal.shows(f"fit: {100 + missed}")
            remote.close("fit")
            assert terminal.end() == 0
        assert sum("missing" in row for row in terminal.all) == 1


def test_a_lost_job_has_a_code_of_its_own(broker: Broker) -> None:
    with broker.remote() as remote:
        Job("stopped", remote=remote).abort("enough")
        remote.close("lost", monitor.Lost())
        assert remote.flush()
    lost = command(broker, "listen", "stopped", "lost")
    assert lost.returncode == 3 and '"monitor.Lost"' in lost.stdout


def test_what_cannot_be_is_said(broker: Broker, away: Broker) -> None:
    assert command(broker).returncode == 2
    assert command(broker, "--version").stdout.startswith("msgstream ")
    bad = command(broker, "put", "fit", "1", "--server", "http://localhost")
    assert bad.returncode == 64 and "is not the address of a broker" in bad.stderr
    away.kill()
    none = command(away, "put", "fit", "1")
    assert none.returncode == 69 and none.stderr.startswith("msgstream: ") and "Traceback" not in none.stderr


def test_other_commands_are_those_of_the_program(broker: Broker) -> None:
    passed = command(broker, "get", "nothing", MSGSTREAM_BIN=program())
    itself = subprocess.run([program(), "get", "nothing", "--server", broker.address], capture_output=True, text=True)
    assert (passed.returncode, passed.stderr) == (itself.returncode, itself.stderr) and passed.stderr
    missing = command(broker, "serve", MSGSTREAM_BIN="", PATH="")
    assert missing.returncode == 127 and "'serve' is a command of the msgstream program" in missing.stderr


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [("jupyter", "ipywidgets", "jupyter"), *((each, each, each) for each in ("tqdm", "rich", "joblib", "keras", "transformers"))],
)
def test_a_missing_package_says_how_to_install_it(module: str, package: str, extra: str) -> None:
    text = f"import sys; sys.modules[{package!r}] = None; import msgstream.contrib.{module}"
    ended = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    said = ended.stderr.strip().split("\n")[-1]
    assert said == f"ImportError: msgstream.contrib.{module} needs {package}: pip install 'msgstream[{extra}]'"


def test_what_is_meant_as_a_number_is_one() -> None:
    monitor.check_numbers(k=1, total=None)
    monitor.check_numbers(k=0.5, total=10**30, size=np.int64(3), mean=np.float32(1), zero=np.array(2.0), missing=float("nan"))
    for wrong in ("a", "3", True, [1], np.array([1]), Decimal(1), b"1", 1j):
        with pytest.raises(TypeError, match="^k is a number, not "):
            monitor.check_numbers(k=wrong)


WITHOUT_UNIX = """
import socket
del socket.AF_UNIX
from msgstream import BadAddress, Job, RemoteStream, listen

with Job("fit") as job:
    job.progress(1)
print([type(event).__name__ for event in listen("fit")])
try:
    RemoteStream("unix:/run/msgstream.sock")
except BadAddress as error:
    print(error)
"""


def test_it_works_where_there_are_no_unix_sockets(broker: Broker, script: Any) -> None:
    ended = script(WITHOUT_UNIX)
    events, refused = ended.stdout.splitlines()
    assert events == "['Header', 'Ended']" and "this system has no Unix sockets" in refused, ended.stderr
