"""Log records as messages of a stream::

    logging.getLogger().addHandler(msgstream.contrib.logging.Handler("fit-42"))

or, into the stream of a job that is there already, ``Handler(job=job)``.
"""

from __future__ import annotations

import logging
from typing import Any, Optional, Union

from ..errors import Closed
from ..monitor import Log
from ..options import Options
from ..publisher import Job, Publisher


class Handler(logging.Handler):
    """Publishes each record as a ``monitor.Log``: its formatted text, and its level in lower case. The parameters are those of
    ``Publisher``; whether the broker is there does not matter to the program."""

    def __init__(
        self,
        stream: Optional[str] = None,
        server: Optional[str] = None,
        *,
        job: Optional[Job] = None,
        level: Union[int, str] = logging.NOTSET,
        options: Optional[Options] = None,
        **publishing: Any,
    ) -> None:
        super().__init__(level)
        if (stream is None) == (job is None):
            raise TypeError("a handler needs either a stream or a job")
        self._job = job
        self._publisher = Publisher(stream, server, options=options, **publishing) if stream is not None else None

    def handle(self, record: logging.LogRecord) -> Any:
        """Handles a record. What this package itself logs is left out: it is about the connection, and would go round. That is
        seen to before the handler's lock is taken, which whoever waits for that connection may hold."""
        return False if record.name.split(".")[0] == "msgstream" else super().handle(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Publishes a record. After the end of its client, at the end of the program, nothing is left to publish to."""
        try:
            text, level = self.format(record), record.levelname.lower()
            if self._job is not None:
                self._job.log(text, level)
            elif self._publisher is not None:
                self._publisher.put(Log(text, level), essential=record.levelno >= logging.WARNING)
        except Closed:
            pass
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Sends what waits, within ``options.exit_time``. The stream goes on."""
        try:
            if self._publisher is not None:
                self._publisher.disconnect()
        finally:
            super().close()
