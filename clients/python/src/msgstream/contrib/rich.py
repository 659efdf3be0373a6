"""Streams as live bars in a terminal, by rich: ``msgstream.contrib.rich.watch("fit-42", "fit-43")``, or as a command
``python -m msgstream.contrib.rich fit-42 fit-43``."""

from __future__ import annotations

import sys
import threading
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Set

from .extras import needed

try:
    from rich import get_console
    from rich.cells import cell_len
    from rich.console import Console, Group, RenderableType
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text
except ImportError as error:
    raise needed("rich", "rich", error) from error

from ..events import CutOff, Event, Lost
from ..listener import listen
from .progress import State, exit_code
from .text import inline

_COLORS = {"complete": "green", "aborted": "yellow", "failed": "red", "lost": "red"}

#: How an outcome is called where streams are counted, those first that people must see first.
_COUNTED = {"failed": "failed", "lost": "lost", "aborted": "aborted", "gone": "not heard of", "running": "running", "waiting": "waiting"}
_COUNTED.update(complete="done", ended="ended")

#: What people must not miss.
_BAD = ("failed", "lost", "aborted")


class View:
    """A bar for each stream that runs, and above them lines that stay: what all of them say, and how each has ended. It is fed with
    events, from wherever they come. What the program prints meanwhile stands above the bars too, if it does so in the thread that feeds the
    view: what comes from another thread in the moment in which a bar goes may take the place of the line above it."""

    def __init__(self, streams: Iterable[str] = (), console: Optional[Console] = None) -> None:
        self.states: Dict[str, State] = {}
        self._console = console or get_console()
        self._rows = _Rows(self.states, self._console)
        self._live = Live(get_renderable=self._rows, console=self._console, auto_refresh=False)
        # Rich has no lock around what it draws: of two threads that draw while there are fewer rows than before, the second goes up too far
        # and erases the line above them, such as the end of a job. So its own thread is not used, and whoever draws holds this.
        self._drawing = threading.RLock()
        self._left = threading.Event()
        self._away: Optional[str] = None
        #: The streams that have said of the same outage that something may be missing.
        self._gaps: Set[str] = set()
        for stream in streams:
            self._state(stream)

    def put(self, event: Event) -> None:
        """Shows an event. So a view can also be given to ``RemoteStream.listen(stream, view, events=True)``."""
        with self._drawing:
            state = self._state(getattr(event, "stream", ""))
            told, before = state.told, (state.outcome, state.over)
            line = state.take(event)
            if line is not None:
                self._show(state, event, line, state.told != told)
            if before != (state.outcome, state.over):
                self._refresh_if_fewer()

    def away(self, trouble: Optional[str]) -> None:
        """Shows that the broker is away, and why, or is there again: ``listener.when_trouble(view.away)``, or a client's."""
        with self._drawing:
            if trouble is not None and trouble != self._away:
                self._console.print(Text(f"{inline(trouble)}; trying again", "yellow"))
            elif trouble is None and self._away is not None:
                self._console.print(Text("connected again"))
            self._away = trouble
            for state in list(self.states.values()):
                state.away(trouble)
            self._refresh_if_fewer()

    def _refresh_if_fewer(self) -> None:
        """What the program prints from this thread, without the lock, finds as many rows as are drawn."""
        if self._rows.are_fewer():
            self.refresh()

    def refresh(self) -> None:
        """Draws the rows as they are now. A view does so by itself, ten times a second."""
        with self._drawing:
            if self._live.is_started:
                self._live.refresh()

    def __enter__(self) -> "View":
        waiting = [state.stream for state in self.states.values() if state.outcome == "waiting"]
        if waiting and not self._console.is_terminal:
            # There are no rows to say so.
            self._console.print(Text(f"waiting for {', '.join(inline(stream) for stream in waiting)}"))
        with self._drawing:
            self._live.start()
        self._left = threading.Event()
        threading.Thread(target=self._refresh, args=(self._left,), name="msgstream view", daemon=True).start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._left.set()
        with self._drawing:
            self._live.stop()

    def _refresh(self, left: threading.Event) -> None:
        while not left.wait(0.1):
            with self._drawing:
                # Nobody who leaves waits for this thread: it may be entered once more meanwhile.
                if not left.is_set():
                    self.refresh()

    def _show(self, state: State, event: Event, line: str, ended: bool) -> None:
        if isinstance(event, (Lost, CutOff)) and event.reconnecting and event.missed is None:
            # All streams of a connection say the same.
            if not self._gaps or event.stream in self._gaps:
                self._gaps = set()
                self._console.print(Text(line, "yellow"))
            self._gaps.add(event.stream)
        else:
            self._say(state, line, ended)

    def _say(self, state: State, said: str, ended: bool) -> None:
        lines = said.split("\n")
        for number, line in enumerate(lines):
            # An end is the last of its lines; a traceback may come before it.
            color = _COLORS.get(state.outcome, "") if ended and number == len(lines) - 1 else ""
            self._console.print(Text.assemble((state.label, "bold"), ": ", (line, color)), soft_wrap=True)

    def _state(self, stream: str) -> State:
        state = self.states.get(stream)
        if state is None:
            state = self.states[stream] = State(stream)
        return state


