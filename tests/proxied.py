"""The page, the API and the WebSockets through a real nginx with exactly the configuration that docs/operations.md shows.

    python3 tests/proxied.py PROGRAM

nginx runs as a process of its own on loopback, in front of a broker that is started for it. Debian's is taken if there is none: only its
program, out of the package, so that no service is started. Exits with 99 if there is none to be had.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import asked

ROOT = Path(__file__).resolve().parents[1]
#: Beyond it something hangs.
DEADLINE = 60
#: By which name people reach the proxy, and by which the broker must therefore know itself.
NAME = "jobs.example.org"

#: A warning that comes with every large body.
EXPECTED = "a client request body is buffered to a temporary file"

#: What stands around the example on a machine, but for its directories, and without another process or user.
AROUND = """
daemon off;
master_process off;
pid FOLDER/pid;
error_log FOLDER/error.log notice;
events {}
http {
    access_log off;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    server {
        listen 127.0.0.1:PORT;
EXAMPLE
    }
}
"""


def until(condition, what, process):
    """Waits until a condition holds, as long as the process runs."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert process.poll() is None, f"it has ended before {what}"
        assert time.monotonic() < end, f"it did not come to it: {what}"
        time.sleep(0.02)


def found_nginx(folder):
    """The program, or none."""
    if found := shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
        return found
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return None
    kept = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "nginx"
    program = kept / "usr" / "sbin" / "nginx"
    if not program.exists():
        root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        download = ["apt-get", "download", "-qq", "nginx"]
        if subprocess.run(download, cwd=folder, capture_output=True).returncode:
            subprocess.run([*root, "apt-get", "update", "-qq"], capture_output=True)
            subprocess.run(download, cwd=folder)
        for package in Path(folder).glob("nginx_*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, kept], check=True)
    return program if program.exists() and subprocess.run([program, "-v"], capture_output=True).returncode == 0 else None


def example():
    """What the documents show."""
    found = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs" / "operations.md").read_text(), re.S)
    assert len(found) == 1, "there is to be one example for nginx"
    return found[0]


def free_port():
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return tried.getsockname()[1]


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def proxy(nginx, folder, broker):
    """An nginx before the port of a broker, and its own port."""
    shown = example()
    assert shown.count("http://127.0.0.1:7380") == shown.count("proxy_pass"), shown
    # nginx takes no port of the system's choosing, and the free one may be taken by the time that it starts.
    for _ in range(5):
        port = free_port()
        said = AROUND.replace("EXAMPLE", shown.replace("127.0.0.1:7380", f"127.0.0.1:{broker}"))
        (folder / "nginx.conf").write_text(said.replace("FOLDER", str(folder)).replace("PORT", str(port)))
        command = [nginx, "-p", folder, "-e", folder / "error.log", "-c", folder / "nginx.conf"]
        checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
        assert checked.returncode == 0 and "[warn]" not in checked.stderr, checked.stderr
        process = subprocess.Popen(command)
        try:
            until(lambda port=port: accepts(port), "nginx listens", process)
            return process, port
        except AssertionError as error:
            process.kill()
            process.wait()
            print(f"{error}: {(folder / 'error.log').read_text()[-500:]}", file=sys.stderr)
    sys.exit("nginx does not start")


def main(program):
    with tempfile.TemporaryDirectory(prefix="msgstream-proxied-") as name:
        folder = Path(name)
        nginx = found_nginx(folder)
        if nginx is None:
            print("there is no nginx, and none could be brought: skipped")
            sys.exit(99)
        (folder / "port").touch()
        settings = {key: value for key, value in os.environ.items() if not key.startswith("MSGSTREAM_")}
        settings.update(MSGSTREAM_HTTP__PORT_FILE=str(folder / "port"), MSGSTREAM_HTTP__ORIGINS=f"http://{NAME}")
        command = [program, "serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log-level", "warn"]
        broker = subprocess.Popen(command, env=settings)
        server = None
        try:
            until(lambda: (folder / "port").read_text().strip(), "the broker listens", broker)
            server, port = proxy(nginx, folder, int((folder / "port").read_text()))
            print(subprocess.run([nginx, "-v"], capture_output=True, text=True).stderr.strip())
            asked.main(f"http://127.0.0.1:{port}")
            # As those ask who know the proxy by its name.
            asked.main(f"http://127.0.0.1:{port}", f"http://{NAME}")
        finally:
            for process in filter(None, (server, broker)):
                process.terminate()
                process.wait()
        logged = (folder / "error.log").read_text()
        wrong = [line for line in logged.splitlines() if re.search(r"\[(warn|error|crit|alert|emerg)\]", line) and EXPECTED not in line]
        if wrong:
            sys.exit("nginx complains:\n" + "\n".join(wrong))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
