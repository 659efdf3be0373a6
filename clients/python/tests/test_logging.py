"""Log records as messages."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from conftest import DEADLINE, QUICK, Broker, messages
from msgstream import Ended, Header, Job, Listener, Message
from msgstream.contrib.logging import Handler
from msgstream.monitor import Complete, Join, Log


def record(text: str, level: int = logging.WARNING, name: str = "a") -> logging.LogRecord:
    return logging.LogRecord(name, level, "f", 1, text, None, None)


def test_log_records_become_messages(broker: Broker, listener: Listener) -> None:
    logger = logging.getLogger("analysis")
    handler = Handler("fit", broker.address, level="INFO", ends=False, options=QUICK)
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel("DEBUG")
    try:
        logger.debug("below the level")
        logger.info("read %d points", 7)
        try:
            1 / 0
        except ZeroDivisionError:
            logger.exception("failed")
        logging.getLogger("msgstream").addHandler(handler)
        logging.getLogger("msgstream").warning("about the connection")
    finally:
        logger.removeHandler(handler)
        logging.getLogger("msgstream").removeHandler(handler)
        handler.close()
    assert listener.next() == Message("fit", Log("analysis: read 7 points", "info"))
    failed = listener.next()
    assert isinstance(failed, Message) and failed.message.level == "error"
    assert failed.message.text.startswith("analysis: failed\nTraceback") and "ZeroDivisionError" in failed.message.text
    with broker.remote() as remote:
        remote.close("fit")
        assert remote.flush()
    # The handler's end was not the stream's, since others write to it, and nothing came round.
    assert list(listener) == [Ended("fit")]


def test_log_records_go_into_the_stream_of_a_job(broker: Broker, listener: Listener) -> None:
    with pytest.raises(TypeError, match="either a stream or a job"):
        Handler()
    with Job("fit", server=broker.address, options=QUICK) as job:
        handler = Handler(job=job)
        handler.handle(logging.LogRecord("a", logging.WARNING, "f", 1, "careful", None, None))
        handler.close()
    assert [message for message in messages(listener) if isinstance(message, Log)] == [Log("careful", "warning")]


def test_a_record_of_this_package_does_not_wait_for_the_handler(away: Broker) -> None:
    handler = Handler("fit", away.address, options=type(QUICK)(exit_time=0.01))
    logger = logging.getLogger("msgstream.test")
    logger.addHandler(handler)
    handler.acquire()
    try:
        # As the thread of a connection does, while another thread publishes a record and waits for that connection.
        thread = threading.Thread(target=logger.warning, args=("refused",), daemon=True)
        thread.start()
        thread.join(DEADLINE / 3)
        assert not thread.is_alive()
    finally:
        handler.release()
        logger.removeHandler(handler)
        handler.close()
    # What comes after the end of the program's clients has nowhere to go, and that is no error of logging.
    handler.handleError = lambda record: pytest.fail("an error of logging")  # type: ignore[method-assign]
    handler.handle(logging.LogRecord("a", logging.WARNING, "f", 1, "late", None, None))


def test_a_handler_ends_the_stream_that_it_began_and_begins_it_again(broker: Broker, listener: Listener) -> None:
    nothing = Handler("fit", broker.address, options=QUICK)
    nothing.close()
    for text in ("first", "second"):
        handler = Handler("fit", broker.address, options=QUICK)
        handler.handle(record(text))
        handler.handle(record("and more"))
        handler.close()
        handler.close()
        assert list(listener) == [Message("fit", Log(text, "warning")), Message("fit", Log("and more", "warning")), Ended("fit")]
        late, end = broker.listen("fit")
        assert isinstance(late, Header) and late.message.started and end == Ended("fit")
        with broker.remote() as remote:
            remote["fit"] = "again"
            assert remote.flush()
        listener = broker.joined("fit")


def test_a_stream_of_records_ends_with_the_program_and_not_with_a_forked_child(broker: Broker, listener: Listener, script: Any) -> None:
    ended = script(
        """
import logging, os, sys
from msgstream.contrib.logging import Handler
logging.getLogger().addHandler(Handler("fit"))
logging.error("one")
assert logging.getLogger().handlers[-1]._publisher.flush()
child = os.fork()
if child == 0:
    logging.error("two")
    sys.exit(0)
assert os.waitpid(child, 0) == (child, 0)
logging.error("three")
"""
    )
    assert ended.returncode == 0, ended.stderr
    assert [event.message for event in listener] == [Log("one", "error"), Log("two", "error"), Log("three", "error"), None]


@pytest.mark.parametrize(
    ("number", "name", "level"),
    [
        (10, "DEBUG", "debug"),
        (5, "TRACE", "trace"),
        (25, "SUCCESS", "success"),
        (25, "Level 25", "info"),
        (30, "WARN", "warning"),
        (40, "\x1b[31mERROR\x1b[0m", "error"),
        (60, "OFF", "critical"),
    ],
)
def test_levels_have_the_names_of_the_monitor(broker: Broker, listener: Listener, number: int, name: str, level: str) -> None:
    with Job("fit", server=broker.address, options=QUICK) as job:
        said = record("text", number)
        said.levelname = name
        Handler(job=job).handle(said)
    assert Log("text", level) in messages(listener)


def test_a_formatter_that_logs_is_not_heard_and_one_that_fails_does_not_raise(
    broker: Broker, listener: Listener, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("round")
    # pytest has a handler of its own, which raises.
    logger.propagate = False

    class Round(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            logger.error("formatting")
            return super().format(record)

    with Job("fit", server=broker.address, options=QUICK) as job:
        handler = Handler(job=job)
        handler.setFormatter(Round())
        logger.addHandler(handler)
        try:
            logger.error("said")
            logger.error("%d points", "no")
        finally:
            logger.removeHandler(handler)
    assert [message for message in messages(listener) if isinstance(message, Log)] == [Log("said", "error")]
    assert "TypeError" in capsys.readouterr().err


def test_a_handler_in_strict_mode_does_not_raise_when_the_broker_has_gone(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    handler = Handler("fit", broker.address, strict=True, options=QUICK)
    handler.handle(record("one"))
    broker.kill()
    for _ in range(3):
        handler.handle(record("two"))
    handler.close()
