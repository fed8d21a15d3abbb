"""A test span, metric and log record: made for once, encoded as Dify's are, sent as they are."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from otel_dify.settings import host_name

SERVICE = "otel-dify-doctor"
"""Its service name: no dashboard and no alert of Dify's counts it."""
SPAN = "otel-dify doctor"
METRIC = "otel_dify.doctor.time"
"""A gauge that has the time of the test: one series for a host, however often it is run."""
LOG_NAME = "otel-dify doctor"


@dataclass(frozen=True, slots=True)
class Sent:
    """What tells one test from all others.

    Attributes:
        trace_id: of the span and the log record.
        span_id: the same.
        seconds: when it was made, since the epoch; the metric's value.
    """

    trace_id: int
    span_id: int
    seconds: float


def make(now: Callable[[], float]) -> Sent:
    """Make one that there was never before."""
    # To the millisecond: a value that comes back as it was.
    return Sent(secrets.randbits(127) + 1, secrets.randbits(63) + 1, round(now(), 3))


def body_of(sent: Sent, signal: str) -> bytes:
    """Return the body of the request for one signal.

    Args:
        sent: the test.
        signal: ``traces``, ``metrics`` or ``logs``.
    """
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from otel_dify.export.encoding.request import encode_resource, encode_scope, request
    from otel_dify.version import __version__

    host = host_name()
    resource = Resource(
        {"service.name": SERVICE, "service.instance.id": f"{host}:doctor", "host.name": host}
    )
    scope = InstrumentationScope("otel_dify.doctor", __version__)
    record = {"traces": _span, "metrics": _metric, "logs": _log}[signal](sent)
    return request(encode_resource(resource), [(encode_scope(scope), [record])])


def _span(sent: Sent) -> bytes:
    from opentelemetry.trace import SpanContext, SpanKind, StatusCode, TraceFlags

    from otel_dify.export.encoding.spans import SpanEncoder

    context = SpanContext(sent.trace_id, sent.span_id, False, TraceFlags(TraceFlags.SAMPLED))
    at_ns = _ns(sent)
    return SpanEncoder().encode(
        *(SPAN, context, None, SpanKind.INTERNAL, at_ns - 1_000_000, at_ns),
        *({}, (), (), StatusCode.UNSET, None),
    )


def _metric(sent: Sent) -> bytes:
    from opentelemetry.sdk.metrics.export import Gauge, Metric, NumberDataPoint

    from otel_dify.export.encoding.metrics import MetricEncoder
    from otel_dify.export.encoding.values import Attributes

    point = NumberDataPoint({}, _ns(sent), _ns(sent), sent.seconds, [])
    told = "When otel-dify doctor was last run, seconds since the epoch."
    return MetricEncoder(Attributes()).encode(Metric(METRIC, told, "s", Gauge([point])))


def _log(sent: Sent) -> bytes:
    from otel_dify.export.encoding.logs import LogEncoder

    at_ns, info = _ns(sent), 9
    return LogEncoder().encode(
        *(at_ns, at_ns, sent.trace_id, sent.span_id, 1, info, "INFO"),
        *(f"{LOG_NAME}: a test log record", {}, None),
    )


def _ns(sent: Sent) -> int:
    return int(sent.seconds * 1e9)
