"""The progress of Keras, version 3::

    with Job("fit-42") as job:
        model.fit(x, y, epochs=10, callbacks=[ProgressCallback(job)])
"""

from __future__ import annotations

from typing import Any, Dict, Optional

from .. import Job
from .extras import needed
from .training import Training

try:
    import keras
except ImportError as error:
    raise needed("keras", "keras", error) from error


class ProgressCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells a job how many epochs are done, as a fraction within an epoch, with the latest figures as text and as ``scalars``. How the
    training ends is told by the job's block. ``every`` is the least time between two updates within an epoch, in seconds."""

    def __init__(self, job: Job, every: float = 0.1) -> None:
        super().__init__()
        self._training = Training(job, every)
        self._epoch = 0

    def on_train_begin(self, logs: Optional[Dict[str, Any]] = None) -> None:
        """The training begins."""
        self._tell(0, True)

    def on_epoch_begin(self, epoch: int, logs: Optional[Dict[str, Any]] = None) -> None:
        """An epoch begins, counted from 0."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Optional[Dict[str, Any]] = None) -> None:
        """A batch is done, counted from 0."""
        batches = (self.params or {}).get("steps")
        self._training.figures(logs or {})
        # Nobody knows how much of an epoch is done if nobody knows how long it is. A whole epoch is told by its end.
        self._tell(self._epoch + ((batch + 1) / batches if batches and batch + 1 < batches else 0))

    def on_epoch_end(self, epoch: int, logs: Optional[Dict[str, Any]] = None) -> None:
        """An epoch is done, with its figures, those of the validation included."""
        self._training.figures(logs or {})
        self._tell(epoch + 1, True)

    def _tell(self, k: float, final: bool = False) -> None:
        self._training.step(k, (self.params or {}).get("epochs"), "epochs", final)
