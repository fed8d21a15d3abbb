"""The one guard around every hook: whatever fails on our side never reaches Dify.

A failure is counted, and logged once per cause (place and exception type), so that a broken hook
costs one line and not one line a request.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from types import TracebackType
from typing import Any

from otel_dify.process import process

logger = logging.getLogger("otel_dify")

# Celery raises these from a signal handler into whatever code is running, ours too; they are
# addressed to the task and must reach it.
_NOT_OURS = frozenset({"SoftTimeLimitExceeded", "TimeLimitExceeded"})


class Failures:
    """What the guards of this process have caught, and what the operator has been told.

    Attributes:
        caught: how often, by place and type of the exception.
        said: sentences said once.
        to_say: sentences noted by who could not say them.
    """

    def __init__(self) -> None:
        self.caught: Counter[tuple[str, str]] = Counter()
        self.said: set[str] = set()
        self.to_say: deque[str] = deque()

    def forked(self) -> None:
        """Count anew: the parent reports its own."""
        self.caught.clear()
        self.to_say.clear()


def caught() -> Counter[tuple[str, str]]:
    """Return how often what has been caught in this process, by place and type."""
    return process.kept(Failures).caught


def failed(place: str, error: Exception) -> None:
    """Count a failure of ours at ``place`` and log the first of its kind with its stack.

    Raises:
        Exception: ``error`` itself where it is a time limit that Celery addressed to the task.
    """
    kind = type(error).__name__
    if kind in _NOT_OURS:
        raise error
    counted = caught()
    counted[place, kind] += 1
    if counted[place, kind] == 1:
        logger.error(
            "%s failed (%s: %s). Dify goes on without this telemetry; the failure is counted and "
            "not logged again. Please report it with the lines below",
            place,
            kind,
            error,
            exc_info=error,
        )


class guarded:  # noqa: N801 - reads as what it makes of a block: `with guarded("..."):`
    """Run a block of ours; an exception ends the block and nothing else.

    Args:
        place: what the failure is counted and logged under.
    """

    __slots__ = ("_place",)

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> bool:
        del kind, stack
        if not isinstance(error, Exception):
            return False
        failed(self._place, error)
        return True


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


def say_once(sentence: str) -> None:
    """Warn the operator of a sentence, once in the life of a process."""
    said = process.kept(Failures).said
    if sentence not in said:
        said.add(sentence)
        logger.warning("%s", sentence)


def say_later(sentence: str) -> None:
    """Note a sentence for ``say_noted``, where a lock of ours is held.

    Handlers of log records have locks of their own, and what they do may end with us.
    """
    failures = process.kept(Failures)
    if sentence not in failures.said:
        failures.to_say.append(sentence)


def say_noted() -> None:
    """Say what was noted."""
    noted = process.kept(Failures).to_say
    while noted:
        with suppress(IndexError):  # another thread was faster
            say_once(noted.popleft())
