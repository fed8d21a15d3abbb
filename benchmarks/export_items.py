"""What the export benchmark exports: spans, log records and metrics as a run of Dify makes them.

A few apps, a few dozen nodes, a run id for a dozen spans, and an id and a price for each: what
repeats and what is new decides what an encoder that remembers can save. Spans and log records are
made by OpenTelemetry's SDK, before anything is measured.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_dify import table as t
from otel_dify.table.instrument import Instrument

RESOURCE = Resource(
    {
        "service.name": "dify-worker",
        "service.namespace": "dify",
        "service.instance.id": "host:worker:0",
        "host.name": "host",
        "process.pid": 4711,
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "deployment.environment.name": "production",
    }
)
SCOPE = InstrumentationScope("bench", "1")
DIFFERENT = 8_192
"""Different spans, or log records: twice as many as an encoder of ours remembers attributes."""
_SPANS_OF_A_RUN = 12

type Attributes = dict[str, str | int | float]
type SpanOfOurs = tuple[Any, ...]


def _id(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


def _attributes(number: int, chance: random.Random) -> Iterator[Attributes]:
    """Yield the attributes of spans: 15 of a node that calls a model, then more of the kind."""
    tenants, apps, workflows = ([_id(chance) for _ in range(8)] for _ in range(3))
    nodes = [f"Summarise the source {n}" for n in range(40)]
    run, seen = "", 0
    while True:
        if seen % _SPANS_OF_A_RUN == 0:
            run = _id(chance)
        app = seen // _SPANS_OF_A_RUN % len(apps)
        seen += 1
        whole: Attributes = {
            "dify.tenant_id": tenants[app],
            "dify.app.id": apps[app],
            "dify.app.name": f"research_batch {app}",
            "dify.workflow.id": workflows[app],
            "dify.workflow.run_id": run,
            "dify.node.execution_id": _id(chance),
            "dify.node.type": "llm",
            "dify.node.title": chance.choice(nodes),
            "dify.node.status": "succeeded",
            "dify.run.triggered_from": "app-run",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.usage.input_tokens": chance.randrange(4_000),
            "gen_ai.usage.output_tokens": chance.randrange(1_000),
            "dify.usage.price": chance.random() / 100,
        }
        for more in range(len(whole), number):
            # Of the same mixture: most are known, some are new.
            whole[f"dify.more.{more}"] = (
                _id(chance) if more % 5 == 0 else f"value {chance.randrange(8)}"
            )
        yield dict(list(whole.items())[:number])


def _new(number: int, chance: random.Random) -> Iterator[Attributes]:
    """Yield attributes of which no value comes again."""
    while True:
        yield {f"dify.new.{n}": _id(chance) for n in range(number)}


class _Keeps(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def spans(attributes: int, events: int = 2, *, new: bool = False) -> list[ReadableSpan]:
    """Make spans as the SDK hands them to processors.

    Args:
        attributes: attributes of each.
        events: events of each, of two attributes.
        new: whether no value of an attribute comes again.
    """
    chance = random.Random(attributes)  # noqa: S311 - the same in every child
    made = (_new if new else _attributes)(attributes, chance)
    keeps = _Keeps()
    provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_span_processor(keeps)
    tracer = provider.get_tracer(SCOPE.name, SCOPE.version)
    with tracer.start_as_current_span("run"):
        for _ in range(DIFFERENT):
            span = tracer.start_span("llm Summarise the source", attributes=next(made))
            for event in range(events):
                span.add_event("retry", {"attempt": event, "reason": "rate limit"})
            span.end()
    return keeps.spans[:DIFFERENT]


def of_ours(span: ReadableSpan) -> SpanOfOurs:
    """Return a span as our writer of spans hands it on."""
    return (
        span.name,
        span.get_span_context(),
        span.parent,
        span.kind,
        span.start_time,
        span.end_time,
        dict(span.attributes or {}),
        tuple(Event(one.name, dict(one.attributes or {}), one.timestamp) for one in span.events),
        (),
        span.status.status_code,
        None,
    )


class _KeepsLogs(LogRecordProcessor):
    def __init__(self) -> None:
        self.records: list[ReadWriteLogRecord] = []

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        self.records.append(log_record)

    def shutdown(self) -> None:
        """Hold nothing that needs an end."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Hold nothing back."""
        del timeout_millis
        return True


def logs() -> list[ReadWriteLogRecord]:
    """Make log records as the SDK hands them to processors."""
    chance = random.Random(5)  # noqa: S311 - the same in every child
    keeps = _KeepsLogs()
    provider = LoggerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_log_record_processor(keeps)
    logger = provider.get_logger(SCOPE.name, SCOPE.version)
    for number in range(DIFFERENT):
        logger.emit(
            LogRecord(
                timestamp=1_800_000_000_000_000_000 + number,
                observed_timestamp=1_800_000_000_000_000_000 + number,
                severity_text="INFO",
                severity_number=SeverityNumber.INFO,
                body=f"Retrieved {chance.randrange(20)} documents for query {_id(chance)}",
                attributes={
                    "code.file.path": "/app/api/core/rag/retrieval/dataset_retrieval.py",
                    "code.function.name": "retrieve",
                    "code.line.number": chance.randrange(400),
                    "thread.name": f"Thread-{chance.randrange(10)}",
                    "dify.workflow.run_id": _id(chance),
                },
            )
        )
    return keeps.records


INSTRUMENTS: Sequence[Instrument] = (
    t.REQUESTS,
    t.ERRORS,
    t.TOKENS_TOTAL,
    t.TOKENS_INPUT,
    t.TOKENS_OUTPUT,
    t.NODE_DURATION_METRIC,
    t.WORKFLOW_DURATION,
    t.DB_DURATION,
    t.TOKEN_USAGE,
    t.OPERATION_DURATION,
)
"""As many counters as histograms, of 9 to 21 buckets."""


def labels(number: int) -> Mapping[str, str]:
    """Make the labels of one series of an instrument."""
    return {
        "tenant_id": str(uuid.UUID(int=number // 50)),
        "app_id": str(uuid.UUID(int=number // 10)),
        "node_type": f"type-{number % 10}",
        "status": "succeeded",
    }


def amounts() -> Callable[[], float]:
    """Return what chooses the amount of a point."""
    chance = random.Random(7)  # noqa: S311 - the same in every child
    return lambda: chance.random() * 10
