#!/usr/bin/env python3
"""A job that publishes its progress: the fit of a line, slowed down so that it can be watched.

    python3 examples/python_fit.py [STREAM [STEPS [SECONDS]]]

Watch it with examples/python_watch.py, or with: msgstream listen STREAM
"""

import random
import sys
import time
from pathlib import Path

# So that the example runs without installing anything; a program of yours needs neither line.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "clients" / "python" / "src"))

from msgstream import Job  # noqa: E402


def chisq(slope: float, offset: float) -> float:
    """How far a line is from y = 2 x + 1."""
    return sum((slope * x + offset - (2 * x + 1)) ** 2 for x in range(10))


def main(stream: str = "fit", steps: str = "100", seconds: str = "10") -> None:
    total = int(steps)
    best, at = float("inf"), (0.0, 0.0)
    with Job(stream, title="Fit of a line", total=total, units="steps") as job:
        for k in range(total):
            time.sleep(float(seconds) / total)
            tried = (at[0] + random.gauss(0, 0.5), at[1] + random.gauss(0, 0.5))
            value = chisq(*tried)
            if value < best:
                best, at = value, tried
                job.improvement(best, slope=at[0], offset=at[1])
            job.progress(k + 1)
        job.complete({"chisq": best, "slope": at[0], "offset": at[1]})


if __name__ == "__main__":
    main(*sys.argv[1:])
