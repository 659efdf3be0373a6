"""What needs no broker: addresses, lines, what lines mean, and what is given up when there is no room."""

from __future__ import annotations

import ast
import pathlib
from typing import Any, List

import pytest

import msgstream
from msgstream import Address, BadAddress, CutOff, Ended, Header, Lost, Message, Options, wire
from msgstream.listens import Listens
from msgstream.entries import CLOSE, CONTROL, HEADER, MARK, PUT, Entry
from msgstream.outgoing import Outgoing

codec = msgstream.JsonCodec()


def test_addresses_read_as_people_write_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("127.0.0.1:7342", "[::1]:7342", "localhost:1", "unix:/tmp/s", "tls://localhost:1", "tls://[::1]:7342"):
        assert str(Address.of(text)) == text
    for text, address in [
        ("localhost", Address("localhost", 7342)),
        ("tcp://broker.example:7", Address("broker.example", 7)),
        ("tcp://broker.example", Address("broker.example", 7342)),
        ("::1", Address("::1", 7342)),
        ("[::1]", Address("::1", 7342)),
        ("tcp://[::1]:7", Address("::1", 7)),
        ("tls://broker.example", Address("broker.example", 7342, tls=True)),
        ("tls://::1", Address("::1", 7342, tls=True)),
        ("a, tls://b:1", Address("a", 7342, others=(Address("b", 1, tls=True),))),
    ]:
        assert Address.read(text) == address
    assert Address.of("host", 7) == Address("host", 7)
    assert Address.of("tls://[::1]", 7) == Address("::1", 7, tls=True)
    assert Address.of(port=7) == Address("127.0.0.1", 7)
    monkeypatch.delenv("MSGSTREAM_SERVER", raising=False)
    assert str(Address.of()) == "127.0.0.1:7342"
    monkeypatch.setenv("MSGSTREAM_SERVER", "unix:/run/b")
    assert Address.of() == Address(path="/run/b")
    for text, why in [
        ("/run/b", "has \"unix:\" before it"),
        ("a b:7342", "is no host"),
        ("localhost:http", "the port is not a number"),
        ("localhost:65536", "the port is not a number"),
        (":7342", "the host is missing"),
        ("fe80::1:x:7342", "an IPv6 address stands in brackets"),
        ("unix:", "the path is missing"),
        ("http://localhost:7342", "there is no 'http' transport"),
        ("tls://tcp://localhost", "'tls://tcp://localhost' is not .* there is no 'tcp' transport"),
        ("tls:///run/b", "has \"unix:\" before it"),
        ("tls://", "the host is missing"),
    ]:
        with pytest.raises(BadAddress, match=why):
            Address.read(text)
    with pytest.raises(BadAddress):
        Address.of("host", 0)


def test_lines_are_the_same_however_they_are_cut() -> None:
    lines = ['{"action":"pong","receipt":1}', '{"action":"put","stream":"\u00e9","message":"\u2028\x85"}', ""]
    data = "".join(line + "\n" for line in lines).encode()
    for at in range(len(data) + 1):
        reader = wire.LineReader()
        assert reader.feed(data[:at]) + reader.feed(data[at:]) == lines
    reader = wire.LineReader()
    assert [line for byte in data for line in reader.feed(bytes([byte]))] == lines


def test_what_is_no_line_of_a_broker_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(wire.WireError, match="HTTP/1.1 400"):
        wire.Parser().line("HTTP/1.1 400 Bad Request")
    with pytest.raises(wire.WireError, match="not UTF-8"):
        wire.LineReader().feed(b"\xff\n")
    monkeypatch.setattr(wire, "MAX_LINE", 1 << 20)
    with pytest.raises(wire.WireError, match="a line of more than 1 MiB"):
        reader = wire.LineReader()
        for _ in range(17):
            reader.feed(b"x" * (1 << 16))


@pytest.mark.parametrize("name", ["fit", 'a"b\\', "\u00e9\u2028", "\U0001f600"])
@pytest.mark.parametrize("text", ["1", '{"a":[1.10, "}"]}', '"}"', "null"])
def test_a_message_keeps_its_text(name: str, text: str) -> None:
    assert wire.Parser().line(wire.put(name, text).rstrip("\n")) == wire.Line("put", name, text)
    assert wire.Parser().line(wire.close(name, text).rstrip("\n")) == wire.Line("close", name, text)


