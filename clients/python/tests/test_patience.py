"""When to connect again. The clock is the tests' own, since they are about the times themselves."""

from __future__ import annotations

import pytest

from msgstream import Options
from msgstream.patience import Retry


@pytest.mark.parametrize(
    ("attempts", "held", "served"),
    [(1, 0.09, False), (1, 0.11, True), (3, 0.39, False), (3, 0.41, True), (6, 0.99, False), (6, 1.01, True)],
)
def test_a_connection_has_served_if_it_held_for_longer_than_the_pause_before_it(
    attempts: int, held: float, served: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("msgstream.patience.time.monotonic", lambda: now)
    options = Options()
    retry = Retry(options)
    for attempt in range(attempts):
        assert 0.5 <= retry.pause() / (options.first_pause * 2**attempt) <= 1
    retry.answered()
    now += held
    assert 0.5 <= retry.pause() / (options.first_pause * (1 if served else 2**attempts)) <= 1


def test_a_connection_that_has_brought_something_has_served_however_short_it_was() -> None:
    options = Options()
    retry = Retry(options)
    for _ in range(5):
        retry.pause()
    retry.answered()
    retry.moved()
    assert retry.pause() <= options.first_pause
    # The next one has not.
    retry.answered()
    assert options.first_pause <= retry.pause() <= 2 * options.first_pause


def test_what_a_connection_has_brought_counts_for_nothing_if_the_broker_has_ended_it_with_a_reason() -> None:
    options = Options()
    retry = Retry(options)
    for attempt in range(5):
        retry.answered()
        retry.moved()
        # The broker would end the next one as well.
        assert 0.5 <= retry.pause(is_told=True) / (options.first_pause * 2**attempt) <= 1
    # Nor does it count for the one after, which has brought nothing.
    retry.answered()
    assert retry.pause() >= options.first_pause * 2**5 / 2
    retry.moved()
    assert retry.pause() <= options.first_pause
