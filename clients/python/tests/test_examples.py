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
from msgstream import Ended, Header, Job, Message
from msgstream.monitor import Complete, Log, Progress

README = HERE.parent / "README.md"
EXAMPLES = HERE.parents[2] / "examples"

BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def block_with(text: str) -> str:
    (found,) = [block for block in BLOCKS if text in block]
    if text == "import keras":
        # Too large to be there always.
        pytest.importorskip("keras")
        pytest.importorskip("jax")
        return "import os\nos.environ['KERAS_BACKEND'] = 'jax'\n" + found
    return found


def test_every_program_of_the_tutorial_is_run_here() -> None:
    # That with a token is among the tests of TLS.
    known = [text for text, _ in PROGRAMS] + ["/home/me/token", "anything with put()", "time.sleep(0.1)", "asyncio.run"]
    for block in BLOCKS:
        assert sum(text in block for text in known) == 1, block


#: A text of each program that listens or needs nobody, and the last line that it prints.
PROGRAMS = [
    ("isinstance(event, (Header, Message))", "the end"),
    ("class Watch", "Complete("),
    ("from msgstream.contrib.rich import watch", "fit-4"),
    ("from msgstream.contrib.jupyter", ""),
    ("from msgstream.contrib.tqdm", ""),
    ("logging.getLogger()", ""),
    ("from scipy.optimize", ""),
    ("SummaryWriter", ""),
    ("ThreadPoolExecutor", ""),
    ("from joblib", ""),
    ("import keras", ""),
    ("serial.register", ""),
    ("remote.will(", ""),
    ("publisher.begin", ""),
    # This broker has no store.
    ("durable=True", "a crash of the broker may undo this"),
]


@pytest.mark.parametrize(("text", "last"), PROGRAMS, ids=[text for text, _ in PROGRAMS])
def test_the_programs_of_the_tutorial_do_what_they_say(broker: Broker, script: Callable[..., Any], text: str, last: str) -> None:
    with broker.remote() as remote:
        for stream in ("fit-42", "fit-43"):
            with Job(stream, "Fit", 2, remote=remote) as job:
                job.progress(2)
        assert remote.flush()
    ended = script(block_with(text))
    assert ended.returncode == 0, ended.stderr
    said = ended.stdout.strip().split("\n")[-1]
    assert said.startswith(last) if last else said == "", ended.stdout


@pytest.mark.parametrize(
    ("text", "stream", "end"),
    [
        ("from msgstream.contrib.tqdm", "fit-42", Complete),
        ("logging.getLogger()", "fit-42-log", Log),
        ("from scipy.optimize", "fit-42", Complete),
        ("SummaryWriter", "fit-42", Complete),
        ("ThreadPoolExecutor", "fit-42", Complete),
        ("from joblib", "fit-42", Complete),
        ("import keras", "fit-42", Complete),
        ("asyncio.run", "fit-42", Complete),
    ],
)
def test_the_programs_of_the_tutorial_publish(broker: Broker, script: Callable[..., Any], text: str, stream: str, end: type) -> None:
    program = block_with(text)
    with broker.remote() as remote:
        remote[stream] = "ready"
        assert remote.flush()
        listener = broker.joined(stream)
    ended = script(program)
    assert ended.returncode == 0, ended.stderr
    *_, last, over = listener
    assert isinstance(last.message, end) and over == Ended(stream)


def test_the_job_of_the_tutorial_runs(broker: Broker, script: Callable[..., Any]) -> None:
    job = block_with("time.sleep(0.1)")
    with broker.remote() as remote:
        remote["fit-42"] = "ready"
        assert remote.flush()
        listener = broker.joined("fit-42")
        ended = script(job.replace("time.sleep(0.1)", "pass"))
        assert ended.returncode == 0, ended.stderr
    messages = [event.message for event in listener if isinstance(event, Message)]
    assert [message.k for message in messages if isinstance(message, Progress)] == list(range(1, 101))
    assert isinstance(messages[-1], Complete)


def test_the_remote_stream_of_the_tutorial_runs(broker: Broker, script: Callable[..., Any]) -> None:
    block = block_with("anything with put()").replace("7342", str(broker.port))
    ended = script(block + "    print([messages.get(timeout=10) for _ in range(3)])\n")
    assert ended.stdout == "[{'k': 0}, {'k': 1}, Ended(stream='fit-42', message='done', age=None)]\n", ended.stderr


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
