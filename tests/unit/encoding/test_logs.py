from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord as Sent
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData, ScopeLogs
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import TraceFlags

from otel_dify.export.encoding.logs import LogEncoder
from otel_dify.guard import caught
from tests.unit.encoding.generated import (
    anything,
    assert_same,
    attributes,
    labels,
    request_of,
    resources,
    scopes,
    seeded,
    times,
)

ENCODER = LogEncoder(at_most=50)


@st.composite
def records(draw: st.DrawFn) -> ReadableLogRecord:
    """Draw a log record of the SDK."""
    record = LogRecord(
        timestamp=draw(st.none() | times),
        observed_timestamp=draw(times),
        severity_text=draw(st.none() | st.text(max_size=5)),
        severity_number=draw(st.none() | st.sampled_from(SeverityNumber)),
        body=draw(anything),
        attributes=draw(attributes | labels.map(lambda some: BoundedAttributes(2, some))),
        event_name=draw(st.none() | st.text(max_size=10)),
    )
    record.trace_id = draw(st.integers(0, 2**128 - 1))
    record.span_id = draw(st.integers(0, 2**64 - 1))
    record.trace_flags = draw(st.sampled_from([TraceFlags(0), TraceFlags(1), TraceFlags(255)]))
    return ReadableLogRecord(record, draw(resources), draw(st.none() | scopes))


@seeded
@given(st.lists(records(), max_size=5))
def test_records_are_what_the_stock_exporter_makes_of_them(some: list[ReadableLogRecord]) -> None:
    assert_same(request_of(some, ENCODER.encode_readable), encode_logs(some))


def encoded(**given: Any) -> Sent:
    """Return a log record of which only some is given."""
    plain = {
        "at_ns": 1,
        "observed_ns": 2,
        "trace_id": 3,
        "span_id": 4,
        "flags": 1,
        "severity_number": 9,
        "severity_text": "INFO",
        "body": "hello",
        "attributes": None,
        "event_name": None,
    }
    [record] = ScopeLogs.FromString(ENCODER.encode(**{**plain, **given})).log_records
    return record


def stock(**given: Any) -> LogsData:
    record = LogRecord(**{"timestamp": 1, "observed_timestamp": 2, "body": "hello", **given})
    made = encode_logs([ReadableLogRecord(record, Resource({}))])
    return LogsData.FromString(made.SerializeToString())


def test_how_much_was_left_out_is_said() -> None:
    assert encoded(dropped=3).dropped_attributes_count == 3


@pytest.mark.parametrize(
    ("given", "field", "sent"),
    [
        ({"severity_text": "INFO\ud800"}, "severity_text", "INFO?"),
        ({"event_name": "run\ud800"}, "event_name", "run?"),
        ({"body": "hello\ud800"}, "body", AnyValue(string_value="hello?")),
        ({"body": 2**63}, "body", AnyValue(string_value=str(2**63))),
    ],
)
def test_what_cannot_be_written_is_changed_where_it_costs_the_stock_exporter_the_batch(
    given: dict[str, Any], field: str, sent: object
) -> None:
    with pytest.raises((TypeError, ValueError)):
        stock(**given)
    assert getattr(encoded(**given), field) == sent


def test_a_body_of_no_type_of_otlp_is_left_out_where_it_costs_the_stock_exporter_the_batch() -> (
    None
):
    before = caught()["otel_dify.export.encoding.body", "TypeError"]
    for body in (object(), ["half", object()]):
        with pytest.raises(Exception, match="Invalid type"):
            stock(body=body)
        record = encoded(body=body, attributes={"a": 1})
        assert record.HasField("body")
        assert record.body.WhichOneof("value") is None
        assert [pair.key for pair in record.attributes] == ["a"]
    assert caught()["otel_dify.export.encoding.body", "TypeError"] == before + 2


def test_times_that_are_none_are_made_one() -> None:
    record = encoded(at_ns=1.5, observed_ns=-1)
    assert (record.time_unix_nano, record.observed_time_unix_nano) == (1, 0)