def test_lines_of_another_form_mean_the_same() -> None:
    assert wire.Parser().line('{ "stream": "s", "action": "put", "message": [1] }') == wire.Line("put", "s", "[1]")
    error = '{"action":"error","message":{"code":"limit","reason":"too many"},"stream":"s","receipt":"r"}'
    said = wire.Parser().line(error)
    assert (said.code, said.reason, said.stream, said.receipt) == ("limit", "too many", "s", "r")


def heard(listens: "Listens[str]", *lines: str) -> List[Any]:
    return [
        (targets, event) for line in lines for targets, event in listens.settle(wire.Parser().line(line.rstrip("\n"))) if targets
    ]


def receipt(number: int, state: str) -> str:
    return f'{{"action":"receipt","receipt":"listen {number}","state":"{state}"}}'


def test_the_line_before_the_receipt_is_the_header() -> None:
    listens: Listens[str] = Listens(codec.decode)
    listens.join("s", "one")
    assert heard(listens, wire.put("s", "1")) == []
    assert listens.unsettled
    assert heard(listens, receipt(1, "running")) == [(("one",), Header("s", 1))]
    assert not listens.unsettled
    assert heard(listens, wire.put("s", "2")) == [(("one",), Message("s", 2))]


def test_messages_before_a_second_listen_is_answered_are_for_the_first() -> None:
    listens: Listens[str] = Listens(codec.decode)
    listens.join("s", "one")
    heard(listens, receipt(1, "waiting"))
    listens.join("s", "two")
    assert heard(listens, wire.put("s", "1"), wire.put("t", "9"), wire.put("s", "2"), receipt(2, "waiting")) == [
        (("one",), Message("s", 1)),
        (("one",), Message("s", 2)),
    ]
    assert heard(listens, wire.put("s", "3")) == [(("one", "two"), Message("s", 3))]
    listens.join("s", "three")
    assert heard(listens, wire.put("s", "4"), wire.put("s", "5"), receipt(3, "running")) == [
        (("one", "two"), Message("s", 4)),
        (("three",), Header("s", 5)),
    ]


# Seen to fail: the message came to the second listener, as a header.
def test_a_message_that_crossed_a_hangup_is_no_header_of_a_stream_that_has_ended_without_one() -> None:
    listens: Listens[str] = Listens(codec.decode)
    listens.join("s", "one")
    heard(listens, receipt(1, "waiting"))
    assert listens.leave("s", None) == ["s"]
    listens.join("s", "two")
    told = heard(listens, wire.put("s", "1"), receipt(2, 'ended","header":false,"more":"'), wire.close("s", "2"))
    assert told == [(("two",), Ended("s", 2))]
    listens.join("s", "three")
    told = heard(listens, wire.put("s", "1"), receipt(3, 'ended","header":true,"more":"'), wire.close("s", "2"))
    assert told == [(("three",), Header("s", 1)), (("three",), Ended("s", 2))]


def test_an_ended_stream_gives_its_header_and_its_end() -> None:
    listens: Listens[str] = Listens(codec.decode)
    listens.join("s", "one")
    assert heard(listens, wire.put("s", "1"), receipt(1, "ended"), wire.close("s", "2")) == [
        (("one",), Header("s", 1)),
        (("one",), Ended("s", 2)),
    ]
    listens.join("s", "two")
    assert heard(listens, receipt(2, "ended"), wire.close("s")) == [(("two",), Ended("s"))]
    assert listens.streams == []


def test_what_comes_of_other_streams_may_stand_between_a_header_and_its_receipt() -> None:
    listens: Listens[str] = Listens(codec.decode)
    listens.join("t", "one")
    heard(listens, receipt(1, "waiting"))
    listens.join("s", "two")
    pong, hangup = '{"action":"pong","receipt":1}', '{"action":"receipt","receipt":"other"}'
    assert heard(listens, wire.put("s", "1"), wire.put("t", "2"), pong, hangup, receipt(2, "running")) == [
        (("one",), Message("t", 2)),
        (("two",), Header("s", 1)),
    ]


def test_an_end_before_the_answer_is_for_who_listened() -> None:
    listens: Listens[str] = Listens(codec.decode)
    listens.join("s", "one")
    heard(listens, receipt(1, "waiting"))
    listens.join("s", "two")
    assert heard(listens, wire.put("s", "1"), wire.close("s", "2"), wire.put("s", "3"), receipt(2, "running")) == [
        (("one",), Message("s", 1)),
        (("one",), Ended("s", 2)),
        (("two",), Header("s", 3)),
    ]
    assert listens.targets("s") == ["two"]


