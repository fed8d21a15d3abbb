"""Watching one call of a function of Dify's as an operation: start, guard and end, once for all."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from opentelemetry import context as context_api

from otel_dify.guard import failed, guarded
from otel_dify.operations.operation import Operation
from otel_dify.sources.streams import ObservedStream, unseen

type See = Callable[[Any], None]


def watch(
    place: str,
    begin: Callable[[], Operation | None],
    call: Callable[[], Any],
    *,
    whole: Callable[[Operation, Any], None],
    stream: Callable[[Operation], See] = lambda _: unseen,
) -> Any:
    """Call a function as an operation, which ends with its result or with the last piece of it.

    Whatever fails on our side, the function is called once, and its result or exception is the
    caller's.

    Args:
        place: what the guards call this.
        begin: starts the operation; none where there is to be none.
        call: the function, its arguments bound.
        whole: is shown a result that comes at once.
        stream: is called if the result is a generator, for what is then shown each piece.
    """
    try:
        operation = begin()
    except Exception as error:  # noqa: BLE001 - the call must go on without its operation
        failed(f"{place} start", error)
        operation = None
    if operation is None:
        return call()
    token = context_api.attach(operation.context)
    try:
        result = call()
    except BaseException as error:
        with guarded(f"{place} failure"):
            operation.fail(error)
        end(operation, place)
        raise
    finally:
        context_api.detach(token)
    if isinstance(result, Generator):
        see: See = unseen
        with guarded(f"{place} stream"):
            see = stream(operation)
        return ObservedStream(result, operation, see)
    with guarded(f"{place} result"):
        whole(operation, result)
    end(operation, place)
    return result


def end(operation: Operation, place: str) -> None:
    """End an operation, guarded."""
    with guarded(f"{place} end"):
        operation.end()


def nothing(_operation: Operation, _result: Any) -> None:
    """Take nothing from a result."""
