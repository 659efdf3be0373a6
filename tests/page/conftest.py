"""What the tests of the page share: one browser for all, a broker for each."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from browser import Browser  # noqa: E402
from served import Served  # noqa: E402
from talk import Publisher  # noqa: E402


@pytest.fixture(scope="session")
def one_browser():
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def browser(one_browser):
    """After each test: nothing on the page has failed or was against its policy."""
    one_browser.driver.get_log("browser")
    yield one_browser
    complaints = one_browser.complaints()
    one_browser.driver.get("about:blank")
    assert complaints == []


@pytest.fixture
def serve(tmp_path):
    """Starts brokers: ``serve(REPLAY__STREAM="2KiB")``."""
    started = []

    def start(**settings):
        folder = tmp_path / f"broker-{len(started)}"
        folder.mkdir()
        started.append(Served(folder, **settings))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def served(serve):
    return serve()


@pytest.fixture
def publisher(served):
    return Publisher(served.port)


@pytest.fixture(scope="session")
def kept():
    """Where pictures and tools are."""
    return Path(os.environ["MSGSTREAM_PAGE_KEPT"])
