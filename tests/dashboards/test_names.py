"""A renamed metric or attribute cannot silently empty a panel, a rule or a copy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from collector.grafana.__main__ import stale
from collector.grafana.catalogue import DASHBOARDS
from collector.grafana.panels import Listing, Table
from collector.native.programs import COLLECTOR_FOLDER
from otel_dify import table as t

# What others make: the Collector, the backends, kubelets, and Prometheus itself.
OF_OTHERS = re.compile(
    r"^(up|target_info|ALERTS|otelcol_\w+|process_start_time_seconds|container_\w+|system_\w+)$"
)
OTHER_LABELS = {
    *(
        "le",
        "job",
        "instance",
        "quantile",
        "__name__",
        "alertstate",
        "alertname",
        "alias_of",
        "severity",
    ),
    *("service_name", "service_namespace", "service_instance_id", "deployment_environment_name"),
    *("host_name", "exporter", "processor", "receiver", "pod", "container", "namespace", "path"),
    # Of recording rules, gauges, and OpenTelemetry's overflow.
    *(
        "signal",
        "reason",
        "window",
        "queue_name",
        "place",
        "error_type",
        "otel_metric_overflow",
        "overflowing",
    ),
    *("trace_id", "severity_text", "service_version"),
    *("app_name", "app_mode", "workflow_version"),
}
WORD = re.compile(r"[a-zA-Z_][\w:]*")
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
GROUPED = re.compile(r"(?:by|on|ignoring|without|group_left)\s*\(([^)]*)\)")
MATCHED = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")


def underscored(name: str) -> str:
    """A name as Prometheus and Loki have it."""
    return name.replace(".", "_")


def prometheus_names(instrument: t.Instrument) -> set[str]:
    """The names of an instrument's series in Prometheus."""
    base = underscored(instrument.name)
    if instrument.kind in {"histogram", "gauge"}:
        base += {"s": "_seconds", "By": "_bytes"}.get(instrument.unit, "")
    if instrument.kind == "histogram":
        return {f"{base}_{part}" for part in ("bucket", "count", "sum")}
    if instrument.kind == "counter" and not base.endswith("_total"):
        base += "_total"
    return {base}


