"""What is measured: one row each, with the generator's options or with what plain sockets do."""

from dataclasses import dataclass

import promise

ALL = ("relay", "msgstream", "redis", "nats", "mosquitto")
BROKERS = ALL[1:]
#: The broker as it is, and without the window of last messages.
PAIR = ("msgstream", "msgstream-no-window")
#: With TLS.
ENCRYPTED = ("msgstream-tls", "redis-tls", "nats-tls", "mosquitto-tls")
CURVE = ["--kind", "curve"]


@dataclass
class Row:
    """One piece of work, done by every broker that can."""

    id: str
    title: str
    options: list
    brokers: tuple = ALL
    #: throughput, latency, join, memory, growth, return, window or tls
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
    #: What plain sockets do, in `promise.py`, in place of the generator; and what is counted then.
    work: str = ""
    unit: str = "connection"


def fan_out(listeners, row_id, title, group="throughput", x=0, brokers=ALL):
    return Row(row_id, title, ["--listeners", str(listeners)], brokers, group, listeners=listeners, x=x,
               pilot=max(20_000, 8 * listeners), warmup=max(8, 2000 // listeners), repeats=1 if group == "throughput" else 2)


def streams(count, group="growth", brokers=BROKERS, what="streams"):
    """Always ten listening connections, so that nothing but the streams grows."""
    options = ["--streams", str(count), "--streams-per-listener", str(max(count // 10, 1))]
    return Row(f"{group}-streams-{count}", f"{count:,} {what}", options, brokers, group, x=count, warmup=max(count, 1000),
               pilot=max(20_000, count), repeats=2)


def content(size):
    pilot = 4000 if size < 65_536 else 64
    options = ["--listeners", "4", "--size", str(size), *CURVE]
    return Row(f"growth-content-{size}", f"{size:,} bytes", options, group="growth", listeners=4, x=size, pilot=pilot, warmup=8)


def latency(rate, listeners, repeats=1):
    title = f"{rate:,} messages/s, 1 to {listeners:,}"
    options = ["--listeners", str(listeners), "--rate", str(rate), "--duration", "3s", "--warmup", str(rate // 4)]
    return Row(f"latency-{listeners}", title, options, group="latency", pilot=0, repeats=repeats)


def returning(work, title, brokers, unit="connection"):
    """Clients that come back, by plain sockets."""
    return Row(f"return-{work}", title, [], brokers, "return", pilot=0, repeats=2, work=work, unit=unit)


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
    some, stored = f"{promise.CONNECTIONS:,}", ("msgstream", "mosquitto")
    table += [
        returning("connect", f"{some} connections that say nothing but a ping", BROKERS),
        returning("session", f"{some} reconnects to their sessions, of {promise.SESSIONS:,} that wait", stored),
        returning("listen", f"{some} listeners of one stream that join", BROKERS),
        returning("resume", f"{some} listeners of one stream that resume, and have missed {promise.MISSED} messages",
                  ("msgstream", "redis", "mosquitto")),
        returning("wildcard", f"{some} listeners to a prefix that matches nothing yet", BROKERS),
        returning("prefix", f"a listener to a prefix that matches {promise.STREAMS:,} streams with headers of 1 KB", stored, "stream"),
        fan_out(8, "window-8", "1 to 8", "window", brokers=PAIR),
        streams(1000, "window", PAIR, "streams in turn"),
        fan_out(64, "window-64", "1 to 64", "window", brokers=PAIR),
        fan_out(8, "tls-8", "1 to 8", "tls", brokers=ENCRYPTED),
        Row("tls-16k", "16 KB content, 1 to 8", ["--listeners", "8", "--size", "16KiB", *CURVE], ENCRYPTED, "tls", listeners=8, pilot=4000,
            warmup=16),
        Row("tls-handshake", "a connection, with its handshake and a ping", [], ENCRYPTED, "tls", pilot=0, repeats=2, work="connect",
            unit="connection"),
    ]
    return table


#: The rows of `--quick`.
QUICK = ("fan-1", "fan-8", "fan-64", "fan-1000", "pairs-8")
