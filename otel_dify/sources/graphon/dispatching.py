"""The engine's own threads: what its dispatcher and its workers log belongs to the run.

They begin without any context. Nodes have theirs, whatever thread they run on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from otel_dify.guard import guarded
from otel_dify.operations.current import here
from otel_dify.sources.carry import in_context
from otel_dify.sources.hooks import hook, lacking

if TYPE_CHECKING:
    from otel_dify.sources.graphon.run import RunObserver

_CONTEXT = "_otel_dify_context"
"""Where a worker keeps the context that it was made in."""
_LOST = "log records of the engine's own threads do not have the ids of their run"


def dispatch_within(engine: Any, observer: RunObserver) -> None:
    """Have the dispatcher of an engine, which decides on failures, run within its run.

    Args:
        engine: the engine, made.
        observer: what observes it; its operation begins before the dispatcher does.
    """
    dispatcher = getattr(engine, "_dispatcher", None)
    loop = getattr(dispatcher, "_dispatcher_loop", None)
    if dispatcher is None or loop is None:
        lacking(f"{type(engine).__module__}.{type(engine).__name__}._dispatcher", _LOST)
        return
    dispatcher._dispatcher_loop = partial(_dispatch, loop, observer)  # noqa: SLF001 - what its thread runs


def _dispatch(loop: Callable[[], None], observer: RunObserver) -> None:
    with guarded("otel_dify.sources.graphon.dispatching dispatcher"):
        operation = observer.operation
        if operation is not None:
            loop = in_context(loop, operation.context)
    loop()


def watch_workers(module: str) -> None:
    """Have the workers that a module defines run in the context that they are made in."""
    hook(module, "Worker.__init__", _on_worker, _LOST)
    hook(module, "Worker.run", _on_work, _LOST)


def _on_worker(wrapped: Callable[..., None], worker: Any, args: Any, kwargs: Any) -> None:
    wrapped(*args, **kwargs)
    with guarded("otel_dify.sources.graphon.dispatching worker"):
        setattr(worker, _CONTEXT, here())


def _on_work(wrapped: Callable[..., None], worker: Any, args: Any, kwargs: Any) -> None:
    context = getattr(worker, _CONTEXT, None)
    (wrapped if context is None else in_context(wrapped, context))(*args, **kwargs)
