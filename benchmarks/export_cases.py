"""One child process of the export benchmark: ``python -m benchmarks.export_cases CASE VARIANT``.

It exports what the case says to the receiver at ``OTEL_EXPORTER_OTLP_ENDPOINT`` and prints JSON:
what was measured by name, and under ``made`` how many items the receiver should have.

Variants are ``stock`` (OpenTelemetry's exporter by HTTP, behind the SDK's batch processor),
``ours`` (journal and sender as Dify's processes have them) and ``ours-sdk`` (our exporter behind
the SDK's batch processor). An item's CPU is that of the process, from the item's end to the
receiver's acknowledgement.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import cycle, islice
from typing import Any

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext

from benchmarks import export_items as items
from benchmarks.journals import backlog, journal
from benchmarks.measuring import LEAST_NS, LOOPS, Measured, Telemetry, measure
from otel_dify.export.encoding.metrics import MetricEncoder
from otel_dify.export.encoding.request import encode_resource, encode_scope
from otel_dify.export.encoding.values import Attributes
from otel_dify.export.metrics import MetricSender
from otel_dify.export.otlp import OtelDifyLogExporter, OtelDifyMetricExporter, OtelDifySpanExporter
from otel_dify.export.outlets import LogData, SpanData
from otel_dify.export.own import OwnExport
from otel_dify.export.progress import Uncounted
from otel_dify.export.requests import Requests
from otel_dify.settings import STATE_PATH, Settings
from otel_dify.signals.cells import MappedCells
from otel_dify.signals.points import OwnStore, views
from otel_dify.signals.series import Exemplars, Series

FLUSH_MS = 120_000
LABELS_KEPT = 16_384
"""As ``otel_dify.measuring`` has it."""
_NEVER_MS = 3_600_000
BURST = 30_000
"""Spans that end one after the other where memory is measured."""

type Found = dict[str, Any]


class _Counting:
    """Passes items on, and knows how many.

    Args:
        take: takes the arguments of one.
        of: the arguments of those that there are; they come again and again.
    """

    def __init__(self, take: Callable[..., object], of: Sequence[tuple[Any, ...]]) -> None:
        self._take = take
        self._of = of
        self.made = 0

    def work(self, number: int) -> None:
        """Pass so many on."""
        take = self._take
        for item in islice(cycle(self._of), number):
            take(*item)
        self.made += number


def own_export(signal: str) -> OwnExport:
    """Make what sends a signal in a process of Dify."""
    return OwnExport(Settings(), [signal], items.RESOURCE, "bench-0", lambda _: None)


def span_taker(variant: str) -> tuple[Callable[..., object], Callable[[], object]]:
    """Make what takes spans that have ended, and what flushes it."""
    if variant == "ours":
        own = own_export("traces")
        outlet = own.spans(items.SCOPE)
        return lambda *span: outlet.span(SpanData._make(span)), lambda: own.flush(FLUSH_MS)
    exporter = OTLPSpanExporter() if variant == "stock" else OtelDifySpanExporter()
    processor = BatchSpanProcessor(exporter)

    def flush() -> None:
        processor.force_flush(FLUSH_MS)
        exporter.force_flush(FLUSH_MS)

    return processor.on_end, flush


def spans(variant: str, attributes: int, *, new: bool = False) -> Found:
    """Measure a span of so many attributes and two events."""
    made = items.spans(attributes, new=new)
    of = [items.of_ours(span) for span in made] if variant == "ours" else [(one,) for one in made]
    take, flush = span_taker(variant)
    counting = _Counting(take, of)
    measured = measure(Telemetry(flush=flush), counting.work)
    return {"item": vars(measured), "made": counting.made}


def logs(variant: str) -> Found:
    """Measure a log record of five attributes."""
    made = items.logs()
    of: list[tuple[Any, ...]] = [(one,) for one in made]
    if variant == "ours":
        own = own_export("logs")
        outlet = own.logs(items.SCOPE)

        def take(*log: Any) -> None:
            outlet.log(LogData._make(log))

        of = [
            (
                one.log_record.timestamp,
                INVALID_SPAN_CONTEXT,
                one.log_record.severity_number,
                one.log_record.severity_text,
                one.log_record.body,
                dict(one.log_record.attributes or {}),
                None,
            )
            for one in made
        ]

        def flush() -> None:
            own.flush(FLUSH_MS)

    else:
        exporter = OTLPLogExporter() if variant == "stock" else OtelDifyLogExporter()
        processor = BatchLogRecordProcessor(exporter)
        take = processor.on_emit

        def flush() -> None:
            processor.force_flush(FLUSH_MS)
            if isinstance(exporter, OtelDifyLogExporter):
                exporter.force_flush(FLUSH_MS)

    counting = _Counting(take, of)
    measured = measure(Telemetry(flush=flush), counting.work)
    return {"item": vars(measured), "made": counting.made}


def metrics(variant: str, series: int) -> Found:
    """Measure the collection and export of so many series, each changed since the last one."""
    by_instrument = series // len(items.INSTRUMENTS)
    amount = items.amounts()
    records, flush = (_own_metrics if variant == "ours" else _sdk_metrics)(variant, by_instrument)

    def change() -> None:
        for record in records:
            record(amount())

    measured, collections = _measure_apart(change, flush)
    return {"item": vars(measured), "made": collections * len(items.INSTRUMENTS)}


def _own_metrics(
    _variant: str, by_instrument: int
) -> tuple[list[Callable[[float], object]], Callable[[], object]]:
    settings = Settings()
    resource = encode_resource(items.RESOURCE)
    settings[STATE_PATH].mkdir(parents=True, exist_ok=True)
    store = OwnStore(
        Exemplars(), MappedCells(settings[STATE_PATH] / f"bench-{os.getpid()}.cells", resource)
    )
    series = [
        store.series(instrument, items.labels(number))
        for instrument in items.INSTRUMENTS
        for number in range(by_instrument)
    ]
    sender = MetricSender(
        lambda: list(store.collect()),
        MetricEncoder(Attributes(LABELS_KEPT), kept=LABELS_KEPT),
        resource,
        encode_scope(items.SCOPE),
        requests=Requests.of(settings, "metrics", "", Uncounted()),
        every_s=_NEVER_MS / 1000,
        sent=lambda: None,
        look=lambda _: None,
    )
    records: list[Callable[[float], object]] = [
        partial(_record, INVALID_SPAN_CONTEXT, one) for one in series
    ]
    return records, lambda: sender.flush(FLUSH_MS)


def _sdk_metrics(
    variant: str, by_instrument: int
) -> tuple[list[Callable[[float], object]], Callable[[], object]]:
    exporter = OTLPMetricExporter() if variant == "stock" else OtelDifyMetricExporter()
    reader = PeriodicExportingMetricReader(exporter, _NEVER_MS)
    provider = MeterProvider([reader], items.RESOURCE, shutdown_on_exit=False, views=views())
    meter = provider.get_meter(items.SCOPE.name, items.SCOPE.version)
    records: list[Callable[[float], object]] = []
    for instrument in items.INSTRUMENTS:
        described = (instrument.name, instrument.unit, instrument.doc)
        add: Callable[..., object] = (
            meter.create_counter(*described).add
            if instrument.kind == "counter"
            else meter.create_histogram(*described).record
        )
        records += [partial(_add, add, items.labels(number)) for number in range(by_instrument)]
    return records, lambda: provider.force_flush(FLUSH_MS)


def _record(span: SpanContext, series: Series, amount: float) -> None:
    series.record(amount, span, 0)


def _add(add: Callable[..., object], labels: Mapping[str, str], amount: float) -> None:
    add(amount, labels)


def _measure_apart(
    prepare: Callable[[], object], work: Callable[[], object]
) -> tuple[Measured, int]:
    """Measure ``work``, each time after ``prepare``, which is not measured; tell how often it ran.

    The first one is not counted, since it makes what the others use.
    """
    cpu: list[int] = []
    wall: list[int] = []
    while len(cpu) <= LOOPS or sum(cpu) < LOOPS * LEAST_NS:
        prepare()
        began, began_wall = time.process_time_ns(), time.perf_counter_ns()
        work()
        cpu.append(time.process_time_ns() - began)
        wall.append(time.perf_counter_ns() - began_wall)
    us, wall_us = (statistics.median(times[1:]) / 1000 for times in (cpu, wall))
    measured = Measured(us, wall_us, exported={})
    return measured, len(cpu)


def memory(variant: str) -> Found:
    """Measure what a burst of spans adds to the resident memory of the process at its highest."""
    made = items.spans(15)
    of = [items.of_ours(span) for span in made] if variant == "ours" else [(one,) for one in made]
    take, flush = span_taker(variant)
    counting = _Counting(take, of)
    before = _resident("VmRSS")
    counting.work(BURST)
    flush()
    return {"megabytes": (_resident("VmHWM") - before) / 1024, "made": counting.made}


def _resident(name: str) -> int:
    """Read the resident memory of this process, or its highest, in KiB.

    ``getrusage`` has the parent's highest before ``exec``.
    """
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - no file
        return next(int(line.split()[1]) for line in status if line.startswith(name))


def journal_alone(variant: str) -> Found:
    """Measure the journal without anything around it."""
    return {name: vars(measured) for name, measured in journal(variant)}


def draining(_variant: str) -> Found:
    """Measure how what a dead process has left is sent."""
    left = backlog([items.of_ours(span) for span in items.spans(15)], own_export)
    before = _resident("VmRSS")
    own = own_export("traces")
    began, began_wall = time.process_time_ns(), time.perf_counter_ns()
    deadline = time.monotonic() + FLUSH_MS / 1000
    own.stop(deadline)
    own.join(deadline)
    return {
        "item": {
            "us": (time.process_time_ns() - began) / left / 1000,
            "wall_us": (time.perf_counter_ns() - began_wall) / left / 1000,
        },
        "megabytes": max(_resident("VmHWM") - before, 0) / 1024,
        "made": left,
    }


CASES: dict[str, Callable[[str], Found]] = {
    "spans 0": lambda variant: spans(variant, 0),
    "spans 15": lambda variant: spans(variant, 15),
    "spans 40": lambda variant: spans(variant, 40),
    "spans 15 new": lambda variant: spans(variant, 15, new=True),
    "logs": logs,
    "metrics 1k": lambda variant: metrics(variant, 1_000),
    "metrics 10k": lambda variant: metrics(variant, 10_000),
    "collector": lambda variant: spans(variant, 15),
    "memory": memory,
    "journal": journal_alone,
    "backlog": draining,
}


def main(arguments: Iterable[str]) -> None:
    """Measure, print, and end at once: what a process does at its end is no part of this."""
    case, variant = arguments
    print(json.dumps(CASES[case](variant)), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
