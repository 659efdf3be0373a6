"""What is measured: one row each, with the generator's options."""

from dataclasses import dataclass

ALL = ("relay", "msgstream", "redis", "nats", "mosquitto")
BROKERS = ALL[1:]
CURVE = ["--kind", "curve"]


@dataclass
class Row:
    """One piece of work, done by every broker that can."""

    id: str
    title: str
    options: list
    brokers: tuple = ALL
    #: throughput, latency, join, memory or growth
    group: str = "throughput"
    #: Deliveries (messages, joins) of the pilot run, from which the count of the real ones is set; 0: the options fix it.
    pilot: int = 20_000
    listeners: int = 1
    #: In a growth row, what grows, and how far.
    x: int = 0
    #: Published before measuring: at least once to every stream.
    warmup: int = 0
    #: How often it is measured in each round, by all brokers in turn: one run says little about a slowest hundredth, or
    #: about a lone message, whose way through the scheduler differs from run to run.
    repeats: int = 1


def fan_out(listeners, row_id, title, group="throughput", x=0):
    return Row(row_id, title, ["--listeners", str(listeners)], group=group, listeners=listeners, x=x,
               pilot=max(20_000, 8 * listeners), warmup=max(8, 2000 // listeners), repeats=2 if group == "growth" else 1)


def streams(count):
    """Always ten listening connections, so that nothing but the streams grows."""
    options = ["--streams", str(count), "--streams-per-listener", str(max(count // 10, 1))]
    return Row(f"growth-streams-{count}", f"{count:,} streams", options, BROKERS, "growth", x=count, warmup=max(count, 1000),
               pilot=max(20_000, count), repeats=2)


def content(size):
    pilot = 4000 if size < 65_536 else 64
    options = ["--listeners", "4", "--size", str(size), *CURVE]
    return Row(f"growth-content-{size}", f"{size:,} bytes", options, group="growth", listeners=4, x=size, pilot=pilot, warmup=8)


def latency(rate, listeners, repeats=1):
    title = f"{rate:,} messages/s, 1 to {listeners:,}"
    options = ["--listeners", str(listeners), "--rate", str(rate), "--duration", "3s", "--warmup", str(rate // 4)]
    return Row(f"latency-{listeners}", title, options, group="latency", pilot=0, repeats=repeats)


def rows():
    """All rows, in the order of the report."""
    table = [
        fan_out(1, "fan-1", "1 to 1"),
        fan_out(8, "fan-8", "1 to 8"),
        fan_out(64, "fan-64", "1 to 64"),
        fan_out(1000, "fan-1000", "1 to 1,000"),
        Row("pairs-8", "8 publishers on 8 streams", ["--publishers", "8", "--streams", "8"], BROKERS, warmup=2000),
        Row("publish", "published, no listener", ["--no-listeners"], BROKERS, warmup=2000),
        Row("content-16k", "16 KB content, 1 to 8", ["--listeners", "8", "--size", "16KiB", *CURVE], listeners=8, pilot=4000, warmup=16),
        Row("content-1m", "1 MB content, 1 to 4", ["--listeners", "4", "--size", "1MiB", *CURVE], listeners=4, pilot=64, warmup=4),
        latency(1000, 1, repeats=8),
        latency(1000, 100, repeats=4),
        latency(200, 1000),
        Row("join", "joining, 16 KB header", ["--join", "--listeners", "64", "--size", "16KiB", *CURVE], ("msgstream", "mosquitto"),
            "join", pilot=2000, warmup=200),
        Row("memory", "idle listening connection", ["--idle", "10000"], BROKERS, "memory", pilot=0),
    ]
    table += [fan_out(n, f"growth-listeners-{n}", f"{n:,} listeners", "growth", n) for n in (1, 4, 8, 32, 128, 512, 4096)]
    table += [streams(10**n) for n in range(1, 6)]
    table += [content(64 * 4**n) for n in range(9)]
    return table


#: The rows of `--quick`.
QUICK = ("fan-1", "fan-8", "fan-64", "fan-1000", "pairs-8")
