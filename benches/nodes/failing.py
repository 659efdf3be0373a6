"""How long it takes until clients go on after a node was killed, and after the leader of NATS was."""

import json
import secrets
import threading
import time
from contextlib import ExitStack

from clients import Msgstream
from publishing import CONTENT, leader
from space import asked, serves, start_nats, two_nodes, until

#: A message is published this often, so that it is noticed soon when it goes on.
EVERY = 0.002
PATIENCE = 40


class Client(threading.Thread):
    """A client with two addresses, which goes on at the other one as soon as its connection ends."""

    def __init__(self, ports):
        super().__init__(daemon=True)
        self.ports, self.over, self.trouble = ports, threading.Event(), None
        #: When something was confirmed or came, and at which port; or else what the condition of `until` is about.
        self.times = []

    def run(self):
        while not self.over.is_set():
            try:
                with Msgstream(self.ports[0], PATIENCE) as connection:
                    self.talk(connection)
            except OSError:
                self.ports = self.ports[::-1]
                self.over.wait(0.001)
            except BaseException as trouble:
                self.trouble = trouble
                return

    def done(self):
        self.times.append((time.monotonic(), self.ports[0]))

    def until(self, condition, what):
        """Waits until something was done of which the condition holds, and says when that was."""

        def found():
            if self.trouble:
                raise self.trouble
            return next((at for at, what in self.times[-2000:] if condition(at, what)), None)

        return until(found, what)


class Publisher(Client):
    """Has a session: what was not confirmed is said again if the broker has not taken it."""

    def __init__(self, stream, ports):
        super().__init__(ports)
        self.stream, self.session, self.confirmed = stream, secrets.token_hex(16), 0

    def talk(self, connection):
        connection.say(json.dumps({"action": "session", "session": self.session}).encode() + b"\n")
        session = json.loads(connection.line())
        if self.confirmed and not session.get("known"):
            raise RuntimeError(f"the session was forgotten: {session}")
        self.confirmed = max(self.confirmed, session["taken"])
        while not self.over.is_set():
            connection.say(b'{"action":"put","stream":"%s","message":%d,"receipt":1}\n' % (self.stream, self.confirmed))
            connection.confirmation()
            self.confirmed += 1
            self.done()
            time.sleep(EVERY)
        connection.ask({"action": "close"})


class Listener(Client):
    """Goes on after the position that it has, and sees that nothing is missing or comes twice."""

    def __init__(self, stream, ports):
        super().__init__(ports)
        self.stream, self.position, self.last = stream, None, None

    def talk(self, connection):
        after = {"after": self.position} if self.position else {}
        receipt = connection.ask({"action": "listen", "stream": self.stream.decode(), **after})
        if after and not receipt["resumed"]:
            raise RuntimeError(f"it was not resumed: {receipt}")
        self.position = receipt["position"]
        while not self.over.is_set():
            number = json.loads(connection.line())["message"]
            if self.last is not None and number != self.last + 1:
                raise RuntimeError(f"{number} came after {self.last}")
            self.last = number
            self.position["sequence"] += 1
            self.done()


def node_deaths(program, folder, deaths, tell):
    """Kills the node of both clients, again and again. It is started again before the other one is killed."""
    found = []
    with ExitStack() as stack:
        nodes = two_nodes(stack, program, folder, start_nats(stack, folder / "nats", 1), "dying")
        ports = [each.port for each in nodes]
        clients = [Listener(b"job", ports), Publisher(b"job", ports)]
        for client in clients:
            client.start()
        for number in range(deaths):
            killed, other = nodes[number % 2], nodes[1 - number % 2]
            for client in clients:
                client.until(lambda _, port, killed=killed: port == killed.port, "clients are at the node")
            until(lambda killed=killed: serves(other, f"$nodes/{killed.name}")["state"] == "running", "the nodes know each other")
            time.sleep(0.3)
            begin = time.monotonic()
            killed.kill()
            found.append({what: client.until(lambda at, port, begin=begin, other=other: at > begin and port == other.port, "clients go on") - begin
                          for what, client in zip(("listener", "publisher"), clients)})
            tell(f"a node's death: {json.dumps(found[-1])}")
            killed.__enter__()
            until(lambda killed=killed: serves(killed), "the node serves again")
        # The listener first: it sees that it is over when something comes.
        for client in clients:
            client.over.set()
            client.join(PATIENCE)
            if client.trouble:
                raise client.trouble
    return found


class Prober(Client):
    """Publishes one message after the other at one node, and remembers when each was confirmed and sent."""

    def talk(self, connection):
        while not self.over.is_set():
            sent = time.monotonic()
            connection.say(connection.published(b"job", CONTENT, True))
            connection.confirmation()
            self.times.append((time.monotonic(), sent))
            time.sleep(EVERY)


def leader_deaths(program, folder, deaths, tell):
    """Kills the NATS server that leads the log of the space. Another one has to be elected before anything goes on, which is measured too."""
    log, found = "msgstream-leading", []
    with ExitStack() as stack:
        servers = start_nats(stack, folder / "nats-3", 3)
        nodes = two_nodes(stack, program, folder, servers, "leading", 3)
        for _ in range(deaths):
            until(lambda: is_current(servers, log), "all servers have all")
            name = leader(servers[0], log)
            leading = next(server for server in servers if server.name == name)
            other = next(server for server in servers if server is not leading)
            probers = [Prober([each.port]) for each in nodes]
            for prober in probers:
                prober.start()
            until(lambda probers=probers: all(len(prober.times) > 50 for prober in probers), "both publish")
            begin = time.monotonic()
            leading.kill()
            until(lambda name=name, other=other: leader(other, log, patience=0.1) not in (None, name), "there is another leader")
            elected = time.monotonic() - begin
            gone_on = [prober.until(lambda _, sent, begin=begin: sent > begin, "publishing goes on") for prober in probers]
            found.append({"elected": elected, "nodes": [at - begin for at in gone_on]})
            tell(f"a leader's death: {json.dumps(found[-1])}")
            for prober in probers:
                prober.over.set()
            leading.__enter__()
    return found


def is_current(servers, stream):
    """Whether JetStream answers at all servers, and the two that follow have all there is."""
    followers = [asked(server, f"STREAM.INFO.{stream}", 1)["cluster"].get("replicas", []) for server in servers][0]
    return len(followers) == 2 and all(each.get("current") and not each.get("offline") for each in followers)


def run(program, folder, deaths, leaders, tell):
    folder = folder / "failing"
    folder.mkdir()
    return {"node": node_deaths(program, folder, deaths, tell), "leader": leader_deaths(program, folder, leaders, tell)}
