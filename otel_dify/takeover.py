"""Taking over from another distro that the loader chose.

Without ``OTEL_PYTHON_DISTRO`` the loader of OpenTelemetry takes the first distro it meets, and
Dify's image has the stock one. It has then started exporters and instrumented libraries; here its
providers are shut down and the libraries are given to our sources, so that nothing is sent twice.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from opentelemetry import _logs, metrics, trace

from otel_dify.guard import guarded
from otel_dify.process import process
from otel_dify.sources import registry

_PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
_BEGAN_WITH = Path("/proc/self/environ")
"""The environment that this process was given, whatever has been set in it since (Linux)."""


def forget_the_others_protocol(
    environ: MutableMapping[str, str], began_with: Path = _BEGAN_WITH
) -> None:
    """Take back that OTLP is sent by gRPC, where no operator asked for it.

    The stock distro sets the variable where it is unset. Left there it would send all we have to
    the Collector's port for HTTP, which does not take it. Where the system does not tell what the
    process began with, the variable stays.

    Args:
        environ: the variables, before ours are read from them.
        began_with: file of what the process was given, variables with a NUL byte after each.
    """
    if environ.get("OTEL_PYTHON_CONFIGURATOR") == "otel_dify" or not began_with.exists():
        return
    given = began_with.read_bytes().split(b"\0")
    if not any(variable.startswith(f"{_PROTOCOL}=".encode()) for variable in given):
        environ.pop(_PROTOCOL, None)


def is_another_chosen(environ: Mapping[str, str]) -> bool:
    """Tell whether the operator has named another configurator: what that sets up is to stay.

    Such a program may still have our exporters.
    """
    return environ.get("OTEL_PYTHON_CONFIGURATOR", "") not in {"", "otel_dify"}


class _TakenOver:
    """Whether this process has been taken over, which is done once."""

    def __init__(self) -> None:
        self.once = False


def take_over(environ: Mapping[str, str]) -> None:
    """Take over once, unless our own distro did the loading."""
    done = process.kept(_TakenOver)
    if done.once or environ.get("OTEL_PYTHON_CONFIGURATOR") == "otel_dify":
        return
    done.once = True
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
    names = registry.disabled_by(environ)
    registry.import_bridged(names)
    registry.attach_all(names)


def _not_about_our_shutdown(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("A shutdown `MeterProvider`")
