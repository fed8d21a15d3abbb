"""Prometheus' text format, read back by a reader of its own that takes nothing else."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import INVALID_SPAN_CONTEXT

from otel_dify import table as t
from otel_dify.cli.health.counted import Counted, counted_in
from otel_dify.cli.health.exposition import exposition, name_of
from otel_dify.cli.health.statistics import statistics
from otel_dify.export.encoding.request import encode_resource
from otel_dify.locks import lock
from otel_dify.resource import CELLS, SHOWN
from otel_dify.signals.cells import Cells, MappedCells
from otel_dify.signals.points import OwnStore
from otel_dify.signals.series import Exemplars, Labels
from otel_dify.signals.shown import Shown
from otel_dify.table.instrument import Instrument
from tests.dashboards.test_names import prometheus_names

SAMPLE = re.compile(
    r'([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\n"])*",?)*)\})? (\S+)'
)
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\[\\n"])*)"')
UNESCAPED = {r"\\": "\\", r"\n": "\n", r"\"": '"'}
COUNTER = next(one for one in t.INSTRUMENTS if one.name == "dify.requests.total")

type Sample = tuple[str, frozenset[tuple[str, str]]]


def parsed(text: str) -> tuple[dict[str, str], dict[Sample, float]]:
    """Read the format: types by name, values by name and labels; strict in everything."""
    types: dict[str, str] = {}
    values: dict[Sample, float] = {}
    assert not text or text.endswith("\n")
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP "):
            continue
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types, "a metric stands in one place"
            types[name] = current = kind
            latest = name
            continue
        found = SAMPLE.fullmatch(line)
        assert found, line
        name, labels, value = found.groups()
        family = re.sub(r"_(bucket|sum|count)$", "", name) if current == "histogram" else name
        assert family == latest, f"{line} stands below {latest}"
        pairs = LABEL.findall(labels or "")
        assert len({key for key, _ in pairs}) == len(pairs), line
        known = {k: re.sub(r"\\.", lambda one: UNESCAPED[one[0]], v) for k, v in pairs}
        sample = name, frozenset(known.items())
        assert sample not in values, f"{line} is there twice"
        values[sample] = float(value)
    return types, values


def counted(folder: Path, name: str, **resource: str) -> tuple[OwnStore, MappedCells]:
    """Make the file of a process."""
    known = Resource({"service.instance.id": f"host:{name}", **resource})
    cells = MappedCells(folder / f"{name}{CELLS}", encode_resource(known))
    return OwnStore(Exemplars(), cells), cells


def record(store: OwnStore, instrument: Instrument, labels: Labels, *amounts: float) -> None:
    series = store.series(instrument, labels)
    for amount in amounts:
        series.record(amount, INVALID_SPAN_CONTEXT, time.time_ns())


def value(values: dict[Sample, float], name: str, **labels: str) -> float:
    [found] = [v for (n, known), v in values.items() if n == name and labels.items() <= set(known)]
    return found


def text_of(folder: Path) -> str:
    return "".join(exposition(counted_in(folder)))


@pytest.mark.parametrize("instrument", t.INSTRUMENTS, ids=lambda one: one.name)
def test_names_are_those_that_dashboards_and_rules_ask_for(instrument: Instrument) -> None:
    name = name_of(instrument.name, instrument.unit, instrument.kind)
    parts = ("_bucket", "_count", "_sum") if instrument.kind == "histogram" else ("",)
    assert {f"{name}{part}" for part in parts} == prometheus_names(instrument)


def test_two_processes_are_one_metric_with_two_instances(tmp_path: Path) -> None:
    resource = {"service.name": "dify-api", "service.namespace": "dify"}
    for name, amount in (("api-0", 2), ("api-1", 3)):
        store, cells = counted(tmp_path, name, **resource)
        record(store, COUNTER, {"type": "workflow"}, amount)
        cells.close()
    types, values = parsed(text_of(tmp_path))
    assert types["dify_requests_total"] == "counter"
    known = {"job": "dify/dify-api", "service_name": "dify-api", "type": "workflow"}
    assert value(values, "dify_requests_total", instance="host:api-0", **known) == 2
    assert value(values, "dify_requests_total", instance="host:api-1", **known) == 3
    assert value(values, "target_info", instance="host:api-1", job="dify/dify-api") == 1


def test_buckets_hold_what_is_below_and_end_in_all(tmp_path: Path) -> None:
    store, cells = counted(tmp_path, "api-0")
    record(store, t.DB_DURATION, {"db.system.name": "redis"}, 0.001, 0.004, 0.3, 99.0)
    cells.close()
    types, values = parsed(text_of(tmp_path))
    name = "db_client_operation_duration_seconds"
    assert types[name] == "histogram"
    bounds = {dict(known)["le"]: v for (n, known), v in values.items() if n == f"{name}_bucket"}
    assert list(bounds.values()) == sorted(bounds.values())
    assert bounds == {
        "0.001": 1,
        "0.005": 2,
        "0.01": 2,
        "0.05": 2,
        "0.1": 2,
        "0.5": 3,
        "1": 3,
        "5": 3,
        "10": 3,
        "+Inf": 4,
    }
    assert value(values, f"{name}_count", db_system_name="redis") == 4
    assert value(values, f"{name}_sum", db_system_name="redis") == pytest.approx(99.305)


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=20), max_size=4))
def test_any_label_can_be_read_back(labels: dict[str, str]) -> None:
    cells = Cells()
    store = OwnStore(Exemplars(), cells)

    class Known(Counted):
        def metrics(self) -> list[object]:  # type: ignore[override] # of a store in memory
            return list(store.collect())

        def readings(self) -> list[object]:  # type: ignore[override] # none
            return []

    record(store, COUNTER, labels, 1)
    _, values = parsed("".join(exposition([Known("n", True, {}, Path(), 0.0)])))
    [found] = [dict(known) for (name, known) in values if name == "dify_requests_total"]
    held = {k: v for k, v in found.items() if k not in {"job", "instance"}}
    told = sorted(part for text in held.values() for part in text.split(";"))
    given_ = sorted(
        part
        for key, text in labels.items()
        if re.sub(r"[^a-zA-Z0-9_]", "_", key) not in {"job", "instance"}
        for part in text.encode("utf-8", "replace").decode().split(";")
    )
    assert told == given_


def test_gauges_are_those_of_the_living(tmp_path: Path) -> None:
    held = lock(tmp_path / "api-0.slot", create=True)
    assert held is not None
    for name in ("api-0", "api-1"):
        (tmp_path / f"{name}.slot").touch()
        resource = encode_resource(Resource({"service.instance.id": name}))
        cells, shown = MappedCells(tmp_path / f"{name}{SHOWN}", resource), Shown()
        shown.begin(cells)
        shown.gauge(t.CONNECTIONS_ACTIVE.name, {}, 5, time.time())
        shown.gauge("shop.orders.open", {"shop": "a"}, 7, time.time())
        cells.close()
    types, values = parsed(text_of(tmp_path))
    held.release()
    assert types["dify_database_connections_active"] == "gauge"
    assert value(values, "dify_database_connections_active") == 5
    # One that only its process knows has no unit.
    assert types["shop_orders_open"] == "gauge"
    assert value(values, "shop_orders_open", shop="a") == 7


def test_nothing_and_damaged_files_make_an_empty_page(tmp_path: Path) -> None:
    assert text_of(tmp_path) == ""
    (tmp_path / f"api-0{CELLS}").write_bytes(b"\xff" * 100_000)
    (tmp_path / f"api-1{CELLS}").write_bytes(b"")
    (tmp_path / f"api-2{SHOWN}").write_bytes(b"otdifym1" + b"\x7f" * 80_000)
    _, values = parsed(text_of(tmp_path))
    assert {name for name, _ in values} <= {"target_info"}
    assert statistics(counted_in(tmp_path)) == []


def test_statistics_add_processes_up_and_tell_failures_apart(tmp_path: Path) -> None:
    route = {"http.request.method": "POST", "http.route": "/v1/chat-messages"}
    for name, seconds in (("api-0", 0.09), ("api-1", 0.7)):
        store, cells = counted(tmp_path, name)
        ok: Labels = {**route, "http.response.status_code": 200}
        record(store, t.SERVER_DURATION, ok, *[seconds] * 48)
        record(store, t.SERVER_DURATION, {**route, "http.response.status_code": 500}, 3.0)
        record(store, t.SERVER_DURATION, {**route, "http.response.status_code": 404}, 0.01)
        cells.close()
    [one] = statistics(counted_in(tmp_path))
    assert (one.sort, one.name) == ("request", "POST /v1/chat-messages")
    assert (one.count, one.errors) == (100, 2)
    assert one.seconds == pytest.approx(48 * 0.79 + 6.02)
    # Within the bucket that the value lies in.
    assert one.p50 is not None
    assert one.p95 is not None
    assert one.p99 is not None
    assert 0.075 <= one.p50 <= 0.1
    assert 0.5 <= one.p95 <= 0.75
    assert 2.5 <= one.p99 <= 5
