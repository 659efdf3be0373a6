"""Streams as live bars in a terminal, by rich: ``msgstream.contrib.rich.watch("fit-42", "fit-43")``, or as a command
``python -m msgstream.contrib.rich fit-42 fit-43``."""

from __future__ import annotations

import sys
from typing import Dict, Iterable, Optional

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from ..events import Event
from ..listener import listen
from .progress import State

_COLORS = {"complete": "green", "aborted": "yellow", "failed": "red", "gone": "red", "waiting": "dim"}


class View:
    """One bar for each stream, and the lines of all above them. It is fed with events, from wherever they come."""

    def __init__(self, streams: Iterable[str] = (), console: Optional[Console] = None) -> None:
        columns: "list[ProgressColumn]" = [
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[summary]}", markup=True),
            TimeElapsedColumn(),
        ]
        self._progress = Progress(*columns, console=console)
        self._tasks: Dict[str, TaskID] = {}
        self.states: Dict[str, State] = {}
        for stream in streams:
            self._state(stream)

    def put(self, event: Event) -> None:
        """Shows an event. So a view can also be given to ``RemoteStream.listen(stream, view, events=True)``."""
        stream = getattr(event, "stream", "")
        state = self._state(stream)
        line = state.take(event)
        if line is not None:
            self._progress.console.print(Text.assemble((state.label, "bold"), " ", line))
        color = _COLORS.get(state.outcome)
        summary = escape(state.summary)
        self._progress.update(
            self._tasks[stream],
            description=state.label,
            completed=state.k,
            total=state.total,
            summary=f"[{color}]{summary}[/{color}]" if color else summary,
        )
        if state.over:
            self._progress.stop_task(self._tasks[stream])

    def __enter__(self) -> "View":
        self._progress.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._progress.stop()

    def _state(self, stream: str) -> State:
        state = self.states.get(stream)
        if state is None:
            state = self.states[stream] = State(stream)
            self._tasks[stream] = self._progress.add_task(stream, total=None, summary="[dim]waiting[/dim]")
        return state


def watch(*streams: str, server: Optional[str] = None, console: Optional[Console] = None) -> Dict[str, State]:
    """Shows streams until all have ended, or until Ctrl-C, which leaves the jobs alone. Gives back how they ended."""
    with View(streams, console) as view, listen(*streams, server=server) as events:
        try:
            for event in events:
                view.put(event)
        except KeyboardInterrupt:
            pass
    return view.states


def main() -> int:
    """The command: 0 if no stream failed."""
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print("usage: python -m msgstream.contrib.rich STREAM...   (MSGSTREAM_SERVER says where the broker is)", file=sys.stderr)
        return 64
    return 1 if any(state.outcome in ("aborted", "failed") for state in watch(*sys.argv[1:]).values()) else 0


if __name__ == "__main__":
    sys.exit(main())
