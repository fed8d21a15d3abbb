"""A run that is far too large, on the real Collector: bounded, complete in numbers, and told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from collector.native.programs import COLLECTOR_FOLDER
from collector.native.query import Jaeger, Loki, Prometheus, attributes, wait_until
from collector.native.stack import Stack
from otel_dify import settings as s
from otel_dify.cleaning.content import LIMIT
from tests.stack.large import FAILED, ITEMS, LINES, PASSES

SPANS, LOGS = s.RUN_SPANS.default, s.RUN_LOGS.default


@pytest.mark.parametrize("protocol", s.PROTOCOLS)
def test_a_very_large_run_is_bounded_and_says_what_was_left_out(
    stack: Stack, tmp_path: Path, protocol: str
) -> None:
    app = f"large by {protocol}"
    layout = stack.layout
    endpoint = layout.otlp_grpc if protocol == "grpc" else layout.otlp_http
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_DIFY_STATE_PATH": str(tmp_path),
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_AND_EVENT",
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.stack.large", app],
        cwd=COLLECTOR_FOLDER.parent,
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=300,
    )
    told = json.loads(done.stdout)
    assert told["lost"] == 0
    # Two texts of 50 MB are made by the program itself.
    assert told["megabytes"] < 200

    jaeger, prometheus, loki = (
        Jaeger(layout.jaeger),
        Prometheus(layout.prometheus),
        Loki(layout.loki),
    )
    spans = wait_until(
        lambda: jaeger.trace(told["trace"]),
        lambda found: any(span["name"] == "invoke_workflow" for span in found),
        what="whole trace in Jaeger",
    )
    names = Counter(span["name"] for span in spans)
    # The last item that began fits whole; nodes of the graph always do; each failure is three.
    assert SPANS <= len(spans) <= SPANS + 5 + 3 * 2 * FAILED
    # The iteration has used it up. What failed is there, with what is around it.
    assert names["loop pass"] == FAILED
    left = 3 * (ITEMS + PASSES) + 3 - len(spans)
    run, each = (_of(spans, name) for name in ("invoke_workflow", "iteration Each"))
    assert run["dify.left_out.spans"] == left
    assert run["dify.left_out.logs"] == LINES - LOGS
    assert each["dify.left_out.item.count"] == ITEMS - names["iteration item"]
    texts = [text for span in spans for text in attributes(span["attributes"]).values()]
    assert max(len(text) for text in texts if isinstance(text, str)) < LIMIT + 100

    counted = f'sum(dify_requests_total{{type="node",app_id="{app}"}})'
    wait_until(
        lambda: [series.value for series in prometheus.query(counted)],
        lambda values: values == [ITEMS + PASSES + 2],
        what=f"{ITEMS + PASSES + 2} nodes in Prometheus",
    )
    of_trace = f'{{service_name=~".+"}} | trace_id="{told["trace"]}"'
    [line] = wait_until(
        lambda: loki.query_range(f"{of_trace} |= `left out`"), what="event of the run in Loki"
    )
    assert line.body.endswith(f"; left out: {left} spans, {LINES - LOGS} log records")
    assert len(loki.query_range(f"{of_trace} |= `row `", limit=5_000)) == LOGS
    assert len(loki.query_range(f"{of_trace} |= `the last`")) == 1


def _of(spans: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the attributes of the one span of a name."""
    [found] = [attributes(span["attributes"]) for span in spans if span["name"] == name]
    return found
