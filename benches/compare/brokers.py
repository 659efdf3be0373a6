"""The brokers: where they are, how they are started on loopback, and how each one is stopped again."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


class Broker:
    """A program that is started afresh for each measurement, so that none inherits another's memory."""

    def __init__(self, name, protocol, port, command, version, package=None, ca=None, listeners_port=None):
        self.name, self.protocol, self.port, self.command = name, protocol, port, command
        #: With TLS, the authority that its certificate is signed by.
        self.ca = ca
        #: Where those listen who do not speak the protocol as it is, if that is a port of its own.
        self.listeners_port = listeners_port
        self.version_command, self.package = version, package
        #: A file that the package brings beside the program.
        self.needs = None
        #: It has a process of its own for the work.
        self.has_worker = False
        self.process = None

    def program(self):
        """The path of the program, or None. Debian keeps servers where users' paths do not lead."""
        path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
        return shutil.which(self.command[0], path=path)

    def is_installed(self):
        """Whether it can be started: the program may be there without what else it needs."""
        return self.program() is not None and (self.needs is None or self.needs.exists())

    def version(self):
        """What it calls itself, in one line."""
        done = subprocess.run([self.program(), *self.version_command], capture_output=True, text=True, check=False)
        lines = (done.stdout + done.stderr).strip().splitlines()
        return lines[0] if lines else "unknown"

    def __enter__(self):
        for port in self.ports():
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    raise RuntimeError(f"port {port} is in use; {self.name} needs it")
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([self.program(), *self.command[1:]], stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log)
        try:
            for port in self.ports():
                self.await_port(port)
        except BaseException:
            self.__exit__()
            raise
        return self

    def pid(self):
        """The process that does the work: if the one that was started only watches over a worker, that worker."""
        deadline = time.monotonic() + 10
        while self.has_worker and time.monotonic() < deadline:
            if children := Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
                return int(children[0])
            time.sleep(0.02)
        if self.has_worker:
            raise RuntimeError(f"{self.name} has no worker")
        return self.process.pid

    def ports(self):
        return [self.port] + [self.listeners_port] * (self.listeners_port is not None)

    def await_port(self, port):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                self.log.seek(0)
                raise RuntimeError(f"{self.name} ended at once: {self.log.read().decode(errors='replace')[-500:]}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError(f"{self.name} does not listen on port {port}")

    def __exit__(self, *_):
        """Ends this process and no other."""
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def brokers(msgstream, relay):
    """All five, with the configuration that stands in `config/`; msgstream has its defaults, and once no window."""
    config = HERE / "config"
    no_window = ["serve", "--config", str(config / "msgstream-no-window.toml")]
    return [
        Broker("relay", "relay", 27000, [str(relay), "27000"], ["--version"]),
        Broker("msgstream", "msgstream", 27342, [str(msgstream), "serve", "--listen", "127.0.0.1:27342"], ["--version"]),
        Broker("msgstream-no-window", "msgstream", 27343, [str(msgstream), *no_window], ["--version"]),
        Broker("redis", "redis", 26379, ["redis-server", str(config / "redis.conf")], ["--version"], "redis-server"),
        Broker("nats", "nats", 24222, ["nats-server", "-c", str(config / "nats.conf")], ["--version"], "nats-server"),
        Broker("mosquitto", "mqtt", 21883, ["mosquitto", "-c", str(config / "mosquitto.conf")], ["-h"], "mosquitto"),
    ]


def encrypted(msgstream, folder):
    """Those that speak TLS, with one certificate, whose key is an elliptic curve's, for all."""
    ca, certificate, key = certificates(folder)
    (folder / "msgstream.toml").write_text(f'listen = ["tls://127.0.0.1:28342"]\n[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n')
    plain = (HERE / "config" / "mosquitto.conf").read_text().replace("listener 21883", "listener 28883")
    (folder / "mosquitto.conf").write_text(f"{plain}certfile {certificate}\nkeyfile {key}\n")
    plain = (HERE / "config" / "nats.conf").read_text().replace("24222", "28222")
    (folder / "nats.conf").write_text(f'{plain}\ntls {{\n  cert_file: "{certificate}"\n  key_file: "{key}"\n}}\n')
    redis = ["--port", "0", "--tls-port", "28379", "--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file", str(ca),
             "--tls-auth-clients", "no"]
    return [
        Broker("msgstream-tls", "msgstream", 28342, [str(msgstream), "serve", "--config", str(folder / "msgstream.toml")], ["--version"], ca=ca),
        Broker("redis-tls", "redis", 28379, ["redis-server", str(HERE / "config" / "redis.conf"), *redis], ["--version"], "redis-server", ca),
        Broker("nats-tls", "nats", 28222, ["nats-server", "-c", str(folder / "nats.conf")], ["--version"], "nats-server", ca),
        Broker("mosquitto-tls", "mqtt", 28883, ["mosquitto", "-c", str(folder / "mosquitto.conf")], ["-h"], "mosquitto", ca),
    ]


def over_http(msgstream, folder):
    """Those that have listeners over HTTP: msgstream, Mosquitto by WebSockets, and nginx with nchan, in a folder for what nginx keeps.

    The last is msgstream without HTTP, for what that costs those who do without."""
    plain = (HERE / "config" / "mosquitto.conf").read_text().replace("listener 21883", "listener 29883")
    options = [line for line in plain.splitlines() if not line.startswith("listener ")]
    listeners = "listener 29884 127.0.0.1\nprotocol websockets\n"
    (folder / "mosquitto.conf").write_text("\n".join(["listener 29883 127.0.0.1", *options]) + "\n" + listeners)
    nginx = ["nginx", "-c", str(HERE / "config" / "nginx-nchan.conf"), "-p", str(folder)]
    serve = [str(msgstream), "serve", "--listen"]
    nchan = Broker("nchan", "nchan", 29080, nginx, ["-v"], "libnginx-mod-nchan")
    nchan.has_worker = True
    nchan.needs = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
    return [
        Broker("msgstream", "msgstream", 29342, [*serve, "127.0.0.1:29342", "--http", "127.0.0.1:29343"], ["--version"], listeners_port=29343),
        Broker("mosquitto", "mqtt", 29883, ["mosquitto", "-c", str(folder / "mosquitto.conf")], ["-h"], "mosquitto", listeners_port=29884),
        nchan,
        Broker("msgstream-plain", "msgstream", 29344, [*serve, "127.0.0.1:29344"], ["--version"]),
    ]


def certificates(folder):
    """An authority, and a certificate of 127.0.0.1 with its key: their files."""
    ca, certificate, key, name = (folder / file for file in ("ca.pem", "certificate.pem", "key.pem", "name"))
    if not shutil.which("openssl"):
        install_packages(["openssl"])
    name.write_text("subjectAltName=IP:127.0.0.1")
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for command in (["req", "-x509", *new, "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", ca],
                    ["req", *new, "-subj", "/CN=broker", "-keyout", key, "-out", "request"],
                    ["x509", "-req", "-in", "request", "-CA", ca, "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", name,
                     "-out", certificate]):
        subprocess.run(["openssl", *map(str, command)], cwd=folder, check=True, capture_output=True)
    # Mosquitto gives root up before it reads it.
    folder.chmod(0o755)
    key.chmod(0o644)
    return ca, certificate, key


def install(missing):
    """Installs Debian's packages of the brokers that are not there."""
    install_packages([broker.package for broker in missing])


def install_packages(packages):
    if not shutil.which("apt-get"):
        raise SystemExit(f"please install {', '.join(packages)}: there is no apt-get here")
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    print(f"installing {', '.join(packages)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([*sudo, "apt-get", "install", "-y", "-q", *packages], check=True, env=environment, stdout=subprocess.DEVNULL)


def build(with_relay=True):
    """Builds the release binary and, if wanted, the relay; returns their paths."""
    # One after the other: an example brings what only tests need, and the program would be built with it, a clock for tests
    # among it. What is measured is what is installed.
    for what in [["--example", "relay"]] * with_relay + [["--bin", "msgstream"]]:
        subprocess.run(["cargo", "build", "--release", "--locked", *what], cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    return target / "msgstream", target / "examples" / "relay"