def rules() -> Iterator[dict[str, Any]]:
    """Every rule."""
    for path in sorted((COLLECTOR_FOLDER / "prometheus" / "rules").glob("*.yaml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


RECORDED = {rule["record"] for rule in rules() if "record" in rule}
KNOWN_METRICS = {name for one in t.INSTRUMENTS for name in prometheus_names(one)} | RECORDED
KNOWN_LABELS = OTHER_LABELS | {
    underscored(name)
    for kind in t.KINDS
    for recording in kind.recordings
    for name in (
        *(label for label, _ in recording.labels),
        *(key for key, _ in recording.constants),
    )
}
KNOWN_ATTRIBUTES = {attribute.key for attribute in t.ATTRIBUTES}
FUNCTIONS = {
    *("sum", "rate", "increase", "histogram_quantile", "max", "min", "count", "avg", "abs", "topk"),
    *(
        "vector",
        "avg_over_time",
        "last_over_time",
        "stddev_over_time",
        "count_over_time",
        "changes",
        "resets",
        "deriv",
    ),
    *("label_replace", "by", "on", "ignoring", "without", "group_left", "and", "or", "unless"),
    *("offset", "bool", "quantile_over_time", "unwrap", "d", "w", "m", "h", "s"),
}


def promql() -> Iterator[tuple[str, str]]:
    """Every PromQL expression, with where it stands."""
    for rule in rules():
        yield rule.get("alert") or rule["record"], str(rule["expr"])
    for board, title, source, expression in panels():
        if source == "prometheus":
            yield f"{board}: {title}", expression


def panels() -> Iterator[tuple[str, str, str, str]]:
    """Every query of every panel: dashboard, title, data source, expression."""
    for path in sorted((COLLECTOR_FOLDER / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(Path(path).read_text())["panels"]:
            for target in panel.get("targets", ()):  # A row has none.
                yield path.stem, panel["title"], target["datasource"]["type"], target["expr"]


def words(expression: str) -> tuple[set[str], set[str]]:
    """The metrics and the labels of a PromQL expression."""
    labels = {
        label.strip() for group in GROUPED.findall(expression) for label in group.split(",")
    } - {""}
    labels |= set(MATCHED.findall(expression))
    bare = GROUPED.sub(" ", re.sub(r"\{[^}]*\}", " ", STRING.sub('""', expression)))
    bare = re.sub(r"\[[^\]]*\]|offset \w+", " ", bare)
    return set(WORD.findall(bare)) - FUNCTIONS, labels


def test_every_metric_and_label_of_rules_and_panels_exists() -> None:
    wrong = []
    for where, expression in promql():
        metrics, labels = words(expression)
        wrong += [
            (where, name)
            for name in metrics
            if name not in KNOWN_METRICS and not OF_OTHERS.match(name)
        ]
        wrong += [(where, label) for label in labels - KNOWN_LABELS]
    assert wrong == []


def test_a_renamed_metric_would_be_found() -> None:
    metrics, labels = words('sum by (no_label) (rate(no_such_total{nor_this="x"}[5m])) > 1')
    assert (metrics, labels) == ({"no_such_total"}, {"no_label", "nor_this"})


def test_every_attribute_of_log_queries_exists() -> None:
    known = {underscored(key) for key in KNOWN_ATTRIBUTES} | OTHER_LABELS
    events = {name for kind in t.KINDS for name in (kind.event, kind.start_event)}
    for board, title, source, expression in panels():
        if source == "loki":
            used = set(MATCHED.findall(expression)) | set(re.findall(r"unwrap (\w+)", expression))
            used |= {n.strip() for group in GROUPED.findall(expression) for n in group.split(",")}
            used -= set(re.findall(r"label_format (\w+)=", expression))
            assert used <= known, (board, title, used - known)
            for asked in re.findall(r'dify_event_name=~?"([^"]+)"', expression):
                assert any(re.fullmatch(asked, event) for event in events), (title, asked)


def test_every_name_in_the_drop_in_of_the_reference_exists() -> None:
    text = (COLLECTOR_FOLDER / "drop-ins" / "reference-names.yaml").read_text()
    instruments = {one.name for one in t.INSTRUMENTS}
    labels = {
        name
        for kind in t.KINDS
        for recording in kind.recordings
        for name in (*(n for n, _ in recording.labels), *(n for n, _ in recording.constants))
    }
    made = set(re.findall(r'set\(attributes\["([^"]+)"\]', text))
    used = set(re.findall(r'attributes\["([^"]+)"\]', text))
    assert used <= labels | made, used - labels - made
    sources = set(re.findall(r'name == "([a-z_.]*[.][a-z_.]*)"', text))
    assert {re.sub("_(count|sum)$", "", name) for name in sources} <= instruments
    (kept,) = re.findall(r'"\^\((http.*)\)\$"', text)
    assert {name.replace("[.]", ".") for name in kept.split("|")} <= instruments


def test_the_dashboards_are_what_the_generator_writes() -> None:
    assert stale() == {}


def test_every_choice_above_a_dashboard_has_an_id_and_a_value() -> None:
    """Grafana 10 keeps one variable of each id, and asks with "" where there is no value."""
    for path in (COLLECTOR_FOLDER / "grafana" / "dashboards").glob("*.json"):
        choices = json.loads(path.read_text())["templating"].get("list", [])
        assert len({choice["id"] for choice in choices}) == len(choices), path
        assert all(choice["current"]["value"] for choice in choices), path


def test_every_panel_has_options() -> None:
    """Without them Grafana's heatmap does not come up."""
    for path in (COLLECTOR_FOLDER / "grafana" / "dashboards").glob("*.json"):
        for panel in json.loads(path.read_text())["panels"]:
            assert panel["type"] == "row" or panel["options"], (path.stem, panel["title"])


def test_marks_are_asked_for_by_names_that_exist() -> None:
    """When something was deployed, published or changed, above the panels of each dashboard."""
    events = {kind.event for kind in t.KINDS}
    known = {underscored(key) for key in KNOWN_ATTRIBUTES} | OTHER_LABELS
    marks = [mark for board in DASHBOARDS for mark in board.annotations]
    assert {mark.source for mark in marks} == {"loki", "prometheus"}
    for mark in marks:
        if mark.source == "prometheus":
            metrics, labels = words(mark.query)
            assert metrics <= KNOWN_METRICS
            assert labels <= KNOWN_LABELS
        else:
            assert set(MATCHED.findall(mark.query)) <= known
            [asked] = re.findall(r'dify_event_name=~"([^"]+)"', mark.query)
            assert len([event for event in events if re.fullmatch(asked, event)]) == 2


def test_the_columns_of_a_table_can_be_joined() -> None:
    tables = [
        panel
        for board in DASHBOARDS
        for section in board.sections
        for panel in section.panels
        if isinstance(panel, Table)
    ]
    assert tables
    for table in tables:
        key = next(iter(table.labels))
        for column in table.columns:
            grouped = {
                name.strip() for by in GROUPED.findall(column.query) for name in by.split(",")
            }
            assert key in grouped, (table.title, column)


def test_what_a_list_of_records_shows_is_logged() -> None:
    known = {underscored(key) for key in KNOWN_ATTRIBUTES} | OTHER_LABELS
    lists = [
        panel
        for board in DASHBOARDS
        for section in board.sections
        for panel in section.panels
        if isinstance(panel, Listing)
    ]
    assert lists
    for shown in lists:
        assert set(shown.numbers) <= set(shown.fields) <= known, shown.title


def test_titles_are_in_english_and_chinese() -> None:
    headings = [
        (board.uid, f"{section.title} · {section.chinese}")
        for board in DASHBOARDS
        for section in board.sections
    ]
    for board, title in [*headings, *((board, title) for board, title, _, _ in panels())]:
        english, dot, chinese = title.partition(" · ")
        assert dot, (board, title)
        assert english.isascii(), title
        assert re.search(r"[\u4e00-\u9fff]", chinese), (board, title)
