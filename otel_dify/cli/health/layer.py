"""Layers: what Dify stands on, one by one, and how well each is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How well a layer is."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """It works, and slowly, or not for long."""
    UNHEALTHY = "unhealthy"
    """It does not work."""
    NOT_CONFIGURED = "not configured"
    """Dify does not use it here, or nothing says where it is."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a layer.

    Attributes:
        status: how well it is.
        what: what was seen, a sentence without a full stop. It holds no secret.
    """

    status: Status
    what: str


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of a layer.

    Attributes:
        name: which one.
        status: how well it is.
        what: what was seen.
        latency_ms: milliseconds that looking took.
        essential: whether Dify does not work without it.
    """

    name: str
    status: Status
    what: str
    latency_ms: float
    essential: bool


def whole(layers: Iterable[Told]) -> Status:
    """Tell how well all is: unhealthy where a layer is that Dify does not work without."""
    found = Status.HEALTHY
    for layer in layers:
        if layer.status is Status.UNHEALTHY and layer.essential:
            return Status.UNHEALTHY
        if layer.status in {Status.UNHEALTHY, Status.DEGRADED}:
            found = Status.DEGRADED
    return found


def healthy(what: str) -> Seen:
    """See that a layer is well."""
    return Seen(Status.HEALTHY, what)


def degraded(what: str) -> Seen:
    """See that it works, and not as it should."""
    return Seen(Status.DEGRADED, what)


def unhealthy(what: str) -> Seen:
    """See that it does not work."""
    return Seen(Status.UNHEALTHY, what)


def not_configured(what: str) -> Seen:
    """See that there is none here."""
    return Seen(Status.NOT_CONFIGURED, what)
