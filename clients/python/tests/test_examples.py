"""The tutorial's programs, and the examples, as a newcomer runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest

from conftest import DEADLINE, HERE, Broker
from msgstream import Ended, Header, Message
from msgstream.monitor import Complete, Progress

README = HERE.parent / "README.md"
EXAMPLES = HERE.parents[2] / "examples"

BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_the_tutorial_is_python() -> None:
    assert len(BLOCKS) >= 6
    for block in BLOCKS:
        compile(block, str(README), "exec")


def test_the_job_of_the_tutorial_runs(broker: Broker, script: Callable[..., Any]) -> None:
    (job,) = [block for block in BLOCKS if "time.sleep(0.1)" in block]
    with broker.remote() as remote:
        remote["fit-42"] = "ready"
        assert remote.flush()
        listener = broker.joined("fit-42")
        ended = script(job.replace("time.sleep(0.1)", "pass"))
        assert ended.returncode == 0, ended.stderr
    messages = [event.message for event in listener if isinstance(event, Message)]
    assert [message.k for message in messages if isinstance(message, Progress)] == list(range(1, 101))
    assert messages[-1] == Complete()


def test_the_remote_stream_of_the_tutorial_runs(broker: Broker, script: Callable[..., Any]) -> None:
    (block,) = [block for block in BLOCKS if "anything with put()" in block]
    block = block.replace("7342", str(broker.port))
    ended = script(block + "    print([messages.get(timeout=10) for _ in range(3)])\n")
    assert ended.stdout == "[{'k': 0}, {'k': 1}, Ended(stream='fit-42', message='done')]\n", ended.stderr


@pytest.mark.skipif(not EXAMPLES.exists(), reason="the package is not in its repository")
def test_the_examples_run(broker: Broker) -> None:
    environment = {**os.environ, "MSGSTREAM_SERVER": broker.address}

    def start(name: str, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, str(EXAMPLES / name), *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    fit = start("python_fit.py", "example", "20", "0.2")
    assert fit.communicate(timeout=DEADLINE) == ("", "")
    watch = start("python_watch.py", "example")
    shown, errors = watch.communicate(timeout=DEADLINE)
    assert errors == ""
    assert shown.startswith("example: joined, at Complete(result={'chisq': ") and shown.endswith("example: has ended\n")
    header, end = list(broker.listen("example"))
    assert isinstance(header, Header) and end == Ended("example")
