"""The results as a Markdown page: medians with their spread, the targets, the machine."""

from statistics import median

import fairness
import over_http
import plot
from rows import ENCRYPTED

PEERS = ("redis", "nats", "mosquitto")
NAMES = {"relay": "bare relay", "msgstream": "**msgstream**", "redis": "Redis", "nats": "NATS", "mosquitto": "Mosquitto"}
COST = ("broker", "us_per_unit")
RATE = ("units_per_second",)
MEMORY = ("broker", "bytes_per_connection")
RESIDENT = ("broker", "resident_after")
MIB = 1 << 20


class Results:
    """Every run, with a way to ask for figures."""

    def __init__(self, raw):
        self.raw, self.rows = raw, raw["rows"]

    def figures(self, row, broker, path):
        """One figure of each run; empty if the row was not run or a run of it failed."""
        runs = self.rows.get(row, {}).get("runs", {}).get(broker, [])
        if any("error" in run for run in runs):
            return []
        found = []
        for run in runs:
            for key in path:
                run = run[key]
            found.append(run)
        return found

    def median(self, row, broker, path):
        figures = self.figures(row, broker, path)
        return median(figures) if figures else None

    def best(self, row, path, choose=min):
        """The best peer's median."""
        found = [figure for peer in PEERS if (figure := self.median(row, peer, path)) is not None]
        return choose(found) if found else None

    def group(self, name):
        return [row for row, data in self.rows.items() if data["group"] == name]


def number(value):
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def cell(results, row, broker, path, scale=1.0):
    figures = [figure / scale for figure in results.figures(row, broker, path)]
    if not figures:
        runs = results.rows[row]["runs"].get(broker)
        return "failed" if runs else "-"
    return spread(figures)


def spread(figures):
    if len(figures) == 1:
        return number(figures[0])
    return f"{number(median(figures))} ({number(min(figures))}-{number(max(figures))})"


def table(results, rows, what, path, scale=1.0, brokers=tuple(NAMES)):
    lines = [f"| {what} | " + " | ".join(NAMES[broker] for broker in brokers) + " |", "|---" * (len(brokers) + 1) + "|"]
    for row in rows:
        cells = " | ".join(cell(results, row, broker, path, scale) for broker in brokers)
        lines.append(f"| {results.rows[row]['title']} | {cells} |")
    return lines + [""]


def paired(ones, others):
    """The ratio of each round. What a machine does at the time, both of a round had alike; rounds apart had not."""
    return [one / other for one, other in zip(ones, others) if other] if len(ones) == len(others) else []


