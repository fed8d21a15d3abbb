"""The pipeline of this process: everything between the record of an operation and its sending.

Made when it is first needed (``process.py``), and one for each forked process.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from functools import cached_property

from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_dify import resource as resource_module
from otel_dify import settings as s
from otel_dify import table as t
from otel_dify.export.batches import Batches, Sends
from otel_dify.export.delivery import count_lost, quiet_stock_exporters
from otel_dify.export.exporters import exporters, is_ours
from otel_dify.export.journal.place import Place
from otel_dify.export.outlets import AllLogs, AllSpans, LogOutlet, SpanOutlet
from otel_dify.export.own import OwnExport
from otel_dify.export.sdk_outlets import SdkLogs, SdkSpans
from otel_dify.guard import caught
from otel_dify.measuring import Metrics
from otel_dify.operations.current import Open, wait_until_ended
from otel_dify.patching import have_gevent_start_threads
from otel_dify.process import process
from otel_dify.recording import SCOPE, Signals
from otel_dify.recovery import Recovery
from otel_dify.signals import gauges

SHUTDOWN_S = 2.0
"""Seconds that a process takes at its end to send what waits: what was not sent waits in its
journal for the next, and Docker kills after ten."""


class Pipeline:
    """Signals, and what sends them, of one process.

    Attributes:
        recorder: takes operations that end.
        signals: what makes signals.
    """

    def __init__(self, settings: s.Settings, role: str) -> None:
        with suppress_instrumentation():
            have_gevent_start_threads()
            self._slot = resource_module.Slot(settings[s.STATE_PATH], role)
            self._resource = resource_module.build(settings, self._slot, role, settings.environ)
            quiet_stock_exporters()
            self._provide_gauges()
            self._metrics = metrics = Metrics(settings, self._resource, self._slot)
            count_lost(metrics.store)
            ours = [signal for signal in ("traces", "logs") if is_ours(settings, signal)]
            owner = f"{re.sub(r'[^\w.-]', '_', role)}-{self._slot.number}"
            self._own = OwnExport(
                settings, ours, self._resource, owner, self._recover, counts=metrics.store
            )
            self._provide_progress()
            traces = _batches(settings, "traces", s.SPAN_DELAY, s.SPAN_QUEUE)
            logs = _batches(settings, "logs", s.LOG_DELAY, s.LOG_QUEUE)
            self.signals = Signals(
                self._resource,
                settings,
                metrics.store,
                self._spans(traces),
                self._logs(logs),
                opened=self._own.opened if "traces" in ours else None,
            )
            self.recorder = self.signals.recorder
            self._recovery = Recovery(self.recorder.points, settings.log_limits())
            self._senders: tuple[Sends, ...] = (self._own, metrics, *traces, *logs)
            metrics.start()

    def _recover(self, place: Place) -> None:
        self._recovery(place)

    def _spans(self, batches: Sequence[Batches]) -> SpanOutlet:
        """Make what spans leave by: our journal, the exporters of others, or both."""
        outlets: list[SpanOutlet] = [
            SdkSpans(batch.add, self._resource, SCOPE) for batch in batches
        ]
        if self._own.sends("traces"):
            outlets.append(self._own.spans(SCOPE))
        return outlets[0] if len(outlets) == 1 else AllSpans(outlets)

    def _logs(self, batches: Sequence[Batches]) -> Callable[[InstrumentationScope], LogOutlet]:
        """Make what log records of a scope leave by."""

        def of(scope: InstrumentationScope) -> LogOutlet:
            outlets: list[LogOutlet] = [
                SdkLogs(batch.add, self._resource, scope) for batch in batches
            ]
            if self._own.sends("logs"):
                outlets.append(self._own.logs(scope))
            return outlets[0] if len(outlets) == 1 else AllLogs(outlets)

        return of

    def _provide_gauges(self) -> None:
        gauges.provide(t.WORKERS, lambda: [(1, {})])
        gauges.provide(t.HOOK_FAILURES, _hook_failures)

    def _provide_progress(self) -> None:
        own = self._own
        gauges.provide(t.SPANS_WAITING, lambda: own.waiting("traces"))
        gauges.provide(t.LOGS_WAITING, lambda: own.waiting("logs"))
        gauges.provide(t.JOURNAL_BYTES, own.sizes)
        gauges.provide(t.JOURNAL_AGE, own.ages)

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
        deadline = time.monotonic() + SHUTDOWN_S
        for sender in self._senders:
            sender.stop(deadline)
        for sender in self._senders:
            sender.join(deadline)
        self._slot.close()

    def forget(self) -> None:
        """Let go of what a forked child holds of its parent's."""
        self.recorder.forget()
        self._own.forget()
        self._metrics.forget()
        self._slot.close()


def _batches(
    settings: s.Settings, signal: str, delay: s.Setting[int], queue: s.Setting[int]
) -> list[Batches]:
    """Make the queues of a signal, one for each of its exporters that is not ours."""
    most = settings[queue]
    return [
        Batches(exporter, signal, settings[delay], most, export_batch_size(most))
        for exporter in exporters(settings, signal)
    ]


def export_batch_size(queue: int) -> int:
    """Choose how many items are sent at once: the SDK's 512, or less where the queue is."""
    return min(512, queue)


def _hook_failures() -> list[tuple[float, dict[str, str]]]:
    return [
        (count, {"place": place, "error_type": kind}) for (place, kind), count in caught().items()
    ]
