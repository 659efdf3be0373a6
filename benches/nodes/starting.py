"""How long a node takes to start in a space with many streams, what it takes in memory, and what an idle one does."""

import time
from contextlib import ExitStack

from clients import Msgstream
from space import asked, node, serves, single, start, start_nats, until

STREAMS, HEADER = 10_000, 1000
#: How long nodes are watched that have nothing to do, in seconds.
IDLE = 20
#: Above all, as every node has it.
LAST = f"job-{STREAMS - 1:05}"


def fill(broker, times=1):
    """Sets the headers of all streams, so often."""
    content = b'"%s"' % (b"h" * HEADER)
    with Msgstream(broker.port) as client:
        for _ in range(times):
            for begin in range(0, STREAMS, 100):
                client.say(b"".join(b'{"action":"header","stream":"job-%05d","message":%s}\n' % (number, content)
                                    for number in range(begin, begin + 100)))
            client.ask({"action": "ping"})


def time_to_serve(stack, broker):
    """From its start until it answers a listener of the last stream with its header, in seconds."""
    begin = time.monotonic()
    stack.enter_context(broker)
    until(lambda: serves(broker, LAST)["state"] == "running", f"{broker.name} has all streams")
    return time.monotonic() - begin


def once(program, folder):
    """The first node gets the headers, the second one reads the log; with as many again the state is kept, and the third begins with that."""
    folder.mkdir()
    with ExitStack() as stack:
        servers = start_nats(stack, folder / "nats", 1)
        new = [node(program, folder, name, servers, "starting") for name in "abc"]
        alone = single(program, folder)
        result = {"empty": timed_start(stack, new[0]), "alone": timed_start(stack, alone)}
        before = {each.name: each.resident() for each in (new[0], alone)}
        fill(new[0])
        fill(alone)
        result["log"] = time_to_serve(stack, new[1])
        fill(new[0], 2)
        until(lambda: state_is_kept(servers[0]), "the state is kept")
        result["state"] = time_to_serve(stack, new[2])
        result["resident"] = {"the first node": new[0].resident(), "the second node": new[1].resident(), "the third node": new[2].resident(),
                              "a broker on its own": alone.resident()}
        result["resident before"] = before
    return result


def timed_start(stack, broker):
    begin = time.monotonic()
    start(stack, broker)
    return time.monotonic() - begin


def state_is_kept(server):
    """Whether there is a state, and the log has forgotten what that stands for."""
    return asked(server, "STREAM.INFO.msgstream-starting-state")["state"]["messages"] > 0


def idle(program, folder):
    """CPU time per minute, in milliseconds, of two nodes, their NATS server, and a broker on its own."""
    folder.mkdir()
    with ExitStack() as stack:
        servers = start_nats(stack, folder / "nats", 1)
        processes = {"NATS": servers[0], "a broker on its own": start(stack, single(program, folder))}
        processes |= {f"node {name}": start(stack, node(program, folder, name, servers, "idle")) for name in "ab"}
        time.sleep(2)
        before = {name: process.cpu() for name, process in processes.items()}
        time.sleep(IDLE)
        return {name: (process.cpu() - before[name]) * 1000 * 60 / IDLE for name, process in processes.items()}


def run(program, folder, rounds, tell):
    results = {"starts": []}
    for number in range(rounds):
        results["starts"].append(once(program, folder / f"starting-{number}"))
        tell(f"starting: {results['starts'][-1]}")
    results["idle"] = idle(program, folder / "idle")
    tell(f"idle: {results['idle']}")
    return results
