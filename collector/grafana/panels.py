"""How a panel and a dashboard become Grafana's JSON, by Grafana's own Foundation SDK."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from grafana_foundation_sdk.builders import (
    dashboard,
    heatmap,
    logs,
    loki,
    prometheus,
    stat,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as prometheus_models

type Drawn = Literal["series", "stat", "heatmap", "logs"]
type Source = Literal["prometheus", "loki"]

ROW = 3
"""Panels beside each other; Grafana's grid is 24 wide."""


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        title: in English.
        chinese: the same in Chinese.
        queries: legend (`{{label}}`) to PromQL or LogQL.
        unit: Grafana's name of the unit.
        drawn: how it is shown.
        source: which data source answers.
    """

    title: str
    chinese: str
    queries: Mapping[str, str]
    unit: str = "short"
    drawn: Drawn = "series"
    source: Source = "prometheus"


@dataclass(frozen=True)
class Variable:
    """A choice above a dashboard: the values of a label, or text (where there is no `values`).

    Attributes:
        name: `$name` in queries.
        title: what stands before it.
        values: the query of its values.
        default: what it is at first.
    """

    name: str
    title: str
    values: str = ""
    default: str = ".*"


@dataclass(frozen=True)
class Dashboard:
    """One dashboard; `uid` is its file and its address, `/d/<uid>`."""

    uid: str
    title: str
    chinese: str
    panels: tuple[Panel, ...]
    variables: tuple[Variable, ...] = ()


def write(made: Dashboard) -> str:
    """Write a dashboard as Grafana reads it.

    Returns:
        JSON, the same for the same dashboard.
    """
    builder = (
        dashboard.Dashboard(f"{made.title} · {made.chinese}")
        .uid(made.uid)
        .tags(["dify"])
        .time("now-1h", "now")
        .refresh("30s")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .editable()
        .link(
            dashboard.DashboardLink("Dify")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["dify"])
            .as_dropdown(True)
            .keep_time(True)
        )
    )
    for variable in made.variables:
        builder.with_variable(_variable(variable))
    for panel in made.panels:
        builder.with_panel(_panel(panel))
    return json.dumps(builder.build(), cls=JSONEncoder, indent=2, ensure_ascii=False) + "\n"


def _reference(source: Source) -> models.DataSourceRef:
    return models.DataSourceRef(type_val=source, uid=source)


def _variable(variable: Variable) -> dashboard.QueryVariable | dashboard.TextBoxVariable:
    if not variable.values:
        return (
            dashboard.TextBoxVariable(variable.name)
            .label(variable.title)
            .default_value(variable.default)
        )
    return (
        dashboard.QueryVariable(variable.name)
        .label(variable.title)
        .query(variable.values)
        .datasource(_reference("prometheus"))
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(True)
        .all_value(variable.default)
        .multi(True)
    )


type _Made = timeseries.Panel | stat.Panel | heatmap.Panel | logs.Panel


def _panel(panel: Panel) -> _Made:
    made: _Made
    if panel.drawn == "logs":
        made = logs.Panel().span(24)
    elif panel.drawn == "stat":
        made = stat.Panel().span(24 // ROW).unit(panel.unit)
    elif panel.drawn == "heatmap":
        made = heatmap.Panel().span(24 // ROW).unit(panel.unit)
    else:
        made = timeseries.Panel().span(24 // ROW).unit(panel.unit)
    made.title(f"{panel.title} · {panel.chinese}").height(8)
    made.datasource(_reference(panel.source))
    for number, (legend, expression) in enumerate(panel.queries.items()):
        identity = chr(ord("A") + number)
        if panel.source == "loki":
            found = loki.Dataquery().expr(expression).ref_id(identity).legend_format(legend)
            made.with_target(found.query_type("range"))
            continue
        asked = prometheus.Dataquery().expr(expression).ref_id(identity).legend_format(legend)
        if panel.drawn == "heatmap":
            asked.format(prometheus_models.PromQueryFormat.HEATMAP)
        # Exemplars: the dots that lead to a trace.
        asked.exemplar("_bucket" in expression)
        made.with_target(asked.range())
    return made
