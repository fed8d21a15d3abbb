"""Gauges: what is not made by operations but read when metrics are collected."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from weakref import ref

from opentelemetry.metrics import CallbackOptions, Observation

from otel_dify.guard import failed
from otel_dify.process import process
from otel_dify.signals.shown import Shown
from otel_dify.table import INSTRUMENTS, Instrument

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

    type Reading = tuple[float, dict[str, str]]
    type Read = Callable[[], Iterable[Reading]]


class Readers:
    """How the gauges of this process are read.

    Attributes:
        known: what reads each, by its name.
        own: gauges that no table has, by their names.
        meters: where gauges have been made, as long as these are there.
    """

    def __init__(self) -> None:
        self.known: dict[str, Read] = {}
        self.own: dict[str, Instrument] = {}
        self.meters: list[ref[Meter]] = []


def provide(instrument: Instrument, read: Read) -> None:
    """Say how a gauge is read in this process: values with their labels."""
    process.kept(Readers).known[instrument.name] = read


def provide_own(instrument: Instrument, read: Read) -> None:
    """Say how a gauge is read that the table does not have; it is made where it is not yet."""
    readers = process.kept(Readers)
    readers.known[instrument.name] = read
    if readers.own.setdefault(instrument.name, instrument) is instrument:
        for meter in [made for reference in readers.meters if (made := reference()) is not None]:
            _create(meter, instrument)


def create(meter: Meter) -> None:
    """Make every gauge of the table and one's own; one that nothing provides has no points."""
    readers = process.kept(Readers)
    readers.meters = [one for one in readers.meters if one() is not None] + [ref(meter)]
    for instrument in (*INSTRUMENTS, *readers.own.values()):
        if instrument.kind == "gauge":
            _create(meter, instrument)


def _create(meter: Meter, instrument: Instrument) -> None:
    read = [_callback(instrument.name)]
    meter.create_observable_gauge(instrument.name, read, instrument.unit, instrument.doc)


def _callback(name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_: CallbackOptions) -> Iterable[Observation]:
        read = process.kept(Readers).known.get(name)
        try:
            found = [] if read is None else list(read())
            shown, now = process.kept(Shown), time.time()
            for value, labels in found:
                shown.gauge(name, labels, value, now)
            return [Observation(value, labels) for value, labels in found]
        except Exception as error:  # noqa: BLE001 - other metrics of the collection must go on
            failed(f"otel_dify gauge {name}", error)
            return []

    return observe
