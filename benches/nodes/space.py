"""What is measured, started on loopback: NATS servers, nodes of one space on them, and a broker on its own."""

import contextlib
import json
import os
import random
import socket
import time

import brokers as peers
import promise
from clients import Msgstream, Nats

#: How long a start, or an election of NATS, may take.
DEADLINE = 60


def free_ports(count):
    """Ports that nobody has, below those that the system gives to connections, so that none is taken before its program starts."""
    found = []
    while len(found) < count:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found += [port] * (port not in found)
    return found


def until(condition, what, deadline=DEADLINE):
    """Waits until a condition holds, and returns what it gave."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        try:
            if value := condition():
                return value
        except (OSError, ValueError):
            pass
        time.sleep(0.01)
    raise RuntimeError(f"in {deadline} s it did not come to it: {what}")


@contextlib.contextmanager
def apart(process, others):
    """Gives a process one core for itself, and all others the rest: otherwise their work on the same cores counts as its own, since it finds the
    caches as they leave them."""
    all_cores = os.sched_getaffinity(0)
    first, *rest = sorted(all_cores)
    if not rest:
        raise RuntimeError("one core is not enough to measure a broker apart from the others")
    try:
        for other in others:
            keep_to(other.pid(), rest)
        # The load generator inherits it.
        os.sched_setaffinity(0, rest)
        keep_to(process.pid(), [first])
        yield
    finally:
        os.sched_setaffinity(0, all_cores)
        for each in (process, *others):
            keep_to(each.pid(), all_cores)


def keep_to(pid, cores):
    """Has all threads of a process run on these cores: also those that are made meanwhile, or end."""
    done = set()
    while more := set(os.listdir(f"/proc/{pid}/task")) - done:
        for thread in more:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread), cores)
        done |= more


class Started(peers.Broker):
    """A program that can also be killed, and started again at the same port."""

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def cpu(self):
        """CPU time so far, in seconds."""
        return promise.cpu(self.process)

    def resident(self):
        """Resident memory, in bytes."""
        with open(f"/proc/{self.process.pid}/smaps_rollup") as rollup:
            return next(int(line.split()[1]) << 10 for line in rollup if line.startswith("Rss:"))


def nats_servers(folder, count):
    """One NATS server with JetStream, or three that are one cluster."""
    ports = free_ports(2 * count)
    routes = ", ".join(f'"nats-route://127.0.0.1:{port}"' for port in ports[count:])
    servers = []
    for number, (port, route) in enumerate(zip(ports[:count], ports[count:])):
        lines = [f'server_name: "nats-{number}"', f'listen: "127.0.0.1:{port}"',
                 # More than there is on disk: streams reserve the most that they may take.
                 f'jetstream {{ store_dir: "{folder / f"nats-{number}"}", max_file_store: 10TB }}']
        if count > 1:
            lines.append(f'cluster {{ name: "bench", listen: "127.0.0.1:{route}", routes: [{routes}] }}')
        file = folder / f"nats-{number}.conf"
        file.write_text("\n".join(lines) + "\n")
        servers.append(Started(f"nats-{number}", "nats", port, ["nats-server", "-c", str(file)], ["--version"], "nats-server"))
    return servers


def start_nats(stack, folder, count):
    """Starts the servers, and waits until JetStream answers at each."""
    folder.mkdir()
    servers = [stack.enter_context(server) for server in nats_servers(folder, count)]
    until(lambda: all(asked(server, "INFO").get("streams") is not None for server in servers), "JetStream answers")
    return servers


def asked(server, what, patience=3, **request):
    """What JetStream answers to a request, at one server. Without a leader it says nothing, which is an OSError."""
    with Nats(server.port, patience) as nats:
        return nats.ask(f"$JS.API.{what}", request)


def bare_stream(server, replicas):
    """A stream of JetStream for bare publishers."""
    return asked(server, "STREAM.CREATE.bare", name="bare", subjects=["bare.>"], storage="file", num_replicas=replicas)["config"]


def node(program, folder, name, servers, space, replicas=1):
    """A node. It tries the servers in the order in which they are given."""
    settings = {"listen": [f"127.0.0.1:{free_ports(1)[0]}"], "log.level": "warn"}
    if servers:
        settings |= {"nodes.nats": [f"nats://127.0.0.1:{server.port}" for server in servers], "nodes.space": space, "nodes.name": name,
                     "nodes.replicas": replicas}
    folder.mkdir(exist_ok=True)
    file = folder / f"{space}-{name}.toml"
    file.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
    port = int(settings["listen"][0].rpartition(":")[2])
    return Started(name, "msgstream", port, [str(program), "serve", "--config", str(file)], ["--version"])


def single(program, folder):
    """A broker on its own, with the same settings."""
    return node(program, folder, "single", [], "alone")


def serves(broker, stream="nobody"):
    """Whether it answers a listener."""
    with Msgstream(broker.port, patience=1) as client:
        return client.ask({"action": "listen", "stream": stream})


def start(stack, broker):
    """Starts a broker, and waits until it serves. If it is killed on the way, it is to be started again before the end."""
    stack.enter_context(broker)
    until(lambda: serves(broker), f"{broker.name} serves")
    return broker


def two_nodes(stack, program, folder, servers, space, replicas=1):
    """Two nodes of a space, which know each other."""
    nodes = [start(stack, node(program, folder, name, servers, space, replicas)) for name in ("a", "b")]
    for each in nodes:
        for other in nodes:
            until(lambda each=each, other=other: serves(each, f"$nodes/{other.name}")["state"] == "running", "the nodes know each other")
    return nodes
