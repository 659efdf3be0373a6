"""What a Prometheus does to a broker: a scrape of /metrics every second."""

import http.client
import threading
from pathlib import Path

#: How many scrapes in a row say what one costs.
SCRAPES = 200


class Scraper:
    """Scrapes over one connection, at once and then every second, as long as it is in use. The broker may come and go meanwhile."""

    def __init__(self, port):
        self.port, self.count = port, 0
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.scrape, daemon=True)

    def scrape(self):
        connection = None
        while True:
            connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                read(connection)
                self.count += 1
            except (OSError, http.client.HTTPException):
                connection = None
            if self.ends.wait(1):
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ends.set()
        self.thread.join()


def read(connection):
    """One scrape."""
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200 or b"msgstream_" not in text:
        raise RuntimeError(f"no metrics: {answer.status}, {text[:200]!r}")


def cpu(pid):
    """CPU time of a process, in nanoseconds."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir())


def cost_of_a_scrape(broker):
    """CPU of the broker for one scrape, in microseconds, from many."""
    with broker:
        connection = http.client.HTTPConnection("127.0.0.1", broker.listeners_port, timeout=5)
        read(connection)
        before = cpu(broker.process.pid)
        for _ in range(SCRAPES):
            read(connection)
        return (cpu(broker.process.pid) - before) / SCRAPES / 1000
