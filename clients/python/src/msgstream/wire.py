"""Lines of the protocol, to and from values. Knows nothing of sockets, threads or time."""

from __future__ import annotations

import json
import re
from json.encoder import encode_basestring as quoted
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

#: A receipt is chosen by the client and comes back in the answer.
Receipt = Union[str, int]

#: Where a stream stands: which run of it, a text without meaning, and how many messages that run has had.
Position = Tuple[str, int]

#: More than any broker sends: its own limit for a line is 16 MiB unless configured. It bounds what a peer can make us store.
MAX_LINE = 2**30

#: What each message begins with, and what a name looks like after it.
PUT = '{"action":"put","stream":'
NAME = re.compile(r'"(?:[^"\\]|\\.)*"')
_CLOSE = '{"action":"close","stream":'
_MESSAGE = ',"message":'
_HEADER = ',"header":'

#: As many of the last messages as there are.
_ALL = 2**53 - 1
_LATEST = ',"mode":"latest"'

#: The end of a connection, and of its session.
END = '{"action":"close"}\n'


class WireError(Exception):
    """What the peer sent is not of this protocol."""


def put_head(stream: str) -> str:
    """What a ``put`` begins with, up to its message."""
    return f"{PUT}{quoted(stream)}{_MESSAGE}"


def condition(receipt: str, of: Optional[str], absent: bool) -> str:
    """What an action says beside that depends on how the stream stands: on its run, or that it has neither header nor end."""
    return f',"receipt":{quoted(receipt)}' + ("" if of is None else f',"of":{quoted(of)}') + (',"if":"absent"' if absent else "")


def durable(receipt: str) -> str:
    """What an action says beside whose receipt is to wait until the action is in the broker's store."""
    return f',"receipt":{quoted(receipt)},"durable":true'


def put(stream: str, message: str, header: Optional[str] = None, condition: str = "") -> str:
    """A message, with the header that becomes the stream's in the same step."""
    last = "" if header is None else f"{_HEADER}{header}"
    return f"{PUT}{quoted(stream)}{condition}{_MESSAGE}{message}{last}}}\n"


def header(stream: str, message: str, condition: str = "") -> str:
    """A new header."""
    return f'{{"action":"header","stream":{quoted(stream)}{condition},"message":{message}}}\n'


def close(stream: str, message: Optional[str] = None, condition: str = "") -> str:
    """The end of a stream."""
    last = "" if message is None else f"{_MESSAGE}{message}"
    return f'{{"action":"close","stream":{quoted(stream)}{condition}{last}}}\n'


def delete(stream: str, condition: str = "") -> str:
    """Forgets a stream."""
    return f'{{"action":"delete","stream":{quoted(stream)}{condition}}}\n'


def listen(stream: str, receipt: str, after: Optional[Position] = None, last: Optional[int] = None, latest: bool = False) -> str:
    """Joins a stream, goes on ``after`` a position, or begins with the ``last`` messages. The receipt tells its header from its messages. With
    ``latest`` only the newest of the messages that wait is sent."""
    where = "" if after is None else f',"after":{{"epoch":{quoted(after[0])},"sequence":{after[1]}}}'
    where += "" if last is None else f',"last":{last}'
    where += _LATEST if latest else ""
    return f'{{"action":"listen","stream":{quoted(stream)},"receipt":{quoted(receipt)}{where}}}\n'


def listen_prefix(prefix: str, receipt: str, after: "Dict[str, Position]", latest: bool = False, whole: bool = False) -> str:
    """Joins all streams whose names begin so, those that there are and those to come. Those in ``after`` are resumed; the others begin with
    all messages that the broker has, if they are wanted ``whole``."""
    places = ",".join(f'{quoted(stream)}:{{"epoch":{quoted(epoch)},"sequence":{sequence}}}' for stream, (epoch, sequence) in after.items())
    where = f',"after":{{{places}}}' if after else ""
    where += f',"last":{_ALL}' if whole else ""
    where += _LATEST if latest else ""
    return f'{{"action":"listen","prefix":{quoted(prefix)},"receipt":{quoted(receipt)}{where}}}\n'


