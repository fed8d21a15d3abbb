from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.metrics import Observation
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from opentelemetry.sdk.metrics import Exemplar, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Buckets,
    Gauge,
    HistogramDataPoint,
    InMemoryMetricReader,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import ExponentialHistogram as ExponentialHistogramData
from opentelemetry.sdk.metrics.export import ExponentialHistogramDataPoint as ExponentialPoint
from opentelemetry.sdk.metrics.export import Histogram as HistogramData
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_dify.export.encoding.metrics import MetricEncoder
from otel_dify.export.encoding.request import (
    encode_resource,
    encode_scope,
    request,
    requests_joined,
)
from otel_dify.export.encoding.values import Attributes
from otel_dify.guard import caught
from tests.unit.encoding.generated import (
    INT64,
    assert_same,
    attributes,
    counts,
    labels,
    resources,
    scopes,
    seeded,
    times,
)

ENCODER = MetricEncoder(Attributes(at_most=50))
PLACE = "otel_dify.export.encoding.metric"

numbers = st.integers(-INT64, INT64 - 1) | st.floats()
exemplars = st.lists(
    st.builds(
        Exemplar,
        attributes,
        numbers,
        times,
        st.none() | st.integers(0, 2**64 - 1),
        st.none() | st.integers(0, 2**128 - 1),
    ),
    max_size=3,
)
temporalities = st.sampled_from(AggregationTemporality)
extremes = st.none() | st.floats()
points = st.lists(st.builds(NumberDataPoint, labels, times, times, numbers, exemplars), max_size=4)
bounds = st.lists(st.floats(), max_size=5).map(tuple)
bucket_counts = st.lists(st.integers(0, 2**64 - 1), max_size=6)
histogram_points = st.lists(
    st.builds(
        HistogramDataPoint,
        labels,
        times,
        times,
        times,
        st.floats(),
        bucket_counts,
        st.shared(bounds, key="bounds") | bounds,
        extremes,
        extremes,
        exemplars,
    ),
    max_size=4,
)
buckets = st.builds(Buckets, st.integers(-(2**31), 2**31 - 1), bucket_counts)
exponential_points = st.lists(
    st.builds(
        ExponentialPoint,
        labels,
        times,
        times,
        times,
        st.floats(),
        st.integers(-10, 20),
        times,
        buckets,
        buckets,
        counts,
        extremes,
        extremes,
        exemplars,
    ),
    max_size=4,
)
metrics = st.builds(
    Metric,
    st.text(max_size=10),
    st.none() | st.text(max_size=10),
    st.none() | st.text(max_size=5),
    st.builds(Sum, points, temporalities, st.booleans())
    | st.builds(Gauge, points)
    | st.builds(HistogramData, histogram_points, temporalities)
    | st.builds(ExponentialHistogramData, exponential_points, temporalities),
)
collections = st.builds(
    MetricsData,
    st.lists(
        st.builds(
            ResourceMetrics,
            resources,
            st.lists(
                st.builds(ScopeMetrics, scopes, st.lists(metrics, max_size=3), st.just("")),
                max_size=2,
                unique_by=lambda of_scope: of_scope.scope,
            ),
            st.just(""),
        ),
        max_size=2,
        unique_by=lambda of_resource: of_resource.resource,
    ),
)


def encoded(data: MetricsData, encoder: MetricEncoder = ENCODER) -> bytes:
    """Return the request of what a reader has collected."""
    return requests_joined(
        request(
            encode_resource(of_resource.resource),
            [
                (encode_scope(of_scope.scope), map(encoder.encode, of_scope.metrics))
                for of_scope in of_resource.scope_metrics
            ],
        )
        for of_resource in data.resource_metrics
    )


@seeded
@given(collections)
def test_metrics_are_what_the_stock_exporter_makes_of_them(data: MetricsData) -> None:
    assert_same(encoded(data), encode_metrics(data))


def test_metrics_of_the_sdk_are_what_the_stock_exporter_makes_of_them() -> None:
    exponential = View(
        instrument_name="exponential", aggregation=ExponentialBucketHistogramAggregation()
    )
    reader = InMemoryMetricReader({Histogram: AggregationTemporality.DELTA})
    provider = MeterProvider([reader], Resource({"a": "b"}), views=[exponential])
    meter = provider.get_meter("scope", "1", "schema")
    meter.create_counter("counter", "s", "what it counts").add(3, {"a": "b", "c": 1, "d": True})
    meter.create_up_down_counter("up_down").add(-1.5)
    meter.create_observable_gauge("gauge", [lambda _: [Observation(2.5, {"a": 0.5})]])
    for name in ("histogram", "exponential"):
        histogram = meter.create_histogram(name)
        for value in (-3, 0, 1, 7.5, 100_000):
            histogram.record(value, {"a": "b"})
    data = reader.get_metrics_data()
    assert data is not None
    [resource] = data.resource_metrics
    assert len(resource.scope_metrics[0].metrics) == 5
    assert_same(encoded(data), encode_metrics(data))
    provider.shutdown()


def collection(data: Any) -> MetricsData:
    scope = ScopeMetrics(InstrumentationScope("scope"), [Metric("name", "", "", data)], "")
    return MetricsData([ResourceMetrics(Resource({}), [scope], "")])


def sent(data: Any) -> pb.Metric:
    [metric] = pb.ScopeMetrics.FromString(ENCODER.encode(Metric("name", "", "", data))).metrics
    return metric


def test_a_count_of_more_than_64_bits_is_a_double_where_the_stock_exporter_sends_nothing() -> None:
    data = Sum([NumberDataPoint({}, 1, 2, 2**70, [])], AggregationTemporality.CUMULATIVE, True)
    with pytest.raises(Exception, match="name='name'"):
        encode_metrics(collection(data))
    assert sent(data).sum.data_points[0].as_double == 2.0**70


def test_a_point_that_cannot_be_sent_costs_itself_where_the_stock_exporter_sends_nothing() -> None:
    before = caught()[PLACE, "TypeError"]
    bad: Any = NumberDataPoint({"b": 2}, 1, 2, "text", [])  # type: ignore[arg-type]
    points = [NumberDataPoint({"a": 1}, 1, 2, 3, []), bad, NumberDataPoint({"c": 3}, 1, 2, 4, [])]
    data = Sum(points, AggregationTemporality.CUMULATIVE, True)
    with pytest.raises(Exception, match="name='name'"):
        encode_metrics(collection(data))
    assert [p.as_int for p in sent(data).sum.data_points] == [3, 4]
    assert caught()[PLACE, "TypeError"] == before + 1


def test_a_kind_of_data_that_otlp_does_not_have_is_counted() -> None:
    before = caught()[PLACE, "TypeError"]
    data: Any = object()
    assert sent(data) == pb.Metric(name="name")
    assert caught()[PLACE, "TypeError"] == before + 1


def test_points_whose_attributes_are_kept_are_what_they_are_without_that() -> None:
    """Also where a mapping is gone and another has come to its place, and beyond the limit."""
    kept, plain = MetricEncoder(Attributes(), kept=3), MetricEncoder(Attributes())
    stays = {"name": "stays"}
    for number in range(50):
        points = [
            NumberDataPoint(labels, 1, 2, number, [])
            for labels in (stays, {"name": f"{number}"}, {"other": number}, stays)
        ]
        metric = Metric("m", "", "", Gauge(points))
        assert kept.encode(metric) == plain.encode(metric)
