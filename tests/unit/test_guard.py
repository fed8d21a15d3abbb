"""The guard: whatever fails on our side is counted, said once, and goes no further."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
from celery.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded

from otel_dify import guard
from tests.unit.children import in_child


@pytest.fixture(autouse=True)
def nothing_failed_yet() -> Iterator[None]:
    """Start and end without failures."""
    guard.caught().clear()
    yield
    guard.caught().clear()


def test_a_failure_ends_the_block_and_nothing_else() -> None:
    with guard.guarded("here"):
        raise ValueError("broken")
    assert guard.caught() == {("here", "ValueError"): 1}


def test_a_hook_that_fails_returns_nothing() -> None:
    @guard.never_raises("hook")
    def hook(value: int) -> int:
        return 1 // value

    assert hook(0) is None
    assert guard.caught() == {("hook", "ZeroDivisionError"): 1}


def test_one_cause_is_logged_once_with_its_stack_and_counted_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(3):
        with guard.guarded("here"):
            raise ValueError("broken")
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert "here failed (ValueError: broken). Dify goes on" in record.getMessage()
    assert guard.caught() == {("here", "ValueError"): 3}


def test_another_place_or_another_type_is_another_cause(caplog: pytest.LogCaptureFixture) -> None:
    for place, error in [("a", ValueError()), ("b", ValueError()), ("a", KeyError())]:
        with guard.guarded(place):
            raise error
    assert len(caplog.records) == 3


@pytest.mark.parametrize("limit", [SoftTimeLimitExceeded(), TimeLimitExceeded()])
def test_a_time_limit_of_celery_reaches_the_task(limit: Exception) -> None:
    """Celery raises it into whatever runs, which may be our code."""
    with pytest.raises(type(limit)), guard.guarded("here"):
        raise limit

    @guard.never_raises("hook")
    def hook() -> None:
        raise limit

    with pytest.raises(type(limit)):
        hook()
    assert not guard.caught()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_a_process_or_a_generator_is_not_caught(kind: type[BaseException]) -> None:
    with pytest.raises(kind), guard.guarded("here"):
        raise kind


def test_the_operator_is_told_a_sentence_once(caplog: pytest.LogCaptureFixture) -> None:
    sentence = "test_the_operator_is_told_a_sentence_once: 100 % sure"
    guard.say_once(sentence)
    guard.say_once(sentence)
    [record] = caplog.records
    assert record.getMessage() == sentence


def test_a_forked_child_counts_its_own_failures() -> None:
    with guard.guarded("parent"):
        raise ValueError("broken")

    def child() -> str:
        with guard.guarded("child"):
            raise KeyError("x")
        return str(dict(guard.caught()))

    assert in_child(child) == str({("child", "KeyError"): 1})
    assert os.getpid()
    assert guard.caught() == {("parent", "ValueError"): 1}
