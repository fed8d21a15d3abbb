"""Measuring: where the metric points of this process go, and what collects and sends them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import (
    AlwaysOffExemplarFilter,
    AlwaysOnExemplarFilter,
    Counter,
    Histogram,
    MeterProvider,
    ObservableCounter,
    TraceBasedExemplarFilter,
)
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    Metric,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
    ResourceMetrics,
    ScopeMetrics,
)

from otel_dify import settings as s
from otel_dify.export.batches import Collections
from otel_dify.export.delivery import Watched
from otel_dify.export.encoding.metrics import MetricEncoder
from otel_dify.export.encoding.request import encode_resource, encode_scope
from otel_dify.export.encoding.values import Attributes, key_value
from otel_dify.export.exporters import exporters, is_ours
from otel_dify.export.metrics import MetricSender
from otel_dify.export.otlp import OtelDifyMetricExporter
from otel_dify.export.requests import Requests
from otel_dify.export.ticking import Ticking
from otel_dify.guard import failed, say_once
from otel_dify.operations.current import Open
from otel_dify.process import process
from otel_dify.recording import SCOPE
from otel_dify.resource import left_cells
from otel_dify.signals import gauges
from otel_dify.signals.cells import Cells, MappedCells, note_sent, read, resource_of
from otel_dify.signals.points import OwnStore, SdkStore, views
from otel_dify.signals.series import Exemplars
from otel_dify.signals.shown import Shown

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

    from otel_dify.resource import Slot

_LABELS = 16_384
"""Labels whose encoding is kept: more than a process has series, so that each is encoded once."""
LOOK_S = 60.0
"""Seconds between two looks for what dead processes have counted."""
_OF_PROCESS = frozenset({"process.pid"})
"""Attributes of a resource that are no labels of its series."""
_KEPT = "what is counted meanwhile is sent later"


class Metrics:
    """The metrics of this process.

    Points go to our store, or to the SDK's instruments: a reader that an operator adds
    (``prometheus``) gets its metrics from the SDK alone, and other temporalities than the default
    one are the SDK's.

    Attributes:
        store: where points go.

    Args:
        settings: the operator's settings.
        resource: the resource of this process.
        slot: the number that this process has.
    """

    def __init__(self, settings: s.Settings, resource: Resource, slot: Slot) -> None:
        self._settings = settings
        self._resource = resource
        self._meters: list[Meter] = []
        self._providers: list[MeterProvider] = []
        self._collections: list[Collections | MetricSender | _Reading] = []
        self._cells = Cells()
        self._next_look = 0.0
        others = list(exporters(settings, "metrics"))
        ours = is_ours(settings, "metrics")
        self._shown = cells_of(slot.shown, resource)
        process.kept(Shown).begin(self._shown)
        of_sdk = settings[s.TEMPORALITY] != "cumulative"
        self.store: OwnStore | SdkStore
        if of_sdk or any(isinstance(exporter, MetricReader) for exporter in others):
            if ours:
                others.append(_by_sdk(settings))
            self.store = self._of_sdk(others)
            return
        if ours or not others:
            # Who sends none may have them read from there (`otel-dify health`).
            self._cells = cells_of(slot.cells, resource)
        self.store = store = OwnStore(Exemplars(settings[s.EXEMPLARS]), self._cells)
        for exporter in others:
            collect = _for_sdk(self._collecting(store), resource)
            every_ms, timeout_ms = settings[s.METRIC_INTERVAL], settings[s.METRIC_TIMEOUT]
            self._collections.append(Collections(exporter, collect, every_ms, timeout_ms))
        if ours:
            self._collections.append(self._sender(store))
        if not self._collections:
            self._collections.append(_Reading(self._collecting(store), settings))

    def _provider(self, readers: Sequence[MetricReader]) -> MeterProvider:
        exemplar_filter = {
            "always_on": AlwaysOnExemplarFilter(),
            "always_off": AlwaysOffExemplarFilter(),
            "trace_based": TraceBasedExemplarFilter(),
        }[self._settings[s.EXEMPLARS]]
        return MeterProvider(
            readers, self._resource, exemplar_filter, shutdown_on_exit=False, views=views()
        )

    def _meter(self, provider: MeterProvider) -> Meter:
        """Make the meter of a provider, with our gauges."""
        meter = provider.get_meter(SCOPE.name, SCOPE.version)
        gauges.create(meter)
        # Newer SDKs forget the instruments of a meter that nobody holds.
        self._meters.append(meter)
        return meter

    def _of_sdk(self, exporters: Sequence[Any]) -> SdkStore:
        every_ms, timeout_ms = self._settings[s.METRIC_INTERVAL], self._settings[s.METRIC_TIMEOUT]
        readers = [
            exporter
            if isinstance(exporter, MetricReader)
            else PeriodicExportingMetricReader(exporter, every_ms, timeout_ms)
            for exporter in exporters
        ]
        provider = self._provider(readers)
        self._providers.append(provider)
        return SdkStore(self._meter(provider))

    def _collecting(self, store: OwnStore) -> Callable[[], list[Metric]]:
        """Return what collects gauges from the SDK and points from our store."""
        reader = InMemoryMetricReader()
        self._meter(self._provider([reader]))

        def collect() -> list[Metric]:
            # Nothing else may happen in this process for long.
            process.kept(Open).end_dropped()
            read_ = reader.get_metrics_data()
            metrics = [
                metric
                for of_resource in (read_.resource_metrics if read_ is not None else ())
                for of_scope in of_resource.scope_metrics
                for metric in of_scope.metrics
            ]
            metrics += store.collect()
            return metrics

        return collect

    def _sender(self, store: OwnStore) -> MetricSender:
        most_s = self._settings[s.METRIC_TIMEOUT] / 1000
        return MetricSender(
            self._collecting(store),
            MetricEncoder(Attributes(_LABELS), kept=_LABELS),
            encode_resource(self._resource),
            encode_scope(SCOPE),
            requests=Requests.of(self._settings, "metrics", _KEPT, store, most_s),
            every_s=self._settings[s.METRIC_INTERVAL] / 1000,
            sent=self._cells.note_sent,
            look=self._look,
        )

    def _look(self, sender: MetricSender) -> None:
        """Send the last values of processes that are dead and whose number nobody has, once."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_S
        for path in left_cells(self._settings[s.STATE_PATH]):
            try:
                send_left(sender, path)
            except (OSError, ValueError) as error:
                failed("otel_dify.measuring left", error)

    def start(self) -> None:
        """Begin to collect, with the first thing recorded."""
        for one in self._collections:
            one.start()

    def flush(self, timeout_ms: int) -> None:
        """Collect and send."""
        for one in self._collections:
            one.flush(timeout_ms)
        with suppress_instrumentation():
            for provider in self._providers:
                provider.force_flush(timeout_ms)

    def stop(self, deadline: float) -> None:
        """Have metrics collected and sent a last time."""
        for one in self._collections:
            one.stop(deadline)

    def join(self, deadline: float) -> None:
        """Wait until that is done."""
        for one in self._collections:
            one.join(deadline)
        left_ms = max(deadline - time.monotonic(), 0.5) * 1000
        with suppress_instrumentation():
            for provider in self._providers:
                provider.shutdown(left_ms)
        self._close()

    def forget(self) -> None:
        """Let go of what a forked child has of its parent's."""
        if isinstance(self.store, OwnStore):
            self.store.forget()
        self._close()

    def _close(self) -> None:
        for cells in (self._cells, self._shown):
            cells.close()


