"""Objects as messages, and the messages of a monitor."""

from __future__ import annotations

import enum
import json
import pickle
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, NamedTuple

import pytest

from msgstream import Ended, Header, JsonCodec, Lost, Message, monitor, serial

codec = JsonCodec()


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    before = set(serial._by_class)
    yield
    for cls in set(serial._by_class) - before:
        serial.unregister(cls)


@dataclass(frozen=True)
class Point:
    x: float
    near: List["Point"] = field(default_factory=list)
    seen: int = field(default=0, init=False)


class Attributes:
    def __init__(self, a: int) -> None:
        self.a = a


class Pickled:
    def __init__(self, a: int) -> None:
        self.a = a

    def __getstate__(self) -> List[int]:
        return [self.a]

    def __setstate__(self, state: List[int]) -> None:
        (self.a,) = state


def back(value: Any) -> Any:
    return codec.decode(codec.encode(value))


def test_a_registered_dataclass_comes_back() -> None:
    serial.register(Point)
    point = Point(1.5, [Point(2), Point(3)])
    assert json.loads(codec.encode(Point(1.5))) == {
        ".class": "test_serial.Point",
        ".version": "0.0",
        ".state": {"x": 1.5, "near": [], "seen": 0},
    }
    assert back({"points": [point]}) == {"points": [point]}
    assert back(point).near[1] == Point(3)


def test_a_class_that_is_not_registered_stays_a_dictionary() -> None:
    wire = {".class": "test_serial.Point", ".version": "0.0", ".state": {"x": 1, "near": [], "seen": 0}}
    assert back(Point(1)) == wire
    assert back({".class": ["odd"]}) == {".class": ["odd"]}


def test_other_classes_travel_by_their_attributes_or_as_they_pickle() -> None:
    serial.register(Attributes, "my.attributes", version="2.1")
    serial.register(Pickled)
    assert codec.encode(Attributes(1)) == '{".class":"my.attributes",".version":"2.1",".state":{"a":1}}'
    assert back(Attributes(1)).a == 1
    assert codec.encode(Pickled(2)) == '{".class":"test_serial.Pickled",".version":"0.0",".state":[2]}'
    assert back(Pickled(2)).a == 2


def test_a_class_may_bring_its_own_functions_and_see_the_version() -> None:
    @serial.register("range", version="3", to_state=lambda r: [r.start, r.stop], from_state=lambda state, version: (version, state))
    class Range:
        start, stop = 1, 5

    assert back(Range()) == ("3", [1, 5])


class Named(NamedTuple):
    x: float
    near: List[Any] = []


class Level(enum.IntEnum):
    HIGH = 3


class Degrees(float):
    pass


class Table(Dict[str, Any]):
    pass


def test_a_class_that_is_also_what_json_has_itself_comes_back_too() -> None:
    serial.register(Named)
    serial.register(Level, "level")
    serial.register(Degrees, to_state=float, from_state=lambda state, version: Degrees(state))
    serial.register(Table, to_state=dict, from_state=lambda state, version: Table(state))
    assert codec.encode(Level.HIGH) == '{".class":"level",".version":"0.0",".state":3}'
    state = {"x": 1.5, "near": []}
    assert json.loads(codec.encode(Named(1.5))) == {".class": "test_serial.Named", ".version": "0.0", ".state": state}
    for value in (Named(1, [Named(2)]), Level.HIGH, Degrees(1.5), Table(a=Level.HIGH), [{"a": (Degrees(2),)}]):
        there = back(value)
        assert type(there) is type(value) and (there == value or value == [{"a": (Degrees(2),)}])
    assert type(back([{"a": (Degrees(2),)}])[0]["a"][0]) is Degrees
    assert type(back(Point(0, [Named(1)]))[".state"]["near"][0]) is Named
    newer = '{".class":"test_serial.Named",".version":"9",".state":{"x":1,"colour":"red"}}'
    assert codec.decode(newer) == Named(1)


def test_a_class_whose_registration_would_do_nothing_is_refused() -> None:
    for native in (dict, list, tuple, str, int, float, bool, type(None)):
        with pytest.raises(TypeError, match=f"{native.__name__} is what JSON has itself"):
            serial.register(native)
    with pytest.raises(TypeError, match="test_serial.Table is a dict with more to it; say with to_state and from_state"):
        serial.register(Table)
    with pytest.raises(TypeError, match="test_serial.Degrees is a float"):
        serial.register(Degrees, to_state=float)
    assert codec.encode([Degrees(2), Table()]) == "[2.0,{}]"


