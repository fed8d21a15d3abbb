from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_dify.export.encoding.request import (
    encode_resource,
    encode_scope,
    request,
    requests_joined,
)

RESOURCE = encode_resource(Resource({"a": "b\ud800"}, "schema"))
SCOPE = encode_scope(InstrumentationScope("scope\ud800", "1", "schema", {"a": 1}))


def named(name: str) -> bytes:
    """Return a record that has nothing but a name; its number is 5 in a span."""
    text = name.encode()
    body = b"\x2a" + bytes((len(text) & 127 | 128, len(text) >> 7)) + text
    return b"\x12" + bytes((len(body) & 127 | 128, len(body) >> 7)) + body


@pytest.mark.parametrize("size", [0, 1, 127, 128, 300, 10_000])
@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_a_request_reads_as_what_it_was_made_of(size: int, count: int) -> None:
    records = [named("x" * size)] * count
    whole = request(RESOURCE, [(SCOPE, records), (encode_scope(None), [b"".join(records)])])
    [resource] = ExportTraceServiceRequest.FromString(whole).resource_spans
    assert resource.resource.attributes[0].value.string_value == "b?"
    assert resource.schema_url == "schema"
    first, second = resource.scope_spans
    assert (first.scope.name, first.scope.version) == ("scope?", "1")
    assert (first.scope.attributes[0].key, first.schema_url) == ("a", "schema")
    assert (second.scope.name, second.schema_url) == ("", "")
    assert [s.name for s in first.spans] == [s.name for s in second.spans] == ["x" * size] * count


def test_resource_and_scope_read_the_same_in_all_three_signals() -> None:
    whole = request(RESOURCE, [(SCOPE, [])])
    spans = ExportTraceServiceRequest.FromString(whole).resource_spans[0]
    logs = ExportLogsServiceRequest.FromString(whole).resource_logs[0]
    metrics = ExportMetricsServiceRequest.FromString(whole).resource_metrics[0]
    assert spans.resource == logs.resource == metrics.resource
    assert spans.schema_url == logs.schema_url == metrics.schema_url == "schema"
    of_scopes = (spans.scope_spans[0], logs.scope_logs[0], metrics.scope_metrics[0])
    assert {of_scope.SerializeToString() for of_scope in of_scopes} == {
        spans.scope_spans[0].SerializeToString()
    }


def test_requests_are_joined_by_putting_one_behind_the_other() -> None:
    one = request(RESOURCE, [(SCOPE, [named("one")])])
    two = request(RESOURCE, [(SCOPE, [named("two")])])
    first, second = ExportTraceServiceRequest.FromString(requests_joined([one, two])).resource_spans
    assert first.scope_spans[0].spans[0].name == "one"
    assert second.scope_spans[0].spans[0].name == "two"


def test_importing_the_encoder_loads_nothing_that_gevent_must_patch_first() -> None:
    program = (
        "import sys, otel_dify.export.encoding.request, otel_dify.export.encoding.spans\n"
        "import otel_dify.export.encoding.logs, otel_dify.export.encoding.metrics\n"
        "bad = {'ssl', 'requests', 'urllib3', 'grpc', 'asyncio', 'concurrent.futures.thread'}\n"
        "sys.exit(str(bad & set(sys.modules)) if bad & set(sys.modules) else 0)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
