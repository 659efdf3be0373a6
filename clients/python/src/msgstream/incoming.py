"""What comes from a broker on one connection: from bytes to lines, and what they say. Knows nothing of sockets, threads or time."""

from __future__ import annotations

from typing import Callable, List, Optional

from .configuration import is_secret
from .errors import CODES
from .tls import ANSWERS
from .wire import Line, LineReader, Parser, Session, WireError


#: What a broker answers that knows no sessions, or has no room for one more. It serves us all the same.
_NO_SESSION = ("bad_action", "limit")


#: The end of a connection on which a ``listen`` is not answered, but a question that was asked behind it is.
DEAF = "the broker answers, but not to those who listen"


#: The most that is shown of a reason, in characters.
_LONGEST = 4096


class CutShort(Exception):
    """The connection has ended. ``code`` is the broker's if it said why."""

    def __init__(self, reason: str, code: Optional[str] = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


def failed(error: Exception) -> CutShort:
    """The connection failed as the system says."""
    return CutShort(f"the connection failed: {said(error)}")


def said(error: Exception) -> str:
    """What the system says of it, without its number."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _plain(text: str) -> str:
    """What a peer says, as part of one line of a log: it begins no line of its own, and controls no terminal."""
    shown = text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
    return shown if shown.isprintable() else "".join(each if each.isprintable() else " " for each in shown)


class Incoming:
    """The lines of one connection. ``cure`` knows what helps against a refusal, by its code."""

    def __init__(self, cure: Callable[[str], Optional[str]] = lambda code: None) -> None:
        self._cure = cure
        self._token = ""
        #: Whether the first line may be the answer of a broker that knows no tokens.
        self._is_first = False
        self._is_new = True
        self._lines = LineReader()
        self._parser = Parser()
        #: What the broker knows of the session that it was asked for, if it has sessions.
        self.session: Optional[Session] = None
        #: The line if it is an ordinary message, quickly.
        self.message = self._parser.message

    def authenticates(self, token: str) -> None:
        """This is shown first on the connection, and to nobody else whatever comes back."""
        self._token, self._is_first = token, True

    def feed(self, data: bytes) -> List[str]:
        """The lines that these bytes complete. No bytes are the end of the connection."""
        if not data:
            raise CutShort("the connection ended without a word; the broker or the network failed")
        if self._is_new and data[0] in ANSWERS:
            raise CutShort('the broker speaks TLS there: write "tls://" before the address')
        self._is_new = False
        try:
            return self._lines.feed(data)
        except WireError as error:
            raise CutShort(f"the broker sent {error}") from None

    def parse(self, line: str) -> Line:
        """What a line says. Raises CutShort if it is none of the protocol, or says that the connection ends."""
        try:
            line_said = self._parser.line(line)
        except WireError as error:
            # Who is no broker may repeat what it does not understand.
            raise CutShort(f"the broker sent {error if not self._token else 'what no msgstream broker says'}") from None
        ends = line_said.action == "close" and line_said.stream is None
        if ends or line_said.action == "error":
            line_said = self._refused(line_said)
        self._is_first = False
        if ends:
            raise CutShort(line_said.reason or "the broker ended the connection as it was asked to", line_said.code or "closed")
        return line_said

    def _refused(self, line: Line) -> Line:
        if self._is_first and line.action == "error" and line.code == "bad_action":
            # It is older than tokens, and serves us all the same.
            return Line("")
        cure, reason = self._cure(line.code), _plain(self._masked(line.reason))
        code = line.code if line.code in CODES else _plain(self._masked(line.code))
        # Refusals are counted by it, so only what may be a secret is taken out of it.
        stream = self._masked(line.stream) if line.stream is not None and is_secret(line.stream) else line.stream
        return line._replace(code=code, reason=reason if cure is None else f"{reason}; {cure}", stream=stream)

    def _masked(self, text: str) -> str:
        """Without the token, since logs and exceptions show it."""
        return text.replace(self._token, "...") if self._token else text

    def greeted(self, lines: List[str]) -> Optional[List[str]]:
        """What comes behind the broker's answer to the first ping, or the question for a session; None if that is not among these lines.
        Raises CutShort if it turns us away."""
        for index, line in enumerate(lines):
            line_said = self.parse(line)
            if line_said.action in ("pong", "session") or line_said.code in _NO_SESSION:
                self.session = line_said.session
                return lines[index + 1 :]
            if line_said.action == "error":
                raise CutShort(line_said.reason or "the broker ended the connection", line_said.code or None)
        return None
