"""The one guard around every hook: whatever fails on our side never reaches Dify.

A failure is counted, and logged once per cause (place and exception type), so that a broken hook
costs one line and not one line a request.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

logger = logging.getLogger("otel_dify")

# Celery raises these from a signal handler into whatever code is running, ours too; they are
# addressed to the task and must reach it.
_NOT_OURS = frozenset({"SoftTimeLimitExceeded", "TimeLimitExceeded"})

failures: Counter[tuple[str, str]] = Counter()


def failed(place: str, error: Exception) -> None:
    """Count a failure of ours at ``place`` and log the first of its kind with its stack.

    Raises:
        Exception: ``error`` itself where it is a time limit that Celery addressed to the task.
    """
    kind = type(error).__name__
    if kind in _NOT_OURS:
        raise error
    failures[place, kind] += 1
    if failures[place, kind] == 1:
        logger.error(
            "%s failed (%s: %s). Dify goes on without this telemetry; the failure is counted and "
            "not logged again. Please report it with the lines below",
            place,
            kind,
            error,
            exc_info=error,
        )


@contextmanager
def guarded(place: str) -> Iterator[None]:
    """Run a block of ours; an exception ends the block and nothing else."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the guard is what may catch everything
        failed(place, error)


def never_raises[**P](place: str) -> Callable[[Callable[P, Any]], Callable[P, None]]:
    """Decorate a hook whose result nobody needs, so that it cannot raise into Dify."""

    def decorate(hook: Callable[P, Any]) -> Callable[P, None]:
        @wraps(hook)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                hook(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - the guard is what may catch everything
                failed(place, error)

        return run

    return decorate


_said: set[str] = set()


def say_once(sentence: str) -> None:
    """Warn the operator of a sentence, once in the life of a process."""
    if sentence not in _said:
        _said.add(sentence)
        logger.warning("%s", sentence)


def _forget() -> None:
    failures.clear()


os.register_at_fork(after_in_child=_forget)
