"""The dialogues of tests/broker/transcripts over a WebSocket, played by a client that has nothing of ours: the package `websockets`.

    tests/over_websockets.py PROGRAM   brings the package into target/websockets, and plays them all

A message of that package is whole, and it ends a connection by the rules or not at all. So a step that sends the beginning of a line sends
a message in fragments, and `(eof)` closes the WebSocket. What is about the bytes of a socket is skipped, and listed at the end.
"""

import asyncio
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 20.0


def package():
    """Runs this again where the package is."""
    home = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "websockets"
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True)
    if subprocess.run([python, "-c", "import websockets"], capture_output=True).returncode:
        subprocess.run([home / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "websockets==17.4"], check=True)
    os.execv(python, [str(python), __file__, *sys.argv[1:]])


class Broker:
    """A broker with the settings of a case."""

    def __init__(self, program, folder, case):
        self.folder = Path(folder)
        port, log = self.folder / "http", self.folder / "log"
        settings = dict(case.settings, **{"http.port_file": str(port)})
        if case.tokens:
            (self.folder / "tokens.toml").write_text(case.tokens)
            settings["auth.tokens"] = str(self.folder / "tokens.toml")
        number = re.compile(r"-?\d+|true|false")
        text = "".join(f"{key} = {value if number.fullmatch(value) else json.dumps(value)}\n" for key, value in settings.items())
        (self.folder / "config.toml").write_text(text)
        command = [program, "serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--config", str(self.folder / "config.toml")]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MSGSTREAM_")}
        with open(log, "wb") as stderr:
            self.process = subprocess.Popen(command, env=environment, stderr=stderr)
        end = time.monotonic() + PATIENCE
        while not (port.exists() and port.read_text().strip()):
            assert self.process.poll() is None, f"the broker has ended:\n{log.read_text()}"
            assert time.monotonic() < end, "the broker does not listen"
            time.sleep(0.01)
        self.url = f"ws://127.0.0.1:{int(port.read_text())}/ws"

    def close(self):
        self.process.kill()
        self.process.wait()
        assert "panicked" not in (self.folder / "log").read_text()


class Case:
    def __init__(self, title):
        self.title, self.settings, self.tokens, self.steps, self.skipped = title, {}, "", [], None
        #: Who has said the beginning of a line.
        self.within = {}


def cases(path):
    """The cases of a file; see tests/broker/harness/transcript.rs."""
    found = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        case = found[-1] if found else None
        if line.startswith("== "):
            found.append(Case(line[3:]))
        elif line == "only json lines" or line.startswith("not of nodes: "):
            pass
        elif line == "not over websockets":
            case.skipped = "it is about what comes before there is a WebSocket"
        elif match := re.fullmatch(r"set (\S+) = (.*)", line):
            case.settings[match[1]] = match[2]
        elif match := re.fullmatch(r"token (\S+): (.*)", line):
            proof = "" if "unix_user" in match[2] else f'sha256 = "{hashlib.sha256(match[1].encode()).hexdigest()}"\n'
            case.tokens += f"[{match[1].removeprefix('mst_')}]\n{proof}" + match[2].replace("; ", "\n") + "\n"
        else:
            match = re.fullmatch(r"([A-Z])(>>|>|<) (.*)", line)
            assert match, f"{path.name}:{number}: cannot be read: {line}"
            case.steps.append((number, *match.groups()))
            if match[2] == ">>":
                said = unescape(match[3])
                if not is_text(said):
                    case.skipped = "its bytes are no text"
                case.within[match[1]] = not said.endswith(b"\n")
            elif match[2] == "<" and '"action":"skipped"' in match[3]:
                case.skipped = "what is passed over depends on what arrives at once, and the package sends one message at a time"
            elif match[2] == ">" and case.within.get(match[1]) and match[3] == "(eof)":
                case.skipped = "the package does not end a WebSocket within a message"
    return found


def unescape(text):
    known = {"n": b"\n", "r": b"\r", "t": b"\t", "\\": b"\\"}
    replace = lambda match: known[match[1]] if match[1] in known else bytes([int(match[1][1:], 16)])
    return b"".join(replace(part) if isinstance(part, re.Match) else part.encode() for part in parts(text))


def parts(text):
    at = 0
    for match in re.finditer(r"\\(n|r|t|\\|x[0-9a-fA-F]{2})", text):
        yield text[at:match.start()]
        yield match
        at = match.end()
    yield text[at:]