def targets(results):
    """What was aimed at: text, the figures of each round, whether at most or at least, and the bound."""
    def against(row, of, path, choose=min):
        if of == "peer":
            # The best peer is the one with the best median.
            found = {peer: figure for peer in PEERS if (figure := results.median(row, peer, path)) is not None}
            of = choose(found, key=found.get) if found else of
        return paired(results.figures(row, "msgstream", path), results.figures(row, of, path))

    def cost(row, of):
        return against(row, of, COST)

    def rate(row, of):
        return against(row, of, RATE, max)

    def late(row, of, quantile):
        return against(row, of, ("latency", quantile))

    def growth(prefix, low, broker="msgstream"):
        """Of the point that is furthest above the first."""
        points = [row for row in results.rows if row.startswith(prefix) and results.rows[row]["x"] >= low]
        costs = [results.figures(row, broker, COST) for row in points]
        ratios = [paired(cost, costs[0]) for cost in costs[1:]]
        return max(ratios, key=median) if ratios and all(ratios) else []

    found = [
        ("CPU per delivery, 1 to 8, of the best peer's", cost("fan-8", "peer"), "<=", 0.33),
        ("CPU per delivery, 1 to 8, of the relay's", cost("fan-8", "relay"), "<=", 1.5),
    ]
    for row, title in (("fan-64", "1 to 64"), ("fan-1000", "1 to 1,000")):
        found += [(f"CPU per delivery, {title}, of the best peer's", cost(row, "peer"), "<=", 0.25),
                  (f"CPU per delivery, {title}, of the relay's", cost(row, "relay"), "<=", 1.2)]
    found += [
        ("CPU per delivery, 1 to 1, of the best peer's", cost("fan-1", "peer"), "<=", 0.6),
        ("CPU per delivery, 8 publishers on 8 streams, of the best peer's", cost("pairs-8", "peer"), "<=", 0.6),
        ("CPU per message with no listener, of NATS's", cost("publish", "nats"), "<=", 1.3),
        ("CPU per message with no listener, of Redis's", cost("publish", "redis"), "<=", 0.4),
    ]
    for row, title in (("content-16k", "16 KB content"), ("content-1m", "1 MB content")):
        found += [(f"{title}, throughput, of the best peer's", rate(row, "peer"), ">=", 1.0),
                  (f"{title}, throughput, of the relay's", rate(row, "relay"), ">=", 0.95)]
    for row, title in (("latency-1", "1 listener"), ("latency-100", "100 listeners")):
        for quantile in ("p50", "p99"):
            found += [(f"latency {quantile}, {title}, of the relay's", late(row, "relay", quantile), "<=", 1.1),
                      (f"latency {quantile}, {title}, of the best peer's", late(row, "peer", quantile), "<=", 1.0)]
    joins = paired(results.figures("join", "mosquitto", COST), results.figures("join", "msgstream", COST))
    relay = growth("growth-listeners", 8, "relay")
    beside = f" (the relay: {number(median(relay))})" if relay else ""
    found += [
        ("joins per CPU second, of Mosquitto's", joins, ">=", 2.0),
        ("bytes per idle listening connection", results.figures("memory", "msgstream", MEMORY), "<=", 1000),
        ("highest CPU per delivery from 1,000 to 100,000 streams, of that at 1,000", growth("growth-streams", 1000), "<=", 1.2),
        (f"highest CPU per delivery from 8 to 4,096 listeners, of that at 8{beside}", growth("growth-listeners", 8), "<=", 1.0),
    ]
    for row, title, bound in (("tls-8", "CPU per delivery, 1 to 8", 0.33), ("tls-16k", "CPU per delivery, 16 KB content", 0.33),
                              ("tls-handshake", "CPU per connection and handshake", 1.0)):
        found.append((f"TLS: {title}, of the best peer's", beside_encrypted(results, row), "<=", bound))
    return [target for target in found if target[1]]


def returning(results, rows):
    """Clients that come back."""
    lines = [
        "## Coming back: CPU of the broker, microseconds per connection",
        "",
        "With what it costs to open and close a TCP connection, which the first line has alone. The last line is per stream.",
        "",
    ]
    lines += table(results, rows, "all at once", COST, brokers=tuple(NAMES)[1:])
    return lines + [
        "A line has no figure where a broker has nothing like it. Sessions: those of Mosquitto are MQTT's, by client id; Redis and NATS have "
        "none. Joining: a listener that comes back to Redis's or NATS's channels joins anew, as in the third line, and what it missed is lost. "
        "Resuming: Redis is asked by `XREAD` for the entries of a Redis stream behind the last one that was seen, which it does not go on to "
        "send; Mosquitto sends what waits for a session at QoS 1, and each message is confirmed. Prefixes: Redis's and NATS's subscriptions "
        "to a pattern say nothing of what there is; Mosquitto sends retained messages.",
        "",
    ]


