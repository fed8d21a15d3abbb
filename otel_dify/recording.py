"""What records: everything between an operation's end, or an input, and its sending."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_dify import settings as s
from otel_dify.cleaning.content import ContentGate
from otel_dify.records.foreign import ForeignSampler, ForeignSpans
from otel_dify.records.limiting import Limits
from otel_dify.records.recorder import Recorder, Writers
from otel_dify.records.sampling import Decisions, Identities
from otel_dify.sampling.rates import Rates
from otel_dify.signals.events import EventWriter
from otel_dify.signals.logs import LogWriter
from otel_dify.signals.points import OwnStore, PointWriter, SdkStore
from otel_dify.signals.spans import SpanWriter
from otel_dify.version import __version__

if TYPE_CHECKING:
    from otel_dify.export.journal.opened import Opened
    from otel_dify.export.outlets import LogOutlet, SpanOutlet

SCOPE = InstrumentationScope("otel_dify", __version__)
LINES = InstrumentationScope("python.logging")
"""The scope of Python's log records."""


class Signals:
    """What makes signals of records and inputs, whatever they are sent by.

    Attributes:
        recorder: takes operations that end.
        lines: writes Python's log records.
        gate: what content goes into which signal.
        foreign: takes spans of foreign instrumentations.
        sampler: decides on their traces.
        store: where metric points go.

    Args:
        resource: the resource of this process.
        settings: the operator's settings.
        store: where metric points go.
        spans: takes each span on.
        logs: makes what takes the log records of a scope on.
        opened: notes what is begun, for who ends it when this process is killed.
        ids: makes ids of traces and spans; random ones where none is given.
    """

    def __init__(
        self,
        resource: Resource,
        settings: s.Settings,
        store: OwnStore | SdkStore,
        spans: SpanOutlet,
        logs: Callable[[InstrumentationScope], LogOutlet],
        *,
        opened: Opened | None = None,
        ids: IdGenerator | None = None,
    ) -> None:
        self.store = store
        self.gate = ContentGate(settings[s.CAPTURE_CONTENT])
        decisions = _decisions(settings, resource)
        limits = settings.log_limits()
        self.lines = LogWriter(logs(LINES), *limits)
        self.recorder = Recorder(
            Identities(decisions, ids or RandomIdGenerator(), resource),
            self.gate,
            Limits(settings[s.QUERY_SPAN_MS], settings[s.RUN_SPANS], settings[s.RUN_LOGS]),
            Writers(
                SpanWriter(spans, SpanLimits()),
                PointWriter(store, owner_labels=settings[s.METRIC_TENANT_LABELS]),
                EventWriter(LogWriter(logs(SCOPE), *limits), starts=settings[s.START_EVENTS]),
            ),
            opened,
        )
        self.foreign = ForeignSpans(spans.foreign, self.gate)
        self.sampler = ForeignSampler(decisions, self.recorder.decide)


def _decisions(settings: s.Settings, resource: Resource) -> Decisions:
    """Make how this process decides on traces: by the rules, and what they leave by the sampler."""
    name = settings[s.SAMPLER]
    otherwise = {
        "always_on": 1.0,
        "always_off": 0.0,
        "traceidratio": settings[s.SAMPLER_ARG],
    }[name.removeprefix("parentbased_")]
    environment = str(resource.attributes.get("deployment.environment.name", ""))
    return Decisions(
        Rates(settings[s.SAMPLING], environment, otherwise),
        drops=settings[s.SAMPLING_AT] == "sender",
        follows=name.startswith("parentbased_"),
    )
