"""The pipeline of this process: providers, recorders and exporters, made when first needed.

Nothing is made before the first operation or log record of a process, so that gunicorn's master
and Celery's parent hold no thread and no connection, and gevent has patched what it will patch.
A forked child drops what it inherited and makes its own, under its own ``service.instance.id``.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    Sampler,
    TraceIdRatioBased,
)

from otel_dify import resource as resource_module
from otel_dify import settings as s
from otel_dify.export import delivery
from otel_dify.export.exporters import exporters
from otel_dify.guard import failed, failures
from otel_dify.operations.instruments import HOOK_FAILURES, ITEMS_LOST, WORKERS
from otel_dify.operations.lifecycle import record_with, wait_until_ended
from otel_dify.operations.operation import Recorder
from otel_dify.processors.content import ContentGate
from otel_dify.processors.redactor import Redactor
from otel_dify.signals import gauges
from otel_dify.signals.events import EventRecorder
from otel_dify.signals.metrics import MetricRecorder, views
from otel_dify.signals.traces import SpanRecorder
from otel_dify.version import __version__

SCOPE = "otel_dify"


class Pipeline:
    """Providers, recorders and exporters of one process.

    Attributes:
        tracer_provider: where spans are made, ours and those of foreign instrumentations.
        meter_provider: where instruments are made.
        logger_provider: where log records are emitted.
        recorders: what turns operations into signals.
    """

    def __init__(self, settings: s.Settings, role: str) -> None:
        self._slot = resource_module.Slot(settings[s.STATE_PATH], role)
        resource = resource_module.build(settings, self._slot, role, settings.environ)
        delivery.quiet_stock_exporters()
        self.meter_provider = MeterProvider(
            [_reader(settings, exporter) for exporter in exporters(settings, "metrics")],
            resource,
            shutdown_on_exit=False,
            views=views(),
        )
        gauges.provide(WORKERS, lambda: [(1, {})])
        gauges.provide(HOOK_FAILURES, _hook_failures)
        gauges.provide(ITEMS_LOST, lambda: [(n, {"signal": s}) for s, n in delivery.lost.items()])
        gauges.create(self.meter_provider.get_meter(SCOPE, __version__))
        self.tracer_provider = TracerProvider(_sampler(settings), resource, shutdown_on_exit=False)
        for exporter in exporters(settings, "traces"):
            self.tracer_provider.add_span_processor(
                BatchSpanProcessor(
                    exporter,
                    settings[s.SPAN_QUEUE],
                    settings[s.SPAN_DELAY],
                    export_batch_size(settings[s.SPAN_QUEUE]),
                )
            )
        self.logger_provider = LoggerProvider(resource, shutdown_on_exit=False)
        for exporter in exporters(settings, "logs"):
            self.logger_provider.add_log_record_processor(
                BatchLogRecordProcessor(
                    exporter,
                    schedule_delay_millis=settings[s.LOG_DELAY],
                    max_queue_size=settings[s.LOG_QUEUE],
                    max_export_batch_size=export_batch_size(settings[s.LOG_QUEUE]),
                )
            )
        gate = ContentGate(settings[s.CAPTURE_CONTENT])
        # Spans before points and events, which carry the ids of the span that an operation has got.
        self.recorders: tuple[Recorder, ...] = (
            Redactor(),
            SpanRecorder(
                self.tracer_provider.get_tracer(SCOPE, __version__),
                gate,
                settings[s.QUERY_SPAN_MS],
            ),
            MetricRecorder(
                self.meter_provider.get_meter(SCOPE, __version__),
                owner_labels=settings[s.METRIC_TENANT_LABELS],
            ),
            EventRecorder(self.logger_provider.get_logger(SCOPE, __version__), gate),
        )

    def flush(self, timeout_ms: int = 10_000) -> None:
        """Send what waits, at most for ``timeout_ms`` a signal."""
        with suppress_instrumentation():
            for provider in (self.tracer_provider, self.logger_provider, self.meter_provider):
                provider.force_flush(timeout_ms)

    def shutdown(self) -> None:
        """Send what waits and stop; the last metrics of the process are among it."""
        with suppress_instrumentation():
            for provider in (self.tracer_provider, self.logger_provider, self.meter_provider):
                provider.shutdown()
        self._slot.close()

    def forget(self) -> None:
        """Let go of what a forked child holds of its parent's."""
        self._slot.close()