def window(results, rows):
    """What the window of last messages costs."""
    with_it, without = "msgstream", "msgstream-no-window"
    lines = [
        "## The window: msgstream as it is, and with `replay.stream = 0`",
        "",
        "CPU of the broker in microseconds per delivery, and its resident memory in MiB at the end of a run. The ratio is that of the two runs "
        "that follow each other.",
        "",
        "| 108 bytes of content | CPU | CPU, no window | ratio | MiB | MiB, no window |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        ratios = paired(results.figures(row, with_it, COST), results.figures(row, without, COST))
        cells = [cell(results, row, broker, COST) for broker in (with_it, without)] + [spread(ratios) if ratios else "-"]
        cells += [cell(results, row, broker, RESIDENT, MIB) for broker in (with_it, without)]
        lines.append(f"| {results.rows[row]['title']} | {' | '.join(cells)} |")
    return lines + [""]


def beside_encrypted(results, row):
    """The cost with TLS, of the best peer's, in each round."""
    peers = {broker: median(costs) for broker in ENCRYPTED[1:] if (costs := results.figures(row, broker, COST))}
    best = min(peers, key=peers.get, default=None)
    return paired(results.figures(row, ENCRYPTED[0], COST), results.figures(row, best, COST))


def encrypted(results, rows):
    """With TLS."""
    lines = [
        "## TLS: CPU of the broker, microseconds per delivery or connection",
        "",
        "TLS 1.3, a key on the curve P-256 for all; each handshake is a full one. NATS chooses AES-128-GCM, the others AES-256-GCM, which "
        "the client names first. The last column is of the best peer's, within a round.",
        "",
        "| 108 bytes of content unless said | **msgstream** | Redis | NATS | Mosquitto | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        ratios = beside_encrypted(results, row)
        cells = [cell(results, row, broker, COST) for broker in ENCRYPTED] + [spread(ratios) if ratios else "-"]
        lines.append(f"| {results.rows[row]['title']} | {' | '.join(cells)} |")
    return lines + [""]


def page(results):
    """The whole page, as lines."""
    machine, raw = results.raw["machine"], results.raw
    lines = [
        "# msgstream beside its peers",
        "",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB; {machine['system']}, Linux {machine['kernel']}.",
        f"{raw['rounds']} rounds in {raw['seconds'] // 60 + 1} minutes; medians, with the least and the most in brackets.",
        "The generator shares the machine with the broker. All peers run as `benches/compare/config` says.",
        "",
    ]
    lines += [f"- {NAMES[name].strip('*')}: {version}" for name, version in raw["versions"].items()] + [""]
    if throughput := results.group("throughput"):
        lines += ["## Cost: CPU of the broker, microseconds per delivery (or message)", ""]
        lines += table(results, throughput, "108 bytes of content unless said", COST)
        lines += ["## Throughput: thousands of deliveries (or messages) per second", ""]
        lines += table(results, throughput, "108 bytes of content unless said", RATE, 1000.0)
    if latency := results.group("latency"):
        for quantile in ("p50", "p99"):
            lines += [f"## Latency, {quantile}, microseconds", ""]
            lines += table(results, latency, "from the time a message was due", ("latency", quantile))
    if join := results.group("join"):
        lines += ["## Joining: CPU of the broker, microseconds per join", ""]
        lines += table(results, join, "MQTT: a retained message; the others store none", COST, brokers=tuple(NAMES)[1:])
    if memory := results.group("memory"):
        lines += ["## Memory: resident bytes per connection", ""]
        lines += table(results, memory, "10,000 connected to a fresh broker", MEMORY, brokers=tuple(NAMES)[1:])
    for kind, title in (("listeners", "listeners of one stream"), ("streams", "streams, one publisher"), ("content", "content, 1 to 4")):
        if grown := [row for row in results.group("growth") if row.startswith(f"growth-{kind}-")]:
            lines += [f"## Growth with {title}: CPU of the broker, microseconds per delivery", "", f"![{title}](plots/{kind}.svg)", ""]
            lines += table(results, grown, "", COST)
    if rows := results.group("return"):
        lines += returning(results, rows)
    if rows := results.group("window"):
        lines += window(results, rows)
    if rows := results.group("tls"):
        lines += encrypted(results, rows)
    if aims := targets(results):
        lines += ["## Targets", "", "| ratio within a round, median of the rounds | found | wanted | |", "|---|---|---|---|"]
        for text, values, sense, bound in aims:
            met = median(values) <= bound if sense == "<=" else median(values) >= bound
            lines.append(f"| {text} | {spread(values)} | {sense} {bound:g} | {'met' if met else '**missed**'} |")
        lines.append("")
    return lines


def write(raw, out):
    """Writes `results.md`, with the sections of `../fairness` and `../http` if there are any, and the plots."""
    results = Results(raw)
    (out / "results.md").write_text("\n".join(page(results) + fairness.section(out) + over_http.section(out)))
    plots = out / "plots"
    plots.mkdir(exist_ok=True)
    labels = {name: title.strip("*") for name, title in NAMES.items()}
    for kind, title, unit in (("listeners", "as listeners grow", "listeners"), ("streams", "as streams grow", "streams"),
                              ("content", "as content grows", "bytes of content")):
        series = {}
        for row in results.group("growth"):
            if row.startswith(f"growth-{kind}-"):
                for name, label in labels.items():
                    if (cost := results.median(row, name, COST)) is not None:
                        series.setdefault(label, []).append((results.rows[row]["x"], cost))
        if series:
            (plots / f"{kind}.svg").write_text(plot.lines(f"CPU per delivery {title}", unit, "microseconds", series))
    bars = {}
    for row in results.group("throughput"):
        costs = {label: cost for name, label in labels.items() if (cost := results.median(row, name, COST)) is not None}
        if costs:
            bars[results.rows[row]["title"]] = costs
    if bars:
        (plots / "cost.svg").write_text(plot.bars("CPU of the broker per delivery, microseconds (log scale)", bars))