def watch(*streams: str, server: Optional[str] = None, console: Optional[Console] = None, **listening: Any) -> Dict[str, State]:
    """Shows streams until all have ended, or until Ctrl-C, which leaves the jobs alone. Gives back how they ended. ``listening`` is what
    ``listen`` takes besides, such as ``token`` and ``ca``."""
    with View(streams, console) as view, listen(*streams, server=server, **listening) as events:
        events.when_trouble(view.away)
        try:
            for event in events:
                view.put(event)
        except KeyboardInterrupt:
            pass
    return view.states


class _Rows:
    """As many bars as the terminal has rows for, who is waited for, and how many more there are."""

    def __init__(self, states: Dict[str, State], console: Console) -> None:
        self._states = states
        self._console = console
        self._drawn = 0

    def __call__(self) -> RenderableType:
        """The rows as they are now, fewer than the terminal has."""
        layout = self._layout()
        rows: List[RenderableType] = [_table(layout.bars, self._console.width)] if layout.bars else []
        if layout.waiting:
            rows.append(_row(_waiting_for(layout.waiting, self._console.width), "dim"))
        if layout.others:
            bad = any(state.outcome in _BAD for state in layout.others)
            rows.append(_row(_count(layout.others), "red" if bad else ""))
        self._drawn = layout.height
        return Group(*rows)

    def are_fewer(self) -> bool:
        """Whether fewer rows are needed than were drawn last."""
        return self._layout().height < self._drawn

    def _layout(self) -> "_Layout":
        states = list(self._states.values())
        bars = [state for state in states if state.outcome in ("running", "gone") and not state.over]
        waiting = [state.stream for state in states if state.outcome == "waiting" and not state.over]
        notes = 1 if waiting else 0
        room = self._console.height - 1
        bad = any(state.outcome in _BAD for state in states)
        # The row that counts the others is needed if not all fit, and as long as something has gone wrong.
        if len(bars) + notes <= room and not (bad and len(bars) + notes > 0):
            return _Layout(bars, waiting, [])
        bars = bars[: max(0, room - notes - 1)]
        shown = {id(state) for state in bars}
        return _Layout(bars, waiting, [state for state in states if id(state) not in shown])


class _Layout(NamedTuple):
    """Who has a bar, who is waited for, and who is counted, each of the latter in one row if there are any."""

    bars: List[State]
    waiting: List[str]
    others: List[State]

    @property
    def height(self) -> int:
        return len(self.bars) + bool(self.waiting) + bool(self.others)


def _table(states: List[State], columns: int) -> Table:
    """The bars, divided alike so that they stand in columns. The terminal's last column stays free."""
    label = min(max(cell_len(state.label) for state in states), max(columns // 3, 12))
    bar = min(columns // 4, 40)
    tail = max(1, columns - label - bar - 4 - 4)
    table = Table.grid(padding=(0, 1, 0, 0))
    for width, justify in ((label, "left"), (4, "right"), (bar, "left"), (tail, "left")):
        table.add_column(width=width, justify=justify, no_wrap=True, overflow="ellipsis")  # type: ignore[arg-type]
    for state in states:
        style = "dim" if state.silent_since is not None else ""
        share = state.share
        table.add_row(
            Text(state.label, style or "bold"),
            Text(state.percent, style),
            ProgressBar(total=None if share is None else 1.0, completed=share or 0.0, width=bar),
            Text(_tail(state, tail), style),
        )
    return table


def _tail(state: State, columns: int) -> str:
    """As much as fits, the times first."""
    if state.told or state.outcome == "waiting":
        return state.summary
    timed = state.times(with_rate=True)
    choices = [(state.count(), timed), (state.count(), state.times()), (state.count(units=False), state.times()), ("", state.times())]
    joined = (" ".join(part for part in choice if part) for choice in choices)
    fitting = next((each for each in joined if cell_len(each) <= columns), "")
    return f"{fitting} {state.note}".strip()


def _row(text: str, style: str) -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis")


def _waiting_for(streams: List[str], columns: int) -> str:
    """``waiting for a, b and 3 more``."""
    text = "waiting for "
    for number, stream in enumerate(streams):
        name = inline(stream)
        if number and len(text) + len(name) + 16 > columns:
            return f"{text} and {len(streams) - number} more"
        text += (", " if number else "") + name
    return text


def _count(states: List[State]) -> str:
    """``5 more: 1 failed, 3 running, 1 done``: what has gone wrong comes first."""
    counts = {word: sum(state.outcome == outcome for state in states) for outcome, word in _COUNTED.items()}
    return f"{len(states)} more: " + ", ".join(f"{count} {word}" for word, count in counts.items() if count)


def main() -> int:
    """The command: 0 if all streams ended well, 1 if one failed, else 3 if one is lost, else 2 if one was aborted."""
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print("usage: python -m msgstream.contrib.rich STREAM...   (MSGSTREAM_SERVER says where the broker is)", file=sys.stderr)
        return 64
    return exit_code(watch(*sys.argv[1:]).values())


if __name__ == "__main__":
    sys.exit(main())
