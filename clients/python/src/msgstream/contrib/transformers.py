"""The progress of the ``Trainer`` of Hugging Face's transformers::

    with Job("fit-42") as job:
        Trainer(model, arguments, train_dataset=data, callbacks=[ProgressCallback(job)]).train()
"""

from __future__ import annotations

from typing import Any, Dict, Optional

from .. import Job
from .extras import needed
from .training import Training

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise needed("transformers", "transformers", error) from error


class ProgressCallback(TrainerCallback):  # type: ignore[misc]
    """Tells a job how many steps are done, with the figures that the trainer logs as text and as ``scalars``. Of several processes the
    first one tells. How the training ends is told by the job's block. ``every`` is the least time between two updates, in seconds."""

    def __init__(self, job: Job, every: float = 0.1) -> None:
        self._training = Training(job, every)

    def on_train_begin(self, args: Any, state: Any, control: Any, **unused: Any) -> None:
        """The training begins, or goes on from a checkpoint."""
        self._tell(state, True)

    def on_step_end(self, args: Any, state: Any, control: Any, **unused: Any) -> None:
        """A step is done."""
        self._tell(state)

    def on_log(self, args: Any, state: Any, control: Any, logs: Optional[Dict[str, Any]] = None, **unused: Any) -> None:
        """The trainer logs figures, of the training or of an evaluation."""
        self._training.figures(logs or {})
        self._tell(state, True)

    def on_train_end(self, args: Any, state: Any, control: Any, **unused: Any) -> None:
        """The training has ended."""
        self._tell(state, True)

    def _tell(self, state: Any, final: bool = False) -> None:
        if state.is_world_process_zero:
            self._training.step(state.global_step, state.max_steps, "steps", final)