def will(stream: str, message: Optional[str] = None) -> str:
    """How a stream ends if this client is lost. Without a message it is taken back."""
    last = "" if message is None else f"{_MESSAGE}{message}"
    return f'{{"action":"will","stream":{quoted(stream)}{last}}}\n'


def of(epoch: str) -> str:
    """The end of a line that is for one run of its stream only."""
    return f',"of":{quoted(epoch)}}}\n'


def with_receipt(line: str, receipt: str) -> str:
    """The same, and the broker says what became of it."""
    return f'{line[:-2]},"receipt":{quoted(receipt)}}}\n'


def put_without_header(line: str, header: str) -> str:
    """What ``put`` has made with this header, without it."""
    return f"{line[: -len(header) - len(_HEADER) - 2]}}}\n"


def auth(token: str) -> str:
    """Shows a token, before all else on a connection."""
    return f'{{"action":"auth","token":{quoted(token)}}}\n'


def session(name: str) -> str:
    """Asks what is known of a session, first on a connection, or behind the token."""
    return f'{{"action":"session","session":{quoted(name)}}}\n'


def hangup(stream: str) -> str:
    """Leaves a stream."""
    return f'{{"action":"hangup","stream":{quoted(stream)}}}\n'


def hangup_prefix(prefix: str) -> str:
    """Leaves the streams of a prefix."""
    return f'{{"action":"hangup","prefix":{quoted(prefix)}}}\n'


def ping(receipt: int) -> str:
    """Asks for a pong once all lines before it have taken effect."""
    return f'{{"action":"ping","receipt":{receipt}}}\n'


def size(text: str) -> int:
    """How many bytes a text takes on the wire."""
    return len(text) if text.isascii() else len(text.encode())


class Session(NamedTuple):
    """What a broker knows of a session."""

    known: bool
    #: How many of its lines it has taken.
    taken: int
    #: This life of the broker.
    broker: str


class Line(NamedTuple):
    """A line from the broker. ``message`` is the text of the message as it stands there."""

    action: str
    stream: Optional[str] = None
    message: Optional[str] = None
    receipt: Optional[Receipt] = None
    state: str = ""
    #: Of a stream that was joined: whether the message directly before this is its header.
    has_header: bool = False
    code: str = ""
    reason: str = ""
    #: Of a listener that goes on: nothing is missing, or how many messages are, if the broker knows.
    resumed: bool = False
    missed: Optional[int] = None
    #: Where the listener begins, or the stream stands.
    position: Optional[Position] = None
    #: For how long the stream has been in its state, in seconds.
    age: Optional[float] = None
    #: What the broker knows of the session.
    session: Optional[Session] = None
    #: How many messages were replaced by the next one.
    skipped: int = 0


