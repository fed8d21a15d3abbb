"""Observed calls, whose results come at once or piece by piece.

A generator is suspended and finished wherever its consumer runs, so no context is ever held over a
``yield``: each piece is fetched with the operation as the current one, and handed on without it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Iterable
from typing import Any

from otel_dify.guard import guarded
from otel_dify.operations.operation import Operation

type See = Callable[[Any], None]


def observe(
    operation: Operation,
    place: str,
    call: Callable[[], Any],
    *,
    whole: See,
    stream: Callable[[], See],
) -> Any:
    """Call a function as an operation, which ends with its result or with the last piece of it.

    Args:
        operation: its operation, just started.
        place: what the guards call this.
        call: the function, its arguments bound.
        whole: is shown a result that comes at once.
        stream: is called if the result is a generator, for what is then shown each piece.
    """
    try:
        with operation.active():
            result = call()
    except BaseException as error:
        with guarded(f"{place} failure"):
            operation.fail(error)
        _end(operation)
        raise
    if isinstance(result, Generator):
        see: See = unseen
        with guarded(f"{place} stream"):
            see = stream()
        return observed(result, operation, see)
    with guarded(f"{place} result"):
        whole(result)
    _end(operation)
    return result


def observed(pieces: Iterable[Any], operation: Operation, see: See) -> Generator[Any, Any, Any]:
    """Return a generator of the same pieces that ends ``operation`` when they end.

    A consumer that stops early, or never begins, ends the operation as well.

    Args:
        pieces: what the observed function returned.
        operation: its operation, still open.
        see: is shown each piece before the consumer gets it.
    """
    stream = _observe(pieces, operation, see)
    # A generator that is dropped before its first piece never runs its `finally`.
    weakref.finalize(stream, _end, operation).atexit = False
    return stream


def _observe(pieces: Iterable[Any], operation: Operation, see: See) -> Generator[Any, Any, Any]:
    iterator = iter(pieces)
    try:
        while True:
            with operation.active():
                try:
                    piece = next(iterator)
                except StopIteration as stop:
                    return stop.value
                except BaseException as error:
                    with guarded("otel_dify.sources.streams failure"):
                        operation.fail(error)
                    raise
            with guarded("otel_dify.sources.streams piece"):
                see(piece)
            yield piece
    finally:
        try:
            close = getattr(iterator, "close", None)
            if close is not None:
                with operation.active():
                    close()
        finally:
            _end(operation)


def _end(operation: Operation) -> None:
    with guarded("otel_dify.sources.streams end"):
        operation.end()


def unseen(_piece: Any) -> None:
    """See nothing of a piece."""