def test_who_hung_up_gets_nothing_more() -> None:
    listens: Listens[str] = Listens(codec.decode)
    listens.join("s", "one")
    heard(listens, receipt(1, "waiting"))
    assert listens.leave("s", None) == ["s"]
    listens.join("s", "two")
    # A message and an end that were under way to the one who has gone.
    assert heard(listens, wire.put("s", "1"), wire.close("s", "2"), wire.put("s", "3"), receipt(2, "running")) == [
        (("two",), Header("s", 3))
    ]
    listens.join("s", "three")
    assert listens.leave(None, lambda target: target == "three") == []
    assert heard(listens, wire.put("s", "4"), receipt(3, "running"), wire.put("s", "5")) == [(("two",), Message("s", 5))]


def test_a_refused_listen_is_the_end_of_it() -> None:
    listens: Listens[str] = Listens(codec.decode)
    listens.join("s", "one")
    refused = '{"action":"error","message":{"code":"limit","reason":"too many"},"stream":"s","receipt":"listen 1"}'
    assert heard(listens, refused) == [(("one",), CutOff("s", "limit", "too many"))]
    assert listens.streams == []


def test_everybody_learns_of_a_loss_and_joins_again() -> None:
    listens: Listens[str] = Listens(codec.decode)
    listens.join("s", "one")
    listens.join("t", "two")
    heard(listens, receipt(1, "waiting"), wire.put("t", "1"))
    assert listens.interrupted(None, "gone", True) == [(("one",), Lost("s", "gone", True)), (("two",), Lost("t", "gone", True))]
    assert len(listens.again()) == 2
    assert heard(listens, wire.put("s", "1"), receipt(3, "running")) == [(("one",), Header("s", 1))]
    assert listens.interrupted("shutdown", "stops", False) == [
        (("one",), CutOff("s", "shutdown", "stops")),
        (("two",), CutOff("t", "shutdown", "stops")),
    ]
    assert listens.again() == []


def test_a_listen_that_was_not_sent_keeps_its_place() -> None:
    listens: Listens[str] = Listens(codec.decode)
    listens.join("s", "one")
    heard(listens, receipt(1, "waiting"))
    line = listens.join("s", "two")
    listens.interrupted(None, "gone", True)
    assert listens.again({line}) == [wire.listen("s", "listen 3")]
    assert heard(listens, wire.put("s", "1"), receipt(3, "running"), wire.put("s", "2"), receipt(2, "running")) == [
        (("one",), Header("s", 1)),
        (("two",), Header("s", 2)),
    ]
    assert listens.active == {"s": ("one", "two")}


def message(k: int, header: bool = False) -> Any:
    text = f'"{k:0100d}"'
    return Entry(PUT, wire.put("s", text, text), "s", text, False) if header else wire.put("s", text)


def header(k: int, stream: str = "s") -> Entry:
    return Entry(HEADER, wire.header(stream, str(k)), stream, str(k))


def waiting(outgoing: Outgoing) -> List[str]:
    return [entry if isinstance(entry, str) else entry.line for entry in outgoing]


def test_without_room_the_oldest_progress_goes_and_the_last_header_stays() -> None:
    outgoing = Outgoing(10_000)
    first = Entry(PUT, wire.put("s", '"start"'), "s")
    outgoing.add(first)
    outgoing.add(Entry(MARK, ""))
    for k in range(200):
        outgoing.add(message(k, header=True))
        if outgoing.size > outgoing.limit:
            outgoing.trim()
    assert outgoing.size <= outgoing.limit
    lines = waiting(outgoing)
    assert lines[0] == first.line, "an essential message is older than all, and stays"
    kept = lines[2:]
    assert kept == [message(k, header=True).line for k in range(200 - len(kept), 200)]
    assert outgoing.dropped == {"s": 200 - len(kept)}


def test_when_even_that_is_too_much_the_header_and_the_end_stay() -> None:
    outgoing = Outgoing(1000)
    outgoing.add(message(1, header=True))
    for _ in range(20):
        outgoing.add(Entry(PUT, wire.put("s", '"essential"'), "s"))
    outgoing.add(Entry(CLOSE, wire.close("s"), "s"))
    outgoing.trim()
    assert outgoing.size <= outgoing.limit
    lines = waiting(outgoing)
    assert lines[0] == wire.header("s", message(1, header=True).header)
    assert lines[-1] == wire.close("s")
    assert outgoing.dropped["s"] == 1 + 20 - (len(lines) - 2)


