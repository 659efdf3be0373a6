"""The section on what outlives a connection of `results.md`, from `promise.json`, which `../promise` writes."""

import json
from statistics import median


def section(out):
    """The section, as lines; none if nothing was measured."""
    file = out / "promise.json"
    if not file.exists():
        return []
    raw = json.loads(file.read_text())
    lines = [
        "## Coming back: CPU of the broker, microseconds",
        "",
        f"Medians of {raw['rounds']} rounds, with the least and the most. What it costs to open and close a TCP connection is in each line of "
        "connections; the first one has nothing else. No other broker here has any of this. `benches/promise` measures it.",
        "",
        "| what | of each | microseconds |",
        "|---|---|---|",
    ]
    for row in raw["rows"]:
        costs = row["microseconds"]
        lines.append(f"| {row['title']} | {row['each']} | {median(costs):.1f} ({min(costs):.1f} to {max(costs):.1f}) |")
    return lines + [""]
