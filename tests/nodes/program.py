"""A program as a process: started, killed, stopped for a while, and its log."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Dict, List, Optional

from place import Place
from waiting import until


class Program:
    """One program that may have several lives, one after the other."""

    def __init__(self, name: str, folder: Path, place: Place) -> None:
        self.name, self.folder, self.place = name, folder, place
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "log"
        self.process: Optional["subprocess.Popen[bytes]"] = None
        #: When its last life began.
        self.began = 0.0

    def spawn(self, *words: str, environment: Optional[Dict[str, str]] = None) -> None:
        assert not self.is_alive, f"{self.name} runs already"
        with open(self.log, "ab") as log:
            command = self.place.command(*words)
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        self.began = time.monotonic()

    def begin(self) -> None:
        """Starts it without waiting."""
        raise NotImplementedError

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def must_be_alive(self) -> None:
        assert self.is_alive, f"{self.name} has ended:\n{self.last_words()}"

    def kill(self) -> None:
        """Kills it without a chance to say anything. It is dead afterwards."""
        self.must_be_alive()
        assert self.process is not None
        self.process.kill()
        assert self.process.wait() == -signal.SIGKILL

    def terminate(self, deadline: float = 40) -> int:
        """Stops it as a service manager does, and says how it ended."""
        self.must_be_alive()
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=deadline)

    def stop(self) -> None:
        """Has it stand still. It does afterwards."""
        self.must_be_alive()
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        until(lambda: self.state() == "T", f"{self.name} stands still")

    def cont(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
        until(lambda: self.state() != "T", f"{self.name} goes on")

    def state(self) -> str:
        """The state's letter: ``T`` stands still."""
        assert self.process is not None
        with contextlib.suppress(OSError):
            return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return ""

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def last_words(self, lines: int = 200) -> str:
        return "\n".join(self.said().splitlines()[-lines:])

    def close(self) -> None:
        """Ends it, whatever its state."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def environment(**more: str) -> Dict[str, str]:
    """As on a machine that sets nothing of ours."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("MSGSTREAM_")}, **more}


def last_words(programs: List[Program]) -> str:
    return "\n\n".join(f"-- {each.name}\n{each.last_words()}" for each in programs)
