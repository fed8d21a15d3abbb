"""Which exporters a signal has, resolved as the OpenTelemetry specification says.

``OTEL_{TRACES,METRICS,LOGS}_EXPORTER`` names them; ``otlp`` and ``otel_dify`` are our own export,
all others are entry points of the groups that the SDK reads as well.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from otel_dify.export.delivery import Watched
from otel_dify.guard import say_once
from otel_dify.settings import (
    LOGS_EXPORTER,
    METRICS_EXPORTER,
    PROTOCOL,
    TRACES_EXPORTER,
    Settings,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMED_BY = {"traces": TRACES_EXPORTER, "metrics": METRICS_EXPORTER, "logs": LOGS_EXPORTER}
OURS = frozenset({"otlp", "otel_dify"})
"""Names of our own export."""


def exporters(settings: Settings, signal: str) -> Iterator[Any]:
    """Make the exporters of a signal that are not ours, their deliveries watched.

    An exporter that is unknown or cannot be made costs one line that says so, and is left out.

    Args:
        settings: where they are named.
        signal: ``traces``, ``metrics`` or ``logs``.
    """
    variable = _NAMED_BY[signal]
    for name in settings[variable]:
        if name == "none" or name in OURS:
            continue
        found = tuple(entry_points(group=f"opentelemetry_{signal}_exporter", name=name))
        if not found:
            say_once(_missing(variable.name, name, signal))
            continue
        try:
            exporter = found[0].load()()
        except Exception as error:  # noqa: BLE001 - made by whoever wrote the exporter
            say_once(
                f"{variable.name}: exporter {name!r} cannot be made "
                f"({type(error).__name__}: {error}), so {signal} are not sent. "
                "Check its own OTEL_EXPORTER_* variables"
            )
            continue
        says_it_itself = name == "otlp_file"
        Watched(exporter, signal, f"exporter {name!r} of {variable.name}", quiet=says_it_itself)
        yield exporter


def is_ours(settings: Settings, signal: str) -> bool:
    """Tell whether our own export sends a signal, and can; says so where it cannot.

    Args:
        settings: where exporters are named.
        signal: ``traces``, ``metrics`` or ``logs``.
    """
    if OURS.isdisjoint(settings[_NAMED_BY[signal]]):
        return False
    if settings.protocol(signal) == "grpc" and find_spec("grpc") is None:
        say_once(
            f"{PROTOCOL.name}=grpc needs the package grpcio, which is not installed, so {signal} "
            "are not sent. Install it or use http/protobuf"
        )
        return False
    return True


def _missing(variable: str, name: str, signal: str) -> str:
    known = sorted({e.name for e in entry_points(group=f"opentelemetry_{signal}_exporter")})
    choice = ", ".join(["otlp", *known, "none"])
    return (
        f"{variable}={name!r} names no exporter that is installed, so {signal} are not sent. "
        f"Use one of: {choice}"
    )
