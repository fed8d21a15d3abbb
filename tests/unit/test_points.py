"""Points in our store come to what the SDK's instruments would have come to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext, TraceFlags

from otel_dify import table as t
from otel_dify.signals.cells import Cells
from otel_dify.signals.points import OwnStore, SdkStore, views
from otel_dify.signals.series import Exemplars

SAMPLED = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
DROPPED = SpanContext(3, 4, is_remote=False)
COUNTERS = [one for one in t.INSTRUMENTS if one.kind == "counter"]
HISTOGRAMS = [one for one in t.INSTRUMENTS if one.kind == "histogram"]

amounts = st.lists(st.floats(0, 1e6) | st.integers(0, 2**40), min_size=1, max_size=30)
labels = st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["x", 1, True]), max_size=2)


def by_sdk(instrument: t.Instrument, given_labels: Any, points: Iterable[float]) -> Any:
    """Record on the SDK's instrument; return its one point."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False, views=views())
    series = SdkStore(provider.get_meter("test")).series(instrument, given_labels)
    for amount in points:
        series.record(amount, SAMPLED, 1)
    data = reader.get_metrics_data()
    assert data is not None
    [metric] = data.resource_metrics[0].scope_metrics[0].metrics
    provider.shutdown()
    return metric


def by_us(instrument: t.Instrument, given_labels: Any, points: Iterable[float]) -> Any:
    """Record in our store; return its one point."""
    store = OwnStore(Exemplars(), Cells())
    series = store.series(instrument, given_labels)
    for amount in points:
        series.record(amount, SAMPLED, 1)
    [metric] = store.collect()
    return metric


@given(st.sampled_from(HISTOGRAMS), labels, amounts)
def test_a_histogram_has_the_sdks_buckets_sum_and_extremes(
    instrument: t.Instrument, given_labels: Any, points: list[float]
) -> None:
    theirs, ours = (by(instrument, given_labels, points) for by in (by_sdk, by_us))
    assert (ours.name, ours.unit, ours.description) == (
        theirs.name,
        theirs.unit,
        theirs.description,
    )
    assert ours.data.aggregation_temporality == theirs.data.aggregation_temporality
    [their_point], [our_point] = theirs.data.data_points, ours.data.data_points
    assert dict(our_point.attributes) == dict(their_point.attributes)
    assert list(our_point.bucket_counts) == list(their_point.bucket_counts)
    assert tuple(our_point.explicit_bounds) == tuple(their_point.explicit_bounds)
    assert our_point.count == their_point.count == len(points)
    assert our_point.sum == pytest.approx(their_point.sum)
    assert (our_point.min, our_point.max) == (their_point.min, their_point.max)
    assert our_point.start_time_unix_nano <= our_point.time_unix_nano
    assert {(e.trace_id, e.span_id) for e in our_point.exemplars} == {(1, 2)}
    assert {e.value for e in our_point.exemplars} == {e.value for e in their_point.exemplars}


@given(st.sampled_from(COUNTERS), labels, st.lists(st.integers(0, 2**40), min_size=1))
def test_a_counter_has_the_sdks_sum(
    instrument: t.Instrument, given_labels: Any, points: list[int]
) -> None:
    theirs, ours = (by(instrument, given_labels, points) for by in (by_sdk, by_us))
    assert ours.data.is_monotonic
    assert theirs.data.is_monotonic
    [their_point], [our_point] = theirs.data.data_points, ours.data.data_points
    assert our_point.value == their_point.value == sum(points)
    assert isinstance(our_point.value, float) is instrument.fractional


@pytest.mark.parametrize(
    ("of", "kept"),
    [("trace_based", {1}), ("always_on", {1, 3, None}), ("always_off", set())],
)
def test_exemplars_are_of_the_spans_that_the_operator_chose(of: str, kept: set[int | None]) -> None:
    store = OwnStore(Exemplars(of), Cells())
    series = store.series(t.DB_DURATION, {})
    # Each into a bucket of its own.
    series.record(0.0005, SAMPLED, 1)
    series.record(0.3, DROPPED, 1)
    series.record(20, INVALID_SPAN_CONTEXT, 1)
    [metric] = store.collect()
    assert {e.trace_id for e in metric.data.data_points[0].exemplars} == kept
