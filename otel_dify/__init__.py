"""OpenTelemetry for self-hosted Dify: traces, metrics and logs of everything that it does."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otel_dify.explaining import error_context
    from otel_dify.instruments import counter, gauge
    from otel_dify.observing import observe, trace, trace_block
    from otel_dify.retrying import retry


def configure(environ: Mapping[str, str] | None = None) -> None:
    """Start telemetry from code, as ``opentelemetry-instrument`` does from outside.

    Call it before the libraries to watch are used; those imported already are attached to at
    once. With ``OTEL_SDK_DISABLED=true`` it does nothing. It never raises.

    Args:
        environ: the settings; ``os.environ`` where none is given.
    """
    from otel_dify import startup
    from otel_dify.guard import guarded
    from otel_dify.sources import registry
    from otel_dify.sources.foreign import set_global_providers

    known = os.environ if environ is None else environ
    with guarded("otel_dify.configure"):
        if startup.set_up(known):
            set_global_providers(known)
            registry.attach_all(registry.disabled_by(known))


def flush(timeout_ms: int = 10_000) -> None:
    """Send what waits, at most for ``timeout_ms`` milliseconds a signal."""
    from otel_dify.process import process

    if process.pipeline is not None:
        process.pipeline.flush(timeout_ms)


def shutdown() -> None:
    """Send what waits and stop recording; a process that ends by itself does so anyway."""
    from otel_dify.process import process

    process.end()


_PUBLIC = {
    "counter": "otel_dify.instruments",
    "error_context": "otel_dify.explaining",
    "gauge": "otel_dify.instruments",
    "observe": "otel_dify.observing",
    "retry": "otel_dify.retrying",
    "trace": "otel_dify.observing",
    "trace_block": "otel_dify.observing",
}
"""What is public, and where it is."""


def __getattr__(name: str) -> Any:
    """Import what is public when it is first asked for: importing the package costs nothing."""
    if name in _PUBLIC:
        from importlib import import_module

        found = globals()[name] = getattr(import_module(_PUBLIC[name]), name)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "configure",
    "counter",
    "error_context",
    "flush",
    "gauge",
    "observe",
    "retry",
    "shutdown",
    "trace",
    "trace_block",
]
