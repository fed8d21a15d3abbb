from __future__ import annotations

import math
import sys
import threading
from collections.abc import Mapping
from random import Random
from types import MappingProxyType
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common._internal import _encode_attributes
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, StatusCode

from otel_dify.export.encoding.request import encode_resource, encode_scope, request
from otel_dify.export.encoding.spans import SpanEncoder
from otel_dify.export.encoding.values import Attributes
from otel_dify.guard import caught
from tests.unit.encoding.generated import INT64, assert_same, attributes, seeded

PLACE = "otel_dify.export.encoding.attribute"
# It has met what earlier examples had, as one of a process has.
KEPT = Attributes(at_most=50)


def encoded(given: Mapping[str, Any] | None, by: Attributes | None = None) -> KeyValueList:
    """Return what attributes are encoded to, as the canonical classes read it."""
    pairs = (by or Attributes()).encode(given)
    return KeyValueList(values=[KeyValue.FromString(pair) for pair in pairs])


def value_of(value: object) -> AnyValue:
    """Return what one value is encoded to."""
    [pair] = encoded({"key": value}).values
    assert pair.key == "key"
    return pair.value


@seeded
@given(attributes)
def test_attributes_are_what_the_stock_exporter_makes_of_them(given: dict[str, Any] | None) -> None:
    stock = KeyValueList(values=_encode_attributes(given) or [])
    for _ in range(2):
        assert_same(encoded(given, KEPT).SerializeToString(), stock)


def test_equal_values_of_other_types_are_not_mistaken_for_one_another() -> None:
    kept = Attributes()
    values: list[Any] = [
        1,
        True,
        1.0,
        0,
        False,
        0.0,
        -0.0,
        "1",
        b"1",
        (1,),
        (True,),
        (1.0,),
        [1],
        {"1": 1},
    ]
    for _ in range(2):
        for value in values:
            stock = KeyValueList(values=_encode_attributes({"key": value}))
            assert_same(encoded({"key": value}, kept).SerializeToString(), stock)
    assert math.copysign(1, value_of(-0.0).double_value) == -1


def test_a_list_that_changes_is_encoded_as_it_is_now() -> None:
    kept, values = Attributes(), [1]
    assert len(encoded({"key": values}, kept).values[0].value.array_value.values) == 1
    values.append(2)
    assert len(encoded({"key": values}, kept).values[0].value.array_value.values) == 2


@pytest.mark.parametrize(
    "wrapped",
    [
        BoundedAttributes(8, {"a": 1, "b": "c"}),
        MappingProxyType({"a": 1, "b": "c"}),
        MappingProxyType(BoundedAttributes(8, {"a": 1, "b": "c"})),
    ],
)
def test_every_kind_of_mapping_is_encoded(wrapped: Mapping[str, Any]) -> None:
    assert encoded(wrapped) == encoded({"a": 1, "b": "c"})


def test_an_integer_of_more_than_64_bits_is_text_where_the_stock_exporter_drops_it() -> None:
    """As the specification's mapping of attribute types says."""
    for value in (INT64, -INT64 - 1, 10**40):
        assert _encode_attributes({"key": value}) == []
        assert value_of(value) == AnyValue(string_value=str(value))
    [inner] = value_of([INT64]).array_value.values
    assert inner.string_value == str(INT64)


def test_half_a_surrogate_pair_is_a_question_mark_where_the_stock_exporter_drops_it() -> None:
    assert _encode_attributes({"key": "a\ud800b"}) == []
    assert value_of("a\ud800b").string_value == "a?b"
    assert value_of(["名\udfff"]).array_value.values[0].string_value == "名?"
    [pair] = value_of({"k\ud800": "v\ud800"}).kvlist_value.values
    assert (pair.key, pair.value.string_value) == ("k?", "v?")
    [pair] = encoded({"key\ud800": 1}).values
    assert (pair.key, pair.value.int_value) == ("key?", 1)


@pytest.mark.parametrize("value", [object(), {1}, [object()], {"a": {"b": object()}}, 1j])
def test_what_otlp_has_no_type_for_is_left_out_and_counted(value: Any) -> None:
    before = caught()[PLACE, "TypeError"]
    assert _encode_attributes({"key": value}) == []
    assert [pair.key for pair in encoded({"a": 1, "key": value, "b": 2}).values] == ["a", "b"]
    assert caught()[PLACE, "TypeError"] == before + 1


def test_a_name_that_is_no_text_is_left_out_and_counted() -> None:
    before = caught()[PLACE, "TypeError"]
    strange: Any = {1: "x", "a": 1}
    assert [pair.key for pair in encoded(strange).values] == ["a"]
    assert caught()[PLACE, "TypeError"] == before + 1


class Broken(Mapping[str, int]):
    """Cannot be read."""

    def __getitem__(self, key: str) -> int:
        raise RuntimeError(key)

    def __iter__(self) -> Any:
        raise RuntimeError

    def __len__(self) -> int:
        return 1


