"""Messages to and from JSON text: what is refused, and by which name; what has which form; what comes back."""

from __future__ import annotations

import dataclasses
import pickle
import datetime
import decimal
import enum
import json
import math
import pathlib
import uuid
from collections import OrderedDict, deque, namedtuple
from dataclasses import dataclass, field
from typing import Any, List

import numpy as np
import pandas as pd
import pytest

import msgstream
from msgstream import EncodeError, JsonCodec

codec = JsonCodec()
nulls = JsonCodec(nan="null")


@dataclass
class Parameter:
    sigma: float
    name: str = "p"


@dataclass
class Fit:
    params: List[Parameter] = field(default_factory=list)


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (math.nan, 'message is NaN; use nan="null" to send it as null'),
        ({"a": math.inf}, 'message.a is Infinity; use nan="null" to send it as null'),
        ([1, [-math.inf]], 'message[1][0] is -Infinity; use nan="null" to send it as null'),
        ({"fit": {"two words": math.nan}}, 'message.fit["two words"] is NaN; use nan="null" to send it as null'),
        (Fit([Parameter(1), Parameter(2), Parameter(3), Parameter(math.nan)]), 'message.params[3].sigma is NaN; use nan="null" to send it as null'),
        ({"x": np.array([[0.0, 1.0], [np.nan, 2.0]])}, 'message.x[1][0] is NaN; use nan="null" to send it as null'),
        ({"x": np.float32("inf")}, 'message.x is Infinity; use nan="null" to send it as null'),
        ({"x": {"set": {math.nan}}}, 'message.x.set[0] is NaN; use nan="null" to send it as null'),
        ({math.nan: 1}, "message has the key NaN, which JSON does not know"),
        ({(1, 2): 1}, "message has a key of type tuple; a key is a string or a number"),
        ({"raw": b"abc"}, "message.raw is bytes, which JSON does not know; send base64.b64encode(...).decode(), or text"),
        ({"z": [1j]}, "message.z[0] is complex, which JSON does not know; send [z.real, z.imag]"),
        ({"f": len}, "message.f is a builtins.builtin_function_or_method, which does not encode; see msgstream.serial.register"),
        ({"t": Parameter}, "message.t is a builtins.type, which does not encode; see msgstream.serial.register"),
    ],
)
def test_what_json_cannot_hold_is_named_by_its_path(message: Any, error: str) -> None:
    with pytest.raises(EncodeError) as raised:
        codec.encode(message)
    assert str(raised.value) == error
    assert isinstance(raised.value, ValueError)


def test_what_contains_itself_or_is_too_deep_is_refused() -> None:
    around: List[Any] = []
    around.append({"again": around})
    with pytest.raises(EncodeError, match=r"message\[0\]\.again contains itself"):
        codec.encode(around)
    deep: List[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(EncodeError, match="message is nested too deeply"):
        codec.encode(deep)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (math.nan, "null"),
        ({"a": [1.5, math.inf]}, '{"a":[1.5,null]}'),
        (np.array([1.0, np.nan]), "[1.0,null]"),
        ([Parameter(math.nan)], '[{".class":"test_encoding.Parameter",".version":"0.0",".state":{"sigma":null,"name":"p"}}]'),
    ],
)
def test_nan_becomes_null_where_that_was_chosen(message: Any, text: str) -> None:
    assert nulls.encode(message) == text


