"""Log records as messages of a stream::

    logging.getLogger().addHandler(msgstream.contrib.logging.Handler("fit-42-log"))

or, into the stream of a job that is there already, ``Handler(job=job)``.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import Any, Optional, Union

from .. import Job, Publisher, lifetime
from ..errors import Closed
from ..monitor import Join, Log, Lost, now
from ..options import Options

#: From the highest, as ``Log`` names them.
_LEVELS = ((50, "critical"), (40, "error"), (30, "warning"), (20, "info"))


class Handler(logging.Handler):
    """Publishes each record as one ``monitor.Log``: its formatted text, with line breaks where it has several lines, as a traceback
    has, and its level in lower case. Whether the broker is there does not matter to the program, and no record ever raises.

    A ``stream`` begins with the first record and ends with ``close()``, or with the program. With ``ends=False`` it does neither:
    for a stream that several programs write to. The stream of a ``job`` is the job's to end. The other parameters are those of
    ``Publisher``.
    """

    def __init__(
        self,
        stream: Optional[str] = None,
        server: Optional[str] = None,
        *,
        job: Optional[Job] = None,
        level: Union[int, str] = logging.NOTSET,
        ends: bool = True,
        options: Optional[Options] = None,
        **publishing: Any,
    ) -> None:
        super().__init__(level)
        if (stream is None) == (job is None):
            raise TypeError("a handler needs either a stream or a job")
        self._job = job
        self._publisher = Publisher(stream, server, options=options, **publishing) if stream is not None else None
        self._ends = ends
        self._begun = False
        # A forked child writes on, and the stream is not its own to end.
        self._process = os.getpid()
        self._busy = threading.local()
        # What logging itself does at the end of the program is too late: the clients have ended by then.
        lifetime.ends_first(self)

    def handle(self, record: logging.LogRecord) -> Any:
        """Handles a record. What this package itself logs is left out: it is about the connection, and would go round. That is
        seen to before the handler's lock is taken, which whoever waits for that connection may hold."""
        if record.name.split(".")[0] == "msgstream" or getattr(self._busy, "now", False):
            return False
        return super().handle(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Publishes a record. After the end of its client, at the end of the program, nothing is left to publish to."""
        # What is logged while a record is being made into a message, by a formatter for instance, would be without end.
        self._busy.now = True
        try:
            self._publish(Log(self.format(record), _level(record)), record.levelno >= logging.WARNING)
        except Closed:
            pass
        except Exception:
            self.handleError(record)
        finally:
            self._busy.now = False

    def close(self) -> None:
        """Ends the stream if this handler began it, and sends what waits, within ``options.exit_time``."""
        try:
            if self._publisher is not None:
                if self._begun and os.getpid() == self._process:
                    self._begun = False
                    self._publisher.end()
                self._publisher.close()
        except Exception as error:
            # The end of logging is not the place to fail.
            logging.getLogger("msgstream").debug("a handler could not say its end: %s", error)
        finally:
            super().close()

    def _publish(self, message: Log, essential: bool) -> None:
        if self._job is not None:
            self._job.log(message.text, message.level)
        elif self._publisher is not None and self._ends and not self._begun and os.getpid() == self._process:
            # A header opens the stream again if it has ended before.
            join = Join(started=now())
            self._publisher.put(message, header=join, essential=essential)
            self._publisher.will(Lost(started=join.started))
            self._begun = True
        elif self._publisher is not None:
            self._publisher.put(message, essential=essential)


def _level(record: logging.LogRecord) -> str:
    """The level's name: of the usual levels by their number, since programs rename them, with colours for instance."""
    name = record.levelname.lower()
    if record.levelno % 10 != 0 and name.isidentifier():
        return name
    return next((usual for least, usual in _LEVELS if record.levelno >= least), "debug")
