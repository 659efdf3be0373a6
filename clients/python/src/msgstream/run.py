"""One run of a job, as the broker knows it."""

from __future__ import annotations

import os
from typing import Any, Dict, Optional

from . import wire


class Run:
    """What a job, and its copies in other processes, know of its run. With that, what they say touches no other run of its stream."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        #: The run's epoch, once the broker has told it.
        self.epoch: Optional[str] = None
        #: The life of the broker that did. In another one the epoch means nothing.
        self.broker: Optional[str] = None
        #: How a line ends that is for this run only.
        self.condition = ""
        #: Whether it is that of what was sent again, and of no job.
        self.is_of_repeated = False
        #: The queue of the client that speaks for it in this process.
        self.spoken_by: Optional[object] = None
        self._process = os.getpid()

    @classmethod
    def of_repeated(cls, stream: str, epoch: str, broker: Optional[str]) -> "Run":
        """That of what is sent again, as the broker has told."""
        run = cls(stream)
        run.began(epoch, broker)
        run.is_of_repeated = True
        return run

    @property
    def inherited(self) -> bool:
        """Whether the run is that of a job in another process."""
        return os.getpid() != self._process

    def began(self, epoch: str, broker: Optional[str]) -> None:
        """The broker has told its epoch."""
        self.epoch, self.broker, self.condition = epoch, broker, wire.of(epoch)

    def is_over(self) -> None:
        """The broker has ended it, and the job begins another."""
        self.epoch = None

    def known_to(self, broker: Optional[str]) -> bool:
        """Whether the epoch is one of this life of the broker."""
        return self.epoch is not None and broker is not None and self.broker == broker

    def __getstate__(self) -> Dict[str, Any]:
        return {**vars(self), "spoken_by": None}
