"""Which exporters a signal has, resolved as the OpenTelemetry specification says.

``OTEL_{TRACES,METRICS,LOGS}_EXPORTER`` names them; ``otlp`` takes its protocol from the standard
variables, all others are entry points of the groups that the SDK reads as well.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from otel_dify.export.delivery import Delivery
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
_BY_PROTOCOL = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}


def exporters(settings: Settings, signal: str) -> Iterator[Any]:
    """Make the exporters of a signal, their deliveries watched.

    An exporter that is unknown or cannot be made costs one line that says so, and is left out.

    Args:
        settings: where they are named.
        signal: ``traces``, ``metrics`` or ``logs``.
    """
    variable = _NAMED_BY[signal]
    for name in settings[variable]:
        if name == "none":
            continue
        if name == "otlp" and not _addressed(settings, signal):
            continue
        entry = _BY_PROTOCOL[settings.protocol(signal)] if name == "otlp" else name
        found = tuple(entry_points(group=f"opentelemetry_{signal}_exporter", name=entry))
        if not found:
            say_once(_missing(variable.name, name, settings.protocol(signal), signal))
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
        Delivery(signal, _where(settings, signal, name), quiet=says_it_itself).watch(exporter)
        yield exporter


def _addressed(settings: Settings, signal: str) -> bool:
    """Tell whether OTLP of a signal has an address that can be used, and say so if not."""
    variable, address = settings.endpoint(signal)
    parts = urlsplit(address)
    # gRPC takes `host:port` and schemes of its own.
    if settings.protocol(signal) == "grpc" or (
        parts.scheme in {"http", "https"} and parts.hostname
    ):
        return True
    say_once(
        f"{variable}={address!r} cannot be used: expected an address such as "
        "http://otel-collector:4318. Nothing is sent there; set it right and restart"
    )
    return False


def _where(settings: Settings, signal: str, name: str) -> str:
    """Say in the operator's words where a signal goes."""
    if name != "otlp":
        return f"exporter {name!r} of {_NAMED_BY[signal].name}"
    variable, address = settings.endpoint(signal)
    return f"{variable}={address}"


def _missing(variable: str, name: str, protocol: str, signal: str) -> str:
    if name == "otlp" and protocol == "grpc":
        return (
            f"{PROTOCOL.name}=grpc needs the package opentelemetry-exporter-otlp-proto-grpc, which "
            f"is not installed, so {signal} are not sent. Install it or use http/protobuf"
        )
    known = sorted({e.name for e in entry_points(group=f"opentelemetry_{signal}_exporter")})
    choice = ", ".join(["otlp", *known, "none"])
    return (
        f"{variable}={name!r} names no exporter that is installed, so {signal} are not sent. "
        f"Use one of: {choice}"
    )
