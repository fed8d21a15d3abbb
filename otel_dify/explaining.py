"""Error context: what an exception cannot say of itself, in the log and on the trace."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from functools import wraps
from types import TracebackType
from typing import Any

from otel_dify.guard import guarded
from otel_dify.naming import log_of
from otel_dify.observing import Block, set_attribute
from otel_dify.operations.current import current
from otel_dify.operations.errors import STOPS, category_of, fingerprint_of
from otel_dify.process import process

_PLACE = "otel_dify.error_context"
_TOLD = 300
"""Characters of a failure that are in a line of the log."""
_SAID = "__otel_dify_explained__"
"""Where an exception keeps that it is in the log already."""
# What a log record has of its own, and does not let others set.
_TAKEN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class error_context(Block):  # noqa: N801 - reads as what it makes of a block: `with error_context("..."):`
    """Say of an exception that leaves a block, or a function, what was being done and to what.

        with error_context("charge the card", order="A-17"):
            charge(card)

        @error_context("import a document")
        async def run(document_id: str) -> None: ...

    The exception goes on as it was raised. It is an error in the log, once however many of these it
    leaves, with what is given here, its type, category (``rate_limit``, ``timeout``, …) and
    fingerprint, the same each time the same error happens; and what is given here is on the
    operation around it. A block that ends well costs a function call. Generators are not for this:
    put it around what makes a piece.

    Args:
        doing: what is being done, the same words each time.
        logger: where it is told; the logger of the function's module, or for a block
            ``otel_dify.errors``, where none is given.
        known: what it is done to; values of any type, without secrets.
    """

    def __init__(
        self, doing: str, /, *, logger: logging.Logger | None = None, **known: object
    ) -> None:
        self._doing = doing
        self._logger = logger
        self._known: Mapping[str, object] = known

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        del kind, stack
        # What ends a program, a task or a generator is no error.
        if isinstance(error, Exception) and type(error).__name__ not in STOPS:
            with guarded(_PLACE):
                self._explain(error, self._logger or logging.getLogger("otel_dify.errors"))

    def __call__[**P, R](self, function: Callable[P, R]) -> Callable[P, R]:
        """Return ``function``, explained.

        Raises:
            TypeError: of a generator, which runs after it has been called.
        """
        if isinstance(function, staticmethod | classmethod):
            return type(function)(self(function.__func__))
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError("a generator runs after it was called: put this around its pieces")
        logger = self._logger or logging.getLogger(log_of(function))
        # One that keeps nothing of a call serves all of them.
        context: Any = error_context(self._doing, logger=logger, **self._known)
        wrapper: Any
        if inspect.iscoroutinefunction(function):

            async def run(*args: Any, **kwargs: Any) -> Any:
                with context:
                    return await function(*args, **kwargs)

            wrapper = run
        else:

            def call(*args: Any, **kwargs: Any) -> Any:
                with context:
                    return function(*args, **kwargs)

            wrapper = call
        return wraps(function)(wrapper)

    def _explain(self, error: Exception, logger: logging.Logger) -> None:
        operation = current() if process.recording() is not None else None
        if operation is not None:
            for key, value in self._known.items():
                set_attribute(operation, key, value)
        if getattr(error, _SAID, False):
            return
        # Some exceptions take no attributes; such a one is told of in each.
        with_mark = getattr(error, "__dict__", None)
        if with_mark is not None:
            with_mark[_SAID] = True
        kind, text = type(error).__name__, str(error)
        given = {f"context_{k}" if k in _TAKEN else k: v for k, v in self._known.items()}
        logger.error(
            "%s failed (%s: %s)",
            *(self._doing, kind, text[:_TOLD]),
            exc_info=error,
            extra={
                **given,
                "error_type": kind,
                "error_category": category_of(kind),
                "error_fingerprint": fingerprint_of(error, kind, text[:_TOLD]),
            },
        )