class LineReader:
    """From bytes, however they are cut, to lines. A line over ``MAX_LINE`` is a WireError."""

    def __init__(self) -> None:
        self._parts: List[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> List[str]:
        """The lines that these bytes complete."""
        end = data.rfind(b"\n") + 1
        if end == 0:
            self._size += len(data)
            if self._size > MAX_LINE:
                raise WireError(f"a line of more than {MAX_LINE >> 20} MiB")
            self._parts.append(data)
            return []
        self._parts.append(data[:end])
        whole = b"".join(self._parts)
        self._parts = [data[end:]] if end < len(data) else []
        self._size = len(data) - end
        try:
            text = whole.decode()
        except UnicodeDecodeError as error:
            raise WireError(f"a line that is not UTF-8: {error}") from None
        # Not splitlines(), which also ends lines at characters that JSON strings may hold.
        lines = text.split("\n")
        lines.pop()
        return lines


class Parser:
    """From lines to values. Messages are most of what comes, so their names are remembered in the form they are sent in."""

    def __init__(self) -> None:
        self._names: Dict[str, str] = {}

    def message(self, line: str) -> Optional[Line]:
        """The line as a ``put``, if it is one in the form in which a broker writes it."""
        if not line.startswith(PUT):
            return None
        match = NAME.match(line, len(PUT))
        if match is None or not line.startswith(_MESSAGE, match.end()) or not line.endswith("}"):
            return None
        name = self._name(match.group())
        return None if name is None else Line("put", name, line[match.end() + len(_MESSAGE) : -1])

    def _close(self, line: str) -> Optional[Line]:
        """The line as the end of a stream, if it is one in the form in which a broker writes it. Its message is left to whoever can tell
        what cannot be decoded: a number too long for Python is no fault of the line."""
        if not line.startswith(_CLOSE):
            return None
        match = NAME.match(line, len(_CLOSE))
        if match is None or not line.endswith("}"):
            return None
        end, name = match.end(), self._name(match.group())
        if name is None:
            return None
        if line.startswith(_MESSAGE, end):
            return Line("close", name, line[end + len(_MESSAGE) : -1])
        return Line("close", name) if end == len(line) - 1 else None

    def _name(self, raw: str) -> Optional[str]:
        """The name; None if it is none."""
        name = self._names.get(raw)
        if name is None:
            try:
                name = json.loads(raw)
            except ValueError:
                return None
            if not isinstance(name, str) or not _is_text(name):
                return None
            if len(self._names) >= 4096:
                self._names.clear()
            self._names[raw] = name
        return name

    def line(self, line: str) -> Line:
        """Any line."""
        return self.message(line) or self._close(line) or _general(line)


def _general(line: str) -> Line:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    action = value.get("action") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(action, str):
        raise _unheard_of(line)
    stream, receipt, position = value.get("stream"), value.get("receipt"), _position(value.get("position"))
    if (isinstance(stream, str) and not _is_text(stream)) or (position is None and value.get("position") is not None):
        # What is kept of it would be said again, and could not be.
        raise _unheard_of(line)
    message: Any = value.get("message")
    detail = message if isinstance(message, dict) else {}
    has_stream = isinstance(stream, str)
    return Line(
        action,
        stream if has_stream else None,
        _message_text(line, value) if "message" in value and has_stream else None,
        receipt if isinstance(receipt, (str, int)) and not isinstance(receipt, bool) else None,
        str(value.get("state", "")),
        action in ("receipt", "joined") and _has_header(value),
        str(detail.get("code", "")),
        str(detail.get("reason", "")),
        value.get("resumed") is True,
        _count(value.get("missed")),
        position,
        _age(value.get("age")),
        _session(value) if action == "session" else None,
        _count(value.get("messages")) or 0,
    )


def _unheard_of(line: str) -> WireError:
    shown = line if len(line) <= 80 else line[:80] + "..."
    return WireError(f"{shown!r}, which no msgstream broker says")


def _is_text(value: str) -> bool:
    """Whether it can be written. Half a surrogate pair cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _has_header(value: "Dict[str, Any]") -> bool:
    state, header = value.get("state"), value.get("header")
    if state == "ended" and isinstance(header, bool):
        return header
    # Of other states it is not said, nor by an older broker.
    return state != "waiting" and value.get("resumed") is not True


def _count(value: Any) -> Optional[int]:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _age(value: Any) -> Optional[float]:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0 else None


def _session(value: Dict[str, Any]) -> Optional[Session]:
    known, taken, broker = value.get("known"), _count(value.get("taken")), value.get("broker")
    if not isinstance(known, bool) or taken is None or not isinstance(broker, str):
        return None
    return Session(known, taken, broker)


def _position(value: Any) -> Optional[Position]:
    epoch, sequence = (value.get("epoch"), _count(value.get("sequence"))) if isinstance(value, dict) else (None, None)
    return (epoch, sequence) if isinstance(epoch, str) and _is_text(epoch) and sequence is not None and sequence < 1 << 64 else None


def _message_text(line: str, value: Dict[str, Any]) -> str:
    """The message as it was sent, where it can be found: brokers write it last."""
    prefix = f'{{"action":{quoted(value["action"])},"stream":'
    match = NAME.match(line, len(prefix)) if line.startswith(prefix) else None
    if match is not None and line.startswith(_MESSAGE, match.end()) and value["action"] != "error":
        return line[match.end() + len(_MESSAGE) : -1]
    return json.dumps(value["message"])
