"""How fast it is published, how long a message takes, and how long a join takes: nodes beside a broker on its own and bare JetStream."""

import json
import time
from contextlib import ExitStack

from clients import Msgstream, Nats
from space import asked, bare_stream, single, start, start_nats, two_nodes, until

#: As much as `msgstream bench` puts into a message.
CONTENT = b'"%s"' % (b"x" * 106)
ONE_AT_A_TIME, PIPELINED, BATCH, TOGETHER = 600, 50, 100, 600
HEADER = 16_000
JOINS = 200


def percentiles(times):
    """In microseconds."""
    ordered = sorted(times)
    return {"p50": ordered[len(ordered) // 2] * 1e6, "p99": ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] * 1e6}


def timed(times, work):
    """Does it so often, and says how long each time took."""
    taken = []
    for number in range(times):
        begin = time.perf_counter()
        work(number)
        taken.append(time.perf_counter() - begin)
    return taken


def publish(publisher, listener, name):
    """One after the other, then many together, then to a listener elsewhere. The clients are connected."""
    confirmed = publisher.published(name, CONTENT, True)

    def put(_):
        publisher.say(confirmed)
        publisher.confirmation()

    def put_many(_):
        publisher.say(confirmed * BATCH)
        for _ in range(BATCH):
            publisher.confirmation()

    # Of a stream of its own: the other node may have yet to read what was said last.
    name += b".passed"
    unconfirmed = publisher.published(name, CONTENT, False)

    def pass_on(_):
        publisher.say(unconfirmed)
        listener.message()

    timed(50, put)
    one, many = timed(ONE_AT_A_TIME, put), timed(PIPELINED, put_many)
    listener.listen(name)
    timed(50, pass_on)
    passed = timed(TOGETHER, pass_on)
    return {"rate": len(one) / sum(one), "receipt": percentiles(one), "pipelined": BATCH * len(many) / sum(many), "delivery": percentiles(passed)}


def join(client, names):
    """Listens to streams of which each has a header, one after the other."""

    def listen(number):
        client.say(b'{"action":"listen","stream":"%s","receipt":1}\n' % names[number])
        if len(client.line()) < HEADER:
            raise RuntimeError("there is no header")
        client.confirmation()

    return percentiles(timed(len(names), listen))


def get_last(client, names):
    """What stands last in each subject, from the leader."""

    def get(number):
        request = b'{"last_by_subj":"%s"}' % names[number]
        client.say(b"PUB $JS.API.STREAM.MSG.GET.bare %s.get %d\r\n%s\r\n" % (client.inbox, len(request), request))
        if len(client.next()[1]) < HEADER:
            raise RuntimeError("there is no message")

    return percentiles(timed(len(names), get))


def leader(server, stream, patience=3):
    """The name of the server that leads a stream, as another server says. Nobody's, with one server."""
    return asked(server, f"STREAM.INFO.{stream}", patience).get("cluster", {}).get("leader")


class Places:
    """A broker on its own, and for one and three NATS servers two nodes and a bare stream."""

    def __init__(self, stack, program, folder):
        self.alone = start(stack, single(program, folder))
        self.servers, self.nodes = {}, {}
        for replicas in (1, 3):
            self.servers[replicas] = servers = start_nats(stack, folder / f"nats-{replicas}", replicas)
            self.nodes[replicas] = two_nodes(stack, program, folder, servers, f"space-{replicas}", replicas)
            until(lambda servers=servers, replicas=replicas: bare_stream(servers[0], replicas), "there is a bare stream")

    def kinds(self):
        """Whom to measure, by what it is called: the publisher's place and the listener's, and the client."""
        kinds = {"single": (self.alone, self.alone, Msgstream)}
        for replicas in (1, 3):
            servers = self.servers[replicas]
            kinds[f"nodes-{replicas}"] = (*self.nodes[replicas], Msgstream)
            kinds[f"jetstream-{replicas}"] = (servers[0], servers[-1], Nats)
        return kinds


def run(program, folder, rounds, tell):
    """In each round all do the same in turn, every other time the other way round."""
    results = {"publishing": {}, "joining": {}}
    with ExitStack() as stack:
        folder = folder / "publishing"
        folder.mkdir()
        places = Places(stack, program, folder)
        kinds = places.kinds()
        for number in range(rounds):
            for kind in list(kinds)[:: -1 if number % 2 else 1]:
                here, there, client = kinds[kind]
                with client(here.port) as publisher, client(there.port) as listener:
                    result = publish(publisher, listener, b"bare.%d" % number)
                results["publishing"].setdefault(kind, []).append(result)
                tell(f"publishing, {kind}: {json.dumps(result)}")
            for kind in list(kinds)[:: -1 if number % 2 else 1]:
                result = headers(*kinds[kind], places.servers.get(int(kind[-1]) if kind[-1].isdigit() else 0), number)
                results["joining"].setdefault(kind, []).append(result)
                tell(f"joining, {kind}: {json.dumps(result)}")
    return results


def headers(here, there, client, servers, number):
    """Headers are set at one place, and read at another: of JetStream, at its leader."""
    names = [b"bare.%d-%d" % (number, join) for join in range(JOINS)]
    content = b'"%s"' % (b"h" * HEADER)
    if client is Msgstream:
        with client(here.port) as publisher:
            for name in names:
                publisher.say(b'{"action":"header","stream":"%s","message":%s}\n' % (name, content))
            publisher.ask({"action": "ping"})
        with client(there.port) as joiner:
            # It has all that the publisher was told of once this is done.
            until(lambda: joiner.ask({"action": "listen", "stream": names[-1].decode() + "-none"}), "the node answers")
            return join(joiner, names)
    with client(here.port) as publisher:
        for name in names:
            publisher.say(publisher.published(name, content, True))
            publisher.confirmation()
    name = leader(here, "bare")
    with client(next((server for server in servers if server.name == name), here).port) as joiner:
        return get_last(joiner, names)
