"""What is encoded, generated; and what OpenTelemetry's own exporter makes of it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.message import Message
from hypothesis import settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common._internal import _encode_attributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from otel_dify.export.encoding.request import (
    encode_resource,
    encode_scope,
    request,
    requests_joined,
)

seeded = settings(derandomize=True, deadline=None, max_examples=100)

INT64 = 2**63
# A few keys and values that come again and again, so that what was kept is met; among the values
# are those that are equal and yet not the same.
keys = st.sampled_from(["a", "b", "gen_ai.request.model", "名字"]) | st.text(max_size=20)
scalars: st.SearchStrategy[Any] = (
    st.sampled_from([1, True, 1.0, 0, False, 0.0, -0.0, "", "1", "gpt-4o", b"", b"1"])
    | st.sampled_from([math.nan, math.inf, -math.inf, -INT64, INT64 - 1, "long " * 100])
    | st.text(max_size=30)
    | st.integers(-INT64, INT64 - 1)
    | st.floats()
    | st.binary(max_size=10)
    | st.booleans()
)
# Up to 1.41 the stock exporter drops an attribute that is None, or leaves its value out.
nothing: st.SearchStrategy[Any] = st.none() if _encode_attributes({"a": None}) else st.nothing()
anything: st.SearchStrategy[Any] = st.recursive(
    scalars | nothing,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)
attributes: st.SearchStrategy[Any] = st.none() | st.dictionaries(keys, anything, max_size=8)
labels: st.SearchStrategy[Any] = st.dictionaries(keys, scalars, max_size=5)
times = st.integers(0, 2**64 - 1)
counts = st.integers(0, 2**32 - 1)
contexts = st.builds(
    SpanContext,
    st.integers(0, 2**128 - 1),
    st.integers(0, 2**64 - 1),
    st.booleans(),
    st.sampled_from([TraceFlags(0), TraceFlags(1), TraceFlags(3)]),
    st.sampled_from(
        [None, TraceState(), TraceState([("ot", "th:8")]), TraceState([("a", "1"), ("b", "2")])]
    ),
)
schemas = st.sampled_from([None, "", "https://opentelemetry.io/schemas/1.40.0"])
# A resource is compared by its attributes as JSON.
resources = st.builds(
    Resource,
    st.dictionaries(keys, st.text(max_size=5) | st.integers(0, 9) | st.booleans(), max_size=3),
    schemas,
)
scopes = st.builds(
    InstrumentationScope,
    st.sampled_from(["otel_dify", "", "другой"]),
    st.sampled_from([None, "", "1.2"]),
    schemas,
    st.none() | st.dictionaries(keys, st.text(max_size=5) | st.integers(0, 9), max_size=3),
)


def request_of(records: Iterable[Any], encode: Callable[[Any], bytes]) -> bytes:
    """Return the request of some records of the SDK, each in its resource and scope."""
    grouped: defaultdict[Resource, defaultdict[Any, list[bytes]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for record in records:
        grouped[record.resource][record.instrumentation_scope].append(encode(record))
    return requests_joined(
        request(encode_resource(resource), [(encode_scope(s), r) for s, r in of.items()])
        for resource, of in grouped.items()
    )


def assert_same(ours: bytes, stock: Message) -> None:
    """Check that what was encoded reads as what OpenTelemetry's exporter made, field by field.

    Both are compared as the canonical classes write them, since NaN is not equal to itself; fields
    that the canonical classes do not know would be among what they write.
    """
    parsed = type(stock).FromString(ours)
    assert str(parsed) == str(stock)
    assert parsed.SerializeToString() == stock.SerializeToString()
