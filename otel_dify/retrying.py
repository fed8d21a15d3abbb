"""Retry: a function is called again when it fails, and each time is in the log and on the trace."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random as random_module
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, overload

from otel_dify import table as t
from otel_dify.guard import guarded
from otel_dify.naming import log_of, name_of
from otel_dify.operations.current import current
from otel_dify.operations.errors import STOPS
from otel_dify.process import process

# Celery addresses the first two to the task, and Dify stops by the others: nobody is to try again.
_NEVER = frozenset({"SoftTimeLimitExceeded", "TimeLimitExceeded"}) | STOPS
_TOLD = 300
"""Characters of a failure that are in a line of the log; its span has all."""


@dataclass(frozen=True, slots=True)
class _Plan:
    attempts: int
    wait_s: float
    factor: float
    most_s: float
    jitter: float
    on: tuple[type[Exception], ...]
    sleep: Callable[[float], Any] | None
    random: Callable[[], float]

    def wait_after(self, attempt: int) -> float:
        """Return the seconds to wait after an attempt, counted from 1."""
        # A power beyond any float is as long as it may be.
        try:
            whole = min(self.wait_s * self.factor ** (attempt - 1), self.most_s)
        except OverflowError:
            whole = self.most_s
        return whole * (1 - self.jitter * self.random())

    def goes_on(self, error: Exception, attempt: int) -> bool:
        """Tell whether to try again after an attempt that failed."""
        return (
            attempt < self.attempts
            and isinstance(error, self.on)
            and type(error).__name__ not in _NEVER
        )


@overload
def retry[**P, R](function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def retry[**P, R](
    function: None = None,
    /,
    *,
    attempts: int = 3,
    wait_s: float = 0.5,
    factor: float = 2.0,
    most_s: float = 30.0,
    jitter: float = 0.5,
    on: type[Exception] | tuple[type[Exception], ...] = Exception,
    sleep: Callable[[float], Any] | None = None,
    random: Callable[[], float] = random_module.random,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def retry(
    function: Any = None,
    /,
    *,
    attempts: int = 3,
    wait_s: float = 0.5,
    factor: float = 2.0,
    most_s: float = 30.0,
    jitter: float = 0.5,
    on: type[Exception] | tuple[type[Exception], ...] = Exception,
    sleep: Callable[[float], Any] | None = None,
    random: Callable[[], float] = random_module.random,
) -> Any:
    """Call a function again when it raises, a few times, and longer apart each time.

        @retry
        def fetch(url: str) -> bytes: ...

        @retry(attempts=5, wait_s=0.1, on=(ConnectionError, TimeoutError))
        async def fetch(url: str) -> bytes: ...

    Each failure that is tried again is a warning in the log of the function's module, and an event
    ``retry`` of the operation around it; the last one is an error there, and goes on to who called
    as it was raised. Put it below ``observe`` for one operation of all attempts, above it for one
    of each. It retries whether or not telemetry is on. Time limits of Celery, and what stops a run
    of Dify's, are not tried again.

    Args:
        function: what is called, plain or ``async``.
        attempts: calls at most; at least 1.
        wait_s: seconds before the second.
        factor: how much longer each wait is than the one before it.
        most_s: seconds that a wait is at most.
        jitter: part of a wait that is left to chance, 0 to 1: many who fail at once do not all come
            again at once.
        on: exceptions that are worth another try.
        sleep: waits seconds, and may be ``async`` for functions that are; ``time.sleep`` or
            ``asyncio.sleep`` where none is given.
        random: gives numbers from 0 to 1.

    Raises:
        TypeError: of a generator, whose pieces cannot be taken back: retry what makes a piece.
        ValueError: ``attempts`` or ``jitter`` cannot be.
    """
    if attempts < 1 or not 0 <= jitter <= 1:
        raise ValueError("attempts must be at least 1, and jitter from 0 to 1")
    kinds = on if isinstance(on, tuple) else (on,)
    plan = _Plan(attempts, wait_s, factor, most_s, jitter, kinds, sleep, random)
    return _retried(plan, function) if function is not None else lambda given: _retried(plan, given)


def _retried(plan: _Plan, function: Any) -> Any:
    if isinstance(function, staticmethod | classmethod):
        return type(function)(_retried(plan, function.__func__))
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{name_of(function)} is a generator, and what it has given cannot be taken back: "
            "retry what makes a piece"
        )
    run = _of_coroutine if inspect.iscoroutinefunction(function) else _of_function
    return wraps(function)(run(_Trying(plan, function), function))


class _Trying:
    """What is to be done when an attempt to call a function has failed.

    Args:
        plan: how often and how far apart.
        function: what is called.
    """

    def __init__(self, plan: _Plan, function: Any) -> None:
        self.plan = plan
        self._name = name_of(function)
        self._logger = logging.getLogger(log_of(function))

    def wait_after(self, error: Exception, attempt: int) -> float | None:
        """Say that an attempt has failed; return the seconds until the next, none if there is none.

        Args:
            error: what it raised.
            attempt: which one, from 1.
        """
        plan = self.plan
        if not plan.goes_on(error, attempt):
            _gave_up(self._logger, self._name, error, attempt)
            return None
        wait_s = plan.wait_after(attempt)
        which = f"attempt {attempt} of {plan.attempts}"
        _tell(self._logger, self._name, error, which, wait_s=wait_s)
        return wait_s


def _of_function(trying: _Trying, function: Callable[..., Any]) -> Any:
    sleep = trying.plan.sleep or time.sleep

    def run(*args: Any, **kwargs: Any) -> Any:
        attempt = 0
        while True:
            attempt += 1
            try:
                return function(*args, **kwargs)
            except Exception as error:
                wait_s = trying.wait_after(error, attempt)
                if wait_s is None:
                    raise
            # Outside of the handler: the exception and its frames are let go of meanwhile.
            sleep(wait_s)

    return run


def _of_coroutine(trying: _Trying, function: Callable[..., Awaitable[Any]]) -> Any:
    sleep = trying.plan.sleep or asyncio.sleep

    async def run(*args: Any, **kwargs: Any) -> Any:
        attempt = 0
        while True:
            attempt += 1
            try:
                return await function(*args, **kwargs)
            except Exception as error:
                wait_s = trying.wait_after(error, attempt)
                if wait_s is None:
                    raise
            waiting = sleep(wait_s)
            if inspect.isawaitable(waiting):
                await waiting

    return run


def _tell(
    logger: logging.Logger, name: str, error: Exception, which: str, *, wait_s: float
) -> None:
    """Say that an attempt has failed and another follows."""
    with guarded("otel_dify.retry"):
        kind, text = type(error).__name__, str(error)
        logger.warning(
            "%s failed (%s: %s), %s; again in %.2f s",
            *(name, kind, text[:_TOLD], which, wait_s),
            extra={"error_type": kind},
        )
        operation = current() if process.recording() is not None else None
        if operation is not None:
            operation.happened("retry", {t.ERROR_TYPE: kind, t.ERROR_MESSAGE: text})


def _gave_up(logger: logging.Logger, name: str, error: Exception, attempt: int) -> None:
    """Say that a function has failed for good, where it was tried again."""
    if attempt == 1:
        # It was not retried at all: there is nothing that who called does not know.
        return
    with guarded("otel_dify.retry"):
        kind = type(error).__name__
        logger.error(
            "%s failed for good, %d times (%s: %s)",
            *(name, attempt, kind, str(error)[:_TOLD]),
            extra={"attempts": attempt, "error_type": kind},
        )