class _Reading:
    """Reads gauges at intervals where nobody collects metrics to send them.

    Args:
        collect: collects all metrics.
        settings: say how often.
    """

    def __init__(self, collect: Callable[[], list[Metric]], settings: s.Settings) -> None:
        self._collect = collect
        self._ticking = Ticking("otel_dify-gauges", settings[s.METRIC_INTERVAL] / 1000, self._read)

    def _read(self) -> None:
        self._collect()

    def start(self) -> None:
        """Begin."""
        self._ticking.start()

    def flush(self, timeout_ms: int) -> None:
        """Read now."""
        del timeout_ms
        with suppress_instrumentation():
            self._collect()

    def stop(self, deadline: float) -> None:
        """Have them read a last time."""
        del deadline
        self._ticking.stop()

    def join(self, deadline: float) -> bool:
        """Wait until that is done."""
        return self._ticking.join(deadline)


def cells_of(path: Path | None, resource: Resource) -> Cells:
    """Make the cells of a process: in a file of its number, where it has one.

    Args:
        path: the file; none for cells in memory.
        resource: the resource of the process.
    """
    try:
        if path is None:
            return Cells()
        identity = [
            key_value(name, value) or b""
            for name, value in resource.attributes.items()
            if name not in _OF_PROCESS
        ]
        return MappedCells(path, encode_resource(resource), identity)
    except OSError as error:
        say_once(
            f"{path} cannot be written ({error.strerror}): what is counted is lost if this process "
            f"is killed. Set {s.STATE_PATH.name} to a folder that Dify may write to"
        )
        return Cells()


_TEMPORALITIES: dict[str, dict[type, AggregationTemporality]] = {
    "cumulative": {},
    "delta": {
        Counter: AggregationTemporality.DELTA,
        Histogram: AggregationTemporality.DELTA,
        ObservableCounter: AggregationTemporality.DELTA,
    },
    "lowmemory": {
        Counter: AggregationTemporality.DELTA,
        Histogram: AggregationTemporality.DELTA,
    },
}
"""What a preference of temporality means (specification of the OTLP metrics exporter)."""


def _by_sdk(settings: s.Settings) -> OtelDifyMetricExporter:
    """Make our exporter of metrics that the SDK collects."""
    temporality = dict(_TEMPORALITIES[settings[s.TEMPORALITY]])
    exporter = OtelDifyMetricExporter(settings.environ, temporality)
    Watched(exporter, "metrics", exporter.where)
    return exporter


def send_left(sender: MetricSender, path: Path) -> bool:
    """Send what a file holds, unless that was done; tell whether it is done.

    Raises:
        OSError: it cannot be read or written.
        ValueError: it is damaged.
    """
    resource = resource_of(path)
    if resource is None:
        return True
    left = Cells()
    left.entries.extend(read(path))
    done = sender.send(resource, list(OwnStore(Exemplars("always_off"), left).collect()))
    if done:
        note_sent(path)
    return done


def _for_sdk(
    collect: Callable[[], list[Metric]], resource: Resource
) -> Callable[[], MetricsData | None]:
    """Return what collects for an exporter of the SDK.

    One resource and scope: of two that are the same, the stock encoder forgets the first.
    """

    def collected() -> MetricsData | None:
        metrics = collect()
        if not metrics:
            return None
        scope = ScopeMetrics(SCOPE, metrics, SCOPE.schema_url or "")
        return MetricsData([ResourceMetrics(resource, [scope], resource.schema_url)])

    return collected
