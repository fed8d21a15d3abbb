"""Pages: what is answered at which path."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from otel_dify.cli.doctor.examined import Examined
from otel_dify.cli.health import report
from otel_dify.cli.health.counted import counted_in
from otel_dify.cli.health.exposition import CONTENT_TYPE, exposition
from otel_dify.cli.health.layer import Status, whole
from otel_dify.cli.health.layers import BASIC, LAYERS
from otel_dify.cli.health.probing import Probes
from otel_dify.cli.health.queries import slow_queries
from otel_dify.cli.health.statistics import statistics
from otel_dify.settings import STATE_PATH, host_name

LOOKED_S = 5.0
"""Seconds that services are not asked again, whoever asks."""
COUNTED_S = 1.0
"""Seconds that the files of processes are not read again."""
_JSON = "application/json; charset=utf-8"
_OK, _UNAVAILABLE = 200, 503


@dataclass(frozen=True, slots=True)
class Page:
    """What is answered.

    Attributes:
        status: the code.
        kind: its ``Content-Type``.
        body: the rest.
    """

    status: int
    kind: str
    body: bytes


type Make = Callable[[], Page]


def pages_of(examined: Examined) -> Mapping[str, Make]:
    """Return what makes the page of each path.

    Args:
        examined: where services are, and what processes have counted.
    """
    probes = Probes(examined, LAYERS, LOOKED_S)
    folder = examined.settings[STATE_PATH]

    def basic() -> Page:
        status = whole(probes.tell(BASIC))
        return _judged(status, {"status": status})

    def detailed() -> Page:
        layers = probes.tell()
        return _judged(whole(layers), report.told(host_name(), examined.now(), layers))

    def metrics() -> Page:
        text = "".join(exposition(counted_in(folder)))
        return Page(_OK, CONTENT_TYPE, text.encode())

    def stats() -> Page:
        return as_json(_OK, report.statistics_told(statistics(counted_in(folder))))

    def slow() -> Page:
        return as_json(_OK, report.queries_told(slow_queries(counted_in(folder))))

    # The probes of the first two are kept, not their pages: an answer is never older than these.
    return {
        "/health": basic,
        "/health/detailed": detailed,
        "/metrics": _Kept(metrics),
        "/stats": _Kept(stats),
        "/slow-queries": _Kept(slow),
    }


def as_json(status: int, told: Mapping[str, Any]) -> Page:
    """Make a page of JSON."""
    body = json.dumps(told, ensure_ascii=False, indent=2, allow_nan=False)
    return Page(status, _JSON, f"{body}\n".encode("utf-8", "replace"))


def _judged(status: Status, told: Mapping[str, Any]) -> Page:
    return as_json(_UNAVAILABLE if status is Status.UNHEALTHY else _OK, told)


class _Kept:
    """Makes a page once for all who ask at about the same time.

    Args:
        make: makes it.
    """

    def __init__(self, make: Make) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._page: Page | None = None
        self._made = 0.0

    def __call__(self) -> Page:
        with self._lock:
            if self._page is None or time.monotonic() - self._made >= COUNTED_S:
                self._page, self._made = self._make(), time.monotonic()
            return self._page
