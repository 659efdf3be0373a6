"""What can go wrong, as exceptions."""

from __future__ import annotations

from typing import Optional


class MsgstreamError(Exception):
    """The base of all errors of this package."""


class EncodeError(MsgstreamError, ValueError):
    """A message or header that cannot be written as JSON.

    ``path`` leads to the offending value, such as ``.params[3].sigma``, and ``problem`` says what is wrong with it.
    """

    def __init__(self, path: str, problem: str, what: str = "message") -> None:
        super().__init__(f"{what}{path} {problem}")
        self.path = path
        self.problem = problem
        self.what = what

    def __reduce__(self) -> "tuple[type[EncodeError], tuple[str, str, str]]":
        return (type(self), (self.path, self.problem, self.what))


class BadAddress(MsgstreamError, ValueError):
    """The address of a broker that cannot be understood."""


class BadConfig(MsgstreamError, ValueError):
    """A file of the clients' configuration that cannot be read or understood; the message names the file and the line. Or a token, a
    certificate or its key that cannot be used."""


class Closed(MsgstreamError, RuntimeError):
    """Something was asked of a connection that its owner has closed."""


class Disconnected(MsgstreamError, ConnectionError):
    """The broker cannot be reached, or the connection was lost. Raised in strict mode only."""


class BrokerError(MsgstreamError):
    """The broker refused an action. ``code`` is one of the protocol's, such as ``limit`` or ``denied``."""

    def __init__(self, code: str, reason: str, stream: Optional[str] = None) -> None:
        super().__init__(f"{code}: {reason}" if stream is None else f"{code}: {reason} (stream {stream!r})")
        self.code = code
        self.reason = reason
        self.stream = stream

    def __reduce__(self) -> "tuple[type[BrokerError], tuple[str, str, Optional[str]]]":
        return (type(self), (self.code, self.reason, self.stream))


class AuthFailed(BrokerError):
    """The broker wants a token and was given none, or knows nothing of the one that it was given. ``reason`` says what to do. Raised in
    strict mode only."""


class Denied(BrokerError):
    """The token does not give the right to do this. Nothing has happened."""


class Stale(BrokerError):
    """The stream does not stand as the action requires: the run that it is for is over, or somebody else has begun the stream. Nothing has
    happened."""


#: The codes of connections that end for want of a token that the broker knows.
UNAUTHENTICATED = ("auth_required", "auth_failed")

#: All codes of the protocol: of errors, and of connections that end.
CODES = frozenset(
    "bad_json bad_action missing_stream bad_stream missing_message line_too_long limit denied stale "
    "not_json too_many_errors slow_listener auth_required auth_failed taken_over shutdown".split()
)

_KINDS = {"stale": Stale, "denied": Denied, **dict.fromkeys(UNAUTHENTICATED, AuthFailed)}


def refusal(code: str, reason: str, stream: Optional[str]) -> BrokerError:
    """What the broker said, as an exception."""
    return _KINDS.get(code, BrokerError)(code, reason, stream)


def ended(code: Optional[str], reason: str) -> MsgstreamError:
    """The end of a connection, as an exception."""
    return AuthFailed(code, reason) if code is not None and code in UNAUTHENTICATED else Disconnected(reason)
