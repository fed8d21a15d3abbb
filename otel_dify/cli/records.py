"""What the viewer reads: spans, metric points and log records, as OTLP has them.

Times are nanoseconds since the epoch; ids are lower-case hexadecimal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

type Value = str | bool | int | float | list[Value] | dict[str, Value] | None
type Attributes = Mapping[str, Value]
type Kind = Literal["sum", "gauge", "distribution"]


@dataclass(frozen=True, slots=True)
class Process:
    """Where a record comes from, told from its resource.

    Attributes:
        service: ``service.name``.
        instance: ``service.instance.id``.
        pid: ``process.pid``.
    """

    service: str = ""
    instance: str = ""
    pid: str = ""

    @property
    def label(self) -> str:
        """Name it for a reader, by whatever is known of it."""
        pid = f"pid {self.pid}" if self.pid else ""
        return " ".join(part for part in (self.service, self.instance, pid) if part) or "unnamed"


@dataclass(frozen=True, slots=True)
class Event:
    """A span event."""

    name: str
    at_ns: int
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Link:
    """A link from a span to another one."""

    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True)
class Span:
    """A span.

    Attributes:
        parent_id: id of its parent, empty for a root.
        end_ns: 0 where the span was exported before it ended.
        failed: whether its status is an error.
        message: message of that status.
        kind: OTLP's number of its span kind, 1 (internal) to 5 (consumer); 0 where it is not known.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start_ns: int
    end_ns: int
    attributes: Attributes
    failed: bool
    message: str
    process: Process
    events: tuple[Event, ...] = ()
    links: tuple[Link, ...] = ()
    kind: int = 0

    @property
    def duration_ns(self) -> int:
        """Nanoseconds from start to end; 0 for an open span or a clock that was set back."""
        return max(self.end_ns - self.start_ns, 0)

    def text(self, key: str) -> str:
        """Return an attribute as text, empty where the span has none."""
        value = self.attributes.get(key)
        return "" if value is None else str(value)

    def number(self, key: str) -> float:
        """Return a numeric attribute, 0 where the span has none, or one that is no amount."""
        value = self.attributes.get(key)
        return value if isinstance(value, int | float) and math.isfinite(value) else 0


@dataclass(frozen=True, slots=True)
class Point:
    """A data point of a metric.

    Attributes:
        kind: ``sum`` adds up, ``gauge`` is a momentary value, ``distribution`` is any kind of
            histogram or summary.
        cumulative: whether ``value`` counts from ``start_ns`` on; else it is one interval's.
        attributes: sorted, so that points of one series compare equal.
        value: value of a sum or gauge; sum of a distribution.
        count: number of values in a distribution.
        bounds: upper bounds of the buckets but the last; empty where quantiles are not known.
        buckets: values in each bucket.
    """

    name: str
    unit: str
    kind: Kind
    cumulative: bool
    attributes: tuple[tuple[str, str], ...]
    start_ns: int
    at_ns: int
    process: Process
    value: float
    count: int = 0
    bounds: tuple[float, ...] = ()
    buckets: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Log:
    """A log record.

    Attributes:
        severity: OTLP severity number, 1 to 24; 0 where there is none.
        source: event name, else the logger.
    """

    trace_id: str
    span_id: str
    at_ns: int
    severity: int
    severity_text: str
    source: str
    body: Value
    attributes: Attributes
    process: Process


@dataclass(slots=True)
class Telemetry:
    """All that was read, and one sentence for each thing that could not be."""

    spans: list[Span] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    logs: list[Log] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
