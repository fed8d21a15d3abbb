"""Taking over from another distro that the loader chose.

Without ``OTEL_PYTHON_DISTRO`` the loader of OpenTelemetry takes the first distro it meets, and
Dify's image has the stock one. It has then started exporters and instrumented libraries; here its
providers are shut down and the libraries are given to our sources, so that nothing is sent twice.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from opentelemetry import _logs, metrics, trace

from otel_dify.guard import guarded
from otel_dify.sources import registry

_done = False


def take_over(environ: Mapping[str, str]) -> None:
    """Take over once, unless our own distro did the loading."""
    global _done  # noqa: PLW0603 - a process is taken over once
    if _done or environ.get("OTEL_PYTHON_CONFIGURATOR") == "otel_dify":
        return
    _done = True
    for provider in (
        trace.get_tracer_provider(),
        metrics.get_meter_provider(),
        _logs.get_logger_provider(),
    ):
        with guarded("otel_dify.takeover"):
            stop = getattr(provider, "shutdown", None)
            if callable(stop):
                stop()
    # What the other distro instruments from now on records nothing, and need not say so.
    logging.getLogger("opentelemetry.sdk.metrics._internal").addFilter(_not_about_our_shutdown)
    disabled = environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "")
    names = frozenset(name.strip() for name in disabled.split(","))
    registry.import_bridged(names)
    registry.attach_all(names)


def _not_about_our_shutdown(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("A shutdown `MeterProvider`")
