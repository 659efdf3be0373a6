"""What a delivery costs: a node with its listeners beside a broker on its own, and a node whose publisher is at another one."""

import subprocess
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass

from measuring import bench, pilot
from rows import Row
from space import apart, single, start, start_nats, two_nodes

LISTENERS = 64
#: How long a node is loaded as fast as it goes, in seconds.
LOADED = 1.5
RATE = ["--rate", "400", "--duration", "3s", "--warmup", "100"]
PACED = ["--listeners", str(LISTENERS), *RATE]
#: In `results`, the loads, and whether what is measured has a core for itself.
LOADS = {
    "paced-apart": (Row("paced-apart", "400 messages a second, on a core of its own", PACED, pilot=0), True),
    "paced-anywhere": (Row("paced-anywhere", "400 messages a second, all on the same cores", PACED, pilot=0), False),
    "fast": (Row("fast", "as fast as it goes", ["--listeners", str(LISTENERS)], listeners=LISTENERS, warmup=50), False),
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


@contextmanager
def kept_busy(generator, node):
    """Somebody publishes to a space at the rate of the paced load, for one listener, for as long as something else is measured."""
    command = [str(generator), "bench", "--server", f"127.0.0.1:{node.port}", "--listeners", "1", "--rate", "400", "--duration", "1h"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
            if process.poll() is not None:
                raise RuntimeError(f"nobody has kept the space busy: {' '.join(command)}")
        finally:
            process.kill()


def run(generator, program, folder, rounds, tell):
    """In each round every load is put on all, every other time the other way round."""
    results, counts = {}, {}
    with ExitStack() as stack:
        servers = start_nats(stack, folder / "delivering", 1)
        a, b = two_nodes(stack, program, folder / "delivering", servers, "delivering")
        alone = start(stack, single(program, folder / "delivering"))
        kinds = {
            "single": (Pair(alone, alone), {}),
            "beside": (Pair(alone, alone), {}),
            "node": (Pair(a, a), {"the other node": [b], "NATS": servers}),
            "other": (Pair(a, b), {"the publisher's node": [a], "NATS": servers}),
        }
        for number in range(rounds):
            for load, (row, is_apart) in LOADS.items():
                taking_part = [kind for kind in kinds if kind != "beside" or load == "paced-anywhere"]
                for kind in taking_part[:: -1 if number % 2 else 1]:
                    pair, beside = kinds[kind]
                    others = [process for process in (*servers, a, b, alone) if process is not pair.listeners]
                    with apart(pair.listeners, others) if is_apart else kept_busy(generator, a) if kind == "beside" else nullcontext():
                        result = measure(generator, row, pair, beside, counts, kind)
                    results.setdefault(load, {}).setdefault(kind, []).append(result)
                    tell(f"{row.title}, {kind}: " + (result.get("error") or f"{result['broker']['us_per_unit']:.3f} us, {result['beside']}"))
    return results