def test_a_value_that_raises_is_left_out_and_counted() -> None:
    before = caught()[PLACE, "RuntimeError"]
    assert [pair.key for pair in encoded({"key": Broken(), "a": 1}).values] == ["a"]
    assert caught()[PLACE, "RuntimeError"] == before + 1


def nested(value: Any, depth: int, *, by: type) -> Any:
    for _ in range(depth):
        value = [value] if by is list else {"k": value}
    return value


@pytest.mark.parametrize(("by", "deepest"), [(list, 46), (dict, 31)])
def test_a_request_is_never_nested_deeper_than_parsers_read(by: type, deepest: int) -> None:
    """The deepest place of an attribute is that of a span's event."""
    context = SpanContext(1, 2, is_remote=False)
    encoder = SpanEncoder()

    def read(value: Any) -> int:
        events = [Event("event", {"key": value}, 1)]
        span = encoder.encode(
            "span", context, None, SpanKind.INTERNAL, 1, 2, {}, events, (), StatusCode.UNSET, None
        )
        whole = request(encode_resource(Resource({})), [(encode_scope(None), [span])])
        [resource] = TracesData.FromString(whole).resource_spans
        return len(resource.scope_spans[0].spans[0].events[0].attributes)

    assert read(nested(1, deepest, by=by)) == 1
    assert read(nested(1, deepest + 1, by=by)) == 0
    endless: Any = []
    endless.append(endless)
    assert read(endless) == 0


def test_nesting_too_deep_costs_the_stock_exporter_the_batch() -> None:
    """What the limit above is for."""
    event = Event("event", {"key": nested(1, 48, by=list)}, 1)
    span = ReadableSpan("span", SpanContext(1, 2, is_remote=False), events=[event])
    with pytest.raises(DecodeError):
        encode_spans([span])


def test_long_texts_are_not_kept_and_what_is_kept_is_bounded() -> None:
    kept = Attributes(at_most=10)
    for number in range(1000):
        kept.encode({"a": number, "b": f"{number}", "c": "long " * 100 + str(number)})
    texts = [known for name in kept._names.values() for known in name.texts.values()]
    assert 1 <= len(texts) <= 10
    assert max(map(len, texts)) < 100


def test_names_that_are_new_each_time_are_not_kept_for_ever() -> None:
    kept = Attributes(at_most=10)
    for number in range(1000):
        kept.encode({f"name {number}": number})
    assert len(kept._names) <= 10


def test_what_is_met_again_is_not_encoded_again() -> None:
    kept = Attributes()
    first, again = (kept.encode({"a": "text", "b": "other"}) for _ in range(2))
    assert list(map(id, first)) == list(map(id, again))


@pytest.mark.parametrize("size", [0, 1, 124, 125, 126, 127, 128, 199, 200, 201, 16_384])
@pytest.mark.parametrize("letter", ["a", "é", "名", "😀"])
def test_texts_and_names_of_any_length_are_what_the_stock_exporter_makes_of_them(
    size: int, letter: str
) -> None:
    """Short ones are put together by hand, long ones by protobuf."""
    kept = Attributes()
    for some in ({"key": letter * size}, {letter * max(size, 1): "value"}, {letter * size: 1.5}):
        stock = KeyValueList(values=_encode_attributes(some))
        for _ in range(2):
            assert_same(encoded(some, kept).SerializeToString(), stock)


@pytest.mark.parametrize("bits", range(66))
def test_numbers_of_any_length_are_what_the_stock_exporter_makes_of_them(bits: int) -> None:
    for number in {(1 << bits) - 1, 1 << bits, -(1 << bits)}:
        if -INT64 <= number < INT64:
            stock = KeyValueList(values=_encode_attributes({"key": number}))
            assert_same(encoded({"key": number}).SerializeToString(), stock)


def test_many_threads_encode_with_one_and_each_gets_its_own() -> None:
    kept, wrong, start = Attributes(at_most=20), list[object](), threading.Barrier(8)
    values = [1, True, 1.0, "1", 0, False, *range(2, 30), *(f"text {n}" for n in range(30))]
    right = {
        (key, type(value), value): key_value
        for key in "abc"
        for value in values
        for key_value in Attributes().encode({key: value})
    }

    def run(seed: int) -> None:
        random = Random(seed)  # noqa: S311 - nobody is to be kept from guessing
        start.wait()
        for _ in range(3000):
            some = {key: random.choice(values) for key in "abc"}
            got = kept.encode(some)
            if got != [right[key, type(value), value] for key, value in some.items()]:
                wrong.append((some, got))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=run, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not wrong
    # Each thread may be about to add one.
    texts = sum(len(name.texts) for name in kept._names.values())
    assert texts <= 20 + 8
