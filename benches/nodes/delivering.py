"""What a delivery costs: a node with its listeners beside a broker on its own, and a node whose publisher is at another one."""

from contextlib import ExitStack
from dataclasses import dataclass

from measuring import bench, pilot
from rows import Row
from space import single, start, start_nats, two_nodes

LISTENERS = 64
#: How long a node is loaded as fast as it goes, in seconds.
LOADED = 1.5
#: In `results`, the two loads.
LOADS = {
    "paced": Row("paced", "400 messages a second", ["--listeners", str(LISTENERS), "--rate", "400", "--duration", "3s", "--warmup", "100"], pilot=0),
    "fast": Row("fast", "as fast as it goes", ["--listeners", str(LISTENERS)], listeners=LISTENERS, warmup=50),
}


@dataclass
class Pair:
    """Where the publisher is, and where the listeners are, in the form of a broker for the load generator."""

    publisher: object
    listeners: object
    protocol: str = "msgstream"
    ca = None
    listeners_port = None

    @property
    def port(self):
        return self.publisher.port

    def pid(self):
        """What is measured is where the listeners are."""
        return self.listeners.pid()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def measure(generator, row, pair, others, counts, kind):
    """The generator's report, and what a message costs other processes on the way, in microseconds."""
    if pair.publisher is not pair.listeners:
        row = Row(row.id, row.title, [*row.options, "--listeners-at", f"127.0.0.1:{pair.listeners.port}"], pilot=row.pilot, listeners=row.listeners,
                  warmup=row.warmup)
    count = None
    if row.pilot:
        if (row.id, kind) not in counts:
            trial = pilot(generator, pair, row)
            if "error" in trial:
                return trial
            counts[row.id, kind] = max(int(trial["units_per_second"] * LOADED / LISTENERS), 1000)
        count = counts[row.id, kind]
    before = {name: sum(process.cpu() for process in processes) for name, processes in others.items()}
    result = bench(generator, pair, row, count)
    if "error" not in result:
        messages = result["units"] / LISTENERS + row.warmup
        result["beside"] = {name: (sum(process.cpu() for process in processes) - before[name]) * 1e6 / messages for name, processes in others.items()}
    return result


def run(generator, program, folder, rounds, tell):
    """In each round every load is put on all, every other time the other way round."""
    results, counts = {}, {}
    with ExitStack() as stack:
        servers = start_nats(stack, folder / "delivering", 1)
        a, b = two_nodes(stack, program, folder / "delivering", servers, "delivering")
        alone = start(stack, single(program, folder / "delivering"))
        kinds = {
            "single": (Pair(alone, alone), {}),
            "node": (Pair(a, a), {"the other node": [b], "NATS": servers}),
            "other": (Pair(a, b), {"the publisher's node": [a], "NATS": servers}),
        }
        for number in range(rounds):
            for load, row in LOADS.items():
                for kind in list(kinds)[:: -1 if number % 2 else 1]:
                    result = measure(generator, row, *kinds[kind], counts, kind)
                    results.setdefault(load, {}).setdefault(kind, []).append(result)
                    tell(f"{row.title}, {kind}: " + (result.get("error") or f"{result['broker']['us_per_unit']:.3f} us, {result['beside']}"))
    return results
