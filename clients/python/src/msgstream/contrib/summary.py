"""A ``SummaryWriter``, as TensorBoard's, that publishes::

    from msgstream.contrib.summary import SummaryWriter

    writer = SummaryWriter("fit-42")
    for step in range(1000):
        writer.add_scalar("loss/train", loss, step)
    writer.close()

It needs neither TensorBoard nor a framework.
"""

from __future__ import annotations

import logging
from typing import Any, Callable, Dict, Optional, Set

from .. import Job, lifetime

log = logging.getLogger("msgstream")


class SummaryWriter:
    """Publishes scalars and texts to a stream.

    Each scalar is a ``Progress``: its step is the progress, and ``scalars`` has the latest value of every tag, for who joins later as
    well. Texts and hyperparameters are a ``Log``. What has no form for people to read as it comes, such as images and histograms, is
    left out, which is logged once for each kind.

    ``stream`` is the stream's name, in the place of a folder. ``total`` is the number of steps, if it is known. The other parameters
    are those of ``Job``; with ``job``, the stream is that job's, and its end as well.
    """

    def __init__(
        self, stream: Optional[str] = None, total: Optional[float] = None, *, job: Optional[Job] = None, **publishing: Any
    ) -> None:
        if (stream is None) == (job is None):
            raise TypeError("a writer needs either a stream or a job")
        self._owned = job is None
        self._job = job if job is not None else Job(stream or "", total=total, units="steps", **{"nan": "null", **publishing})
        self._total = total
        self._scalars: Dict[str, Any] = {}
        self._step = 0
        self._left_out: Set[str] = set()
        if self._owned:
            self._job.start()
            lifetime.ends_first(_LeftOpen(self._job))

    def add_scalar(self, tag: str, scalar_value: Any, global_step: Optional[int] = None, walltime: Optional[float] = None, **unused: Any) -> None:
        """A value of a tag. Steps that go back, as those of another tag may, do not take the progress back."""
        self._publish({tag: scalar_value}, global_step)

    def add_scalars(
        self, main_tag: str, tag_scalar_dict: Dict[str, Any], global_step: Optional[int] = None, walltime: Optional[float] = None
    ) -> None:
        """Values of several tags below one."""
        self._publish({f"{main_tag}/{tag}": value for tag, value in tag_scalar_dict.items()}, global_step)

    def add_text(self, tag: str, text_string: str, global_step: Optional[int] = None, walltime: Optional[float] = None) -> None:
        """A text, as a line of the job's log."""
        at: Dict[str, Any] = {} if global_step is None else {"step": global_step}
        self._job.log(f"{tag}: {text_string}", tag=tag, **at)

    def add_hparams(self, hparam_dict: Dict[str, Any], metric_dict: Dict[str, Any], *unused: Any, **more: Any) -> None:
        """Hyperparameters, and what they led to."""
        told = ", ".join(f"{name} {_short(value)}" for name, value in {**hparam_dict, **metric_dict}.items())
        self._job.log(f"hyperparameters: {told}", hparams=dict(hparam_dict), metrics=dict(metric_dict))

    def flush(self) -> None:
        """Waits until all has been sent."""
        self._job.flush()

    def close(self) -> None:
        """The end: of the stream too, unless it is a job's. More than once is no error."""
        if self._owned and not self._job.ended and not self._job.inherited:
            self._job.complete()
            self._job.close()

    def __enter__(self) -> "SummaryWriter":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if self._owned and not self._job.ended:
            self._job.__exit__(kind, error, trace)

    def __getattr__(self, name: str) -> Callable[..., None]:
        if not name.startswith("add_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

        def left_out(*unused: Any, **more: Any) -> None:
            if name not in self._left_out:
                self._left_out.add(name)
                log.warning("%s: what %s gives is not published", self._job.stream, name)

        return left_out

    def _publish(self, scalars: Dict[str, Any], step: Optional[int]) -> None:
        plain = {tag: _plain(value) for tag, value in scalars.items()}
        self._step = max(self._step, int(step)) if step is not None else self._step
        self._scalars.update(plain)
        told = ", ".join(f"{tag} {_short(value)}" for tag, value in plain.items())
        self._job.progress(self._step, self._total, text=told, scalars=dict(self._scalars))


class _LeftOpen:
    """A writer that nobody has closed: its stream ends with the program, which has not said how."""

    def __init__(self, job: Job) -> None:
        self._job = job
        # As long as the job, for nobody else holds it.
        vars(job)["_left_open"] = self

    def close(self) -> None:
        """Ends the stream."""
        if not self._job.ended and not self._job.inherited:
            self._job.publisher.end()


def _plain(value: Any) -> Any:
    """A number of whatever framework: tensors with one element have ``item``."""
    return value.item() if callable(getattr(value, "item", None)) else value


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