def test_there_are_only_these_choices() -> None:
    with pytest.raises(ValueError, match='nan is "error" or "null"'):
        JsonCodec(nan="ignore")


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"b": 1, "a": [True, None, "\u00e9\n\u2028"]}, '{"b":1,"a":[true,null,"\u00e9\\n\u2028"]}'),
        ("\u65e5\u672c \U0001f600", '"\u65e5\u672c \U0001f600"'),
        ("\u65e5\ud800", '"\u65e5\\ud800"'),
        ("\ud800", '"\\ud800"'),
        (2**64 + 1, "18446744073709551617"),
        (Pair(1, 2), "[1,2]"),
        (OrderedDict(b=1, a=2), '{"b":1,"a":2}'),
        (deque([1, 2]), "[1,2]"),
        (range(3), "[0,1,2]"),
        ({3, 1, 2}, "[1,2,3]"),
        (datetime.datetime(2009, 3, 16, 15, 3, 12, tzinfo=datetime.timezone.utc), '"2009-03-16T15:03:12+00:00"'),
        (datetime.date(2009, 3, 16), '"2009-03-16"'),
        (datetime.timedelta(seconds=1.5), "1.5"),
        (pathlib.PurePosixPath("/data/fit.dat"), '"/data/fit.dat"'),
        (Color.RED, '"red"'),
        (Level.HIGH, "3"),
        (decimal.Decimal("1.10"), '"1.10"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (np.int64(7), "7"),
        (np.float64(1.5), "1.5"),
        (np.float32(0.5), "0.5"),
        (np.bool_(True), "true"),
        (np.str_("a"), '"a"'),
        (np.longdouble(0.25), "0.25"),
        (np.arange(4).reshape(2, 2), "[[0,1],[2,3]]"),
        (np.array(3.5), "3.5"),
        (np.array([], dtype=float), "[]"),
        (np.array([0.25], dtype=np.longdouble), "[0.25]"),
        (np.array(["2009-03-16"], dtype="datetime64[D]"), '["2009-03-16"]'),
        (np.datetime64("2009-03-16T15:03"), '"2009-03-16T15:03"'),
        ({np.int64(3): 1, Color.RED: 2, pathlib.PurePosixPath("p"): 3, 4: 5, True: 6}, '{"3":1,"red":2,"p":3,"4":5,"true":6}'),
    ],
)
def test_what_python_programs_hold_has_one_form(message: Any, text: str) -> None:
    assert codec.encode(message) == text
    json.loads(text)


MISSING = [
    (math.nan, "NaN"),
    (-math.inf, "-Infinity"),
    (np.float64("nan"), "NaN"),
    (np.longdouble("nan"), "NaN"),
    (decimal.Decimal("NaN"), "NaN"),
    (decimal.Decimal("sNaN"), "NaN"),
    (decimal.Decimal("-Infinity"), "-Infinity"),
    (np.datetime64("NaT", "s"), "NaT"),
    (np.timedelta64("NaT", "s"), "NaT"),
    (np.array("NaT", dtype="datetime64[s]"), "NaT"),
    (pd.NaT, "NaT"),
    (pd.NA, "NA"),
]


@pytest.mark.parametrize(("value", "name"), MISSING, ids=[f"{type(value).__name__}-{name}" for value, name in MISSING])
def test_what_is_missing_is_one_kind(value: Any, name: str) -> None:
    with pytest.raises(EncodeError) as raised:
        codec.encode({"x": [1, value]})
    assert str(raised.value) == f'message.x[1] is {name}; use nan="null" to send it as null'
    assert nulls.encode({"x": [1, value]}) == '{"x":[1,null]}'


ARRAYS = [
    (np.array([1.5, np.nan]), "NaN", "1.5"),
    (np.array([1, None], dtype=object), "None in an array", "1"),
    (np.ma.array([1, 2], mask=[False, True]), "None in an array", "1"),
    (np.array(["2009-03-16", "NaT"], dtype="datetime64[D]"), "NaT", '"2009-03-16"'),
    (np.array([5, "NaT"], dtype="timedelta64[s]"), "NaT", "5.0"),
    (pd.Series([1.5, None]), "NaN", "1.5"),
    (pd.Series([1, None], dtype="Int64"), "NA", "1"),
    (pd.Series(["a", None], dtype=object), "None in an array", '"a"'),
    (pd.Series(["2009-03-16", None], dtype="datetime64[ns]"), "NaT", '"2009-03-16T00:00:00"'),
    (pd.Series(pd.to_timedelta([5, None], unit="s")), "NaT", "5.0"),
]


@pytest.mark.parametrize(("array", "name", "first"), ARRAYS, ids=[f"{type(each[0]).__name__}-{each[0].dtype}" for each in ARRAYS])
def test_what_is_missing_in_an_array_is_no_exception(array: Any, name: str, first: str) -> None:
    with pytest.raises(EncodeError) as raised:
        codec.encode({"x": array})
    assert str(raised.value) == f'message.x[1] is {name}; use nan="null" to send it as null'
    assert nulls.encode({"x": array}) == f'{{"x":[{first},null]}}'
    assert codec.encode({"x": array[:1]}) == f'{{"x":[{first}]}}'