def test_fields_of_a_newer_program_are_left_out_and_a_foreign_state_stays_as_it_is() -> None:
    serial.register(Point)
    newer = '{".class":"test_serial.Point",".version":"9",".state":{"x":1,"colour":"red"}}'
    assert codec.decode(newer) == Point(1)
    for state in ("{}", "7", "null"):
        text = f'{{".class":"test_serial.Point",".version":"0.0",".state":{state}}}'
        assert codec.decode(text) == json.loads(text)


def test_a_name_belongs_to_one_class_until_that_is_defined_again() -> None:
    serial.register(Point, "p")
    with pytest.raises(ValueError, match="'p' is registered for test_serial.Point already"):
        serial.register(Attributes, "p")

    def define() -> type:
        @serial.register
        @dataclass
        class Cell:
            a: int

        return Cell

    define()
    again = define()
    assert type(back(again(1))) is again


@pytest.mark.parametrize(
    ("message", "name", "state"),
    [
        (monitor.Start("fit", 100, "steps"), "Start", {"title": "fit", "total": 100, "units": "steps"}),
        (monitor.Start(), "Start", {}),
        (monitor.Join("fit", 2.5, 100, "steps"), "Join", {"title": "fit", "k": 2.5, "total": 100, "units": "steps"}),
        (monitor.Progress(3, text="hot"), "Progress", {"k": 3, "text": "hot"}),
        (monitor.Improvement(1.5, {"par": {"a": 1}}), "Improvement", {"value": 1.5, "par": {"a": 1}}),
        (monitor.Improvement(None), "Improvement", {"value": None}),
        (monitor.Complete(), "Complete", {}),
        (monitor.Complete("out.dat"), "Complete", {"result": "out.dat"}),
        (
            monitor.Complete("out.dat", "fit", "2026-11-28T12:55:19+00:00", "2026-11-28T12:55:23+00:00"),
            "Complete",
            {"result": "out.dat", "title": "fit", "started": "2026-11-28T12:55:19+00:00", "ended": "2026-11-28T12:55:23+00:00"},
        ),
        (monitor.Abort("asked"), "Abort", {"reason": "asked"}),
        (monitor.Error("no data", "line 1"), "Error", {"reason": "no data", "traceback": "line 1"}),
        (monitor.Log("line", "info"), "Log", {"text": "line", "level": "info"}),
        (monitor.Progress(1, more={"eta": 7}), "Progress", {"k": 1, "eta": 7}),
    ],
)
def test_every_message_of_a_monitor_has_its_form(message: monitor.MonitorMessage, name: str, state: Any) -> None:
    wire = {".class": f"monitor.{name}", ".version": "1.0", ".state": state}
    assert json.loads(codec.encode(message)) == wire
    assert list(json.loads(codec.encode(message))) == list(wire)
    assert back(message) == message


class Recorder(monitor.Dispatcher):
    def __init__(self) -> None:
        self.calls: List[Any] = []

    def onMonitorProgress(self, message: monitor.Progress) -> None:
        self.calls.append(("progress", message.k))

    def onMonitorError(self, message: monitor.Error) -> None:
        self.calls.append(("error", message.reason))

    def onMonitorMessage(self, message: Any) -> None:
        self.calls.append(("message", message))

    def onMonitorEvent(self, event: Any) -> None:
        self.calls.append(("event", event))

    def onMonitorClose(self) -> None:
        self.calls.append("close")


def test_the_dispatcher_calls_by_type() -> None:
    recorder = Recorder()
    lost = Lost("fit", "gone", True)
    for message in (
        monitor.Progress(1),
        monitor.Log("not overridden"),
        {"free": 1},
        Message("fit", monitor.Progress(2)),
        Header("fit", monitor.Join()),
        lost,
    ):
        recorder.put(message)
    recorder.close(monitor.Error("why"))
    recorder.put(Ended("fit", None))
    assert recorder.calls == [
        ("progress", 1),
        ("message", monitor.Log("not overridden")),
        ("message", {"free": 1}),
        ("progress", 2),
        ("message", monitor.Join()),
        ("event", lost),
        ("error", "why"),
        "close",
        "close",
    ]


def test_events_can_be_sent_between_processes() -> None:
    for event in (Header("s", 1), Message("s", [2]), Ended("s", None), Lost("s", "why", True)):
        assert pickle.loads(pickle.dumps(event)) == event
