"""Streams as live bars in a notebook, by ipywidgets: ``msgstream.contrib.jupyter.watch("fit-42")`` as the last line of a cell."""

from __future__ import annotations

import html
import threading
from collections import deque
from typing import Any, Deque, Dict, Iterable, Optional

from .extras import needed

try:
    import ipywidgets as widgets
except ImportError as error:
    raise needed("jupyter", "jupyter", error) from error

from ..events import Event
from ..options import Options
from ..remote import RemoteStream
from .progress import State
from .text import inline

_STYLES = {"complete": "success", "aborted": "warning", "failed": "danger", "lost": "danger", "gone": "danger"}

#: How many lines a view keeps.
_LINES = 200


class View(widgets.VBox):  # type: ignore[misc]
    """A widget with one bar for each stream, and the lines of all below them. It goes on until ``stop``, or until all streams
    have ended, while cells are run."""

    def __init__(self, *streams: str, server: Optional[str] = None, options: Optional[Options] = None, **connecting: Any) -> None:
        self.states: Dict[str, State] = {stream: State(stream) for stream in streams}
        self.bars: Dict[str, Any] = {}
        self.labels: Dict[str, Any] = {}
        # A widget has a trait named log already.
        self.lines = widgets.HTML()
        self._last_lines: Deque[str] = deque(maxlen=_LINES)
        for stream in self.states:
            self.bars[stream] = widgets.FloatProgress(value=0.0, min=0.0, max=1.0, description=stream)
            self.labels[stream] = widgets.Label("waiting")
        rows = [widgets.HBox([self.bars[stream], self.labels[stream]]) for stream in self.states]
        super().__init__([*rows, self.lines])
        # What comes is shown by one thread of the client's, and trouble by others.
        self._lock = threading.Lock()
        self._remote = RemoteStream(server, options=options, **connecting)
        self._remote.when_trouble(self.away)
        for stream in self.states:
            self._remote.listen(stream, self, events=True)

    def put(self, event: Event) -> None:
        """Shows an event."""
        stream = getattr(event, "stream", "")
        with self._lock:
            state = self.states[stream]
            line = state.take(event)
            if line is not None:
                label = html.escape(state.label)
                self._say(f"<b>{label}</b>: {html.escape(each)}" for each in line.split("\n"))
            self._show(stream)

    def away(self, trouble: Optional[str]) -> None:
        """Shows that the broker is away, and why, or is there again."""
        with self._lock:
            self._say([html.escape("connected again" if trouble is None else f"{inline(trouble)}; trying again")])
            for stream, state in self.states.items():
                state.away(trouble)
                self._show(stream)

    def _say(self, lines: Iterable[str]) -> None:
        self._last_lines.extend(lines)
        self.lines.value = f'<pre style="white-space: pre-wrap">{"<br>".join(self._last_lines)}</pre>'

    def _show(self, stream: str) -> None:
        state, bar = self.states[stream], self.bars[stream]
        bar.description = inline(state.title) or stream
        if state.total:
            # In this order a value is never above the maximum.
            k = float(state.k or 0)
            bar.max = max(float(state.total), k, bar.value)
            bar.value = k
            bar.max = max(float(state.total), k)
        elif state.outcome == "complete":
            bar.value = bar.max
        bar.bar_style = _STYLES.get(state.outcome, "")
        self.labels[stream].value = f"{state.percent} {state.summary}".strip() if state.outcome == "running" else state.summary

    def stop(self) -> None:
        """Stops listening. What is shown stays."""
        self._remote.close()


def watch(*streams: str, server: Optional[str] = None, options: Optional[Options] = None, **connecting: Any) -> View:
    """A widget that shows streams as they go on."""
    return View(*streams, server=server, options=options, **connecting)
