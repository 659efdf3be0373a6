"""The progress of Lightning, as ``lightning`` or ``pytorch_lightning``::

    with Job("fit-42") as job:
        Trainer(callbacks=[ProgressCallback(job)]).fit(model, data)
"""

from __future__ import annotations

from typing import Any

from .. import Job
from .extras import needed
from .training import Training

try:
    from lightning.pytorch import Callback
except ImportError:
    try:
        from pytorch_lightning import Callback
    except ImportError as error:
        raise needed("lightning", "lightning", error) from error


class ProgressCallback(Callback):  # type: ignore[misc]
    """Tells a job how many steps are done, with the metrics that the model logs as text and as ``scalars``. Of several processes the
    first one tells. ``every`` is the least time between two updates, in seconds.

    The end is told by the job's block. Only Ctrl-C is told here, since Lightning ends a training then as if it were done.
    """

    def __init__(self, job: Job, every: float = 0.1) -> None:
        self._job = job
        self._training = Training(job, every)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """The training begins, or goes on from a checkpoint."""
        self._tell(trainer, True)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A batch is done."""
        self._tell(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """A validation is done. The one before the training, which only tries the code, tells nothing."""
        if not trainer.sanity_checking:
            self._tell(trainer, True)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """An epoch is done."""
        self._tell(trainer, True)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """The training was left."""
        if trainer.is_global_zero and isinstance(exception, KeyboardInterrupt):
            self._job.conclude(type(exception), exception, exception.__traceback__)

    def _tell(self, trainer: Any, final: bool = False) -> None:
        if trainer.is_global_zero:
            self._training.figures(trainer.callback_metrics)
            self._training.step(trainer.global_step, trainer.estimated_stepping_batches, "steps", final)
