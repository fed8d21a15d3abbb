"""What lies below what on the example host is what the table says, seen from its spans.

In this process the spans are held against what the operations themselves say; across processes
(request, send, task) only the spans tell.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from examples.host.tasks import RETENTION_QUEUE, clean_workflow_runlogs_precise
from examples.host.up import Host
from otel_dify.sources import registry
from tests.nesting import SHOWN, Span, in_files, in_memory, kind_of, pairs, unknown
from tests.recording import Recording

for _source in ("dify_graphon", "dify_models", "dify_tools"):
    registry.attach(_source)

APPS = {
    "support_triage": {"question": "I was charged twice", "customer": "Ada"},
    "research_batch": {"topic": "solar output in the evening"},
    "flaky_enrichment": {"customer": "Ada"},
}


@pytest.mark.parametrize("app", APPS)
def test_spans_tell_the_kinds_of_the_operations_they_are_of(
    run_app: Callable[..., Any], recorded: Recording, app: str
) -> None:
    run_app(app, **APPS[app])
    assert pairs(in_memory(recorded.spans)) == recorded.pairs
    assert unknown(recorded.pairs) == []


def test_requests_tasks_runs_and_queries_nest_as_the_table_says(tmp_path: Path) -> None:
    telemetry = tmp_path / "telemetry"
    settings = {
        "OTEL_TRACES_EXPORTER": "otlp_file",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_DIFY_FILE_PATH": str(telemetry),
        "OTEL_DIFY_STATE_PATH": str(tmp_path / "state"),
    }
    prefix = [str(Path(sys.executable).parent / "opentelemetry-instrument")]
    with Host(tmp_path / "host", prefix=prefix, env=settings) as host:
        with closing(Celery(broker=host.redis_url)) as celery:
            celery.send_task(clean_workflow_runlogs_precise.name, queue=RETENTION_QUEUE)
        for app, inputs in APPS.items():
            for stream in (True, False):
                host.run_app(app, inputs, stream=stream)
    seen = pairs(in_files(telemetry))
    assert unknown(seen) == []
    assert set(seen) >= SHOWN


def span(name: str, kind: str = "INTERNAL", parent: str = "", **more: Any) -> Span:
    """Make a span; names of attributes have ``__`` for dots."""
    known = {key.replace("__", "."): value for key, value in more.items()}
    return Span(name, parent, name, kind, "otel_dify", known)


def test_a_span_that_no_kind_has_is_told_by_its_name() -> None:
    assert kind_of(span("GET", "CLIENT", http__request__method="GET")) == "http call"
    assert kind_of(span("GET", "SERVER", http__request__method="POST")) == "SERVER span 'GET'"
    assert unknown(pairs([span("GET", "SERVER")])) == ["SERVER span 'GET' below nothing"]


def test_spans_that_look_alike_are_told_apart_by_their_attributes() -> None:
    titled = {"dify__node__type": "iteration", "dify__node__title": "item"}
    named = {"dify__custom__name": "iteration item", "dify__custom__status": "succeeded"}
    inherited = {"dify__node__type": "iteration", "dify__operation_type": "workflow"}
    assert kind_of(span("iteration item", **inherited)) == "item"
    assert kind_of(span("iteration item", **inherited, **named)) == "custom"
    assert kind_of(span("iteration item", **inherited | titled)) == "node"
    assert kind_of(span("iteration item", **titled)) == "draft node"


def test_what_is_above_is_found_through_spans_of_others() -> None:
    above = span("iteration item")
    others = Span("other", above.identity, "other", "INTERNAL", "someone", {})
    below = span("send mail", "CLIENT", others.identity, dify__db__query__count=2)
    assert pairs([above, others, below]) == {
        ("item", "nothing"): 1,
        ("mail", "item"): 1,
        ("query", "mail"): 2,
    }
    assert unknown(pairs([above, others, below])) == ["mail below item", "query below mail"]
