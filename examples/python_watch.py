#!/usr/bin/env python3
"""Follows streams and prints what comes, until all have ended.

    python3 examples/python_watch.py STREAM...

It may be started before the job, while it runs, or after it.
"""

import sys
from pathlib import Path

# So that the example runs without installing anything; a program of yours needs neither line.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "clients" / "python" / "src"))

from msgstream import CutOff, Ended, Header, Lost, Message, listen  # noqa: E402


def main(*streams: str) -> None:
    for event in listen(*(streams or ("fit",))):
        if isinstance(event, Header):
            print(f"{event.stream}: joined, at {event.message}", flush=True)
        elif isinstance(event, Message):
            print(f"{event.stream}: {event.message}", flush=True)
        elif isinstance(event, Ended):
            print(f"{event.stream}: has ended", flush=True)
        elif isinstance(event, (CutOff, Lost)):
            print(f"{event.stream}: {event.reason}; trying again", flush=True)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        # The usual way to stop watching.
        pass