def test_none_is_null_where_it_is_no_array() -> None:
    assert codec.encode([None, np.array([[1, {"a": None}]], dtype=object)]) == '[null,[[1,{"a":null}]]]'


def test_a_time_is_a_number_of_seconds_in_every_type() -> None:
    times = [datetime.timedelta(seconds=5), np.timedelta64(5, "s"), np.timedelta64(5_000_000_000, "ns"), pd.Timedelta(5, "s")]
    times.append(np.array(5, dtype="timedelta64[s]"))
    assert codec.encode(times) == "[5.0,5.0,5.0,5.0,5.0]"
    assert codec.encode(np.array([[90]], dtype="timedelta64[m]")) == "[[5400.0]]"
    with pytest.raises(EncodeError, match="message.t is a timedelta64 in Y, which is no number of seconds"):
        codec.encode({"t": np.timedelta64(1, "Y")})


# Newer versions of numpy warn of what has no unit.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_time_without_unit_is_refused() -> None:
    with pytest.raises(EncodeError, match="message.t is a timedelta64 in no unit, which is no number of seconds"):
        codec.encode({"t": np.timedelta64(5)})


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({1: "a", "1": "b"}, "1 and '1'"),
        ({True: "a", "true": "b"}, "True and 'true'"),
        ({None: "a", "null": "b"}, "None and 'null'"),
        ({0.5: "a", "0.5": "b"}, "0.5 and '0.5'"),
        ({"red": "a", Color.RED: "b"}, "'red' and <Color.RED: 'red'>"),
        ({np.int64(7): "a", "7": "b"}, f"{np.int64(7)!r} and '7'"),
    ],
)
def test_two_keys_that_are_one_in_json_are_refused(keys: Any, named: str) -> None:
    for message, path in ((keys, ""), ([{"a": (keys,)}], "[0].a[0]"), (Fit([keys]), ".params[0]"), (OrderedDict(a=keys), ".a")):
        with pytest.raises(EncodeError) as raised:
            codec.encode(message)
        assert str(raised.value) == f"message{path} has the keys {named}, which are one key in JSON"
    assert codec.encode({1: "a", "2": "b"}) == '{"1":"a","2":"b"}'


def test_what_was_encoded_comes_back() -> None:
    message = {"text": "\u00e9 \\u \u65e5\U0001f600\ud800\x00\x7f\x85", "numbers": [1, 1.5, -0.0, 2**70], "nothing": None, ".class": "free", "yes": True}
    assert codec.decode(codec.encode(message)) == message
    assert codec.decode(' [1, "a"] ') == [1, "a"]


def test_an_object_is_found_however_its_key_is_escaped() -> None:
    text = '{"\\u002eclass":"monitor.Log",".version":"1.0",".state":{"text":"line"}}'
    assert codec.decode(text) == msgstream.monitor.Log("line")


def test_the_error_names_the_header_if_it_is_that() -> None:
    remote = msgstream.RemoteStream("127.0.0.1:1", options=msgstream.Options(exit_time=0.01))
    with pytest.raises(EncodeError, match="^header.chisq is NaN"):
        remote["fit"] = {"chisq": math.nan}
    with pytest.raises(EncodeError, match="^header.chisq is NaN"):
        remote.put("fit", 1, header={"chisq": math.nan})
    with pytest.raises(EncodeError, match="^message.chisq is NaN"):
        remote.put("fit", {"chisq": math.nan}, header={})
    remote.close()


def test_whatever_an_object_raises_is_said_with_its_path() -> None:
    @dataclasses.dataclass
    class Unset:
        x: float
        y: float = dataclasses.field(init=False)

    with pytest.raises(msgstream.EncodeError, match=r"message.fits\[1\] cannot be encoded: AttributeError: .*'y'"):
        msgstream.codec.encode({"fits": [1, Unset(1.0)]})


def test_an_error_says_the_same_in_another_process() -> None:
    error = msgstream.EncodeError(".x", "is NaN", "header")
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "header.x is NaN"
