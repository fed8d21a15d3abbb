"""Counters and gauges of one's own: they leave as otel_dify's do, are bounded, and never raise."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_dify import counter, gauge, guard, instruments, observe
from otel_dify.process import process
from otel_dify.signals import gauges
from otel_dify.signals.cells import MappedCells
from otel_dify.signals.points import SERIES_LIMIT, OwnStore, SdkStore, own_counter
from otel_dify.signals.series import Exemplars
from tests.recording import Recording
from tests.unit.children import in_child

NAME = "shop.orders"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start with no gauges, and nothing said; fail where a guard had to catch."""
    monkeypatch.setitem(process._kept, gauges.Readers, gauges.Readers())
    monkeypatch.setitem(process._kept, instruments._Values, instruments._Values())
    monkeypatch.setattr(process.kept(guard.Failures), "said", set())
    guard.caught().clear()
    yield
    assert not dict(guard.caught())


def points(recorded: Recording, name: str = NAME) -> dict[tuple[tuple[str, object], ...], float]:
    return {
        tuple(sorted((point.attributes or {}).items())): point.value  # type: ignore[union-attr] # counters
        for metric in recorded.signals.store.collect()  # type: ignore[union-attr] # our store
        if metric.name == name
        for point in metric.data.data_points
    }


def test_a_counter_adds_up_by_its_labels(recorded: Recording) -> None:
    orders = counter(NAME, unit="{order}", doc="Orders placed")
    orders.add(country="NL")
    orders.add(2, country="NL")
    orders.add(0.5, country="DE", new=True)
    # Another of the same name is the same one.
    counter(NAME, unit="{order}", doc="Orders placed").add(country="NL")
    assert points(recorded) == {
        (("country", "NL"),): 4,
        (("country", "DE"), ("new", True)): 0.5,
    }
    [metric] = [one for one in recorded.signals.store.collect() if one.name == NAME]  # type: ignore[union-attr] # our store
    assert (metric.unit, metric.description) == ("{order}", "Orders placed")


def test_a_counter_points_to_the_span_around_it(recorded: Recording) -> None:
    with observe("buy"):
        counter(NAME).add()
    [metric] = [one for one in recorded.signals.store.collect() if one.name == NAME]  # type: ignore[union-attr] # our store
    [exemplar] = metric.data.data_points[0].exemplars
    assert exemplar.span_id == recorded.span("buy").context.span_id


def test_what_cannot_be_counted_is_left_out_and_said_once(
    recorded: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    orders = counter(NAME)
    with caplog.at_level(logging.WARNING, "otel_dify"):
        for amount in (-1, -1, float("nan"), float("inf")):
            orders.add(amount)
    assert points(recorded) == {}
    assert len(caplog.messages) == 3
    assert "a counter only grows" in caplog.text


@pytest.mark.parametrize("name", ["", "1st", "with blank", "ä", "x" * 256, "dify.requests.total"])
def test_a_name_that_cannot_be_counts_nothing(
    recorded: Recording, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    with caplog.at_level(logging.WARNING, "otel_dify"):
        counter(name).add()
        gauge(name).set(1)
    assert "cannot be the name of a metric of your own" in caplog.text
    assert points(recorded, name) == {}


def test_labels_are_clean_and_of_any_type(recorded: Recording) -> None:
    counter(NAME).add(api_key="sk-1234567890abcdef1234567890abcdef", place=Path("/x"), n=None)
    [labels] = points(recorded)
    assert dict(labels) == {"api_key": "***", "place": "/x", "n": "None"}


def test_too_many_series_are_counted_together(recorded: Recording) -> None:
    orders = counter(NAME)
    for number in range(SERIES_LIMIT + 10):
        orders.add(customer=number)
    found = points(recorded)
    assert len(found) == SERIES_LIMIT + 1
    assert found[("otel.metric.overflow", True),] == 10


def test_who_takes_the_slot_goes_on_with_it(tmp_path: Path) -> None:
    path, made = tmp_path / "a-0.cells", own_counter(NAME, "{order}", "Orders")
    for count in (1, 2, 3):
        cells = MappedCells(path, b"")
        store = OwnStore(Exemplars(), cells)
        store.series(made, {"country": "NL"}).record(1, _nowhere(), 0)
        [metric] = store.collect()
        assert (metric.name, metric.unit, metric.description) == (NAME, "{order}", "Orders")
        [point] = metric.data.data_points
        assert point.value == count  # type: ignore[union-attr] # a counter
        cells.close()


def _nowhere() -> trace.SpanContext:
    return trace.INVALID_SPAN_CONTEXT


def test_readers_of_the_sdk_have_it_as_well() -> None:
    reader = InMemoryMetricReader()
    store = SdkStore(MeterProvider([reader]).get_meter("test"))
    made = own_counter(NAME, "1", "")
    for _ in range(2):
        store.series(made, {"country": "NL"}).record(1, _nowhere(), 0)
    data = reader.get_metrics_data()
    assert data is not None
    [metric] = data.resource_metrics[0].scope_metrics[0].metrics
    assert metric.data.data_points[0].value == 2  # type: ignore[union-attr] # a counter


def collected(reader: InMemoryMetricReader) -> dict[tuple[tuple[str, object], ...], float]:
    data = reader.get_metrics_data()
    return {
        tuple(sorted((point.attributes or {}).items())): point.value  # type: ignore[union-attr] # gauges
        for of_resource in (data.resource_metrics if data is not None else ())
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
        if metric.name == NAME
        for point in metric.data.data_points
    }


@pytest.mark.parametrize("first", ["meter", "gauge"])
def test_a_gauge_tells_its_last_value(recorded: Recording, first: str) -> None:
    del recorded
    reader, waiting = InMemoryMetricReader(), gauge(NAME)
    meter = MeterProvider([reader]).get_meter("test")
    if first == "meter":
        gauges.create(meter)
    for value in (3, 5.5):
        waiting.set(value, shop="a")
    gauge(NAME).set(1, shop="b")
    if first == "gauge":
        gauges.create(meter)
    assert collected(reader) == {(("shop", "a"),): 5.5, (("shop", "b"),): 1}
    assert collected(reader) == {(("shop", "a"),): 5.5, (("shop", "b"),): 1}


def test_a_forked_child_has_no_values_of_its_parents(recorded: Recording) -> None:
    del recorded
    gauge(NAME).set(3)

    def work() -> str:
        process.kept(instruments._Values).forked()
        return str(list(instruments._read(NAME)))

    assert in_child(work) == "[]"
    assert len(list(instruments._read(NAME))) == 1


def test_without_telemetry_nothing_happens() -> None:
    assert process.recording() is None
    counter(NAME).add(-1, country="NL")
    gauge(NAME).set(3)
    assert not process.kept(gauges.Readers).known
