"""Metrics of the table: instruments, and what operations record on them.

Labels of ``dify.*`` metrics are those of Dify Enterprise's data dictionary (plain ``tenant_id``,
``app_id``, ``status``); ``gen_ai.*``, ``http.*``, ``db.*`` and ``messaging.*`` metrics have the
attributes that OpenTelemetry's conventions give them, with tenant and app added.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Literal

from otel_dify.table.attribute import Attribute


@dataclass(frozen=True, slots=True)
class Instrument:
    """One metric.

    Attributes:
        name: its name.
        kind: what it is.
        unit: UCUM unit.
        doc: what it measures.
        buckets: upper bounds of a histogram's buckets, in ``unit``: the union of what all who
            read the metric ask for, since a Collector can rename but not invent a bucket.
        fractional: whether a counter adds up other than whole numbers.
    """

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    unit: str
    doc: str
    buckets: tuple[float, ...] = ()
    fractional: bool = False


class Amount(Enum):
    """What an operation records, besides the value of an attribute."""

    ONE = auto()
    DURATION = auto()


class When(Enum):
    """Which operations record.

    A run that waits for a person is two operations, one of which ended with a pause.
    """

    ENDED = auto()
    FAILED = auto()
    PAUSED = auto()
    NOT_PAUSED = auto()


@dataclass(frozen=True, slots=True)
class Recording:
    """A metric point that an operation makes when it ends.

    Attributes:
        instrument: where it is recorded.
        amount: one, the duration in seconds, or the value of an attribute (none: no point).
        labels: label name to the attribute it is taken from; absent values make no label.
        constants: labels that are the same for every operation of the kind.
        when: for which operations.
    """

    instrument: Instrument
    amount: Amount | Attribute
    labels: tuple[tuple[str, Attribute], ...]
    constants: tuple[tuple[str, str], ...] = field(default=())
    when: When = When.ENDED


RUN_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200, 3600)
NODE_BUCKETS = (0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
FIRST_CHUNK_BUCKETS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1),
    *(0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60),
)
SHORT_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