def test_headers_that_were_replaced_are_not_sent() -> None:
    outgoing = Outgoing(10_000)
    for k in range(5):
        outgoing.add(header(k))
        outgoing.add(header(k, "t"))
    outgoing.connected(lambda stream, count: None)
    assert waiting(outgoing) == [wire.header("s", "4"), wire.header("t", "4")]
    # But who listens on this very connection is to see what stood when it joined.
    outgoing.add(Entry(CONTROL, wire.listen("s", "r"), "s"))
    outgoing.add(header(5))
    outgoing.connected(lambda stream, count: None)
    assert waiting(outgoing)[0] == wire.header("s", "4") and waiting(outgoing)[-1] == wire.header("s", "5")


def test_what_was_not_confirmed_is_sent_again_after_the_headers_that_were() -> None:
    outgoing = Outgoing(10_000)
    outgoing.add(header(1))
    outgoing.add(header(1, "ended"))
    outgoing.add(Entry(CLOSE, wire.close("ended"), "ended"))
    assert outgoing.take(1 << 20).endswith(wire.close("ended") + wire.ping(1))
    outgoing.confirm(1)
    outgoing.add(message(1))
    outgoing.add(Entry(CONTROL, wire.listen("s", "1"), "s"))
    outgoing.take(1 << 20)
    outgoing.add(message(2))
    outgoing.add(Entry(CONTROL, wire.listen("t", "2"), "t"))
    assert outgoing.controls() == {wire.listen("t", "2")}
    assert not outgoing.empty
    outgoing.disconnected()
    outgoing.take_up(None)
    assert outgoing.doubtful() == ["s"]
    outgoing.reconcile("s", "waiting", None)
    outgoing.connected(lambda stream, count: None)
    assert waiting(outgoing) == [wire.header("s", "1"), message(1), message(2), wire.listen("t", "2")]
    outgoing.take(1 << 20)
    outgoing.confirm(99)
    assert outgoing.empty and outgoing.size == 0


def test_what_was_dropped_is_said_once() -> None:
    outgoing = Outgoing(1000)
    for k in range(20):
        outgoing.add(message(k))
    outgoing.trim()
    outgoing.connected(lambda stream, count: f'"{stream} {count}"')
    assert waiting(outgoing)[0] == wire.put("s", f'"s {outgoing.dropped["s"]}"')
    count = len(outgoing.waiting)
    outgoing.connected(lambda stream, count: f'"{stream} {count}"')
    assert len(outgoing.waiting) == count


def test_pauses_double_up_to_the_longest_and_are_never_less_than_half() -> None:
    options = Options(first_pause=0.1, longest_pause=10.0)
    for attempt, most in [(0, 0.1), (1, 0.2), (6, 6.4), (7, 10.0), (1000, 10.0)]:
        pauses = [options.pause(attempt) for _ in range(50)]
        assert most / 2 <= min(pauses) and max(pauses) <= most
        assert len(set(pauses)) > 1


def test_every_file_is_python_3_9() -> None:
    package = pathlib.Path(msgstream.__file__).parent
    files = sorted(package.rglob("*.py"))
    assert len(files) > 15
    for file in files:
        ast.parse(file.read_text(), str(file), feature_version=(3, 9))


def test_listens_that_were_never_sent_leave_nothing_behind() -> None:
    # Seen to take half a minute for twenty thousand, since each went through all before it.
    listens: Listens[str] = Listens(codec.decode)
    for _ in range(1000):
        listens.join("s", "one")
        assert listens.leave("s", None) == ["s"]
        listens.take_back("s")
    assert not listens.unsettled and not listens._receipts_of


class Compared:
    """Counts how often it is compared with others of its kind."""

    comparisons = 0

    def __eq__(self, other: object) -> bool:
        Compared.comparisons += 1
        return self is other

    __hash__ = object.__hash__


def test_a_new_connection_or_an_end_costs_no_more_for_each_the_more_listen() -> None:
    listens: Listens[Compared] = Listens(codec.decode)
    waiting = {listens.join(f"s{number}", Compared()) for number in range(1000)}
    waiting |= {listens.join("s", Compared()) for _ in range(1000)}
    assert listens.again(waiting) == []
    for number in range(1001, 2001):
        heard(listens, receipt(number, "running"))
    first = listens.active["s"][0]
    assert listens.leave("s", lambda target: target is first) == []
    heard(listens, wire.close("s"))
    assert Compared.comparisons < 20_000
