"""How tables become Grafana's JSON: numbers of now by label, and lists of log records."""

from __future__ import annotations

from collections.abc import Mapping

from grafana_foundation_sdk.builders import common, prometheus, table
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as prometheus_models

from collector.grafana.panels import Limits, Listing, Table
from collector.grafana.shared import (
    EMPTY,
    FOLLOWED,
    MEANING,
    MORE,
    SEVERITY,
    asked_for,
    dress,
    reference,
    steps,
)


def as_table(wanted: Table) -> table.Panel:
    """A table of answers of now, from one or several queries."""
    made = table.Panel()
    dress(made, wanted)
    made.datasource(models.DataSourceRef(type_val="datasource", uid="-- Mixed --"))
    named = dict(wanted.labels)
    for number, column in enumerate(wanted.columns):
        asked = asked_for(column.source, column.query, number, now=True)
        if isinstance(asked, prometheus.Dataquery):
            asked.format(prometheus_models.PromQueryFormat.TABLE)
        made.with_target(asked)
        if column.heading:
            # Grafana's Prometheus leaves the query out of the name where it was asked only one.
            asked_alone = [one.source for one in wanted.columns].count("prometheus") == 1
            plain = column.source == "prometheus" and asked_alone
            named["Value" if plain else f"Value #{chr(ord('A') + number)}"] = column.heading
            made.override_by_name(column.heading, _number(column.unit, column.limits))
    # Without their times, answers that share a label are one row.
    made.with_transformation(_transformation("filterFieldsByName", include={"names": list(named)}))
    made.with_transformation(_transformation("merge"))
    _arrange(made, named, wanted.labels, wanted.sorts)
    return made


def as_listing(wanted: Listing) -> table.Panel:
    """A table of log records: their labels become its columns."""
    made = table.Panel()
    dress(made, wanted)
    made.datasource(reference("loki")).with_target(asked_for("loki", wanted.query, 0, now=False))
    made.with_transformation(
        _transformation(
            "extractFields", source="labels", format="auto", replace=True, keepTime=True
        )
    )
    named = {"Time": "Time · 时间", **wanted.fields}
    made.with_transformation(_transformation("filterFieldsByName", include={"names": list(named)}))
    numbers = [{"targetField": name, "destinationType": "number"} for name in wanted.numbers]
    made.with_transformation(_transformation("convertFieldType", conversions=numbers))
    labels = {name: it for name, it in wanted.fields.items() if name not in wanted.numbers}
    _arrange(made, named, labels, wanted.sorts)
    for name, (unit, limits) in wanted.numbers.items():
        made.override_by_name(wanted.fields[name], _number(unit, limits))
    return made


def _arrange(
    made: table.Panel, named: Mapping[str, str], labels: Mapping[str, str], sorts: tuple[str, bool]
) -> None:
    """Order, name and sort a table's columns."""
    order = {name: position for position, name in enumerate(named)}
    made.with_transformation(
        _transformation("organize", indexByName=order, renameByName=dict(named), excludeByName={})
    )
    heading, descending = sorts
    made.sort_by([common.TableSortByFieldState().display_name(heading).desc(descending)])
    for label, heading in labels.items():
        made.override_by_name(heading, _label(label))


def _transformation(identity: str, **options: object) -> models.DataTransformerConfig:
    return models.DataTransformerConfig(id_val=identity, options=options)


def _label(label: str) -> list[models.DynamicConfigValue]:
    """How a label is shown, and where it leads."""
    found = [models.DynamicConfigValue("noValue", EMPTY)]
    if label in FOLLOWED:
        url = FOLLOWED[label].replace("VALUE", "${__value.raw}")
        found.append(models.DynamicConfigValue("links", [{"title": MORE, "url": url}]))
    colours = SEVERITY if label == "severity" else MEANING if label.endswith("status") else {}
    if colours:
        results = {name: models.ValueMappingResult(color=it) for name, it in colours.items()}
        found.append(models.DynamicConfigValue("mappings", [models.ValueMap(results)]))
        cell = {"type": "color-text"}
        found.append(models.DynamicConfigValue("custom.cellOptions", cell))
    return found


def _number(unit: str, limits: Limits | None) -> list[models.DynamicConfigValue]:
    """How a column's numbers are shown."""
    found = [
        models.DynamicConfigValue("unit", unit),
        models.DynamicConfigValue("noValue", EMPTY),
    ]
    if limits:
        found.append(models.DynamicConfigValue("thresholds", steps(limits)))
        cell = {"type": "color-text"}
        found.append(models.DynamicConfigValue("custom.cellOptions", cell))
    return found
