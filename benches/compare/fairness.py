"""The section on fairness of `results.md`, from `fairness.json`, which `../fairness` writes."""

import json
from statistics import median

NAMES = {"msgstream": "**msgstream**", "redis": "Redis", "nats": "NATS"}
PEERS = ("redis", "nats")
#: The figures of a run. Of several rounds the median counts, of the worst too: what else the machine does spoils some of them.
FIGURES = ("p50", "p99", "worst")
#: How many rows are named that miss a target.
MOST_TOLD = 3
#: The bounds for a bystander, in milliseconds: up to 100 listeners, and with more.
FEW = 100
AIMS = {"p50": (5, 20), "worst": (5, 50)}


def figure(row, broker, name):
    """A figure of a row in milliseconds, or None if it was not measured or a run failed."""
    runs = row["runs"].get(broker, [])
    if not runs or any("error" in run for run in runs):
        return None
    return median(run[name] for run in runs) / 1000


def number(value):
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(row, broker):
    runs = row["runs"].get(broker)
    if not runs:
        return "-"
    if any("error" in run for run in runs):
        return "failed"
    # A ping that was never answered took longer than it was waited for.
    at_least = "> " if any(run["unanswered"] for run in runs) else ""
    most = f" ({number(max(run['worst'] for run in runs) / 1000)})" if len(runs) > 1 else ""
    return " / ".join(number(figure(row, broker, name)) for name in FIGURES[:2]) + f" / {at_least}{number(figure(row, broker, 'worst'))}{most}"


def rate(row, broker):
    """Thousands of messages a second, times listeners."""
    runs = row["runs"].get(broker)
    if not runs or any("error" in run for run in runs):
        return "-"
    return number(median(run["deliveries"] / run["seconds"] for run in runs) / 1000)


def table(rows, what, text):
    lines = [f"| {what} | listeners | " + " | ".join(NAMES.values()) + " |", "|---" * (len(NAMES) + 2) + "|"]
    for row in rows:
        lines.append(f"| {row['title']} | {row['listeners']:,} | " + " | ".join(text(row, broker) for broker in NAMES) + " |")
    return lines + [""]


def verdict(text, count, missed, tell):
    """One line of the targets: how many rows meet it, and which are the furthest from it, from the distance of each that does not."""
    missed.sort(key=lambda found: found[0], reverse=True)
    worst = "; ".join(f"{row['title']}, {row['listeners']:,}: {tell(*rest)}" for _, row, *rest in missed[:MOST_TOLD])
    return f"| {text} | {count - len(missed)} of {count} | {'met' if not missed else f'**missed**, most by {worst}'} |"


def behind(rows, name):
    """The rows at which msgstream is behind the better peer, with how far."""
    count, missed = 0, []
    for row in rows:
        own = figure(row, "msgstream", name)
        peers = [found for peer in PEERS if (found := figure(row, peer, name)) is not None]
        if own is not None and peers:
            count += 1
            if own > min(peers):
                missed.append((own / min(peers), row, own, min(peers)))
    return verdict(f"{name} not behind the better of Redis and NATS", count, missed, lambda own, best: f"{number(own)} of {number(best)} ms")


def within(rows, name):
    """The rows at which a bystander of msgstream waits longer than it should."""
    few, many = AIMS[name]
    count, missed = 0, []
    for row in rows:
        bound = few if row["listeners"] <= FEW else many
        if (own := figure(row, "msgstream", name)) is not None:
            count += 1
            if own > bound:
                missed.append((own / bound, row, own))
    return verdict(f"{name} within {many} ms; with {FEW} listeners within {few} ms", count, missed, lambda own: f"{number(own)} ms")


def section(out):
    """The section, as lines; none if nothing was measured."""
    file = out / "fairness.json"
    if not file.exists():
        return []
    raw = json.loads(file.read_text())
    machine, rows = raw["machine"], list(raw["rows"].values())
    lines = [
        "## Fairness: what a bystander's ping takes, milliseconds: p50 / p99 / worst",
        "",
        f"One connection does the work as fast as it goes: bursts of as many messages as fit into 64 KiB (big messages: one of 1 MiB), each when "
        f"the one before has been answered and delivered. Another connection pings every 5 ms, whether or not the ping before was answered. "
        f"{raw['rounds']} {'round' if raw['rounds'] == 1 else 'rounds, medians with the most of all in brackets,'} of {raw['duration']} a cell, on {machine['cores']} cores that all share; "
        f"{', '.join(raw['versions'].values())}. `benches/fairness` measures it.",
        "",
    ]
    lines += table(rows, "beside", cell)
    lines += [
        "Redis answers each message anyway; NATS is asked to by `verbose`. In place of headers, which they have not, Redis is told SET and PUBLISH, "
        "NATS two messages, of which one has no listeners. NATS closes a connection after one wrong line. Redis and NATS do not translate: theirs are "
        "the same messages as they are.",
        "",
        "What was done meanwhile, thousands of deliveries a second:",
        "",
    ]
    lines += table([row for row in rows if row["delivers"]], "work", rate)
    busy = [row for row in rows if row["work"] != "nothing"]
    lines += ["| target | rows | |", "|---|---|---|"]
    lines += [behind(busy, name) for name in FIGURES] + [within(busy, name) for name in AIMS] + [""]
    return lines
