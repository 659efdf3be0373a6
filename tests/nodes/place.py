"""Where programs run and connections begin: on loopback, or on machines of a network that is only ours and can be cut."""

import contextlib
import ctypes
import http.client
import os
import random
import socket
import subprocess
from typing import Dict, Iterator, List, Optional, Sequence, Set, Tuple

from waiting import until

#: A machine ends by itself after this, whatever becomes of the tests.
LONGEST = "1800"
_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


class Place:
    """A machine, or the one that we are on."""

    def __init__(self, name: str, address: str, holder: Optional["subprocess.Popen[bytes]"] = None) -> None:
        self.name, self.address, self._holder = name, address, holder

    @property
    def is_apart(self) -> bool:
        """Whether it is a network namespace of its own."""
        return self._holder is not None

    def _namespace(self) -> str:
        assert self._holder is not None
        return f"/proc/{self._holder.pid}/ns/net"

    def command(self, *words: str) -> List[str]:
        """A command that is run there, and that the system ends if the thread that starts it ends."""
        inside = ["nsenter", f"--net={self._namespace()}", "--"] if self.is_apart else []
        return ["setpriv", "--pdeathsig", "KILL", *inside, *words]

    def do(self, *words: str) -> None:
        """Runs a short command there, which must succeed."""
        done = subprocess.run(self.command(*words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}"

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """What this thread does within has its sockets there."""
        if not self.is_apart:
            yield
            return
        ours = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        theirs = os.open(self._namespace(), os.O_RDONLY)
        try:
            _enter(theirs)
            yield
        finally:
            _enter(ours)
            os.close(ours)
            os.close(theirs)

    def connect(self, host: str, port: int, timeout: float) -> socket.socket:
        """A connection that begins there."""
        with self.inside():
            return socket.create_connection((host, port), timeout=timeout)

    def reaches(self, host: str, port: int) -> bool:
        """Whether somebody is there who takes a connection."""
        try:
            self.connect(host, port, 0.5).close()
        except OSError:
            return False
        return True

    def http(self, host: str, port: int, path: str, timeout: float = 2) -> Optional[Tuple[int, bytes]]:
        """The status and the body that a GET has, or nothing if there is no answer."""
        asked = http.client.HTTPConnection(host, port, timeout=timeout)
        try:
            asked.sock = self.connect(host, port, timeout)
            asked.request("GET", path)
            answer = asked.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            asked.close()


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


HERE = Place("here", "127.0.0.1")


_taken: Set[int] = set()


def free_port() -> int:
    """A port that nobody has, and that the system gives nobody: not of those that connections begin from. So whoever had it can come back."""
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as probe:
            with contextlib.suppress(OSError):
                if port not in _taken:
                    probe.bind(("127.0.0.1", port))
                    _taken.add(port)
                    return port


class Network:
    """Machines that are all connected to one switch. Each can be cut off from others, in both directions."""

    def __init__(self, names: Sequence[str]) -> None:
        self._holders: List["subprocess.Popen[bytes]"] = []
        self.machines: Dict[str, Place] = {}
        self._links: Dict[str, str] = {}
        try:
            self._switch = self._machine("switch", "")
            self._switch.do("ip", "link", "add", "switch", "type", "bridge")
            self._switch.do("ip", "link", "set", "switch", "up")
            for number, name in enumerate(names, 1):
                self._plug(name, number)
        except BaseException:
            self.close()
            raise

    def _machine(self, name: str, address: str) -> Place:
        holder = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", LONGEST])
        self._holders.append(holder)
        ours = os.readlink("/proc/self/ns/net")

        def apart() -> bool:
            assert holder.poll() is None, "no network namespaces here: this needs root"
            with contextlib.suppress(OSError):
                return os.readlink(f"/proc/{holder.pid}/ns/net") != ours
            return False

        until(apart, "a network namespace")
        return Place(name, address, holder)

    def _plug(self, name: str, number: int) -> None:
        machine = self._machine(name, f"10.77.0.{number}")
        link = f"port{number}"
        self._switch.do("ip", "link", "add", link, "type", "veth", "peer", "name", "net", "netns", str(self._holders[-1].pid))
        self._switch.do("ip", "link", "set", link, "master", "switch", "up")
        for words in (f"address add {machine.address}/24 dev net", "link set net up", "link set lo up"):
            machine.do("ip", *words.split())
        self.machines[name], self._links[name] = machine, link

    def __getitem__(self, name: str) -> Place:
        return self.machines[name]

    def cut(self, left: Sequence[str], right: Sequence[str]) -> None:
        """From now on nothing comes from one side to the other: packets are lost without a word, also those of connections that stand."""
        for side, others in ((left, right), (right, left)):
            for name in side:
                for other in others:
                    self[name].do("iptables", "-A", "INPUT", "-s", self[other].address, "-j", "DROP")

    def heal(self) -> None:
        """Undoes all cuts."""
        for machine in self.machines.values():
            machine.do("iptables", "-F")

    def unplug(self, name: str) -> None:
        """The machine's link is down."""
        self._switch.do("ip", "link", "set", self._links[name], "down")

    def plug(self, name: str) -> None:
        self._switch.do("ip", "link", "set", self._links[name], "up")

    def close(self) -> None:
        for holder in self._holders:
            holder.kill()
            holder.wait()
