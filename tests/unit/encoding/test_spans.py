from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from otel_dify.export.encoding.spans import SpanEncoder
from tests.unit.encoding.generated import (
    assert_same,
    attributes,
    contexts,
    labels,
    request_of,
    resources,
    scopes,
    seeded,
    times,
)

ENCODER = SpanEncoder(at_most=50)
CONTEXT = SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1))

# The SDK's kind of attributes knows how many were left out.
bounded = attributes | labels.map(lambda some: BoundedAttributes(2, some, immutable=True))
statuses = st.builds(Status, st.sampled_from(StatusCode)) | st.builds(
    Status, st.just(StatusCode.ERROR), st.none() | st.text(max_size=30)
)
events = st.builds(Event, st.text(max_size=10), bounded, times)
links = st.builds(Link, contexts, bounded)


@st.composite
def spans(draw: st.DrawFn) -> ReadableSpan:
    """Draw a span of the SDK."""
    few = BoundedList.from_seq(2, draw(st.lists(events, max_size=4)))
    return ReadableSpan(
        draw(st.text(max_size=30)),
        draw(contexts),
        draw(st.none() | contexts),
        draw(resources),
        draw(bounded),
        few,
        draw(st.lists(links, max_size=3)),
        draw(st.sampled_from(SpanKind)),
        status=draw(statuses),
        start_time=draw(st.none() | times),
        end_time=draw(st.none() | times),
        instrumentation_scope=draw(st.none() | scopes),
    )


@seeded
@given(st.lists(spans(), max_size=5))
def test_spans_are_what_the_stock_exporter_makes_of_them(some: list[ReadableSpan]) -> None:
    assert_same(request_of(some, ENCODER.encode_readable), encode_spans(some))


def test_spans_of_the_sdk_are_what_the_stock_exporter_makes_of_them() -> None:
    limits = SpanLimits(max_span_attributes=3, max_events=2, max_links=1, max_event_attributes=1)
    tracer = TracerProvider(span_limits=limits).get_tracer("scope", "1", "schema", {"a": 1})
    link = Link(SpanContext(1, 2, is_remote=True), {"why": "resumed"})
    with (
        tracer.start_as_current_span("above", links=[link, link]) as above,
        tracer.start_as_current_span("below", kind=SpanKind.CLIENT) as below,
    ):
        below.set_attributes({"list": ["a", "b"], "b": True, "i": 1, "more": 2, "most": 3})
        for number in range(3):
            below.add_event(f"event {number}", {"a": 1, "b": 2})
        below.record_exception(ValueError("it failed"))
        below.set_status(StatusCode.ERROR, "it failed")
    ended = cast("list[ReadableSpan]", [below, above])
    assert any(span.dropped_attributes and span.dropped_events for span in ended)
    assert any(span.dropped_links for span in ended)
    assert_same(request_of(ended, ENCODER.encode_readable), encode_spans(ended))


def encoded(**given: Any) -> Span:
    """Return a span of which only some is given."""
    plain = {
        "name": "span",
        "context": CONTEXT,
        "parent": None,
        "kind": SpanKind.INTERNAL,
        "start_ns": 1,
        "end_ns": 2,
        "attributes": None,
        "events": (),
        "links": (),
        "status_code": StatusCode.UNSET,
        "status_description": None,
    }
    [span] = ScopeSpans.FromString(ENCODER.encode(**{**plain, **given})).spans
    return span


def test_how_much_was_left_out_is_said() -> None:
    span = encoded(dropped=(1, 2, 3))
    assert span.dropped_attributes_count == 1
    assert span.dropped_events_count == 2
    assert span.dropped_links_count == 3


@pytest.mark.parametrize("remote", [False, True])
def test_flags_say_whether_what_is_above_is_elsewhere(remote: bool) -> None:
    """As the stock exporter of every version from 1.40 on, without the trace flags.

    The specification would have them in the lowest eight bits.
    """
    above = SpanContext(0xABC, 1, is_remote=remote, trace_flags=TraceFlags(1))
    assert encoded(parent=above).flags == (0x300 if remote else 0x100)
    assert encoded(links=[Link(above)]).links[0].flags == (0x300 if remote else 0x100)
    assert encoded().flags == 0x100


def of_the_sdk(name: str, happened: str, description: str | None, start_ns: Any) -> ReadableSpan:
    return ReadableSpan(
        name,
        CONTEXT,
        events=[Event(happened, {}, 1)],
        status=Status(StatusCode.ERROR, description),
        start_time=start_ns,
        end_time=2,
    )


@pytest.mark.parametrize("where", range(3))
def test_half_a_surrogate_pair_costs_a_letter_where_it_costs_the_stock_exporter_the_batch(
    where: int,
) -> None:
    texts = ["name", "event", "description"]
    texts[where] += "\ud800"
    given = of_the_sdk(texts[0], texts[1], texts[2], 1)
    with pytest.raises(UnicodeEncodeError):
        encode_spans([given])
    texts[where] = texts[where].replace("\ud800", "?")
    assert_same(
        request_of([given], ENCODER.encode_readable),
        encode_spans([of_the_sdk(texts[0], texts[1], texts[2], 1)]),
    )


@pytest.mark.parametrize(("start_ns", "sent"), [(1.5, 1), (-1, 0), (2**70, 2**64 - 1)])
def test_a_time_that_is_none_is_made_one_where_it_costs_the_stock_exporter_the_batch(
    start_ns: Any, sent: int
) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode_spans([of_the_sdk("name", "event", None, start_ns)])
    assert encoded(start_ns=start_ns).start_time_unix_nano == sent
    assert encoded(end_ns=start_ns).end_time_unix_nano == sent
    assert encoded(events=[Event("event", {}, start_ns)]).events[0].time_unix_nano == sent


def test_an_attribute_that_cannot_be_sent_does_not_cost_the_span() -> None:
    span = encoded(attributes={"a": 1, "b": object()}, name=None)
    assert (span.name, [pair.key for pair in span.attributes]) == ("", ["a"])