def is_text(data):
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class Client:
    """One WebSocket. What has no end of a line yet is said as fragments of a message."""

    def __init__(self, socket):
        self.socket, self.lines, self.pings, self.fragments, self.sending = socket, [], 0, None, None

    async def say(self, text):
        *whole, rest = text.split("\n")
        for line in whole:
            if self.fragments is None:
                await self.socket.send(line)
            else:
                await self.fragments.put(line)
                await self.fragments.put(None)
                await self.sending
                self.fragments = None
        if rest:
            if self.fragments is None:
                self.fragments = asyncio.Queue()
                self.sending = asyncio.create_task(self.socket.send(self.pieces(self.fragments)))
            await self.fragments.put(rest)

    @staticmethod
    async def pieces(queue):
        while (piece := await queue.get()) is not None:
            yield piece

    async def hear(self):
        import websockets
        if self.lines:
            return self.lines.pop(0)
        try:
            return await asyncio.wait_for(self.socket.recv(), PATIENCE)
        except websockets.ConnectionClosed as closed:
            assert closed.rcvd is not None, "the broker has left without a word"
            return None

    async def settle(self):
        """Waits until all that was said has taken effect."""
        self.pings += 1
        receipt = f"harness {self.pings}"
        await self.say(json.dumps({"action": "ping", "receipt": receipt}) + "\n")
        heard = []
        while (line := await self.hear()) != f'{{"action":"pong","receipt":"{receipt}"}}':
            assert line is not None, "it ended"
            heard.append(line)
        self.lines = heard + self.lines


def plain(line, epochs, with_position):
    """A line without what differs from one time to the next."""
    line = re.sub(r'^(\{"action":"session".*"broker":")[0-9a-f]{16}', r"\1I", line)
    if line.startswith('{"action":"put","stream":"$streams/'):
        line = re.sub(r'"(bytes|header_time|message_time)":\d+', r'"\1":0', line)
    elif line.startswith(('{"action":"receipt"', '{"action":"joined"')):
        line = re.sub(r',"age":[^,}]*', "", line, count=1)
        if not with_position:
            return re.sub(r',"position":\{[^}]*\}', "", line, count=1)
    else:
        return line

    def short(match):
        if match[2] not in epochs:
            epochs.append(match[2])
        return f'{match[1]}"E{epochs.index(match[2]) + 1}"'

    return re.sub(r'(,"position":\{"epoch":)("[^"]*")', short, line, count=1)


def matches(line, pattern):
    start = pattern.find('"reason":"')
    if start < 0 or "..." not in pattern[start:]:
        return line == pattern
    gap = r'(?:[^"\\]|\\.)*'
    return re.fullmatch(re.escape(pattern[:start]) + re.escape(pattern[start:]).replace(re.escape("..."), gap), line) is not None


async def play(program, name, case):
    import websockets
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(program, folder, case)
        clients, epochs, unsettled = {}, [], None
        try:
            for number, letter, kind, text in case.steps:
                place = f"{name}:{number} ({case.title})"
                speaks = kind != "<"
                if speaks and unsettled not in (None, letter):
                    await clients[unsettled].settle()
                    unsettled = None
                if letter not in clients:
                    clients[letter] = Client(await websockets.connect(broker.url, max_size=None, ping_interval=None, compression=None, proxy=None))
                client = clients[letter]
                settles = False
                if kind == ">>":
                    await client.say(unescape(text).decode())
                elif speaks and text == "(eof)":
                    # Its end is waited for only where the transcript says so.
                    client.closing = asyncio.create_task(client.socket.close())
                    await asyncio.sleep(0)
                elif speaks and text == "(reset)":
                    client.socket.transport.abort()
                    del clients[letter]
                elif speaks:
                    for index, epoch in enumerate(epochs, 1):
                        text = text.replace(f'"E{index}"', epoch)
                    await client.say(text + "\n")
                    settles = True
                elif text == "(nothing)":
                    await client.settle()
                    assert not client.lines, f"{place}\nexpected nothing\n     got {client.lines[0]}"
                else:
                    line = await client.hear()
                    if text == "(eof)":
                        assert line is None, f"{place}\nexpected the end\n     got {line}"
                        del clients[letter]
                    else:
                        assert line is not None, f"{place}\nexpected {text}\n     got the end"
                        told = plain(line, epochs, '"position"' in text)
                        assert matches(told, text), f"{place}\nexpected {text}\n     got {line}"
                if settles:
                    unsettled = letter
                elif unsettled == letter:
                    unsettled = None
            for letter, client in clients.items():
                await client.settle()
                assert not client.lines, f"{name} ({case.title}), at the end\nexpected nothing\n     got {client.lines[0]}"
                await client.socket.close()
        finally:
            broker.close()


def main(program):
    played, skipped, failed = 0, [], []
    for path in sorted((ROOT / "tests" / "broker" / "transcripts").glob("*.txt")):
        for case in cases(path):
            if case.skipped:
                skipped.append(f"{path.name} ({case.title}): {case.skipped}")
                continue
            played += 1
            try:
                asyncio.run(asyncio.wait_for(play(program, path.name, case), 120))
            except Exception as error:
                failed.append(f"{path.name} ({case.title}): {type(error).__name__} {error}")
    for line in skipped:
        print("skipped:", line)
    for line in failed:
        print("FAILED:", line)
    print(f"{played - len(failed)} passed, {len(failed)} failed, {len(skipped)} skipped")
    return bool(failed)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        import websockets  # noqa: F401
    except ImportError:
        package()
    sys.exit(main(sys.argv[1]))
