"""What the page shows of a broker that is one of several nodes."""

import os
import shutil
import socket
import subprocess

import pytest
from served import until
from talk import Publisher

PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


@pytest.fixture
def nats(tmp_path):
    """The address of a NATS server of the test's own."""
    program = shutil.which("nats-server", path=PATH)
    if program is None:
        pytest.skip("there is no nats-server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with open(tmp_path / "nats.log", "wb") as log:
        server = subprocess.Popen([program, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(tmp_path / "nats")], stderr=log)
    yield f"nats://127.0.0.1:{port}"
    server.kill()
    server.wait()


#: The facts of the stream that is shown, as [name, value].
FACTS = """return [...document.querySelectorAll('.facts dl div')].filter((pair) => !pair.hidden)
    .map((pair) => [...pair.children].map((each) => each.textContent))"""


def test_a_stream_tells_which_nodes_its_listeners_are_on(browser, nats, serve):
    served = serve(NODES__NATS=nats, NODES__NAME="north")
    Publisher(served.port).say({"action": "header", "stream": "job", "message": {"k": 1}})
    browser.open(f"{served.url}#stream=job")
    until(lambda: ["by node", "north 1 (with this page)"] in browser.run(FACTS), "the page counts itself")


def test_a_broker_on_its_own_tells_of_no_nodes(browser, serve):
    served = serve()
    Publisher(served.port).put("job", 1)
    browser.open(f"{served.url}#stream=job")
    facts = dict(until(lambda: (facts := browser.run(FACTS)) and "listeners" in dict(facts) and facts, "the facts are shown"))
    assert facts["listeners"] == "0" and "by node" not in facts
    told = browser.module("words.js", """return [m.byNode(undefined, true), m.byNode({}, false), m.byNode({ north: 2000, south: 0, west: "1" }, false),
        m.byNode({ "a\\u202eb": 1 }, true), m.byNode(null, false)];""")
    assert told == ["", "", "north 2,000", "a\ufffdb 1 (with this page)", ""]
