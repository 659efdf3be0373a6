"""Listeners over HTTP: the rows, and the section of `results.md` that `../http` writes from `http.json`."""

import json
import sys
from statistics import median

from rows import Row

NAMES = {"msgstream": "**msgstream**", "mosquitto": "Mosquitto", "nchan": "nginx with nchan"}
WEBSOCKET = ("msgstream", "mosquitto", "nchan")
EVENTS = ("msgstream", "nchan")
#: Messages a second: each has reached all before the next comes, so that each delivery is a write of its own.
RATES = {64: 400, 1000: 20}
#: The aim, of the best peer's.
AIM = 0.5
#: How much scrapes may cost.
SCRAPES_COST = 1.03


def rows():
    """All rows, in the order of the report."""
    table = []
    for by, what, brokers in (("websocket", "WebSocket", WEBSOCKET), ("events", "server-sent events", EVENTS)):
        for listeners, rate in RATES.items():
            options = ["--listeners-by", by, "--listeners", str(listeners)]
            paced = ["--rate", str(rate), "--duration", "3s", "--warmup", str(rate // 4)]
            table.append(Row(f"{by}-{listeners}", f"{what}, 1 to {listeners:,}, {rate} messages/s", options + paced, brokers, "http", pilot=0))
            table.append(Row(f"{by}-{listeners}-burst", f"{what}, 1 to {listeners:,}, as fast as it goes", options, brokers, "http",
                             listeners=listeners, pilot=max(20_000, 8 * listeners), warmup=max(8, 2000 // listeners)))
    for by, what, brokers in (("websocket", "WebSocket", WEBSOCKET), ("events", "server-sent events", EVENTS)):
        table.append(Row(f"idle-{by}", what, ["--idle", "1000", "--listeners-by", by], brokers, "idle", pilot=0))
    table.append(Row("idle-socket", "TCP", ["--idle", "1000"], ("msgstream", "mosquitto"), "idle", pilot=0))
    pair = ("msgstream-plain", "msgstream")
    for listeners, rate in RATES.items():
        paced = ["--rate", str(rate), "--duration", "3s", "--warmup", str(rate // 4)]
        options = ["--listeners", str(listeners)]
        table.append(Row(f"scrape-{listeners}", f"1 to {listeners:,}, {rate} messages/s", options + paced, pair, "scrape", pilot=0, repeats=4))
        table.append(Row(f"scrape-{listeners}-burst", f"1 to {listeners:,}, as fast as it goes", options, pair, "scrape", listeners=listeners,
                         pilot=max(20_000, 8 * listeners), warmup=max(8, 2000 // listeners), repeats=4))
    return table


def others(kept, results):
    """The results that stand in the file, to which others are to be added. Figures of another machine or program cannot stand beside them."""
    for what in ("machine", "versions"):
        if any(kept[what].get(key, value) != value for key, value in results[what].items()):
            sys.exit(f"http.json is of another {what.rstrip('s')}: {kept[what]}; this is {results[what]}. Nothing was measured")
    kept["versions"] |= results["versions"]
    return kept


def figures(row, broker, name):
    """One figure of each run; nothing if there was none or one failed."""
    runs = row["runs"].get(broker, [])
    return [] if any("error" in run for run in runs) else [run["broker"][name] for run in runs]


def number(value):
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def spread(found):
    return f"{number(median(found))} ({number(min(found))}-{number(max(found))})" if len(found) > 1 else number(found[0])


def cell(row, broker, name):
    if not row["runs"].get(broker):
        return "-"
    found = figures(row, broker, name)
    return spread(found) if found else "failed"


def ratios(row, name, of=None):
    """Of the best peer's, within each round. The best peer is the one with the best median."""
    peers = [broker for broker in ("mosquitto", "nchan") if figures(row, broker, name)]
    of = of or min(peers, key=lambda broker: median(figures(row, broker, name)), default=None)
    return [one / other for one, other in zip(figures(row, "msgstream", name), figures(row, of, name))] if of else []


def table(rows, what, name):
    lines = [f"| {what} | " + " | ".join(NAMES.values()) + " | of the best peer's |", "|---" * (len(NAMES) + 2) + "|"]
    for row in rows:
        of = ratios(row, name)
        cells = [cell(row, broker, name) for broker in NAMES] + [spread(of) if of else "-"]
        lines.append(f"| {row['title']} | {' | '.join(cells)} |")
    return lines + [""]


def scrapes(rows, costs):
    lines = [
        "A scrape of /metrics every second, beside a broker without HTTP: CPU in microseconds per delivery over plain TCP, both one after the "
        "other in each round.",
        "",
        "| 108 bytes of content | HTTP off | HTTP on, scraped | ratio | pairs |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        of = ratios(row, "us_per_unit", "msgstream-plain")
        cells = [cell(row, broker, "us_per_unit") for broker in ("msgstream-plain", "msgstream")] + [spread(of) if of else "-", str(len(of))]
        lines.append(f"| {row['title']} | {' | '.join(cells)} |")
    if costs:
        lines += ["", f"One scrape takes {spread(costs)} us of CPU."]
    return lines + [""]


def verdict(rows):
    """The targets."""
    lines = ["| ratio within a round, median of the rounds | found | wanted | |", "|---|---|---|---|"]
    aims = [(row, f"CPU per delivery, {row['title']}, of the best peer's", ratios(row, "us_per_unit"), AIM) for row in rows["http"]]
    aims += [(row, f"CPU per delivery over TCP, {row['title']}, scraped every second, of that without HTTP",
              ratios(row, "us_per_unit", "msgstream-plain"), SCRAPES_COST) for row in rows["scrape"]]
    for _, text, found, bound in aims:
        if found:
            lines.append(f"| {text} | {spread(found)} | <= {bound:g} | {'met' if median(found) <= bound else '**missed**'} |")
    return lines + [""]


def section(out):
    """Its lines; none without results."""
    file = out / "http.json"
    if not file.exists():
        return []
    results = json.loads(file.read_text())
    machine = results["machine"]
    rows = {group: [row for row in results["rows"].values() if row["group"] == group] for group in ("http", "idle", "scrape")}
    versions = "; ".join(f"{NAMES[name].strip('*')}: {version}" for name, version in results["versions"].items() if name in NAMES)
    lines = [
        "## Over HTTP: CPU of the broker, microseconds per delivery",
        "",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB; {machine['system']}, Linux {machine['kernel']}; {versions}. "
        f"{results['rounds']} rounds. To msgstream is published over TCP, to Mosquitto by MQTT over TCP, to nchan by POST over one connection. "
        "Where a rate is given, each delivery is a write of its own, so that the system's part is most of it. nginx has one worker. "
        "`benches/http` measures it.",
        "",
    ]
    if rows["http"]:
        lines += table(rows["http"], "108 bytes of content", "us_per_unit")
    if rows["idle"]:
        lines += ["Resident bytes per idle listener, 1,000 connected:", ""] + table(rows["idle"], "by", "bytes_per_connection")
    if rows["scrape"]:
        lines += scrapes(rows["scrape"], results.get("scrapes"))
    return lines + verdict(rows)
