"""What a client and a broker know of each other from one connection to the next, and what that means for a new one. Values in, values
out."""

from __future__ import annotations

import secrets
from typing import Optional

from .wire import Session as Said


class Session:
    """The session of one client. Its ``name`` is known to nobody else: a copy of the client in another process makes its own."""

    def __init__(self) -> None:
        self.name = ""
        #: Which life of the broker has answered last; None if it did not say.
        self.broker: Optional[str] = None
        #: Whether the connection belongs to the session. A broker may know no sessions, or have no room for one more.
        self.is_open = False
        self.end()

    def begin(self, said: Optional[Said]) -> None:
        """There is a connection, and the broker has said so."""
        self.is_open = said is not None
        self.broker = None if said is None else said.broker

    def end(self) -> None:
        """It is over, and what comes next is another one."""
        self.name = secrets.token_hex(16)
        self.is_open = False
