"""What a client and a broker know of each other from one connection to the next, and what that means for a new one. Values in, values
out."""

from __future__ import annotations

import secrets
from typing import Optional

from . import wire
from .wire import Session as Said


class Session:
    """The session of one client. Its ``name`` is known to nobody else: a copy of the client in another process makes its own."""

    def __init__(self) -> None:
        self.name = ""
        #: Which life of the broker has answered last; None if it did not say.
        self.broker: Optional[str] = None
        #: Whether the connection belongs to the session. A broker may know no sessions, or have no room for one more.
        self.is_open = False
        #: Whether the answer to the last question for it is awaited, or was lost with its connection.
        self._is_asked = False
        #: An answer was lost: if the broker had forgotten the session, it has begun one anew under the same name, and nobody was told.
        self._may_be_another = False
        #: How many answers were lost: what those connections had sent may still reach the broker, and take the session away.
        self._unanswered = 0
        self.end()

    def ask(self) -> str:
        """The first line of a new connection."""
        if self._is_asked:
            self._may_be_another = True
            self._unanswered += 1
        self._is_asked = True
        return wire.session(self.name)

    def begin(self, said: Optional[Said]) -> bool:
        """There is a connection, and the broker has said so. Whether that may be of another session, begun anew, if nothing of it was taken."""
        may_be_another = self._may_be_another
        self._is_asked = self._may_be_another = False
        self.is_open = said is not None
        self.broker = None if said is None else said.broker
        return may_be_another

    def taken_over(self) -> None:
        """The broker has given it to another connection: one of this client's that was lost before, which does not hold it for long; or
        that of a copy of this process. Both cannot have it."""
        if self._unanswered:
            self._unanswered -= 1
        else:
            self.end()

    def end(self) -> None:
        """It is over, and what comes next is another one."""
        self.name = secrets.token_hex(16)
        self.is_open = self._is_asked = self._may_be_another = False
        self._unanswered = 0
