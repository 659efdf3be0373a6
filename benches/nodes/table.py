"""The results as text: medians of the rounds, with the least and the most."""

from statistics import median

#: What is wanted of a node's CPU per delivery, of that of a broker on its own in the same round.
WANTED = 1.3
KINDS = {
    "single": "msgstream on its own", "nodes-1": "nodes, 1 NATS server", "jetstream-1": "JetStream, 1 server",
    "nodes-3": "nodes, 3 NATS servers", "jetstream-3": "JetStream, 3 servers",
}
LOADS = {"paced-apart": "400 messages a second, on a core of its own", "paced-anywhere": "400 messages a second, all on the same cores", "fast": "as fast as it goes"}


def number(value):
    """A figure with three digits or so."""
    digits = 0 if value >= 100 or value == 0 else 1 if value >= 10 else 2 if value >= 0.1 else 3
    return f"{value:,.{digits}f}"


def spread(found):
    """The median, and the least and the most if there are several."""
    return f"{number(median(found))} ({number(min(found))}-{number(max(found))})" if len(found) > 1 else number(found[0])


def figures(runs, *path):
    """One figure of each run that did not fail."""
    found = []
    for run in runs:
        if "error" not in run:
            for key in path:
                run = run[key]
            found.append(run)
    return found


def delivering(results):
    lines = [
        "## CPU per delivery to 64 listeners", "",
        "In microseconds, of the broker that has the listeners; beside it what each message costs the others on the way, in microseconds of CPU. "
        "108 bytes of content, 1 publisher. The ratio is that of a broker on its own in the same round.", "",
        "At 400 messages a second, the measured broker first has a core for itself, as on a machine of its own, and all others share the rest: the "
        "load generator, NATS, and the other node. Then all share all cores. There a broker costs what its neighbours make of its caches, and of when "
        "the system runs the listeners: the same broker on its own is shown beside a space that takes as many messages.", "",
        "| | deliveries/s | us per delivery | ratio | wanted | others, us per message |", "|---|---|---|---|---|---|",
    ]
    for load, kinds in results.items():
        alone = figures(kinds["single"], "broker", "us_per_unit")
        titles = {"single": "msgstream on its own", "beside": "msgstream on its own, beside a busy space", "node": "a node with publisher and listeners",
                  "other": "a node with the listeners alone"}
        for kind, title in titles.items():
            if kind not in kinds:
                continue
            own = figures(kinds[kind], "broker", "us_per_unit")
            ratios = [one / other for one, other in zip(own, alone)] if kind != "single" else []
            others = "; ".join(f"{name} {spread(figures(kinds[kind], 'beside', name))}" for name in kinds[kind][0].get("beside", {}))
            wanted = ""
            if kind in ("node", "other") and load != "paced-anywhere":
                wanted = f"<= {WANTED}, {'met' if median(ratios) <= WANTED else '**missed**'}"
            lines.append(f"| {LOADS[load]}: {title} | {number(median(figures(kinds[kind], 'units_per_second')))} | {spread(own)} | "
                         f"{spread(ratios) if ratios else ''} | {wanted} | {others} |")
    return lines + [""]


def publishing(results):
    lines = [
        "## Publishing", "",
        "One publisher, which waits for the receipt (JetStream: the acknowledgement) of each message before the next, or says 100 at once and waits for all. "
        "The last two columns: from the message being said to a listener having it, who is at the other node (JetStream: a push consumer, at another "
        "server if there are three). In microseconds, by a client in Python: a broker on its own shows what that adds.", "",
        "| | messages/s, each confirmed | receipt, p50 | p99 | messages/s, 100 at once | delivery, p50 | p99 |", "|---|---|---|---|---|---|---|",
    ]
    for kind, title in KINDS.items():
        cells = [spread(figures(results[kind], *path)) for path in (("rate",), ("receipt", "p50"), ("receipt", "p99"), ("pipelined",),
                                                                    ("delivery", "p50"), ("delivery", "p99"))]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return lines + [""]


def joining(results):
    lines = [
        "## Joining", "",
        "From `listen` to its receipt, of a stream with a header of 16 KB of which nobody at this node has talked; of JetStream, its answer with the last "
        "message of a subject, asked at the leader. In microseconds, over 200.", "", "| | p50 | p99 |", "|---|---|---|",
    ]
    for kind, title in KINDS.items():
        lines.append(f"| {title} | {spread(figures(results[kind], 'p50'))} | {spread(figures(results[kind], 'p99'))} |")
    return lines + [""]


def failing(results):
    deaths, leaders = results["node"], results["leader"]
    lines = [
        "## Failures", "",
        "A node is killed; its publisher has a session and its listener a position, and both go to the other node as soon as their connections end. Nothing was "
        "missing, and nothing came twice. With three NATS servers, the one that leads the log is killed: the others elect another after four to nine seconds.",
        "", "| | times | median | most |", "|---|---|---|---|",
    ]
    rows = [
        ("node killed: first message at the listener, ms", [run["listener"] * 1000 for run in deaths]),
        ("node killed: first receipt at the publisher, ms", [run["publisher"] * 1000 for run in deaths]),
        ("leader of NATS killed: another is elected, s", [run["elected"] for run in leaders]),
        ("leader of NATS killed: publishing goes on at both nodes, s", [max(run["nodes"]) for run in leaders]),
        ("of that, behind the election, s", [max(run["nodes"]) - run["elected"] for run in leaders]),
    ]
    lines += [f"| {title} | {len(found)} | {number(median(found))} | {number(max(found))} |" for title, found in rows]
    return lines + [""]


def starting(results):
    starts = results["starts"]
    lines = ["## Starting, memory, and doing nothing", "", "10,000 streams, each with a header of 1 KB.", "", "| | |", "|---|---|"]
    for key, title in (("alone", "start of a broker on its own, without streams, ms"), ("empty", "start of the first node, in an empty space, ms"),
                       ("log", "start until it serves all streams, from the log, ms"), ("state", "the same from the state that a node has kept, ms")):
        lines.append(f"| {title} | {spread([run[key] * 1000 for run in starts])} |")
    for name in starts[0]["resident"]:
        lines.append(f"| resident memory of {name} with all streams, MB | {spread([run['resident'][name] / 1e6 for run in starts])} |")
    for name, value in results["idle"].items():
        lines.append(f"| CPU of {name} per minute, nothing to do, ms | {number(value)} |")
    return lines + [""]


def text(results):
    """The whole page, or those parts that were measured."""
    machine, versions = results["machine"], results["versions"]
    lines = [
        "# Nodes", "",
        f"Made by `benches/nodes/run` on {results['date']}, in {results['seconds'] / 60:.0f} minutes. {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB; {machine['system']}, Linux {machine['kernel']}; {versions['msgstream']}; {versions['nats']}.", "",
        f"All on one machine, over loopback, in {results['rounds']} rounds in which everybody has a turn: medians, with the least and the most. The machine is "
        "shared, and has fewer cores than there are programs at work, so times on the wall are worth less than CPU times.", "",
    ]
    if "delivering" in results:
        lines += delivering(results["delivering"])
    if "publishing" in results:
        lines += publishing(results["publishing"]["publishing"]) + joining(results["publishing"]["joining"])
    if "failing" in results:
        lines += failing(results["failing"])
    if "starting" in results:
        lines += starting(results["starting"])
    return "\n".join(lines)
