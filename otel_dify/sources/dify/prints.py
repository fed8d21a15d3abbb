"""What Dify prints of tools: their inputs and outputs, which Celery makes log records of."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_dify.sources.hooks import hook

WATCHES = ("core.callback_handler.agent_tool_callback_handler",)


def attach(module: ModuleType) -> None:
    """Attach before the other callbacks import the function by name."""
    lost = "what it prints of tools may be in the log records of workers"
    hook(module, "print_text", _on_print, lost)


def _on_print(wrapped: Callable[..., Any], _: Any, args: Any, kwargs: Any) -> Any:
    """Print without a log record: the operation of the tool has it all, as content."""
    with suppress_instrumentation():
        return wrapped(*args, **kwargs)
