"""The pipeline of this process: everything between the record of an operation and its sending.

Made when it is first needed (``process.py``), and one for each forked process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import (
    AlwaysOffExemplarFilter,
    AlwaysOnExemplarFilter,
    MeterProvider,
    TraceBasedExemplarFilter,
)
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from otel_dify import resource as resource_module
from otel_dify import settings as s
from otel_dify import table as t
from otel_dify.export.batches import Batches, Collections, Sender
from otel_dify.export.delivery import lost, quiet_stock_exporters
from otel_dify.export.exporters import exporters
from otel_dify.guard import caught
from otel_dify.operations.current import Open, wait_until_ended
from otel_dify.patching import have_gevent_start_a_thread
from otel_dify.process import process
from otel_dify.recording import SCOPE, Signals
from otel_dify.signals import gauges
from otel_dify.signals.points import OwnStore, SdkStore, views
from otel_dify.signals.series import Exemplars


class Pipeline:
    """Signals, and what sends them, of one process.

    Attributes:
        recorder: takes operations that end.
        signals: what makes signals.
    """

    def __init__(self, settings: s.Settings, role: str) -> None:
        with suppress_instrumentation():
            have_gevent_start_a_thread()
            self._slot = resource_module.Slot(settings[s.STATE_PATH], role)
            self._resource = resource_module.build(settings, self._slot, role, settings.environ)
            quiet_stock_exporters()
            traces = _batches(settings, "traces", s.SPAN_DELAY, s.SPAN_QUEUE)
            logs = _batches(settings, "logs", s.LOG_DELAY, s.LOG_QUEUE)
            self._meters: list[Meter] = []
            self._provide_gauges()
            store, metrics = self._metrics(settings)
            self.signals = Signals(self._resource, settings, store, _to_all(traces), _to_all(logs))
            self.recorder = self.signals.recorder
            self._senders: tuple[Sender, ...] = (*traces, *logs, *metrics)

    def _metrics(
        self, settings: s.Settings
    ) -> tuple[OwnStore | SdkStore, Sequence[Collections | _OfSdk]]:
        """Choose where points go: to our store, or to the SDK's instruments.

        A reader that an operator adds (``prometheus``) gets its metrics from the SDK alone, and
        other temporalities than the default one are the SDK's.
        """
        made = list(exporters(settings, "metrics"))
        name = settings[s.EXEMPLARS]
        exemplar_filter = {
            "always_on": AlwaysOnExemplarFilter(),
            "always_off": AlwaysOffExemplarFilter(),
            "trace_based": TraceBasedExemplarFilter(),
        }[name]

        def provider(readers: Sequence[MetricReader]) -> MeterProvider:
            return MeterProvider(
                readers,
                self._resource,
                exemplar_filter,
                shutdown_on_exit=False,
                views=views(),
            )

        every_ms, timeout_ms = settings[s.METRIC_INTERVAL], settings[s.METRIC_TIMEOUT]
        of_sdk = settings[s.TEMPORALITY] != "cumulative"
        if of_sdk or any(isinstance(exporter, MetricReader) for exporter in made):
            readers = [
                exporter
                if isinstance(exporter, MetricReader)
                else PeriodicExportingMetricReader(exporter, every_ms, timeout_ms)
                for exporter in made
            ]
            meters = provider(readers)
            meter = meters.get_meter(SCOPE.name, SCOPE.version)
            gauges.create(meter)
            return SdkStore(meter), [_OfSdk(meters)]
        store = OwnStore(Exemplars(name))
        collections = []
        for exporter in made:
            reader = InMemoryMetricReader()
            meter = provider([reader]).get_meter(SCOPE.name, SCOPE.version)
            gauges.create(meter)
            # Newer SDKs forget the instruments of a meter that nobody holds.
            self._meters.append(meter)
            collect = _collecting(reader, store, self._resource)
            collections.append(Collections(exporter, collect, every_ms, timeout_ms))
            collections[-1].start()
        return store, collections

    def _provide_gauges(self) -> None:
        gauges.provide(t.WORKERS, lambda: [(1, {})])
        gauges.provide(t.HOOK_FAILURES, _hook_failures)
        gauges.provide(
            t.ITEMS_LOST,
            lambda: [(n, {"signal": signal}) for signal, n in lost().items()],
        )

    @cached_property
    def tracer_provider(self) -> TracerProvider:
        """The provider of foreign instrumentations' spans; most processes need none."""
        made = TracerProvider(self.signals.sampler, self._resource, shutdown_on_exit=False)
        made.add_span_processor(self.signals.foreign)
        return made

    def wait_until_ended(self, seconds: float) -> None:
        """Wait, at most for so long, until every operation has ended."""
        wait_until_ended(seconds)

    def flush(self, timeout_ms: int = 10_000) -> None:
        """Send what waits, at most for ``timeout_ms`` a signal."""
        process.kept(Open).end_dropped()
        for sender in self._senders:
            sender.flush(timeout_ms)

    def shutdown(self) -> None:
        """Send what waits and stop; the last metrics of the process are among it."""
        process.kept(Open).end_dropped()
        for sender in self._senders:
            sender.shutdown()
        self._slot.close()

    def forget(self) -> None:
        """Let go of what a forked child holds of its parent's."""
        self._slot.close()


class _OfSdk:
    """Sends metrics by the SDK's own readers."""

    def __init__(self, meters: MeterProvider) -> None:
        self._meters = meters

    def flush(self, timeout_ms: int) -> None:
        """Collect and send."""
        with suppress_instrumentation():
            self._meters.force_flush(timeout_ms)

    def shutdown(self) -> None:
        """Collect and send the last of it, and stop."""
        with suppress_instrumentation():
            self._meters.shutdown()


def _batches(
    settings: s.Settings, signal: str, delay: s.Setting[int], queue: s.Setting[int]
) -> list[Batches]:
    """Make the queues of a signal, one for each of its exporters."""
    most = settings[queue]
    return [
        Batches(exporter, signal, settings[delay], most, export_batch_size(most))
        for exporter in exporters(settings, signal)
    ]


def _to_all(batches: Sequence[Batches]) -> Callable[[Any], None]:
    """Return what puts an item into each of some queues."""
    if len(batches) == 1:
        return batches[0].add

    def add(item: Any) -> None:
        for batch in batches:
            batch.add(item)

    return add


def _collecting(
    reader: InMemoryMetricReader, store: OwnStore, resource: Resource
) -> Callable[[], MetricsData | None]:
    """Return what collects gauges from the SDK and points from our store."""

    def collect() -> MetricsData | None:
        # Nothing else may happen in this process for long.
        process.kept(Open).end_dropped()
        read = reader.get_metrics_data()
        # One resource and scope: of two that are the same, the stock encoder forgets the first.
        metrics = [
            metric
            for of_resource in (read.resource_metrics if read is not None else ())
            for of_scope in of_resource.scope_metrics
            for metric in of_scope.metrics
        ]
        metrics += store.collect()
        if not metrics:
            return None
        scope = ScopeMetrics(SCOPE, metrics, SCOPE.schema_url or "")
        return MetricsData([ResourceMetrics(resource, [scope], resource.schema_url)])

    return collect


def export_batch_size(queue: int) -> int:
    """Choose how many items are sent at once: the SDK's 512, or less where the queue is."""
    return min(512, queue)


def _hook_failures() -> list[tuple[float, dict[str, str]]]:
    return [
        (count, {"place": place, "error_type": kind}) for (place, kind), count in caught().items()
    ]
