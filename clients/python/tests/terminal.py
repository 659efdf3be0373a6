"""A terminal, and the screen that a person sees on it."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
from typing import Any, Dict, List

import pyte

from conftest import DEADLINE, eventually


class Terminal:
    """A program on a pseudo-terminal of some size."""

    def __init__(self, command: List[str], rows: int, columns: int, environment: Dict[str, str]) -> None:
        self._screen = pyte.HistoryScreen(columns, rows, history=1000)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")}
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env={**kept, "TERM": "xterm-256color", **environment}, start_new_session=True
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:
                return
            if not data:
                return
            with self._lock:
                self._stream.feed(data)

    @property
    def rows(self) -> List[str]:
        """What is on the screen now."""
        with self._lock:
            return [row.rstrip() for row in self._screen.display]

    @property
    def all(self) -> List[str]:
        """What has been scrolled out, and what is on the screen."""
        with self._lock:
            return [row_text(line, self._screen.columns) for line in self._screen.history.top] + [
                row.rstrip() for row in self._screen.display
            ]

    def shows(self, text: str) -> None:
        """Waits until a row has this text."""
        eventually(lambda: any(text in row for row in self.rows), f"{text!r} on the screen: {self.rows}")

    def end(self) -> int:
        """Waits for the end of the program, and for all that it has written."""
        status = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return status

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *unused: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(DEADLINE)
        os.close(self._master)


def row_text(line: Any, columns: int) -> str:
    """A row that is kept by its columns."""
    return "".join(line[column].data for column in range(columns)).rstrip()


def screen(text: str, rows: int, columns: int) -> List[str]:
    """What stands on a screen after this output."""
    made = pyte.Screen(columns, rows)
    pyte.Stream(made).feed(text.replace("\n", "\r\n"))
    return [row.rstrip() for row in made.display]
