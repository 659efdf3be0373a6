"""What type checkers, sets and other processes make of the package's values."""

from __future__ import annotations

import copy
import pickle
import sys
from pathlib import Path
from typing import List

import pytest

from msgstream import CutOff, Ended, Event, Header, Lost, Message, Undecodable, absent

EVENTS: List[Event] = [
    Header("s", {"k": 1}),
    Message("s", [2]),
    Message("t", [2]),
    Ended("s"),
    Ended("s", {"why": []}),
    CutOff("s", "limit", "why"),
    CutOff("s", "limit", "why", True),
    Lost("s", "why"),
]

SAMPLE = """
from typing import assert_never
from msgstream import AnyEvent, CutOff, Ended, Event, Header, Lost, Message, Nan, Skipped

def what(event: AnyEvent) -> str:
    match event:
        case Header(stream, message) | Message(stream, message):
            return f"{stream}: {message}"
        case Skipped(stream, messages):
            return stream + str(messages + 1)
        case Ended(stream, message):
            return stream
        case CutOff(stream, code, reason, reconnecting):
            return code + reason
        %s
        case _ as never:
            assert_never(never)

def name(event: Event) -> str:
    return event.stream

nan: Nan = "null"
print(what(Message("fit", 1)), name(Ended("fit")), {Ended("fit")})
"""


def test_events_have_a_stream_and_can_be_in_sets() -> None:
    assert [event.stream for event in EVENTS] == ["s", "s", "t", "s", "s", "s", "s", "s"]
    assert len(set(EVENTS)) == len(EVENTS)
    assert hash(Message("s", [1])) == hash(Message("s", [1])) and Message("s", 1) in {Message("s", 1.0)}
    assert Message("s", 1) != Header("s", 1)
    assert hash(Undecodable("[", "why")) == hash(Undecodable("[", "why"))


def test_absent_is_the_same_everywhere() -> None:
    assert pickle.loads(pickle.dumps(absent.ABSENT)) is absent.ABSENT
    assert copy.deepcopy(absent.ABSENT) is absent.ABSENT and repr(absent.ABSENT) == "ABSENT"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="assert_never")
def test_a_match_of_all_events_is_complete_to_type_checkers(tmp_path: Path) -> None:
    from mypy import api

    results = []
    for number, case in enumerate(["case Lost(stream, reason):\n            return reason", ""]):
        sample = tmp_path / f"sample{number}.py"
        sample.write_text(SAMPLE % case)
        results.append(api.run(["--strict", "--cache-dir", str(tmp_path / "cache"), "--config-file", "", str(sample)]))
    (said, errors, status), (wrong, _, failed) = results
    assert (errors, status) == ("", 0), said
    assert failed == 1 and 'has incompatible type "Lost"' in wrong