def export_batch_size(queue: int) -> int:
    """Choose how many items are sent at once: the SDK's 512, or less where the queue is."""
    return min(512, queue)


def _hook_failures() -> list[tuple[float, dict[str, str]]]:
    return [
        (count, {"place": place, "error_type": kind}) for (place, kind), count in failures.items()
    ]


def _reader(settings: s.Settings, exporter: object) -> MetricReader:
    if isinstance(exporter, MetricReader):
        return exporter
    return PeriodicExportingMetricReader(
        exporter,  # type: ignore[arg-type] # what the entry point of an exporter gives
        settings[s.METRIC_INTERVAL],
    )


def _sampler(settings: s.Settings) -> Sampler:
    name = settings[s.SAMPLER]
    root: Sampler = {
        "always_on": ALWAYS_ON,
        "always_off": ALWAYS_OFF,
        "traceidratio": TraceIdRatioBased(settings[s.SAMPLER_ARG]),
    }[name.removeprefix("parentbased_")]
    return ParentBased(root) if name.startswith("parentbased_") else root


_lock = threading.RLock()
_settings: s.Settings | None = None
_role = "python"
_pipeline: Pipeline | None = None
_making = False
_ended = False
TRAILING_S = 2.0
"""Seconds that a process waits at its end for what it has begun."""


def prepare(settings: s.Settings, role: str) -> None:
    """Say what the pipeline is to be made of; it is made when it is first needed.

    After the end it is not: threads that go on and log would have another one, which nobody ends.
    """
    global _settings, _role
    if _ended:
        return
    _settings, _role = settings, role
    record_with(recorders)


def current() -> Pipeline | None:
    """Return this process's pipeline, made now if need be; none where nothing is prepared."""
    global _pipeline, _making  # noqa: PLW0603 - one pipeline a process
    if _pipeline is not None or _settings is None:
        return _pipeline
    with _lock:
        # What is logged while the pipeline is made asks for it again.
        if _pipeline is None and not _making:
            _making = True
            try:
                with suppress_instrumentation():
                    _have_gevent_start_a_thread()
                    _pipeline = Pipeline(_settings, _role)
            except Exception as error:  # noqa: BLE001 - without a pipeline Dify runs on
                failed("otel_dify.pipeline", error)
                record_with(tuple)
            finally:
                _making = False
    return _pipeline


def _have_gevent_start_a_thread() -> None:
    """Have gevent start the thread in which it looks names up.

    At the end of a process, when the last is sent, it is too late for that (``can't create new
    thread at interpreter shutdown``), and a short process sends nothing before.
    """
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("socket"):
        from gevent import get_hub

        get_hub().threadpool.spawn(int)


def recorders() -> Sequence[Recorder]:
    """Return the recorders of this process."""
    pipeline = current()
    return pipeline.recorders if pipeline else ()


def made() -> bool:
    """Tell whether this process has its pipeline already."""
    return _pipeline is not None


def shutdown() -> None:
    """Send what waits and stop recording, for good."""
    global _pipeline, _settings, _ended
    pipeline, _pipeline, _settings, _ended = _pipeline, None, None, True
    if pipeline is not None:
        pipeline.shutdown()


def finish() -> None:
    """Shut down at the end of a process, when what goes on beyond its last request has ended.

    A run ends in a thread of its own, just after its task has seen its last event and ended; a
    conversation gets its name after its first answer.
    """
    if _pipeline is not None:
        wait_until_ended(TRAILING_S)
    shutdown()


def _forked() -> None:
    global _pipeline, _lock, _making, _ended  # noqa: PLW0603 - one pipeline a process
    if _pipeline is not None:
        _pipeline.forget()
    _pipeline, _making, _ended = None, False, False
    _lock = threading.RLock()


def _at_exit() -> None:
    """Run ``finish`` when the process ends, while threads can still be started.

    Ordinary exit handlers run after that: under gevent looking up the Collector's name then fails
    (``can't create new thread at interpreter shutdown``), and with it the last export.
    ``concurrent.futures`` uses the same hook of CPython for the same reason.
    """
    early = getattr(threading, "_register_atexit", None)
    if callable(early):
        with suppress(RuntimeError):  # the process is ending already
            early(finish)
    atexit.register(finish)


os.register_at_fork(after_in_child=_forked)
_at_exit()
