"""Publishing one stream: ``Publisher``, with content of your own."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Dict, Optional, Type

from .absent import ABSENT
from .access import File, Token
from .encoding import Codec
from .errors import MsgstreamError
from .names import checked
from .options import Options
from .remote import RemoteStream


class Publishing:
    """What publishers of one stream are made from, whether they wait in threads or on an event loop."""

    def __init__(
        self,
        stream: str,
        server: Optional[str] = None,
        *,
        remote: Optional[RemoteStream] = None,
        strict: bool = False,
        nan: str = "error",
        codec: Optional[Codec] = None,
        options: Optional[Options] = None,
        token: Optional[Token] = None,
        ca: Optional[File] = None,
        certificate: Optional[File] = None,
        key: Optional[File] = None,
    ) -> None:
        self.stream = checked(stream)
        self._owned = remote is None
        settings = {"host": server, "strict": strict, "nan": nan, "codec": codec, "options": options}
        self._connect(remote, {**settings, "token": token, "ca": ca, "certificate": certificate, "key": key})

    def _connect(self, remote: Optional[RemoteStream], settings: Dict[str, Any]) -> None:
        """Takes the connection that there is, or will make one with these settings."""
        raise NotImplementedError


class Publisher(Publishing):
    """One stream of a broker. ``server`` is ``"host:port"`` or ``"unix:/path"``, by default what ``RemoteStream`` finds.

    Several publishers share a connection if they are given a ``remote``, which then belongs to the caller; otherwise each makes
    its own. See ``RemoteStream`` for what happens while the broker is away, and for the other parameters.
    """

    remote: RemoteStream

    def _connect(self, remote: Optional[RemoteStream], settings: Dict[str, Any]) -> None:
        self.remote = remote or RemoteStream(**settings)

    def put(self, message: Any, header: Any = ABSENT, *, essential: bool = False, of: Optional[str] = None) -> None:
        """Sends a message to all listeners; with ``header``, that becomes the header in the same step. What is meant ``of`` one run of the
        stream is refused as stale if that is over."""
        self.remote.put(self.stream, message, header, essential=essential, of=of)

    def header(self, message: Any, *, of: Optional[str] = None, if_absent: bool = False, durable: bool = False) -> None:
        """Sets what whoever joins gets first; with ``if_absent`` only if the stream has no header and has not ended. What is ``durable`` is
        to outlive a crash of the broker: ``flush`` waits for that as well. See ``RemoteStream.header``."""
        self.remote.header(self.stream, message, of=of, if_absent=if_absent, durable=durable)

    def begin(self, header: Any, timeout: Optional[float] = 30.0) -> str:
        """Begins the stream and returns which run that is, for ``of``. Raises ``Stale`` if somebody else has begun it, or it has ended. See
        ``RemoteStream.begin``."""
        return RemoteStream.begin(self.remote, self.stream, header, timeout)

    def end(self, message: Any = ABSENT, *, of: Optional[str] = None, durable: bool = False) -> None:
        """Ends the stream, with a last message if there is one; its header stays for those who come late. ``close`` does not end it. For
        ``durable`` see ``header``."""
        self.remote.close(self.stream, message, of=of, durable=durable)

    def delete(self, *, of: Optional[str] = None, durable: bool = False) -> None:
        """Ends the stream and forgets its header. For ``durable`` see ``header``."""
        self.remote.delete(self.stream, of=of, durable=durable)

    def will(self, message: Any = ABSENT) -> None:
        """How the stream ends if this client is lost; without a message that is taken back. See ``RemoteStream.will``."""
        self.remote.will(self.stream, message)

    def flush(self, timeout: Optional[float] = 30.0) -> bool:
        """Waits until all has taken effect, and what was to be ``durable`` is in the broker's store. False if that took longer than ``timeout``
        seconds, or if something of this stream was dropped or refused, or cannot be durable."""
        # Not that of a client for asyncio, which is awaited.
        return RemoteStream.flush(self.remote, timeout, self.stream)

    @property
    def dropped(self) -> int:
        """How many messages were given up for want of room while the broker was away."""
        return self.remote.dropped_of(self.stream)

    def close(self) -> None:
        """Sends what waits, within ``options.exit_time``, and closes the connection if it is this publisher's own. The stream goes on,
        for another program, say; ``end`` ends it. ``with`` does this."""
        if self._owned:
            self.remote.close()
        else:
            self.remote.settle()

    def __getstate__(self) -> Dict[str, Any]:
        """For another process, whose client serves all copies that are sent there, one after the other, and ends with it."""
        return {**vars(self), "_owned": False}

    def __del__(self) -> None:
        # Whoever forgets it does not want its connection any more.
        if getattr(self, "_owned", False) and hasattr(self, "remote"):
            self.remote.forget()

    def __enter__(self) -> "Publisher":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        try:
            self.close()
        except (MsgstreamError, OSError):
            # What is already under way says more.
            if kind is None:
                raise
