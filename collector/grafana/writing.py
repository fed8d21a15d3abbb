"""How a dashboard becomes Grafana's JSON, by Grafana's own Foundation SDK."""

from __future__ import annotations

import json
from dataclasses import replace

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    logs,
    prometheus,
    stat,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as prometheus_models

from collector.grafana.panels import (
    Annotation,
    Dashboard,
    Limits,
    Listing,
    Panel,
    Shown,
    Table,
    Variable,
)
from collector.grafana.shared import (
    FOLLOWED,
    IDENTIFIED,
    MEANING,
    MORE,
    Made,
    asked_for,
    dress,
    link,
    reference,
    steps,
)
from collector.grafana.tables import as_listing, as_table


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
            .include_vars(True)
            .keep_time(True)
        )
    )
    for annotation in made.annotations:
        builder.annotation(_annotation(annotation))
    for variable in made.variables:
        builder.with_variable(_variable(variable))
    for section in made.sections:
        builder.with_row(dashboard.Row(f"{section.title} · {section.chinese}"))
        for panel in section.panels:
            here = replace(panel, opens="") if panel.opens == made.uid else panel
            builder.with_panel(_shown(here))
    return json.dumps(builder.build(), cls=JSONEncoder, indent=2, ensure_ascii=False) + "\n"


def _variable(variable: Variable) -> dashboard.QueryVariable | dashboard.TextBoxVariable:
    if not variable.values:
        return (
            dashboard.TextBoxVariable(variable.name)
            .id(variable.name)
            .label(variable.title)
            .default_value(variable.default)
            .current(models.VariableOption(text=variable.default, value=variable.default))
        )
    made = (
        dashboard.QueryVariable(variable.name)
        # The SDK gives every variable the same id, and Grafana 10 keeps the last of an id.
        .id(variable.name)
        .label(variable.title)
        .query(variable.values)
        .datasource(reference("prometheus"))
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(True)
        .all_value(variable.default)
        .current(models.VariableOption(text="All", value="$__all"))
        .multi(True)
    )
    return made.regex(variable.picks) if variable.picks else made


def _annotation(annotation: Annotation) -> dashboard.AnnotationQuery:
    """Marks at the times that a query answers with, on all panels."""
    return (
        dashboard.AnnotationQuery()
        .name(f"{annotation.title} · {annotation.chinese}")
        .datasource(reference(annotation.source))
        .enable(True)
        .icon_color(annotation.colour)
        .expr(annotation.query)
    )


def _thresholds(limits: Limits) -> dashboard.ThresholdsConfig:
    made = steps(limits)
    return dashboard.ThresholdsConfig().mode(made.mode).steps(made.steps)


def _shown(shown: Shown) -> Made:
    if isinstance(shown, Table):
        return as_table(shown)
    return as_listing(shown) if isinstance(shown, Listing) else _panel(shown)


def _panel(panel: Panel) -> Made:
    made: Made
    match panel.drawn:
        case "series" | "bars":
            made = _series(panel)
        case "stat" | "up":
            made = _stat(panel)
        case "heatmap":
            made = _heatmap(panel)
        case "logs":
            made = _logs()
    dress(made, panel)
    made.datasource(reference(panel.source))
    now = panel.drawn in ("stat", "up")
    for number, (legend, expression) in enumerate(panel.queries.items()):
        asked = asked_for(panel.source, expression, number, now=now).legend_format(legend)
        if panel.drawn == "heatmap" and isinstance(asked, prometheus.Dataquery):
            asked.format(prometheus_models.PromQueryFormat.HEATMAP).exemplar(False)
        made.with_target(asked)
    return made


def _series(panel: Panel) -> timeseries.Panel:
    made = timeseries.Panel().unit(panel.unit).min(0).fill_opacity(10)
    if panel.source == "loki":
        # Counts of seconds are noise.
        made.interval("1m")
    if panel.drawn == "bars":
        made.draw_style(common_models.GraphDrawStyle.BARS).fill_opacity(80)
        made.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL))
    legend = common.VizLegendOptions().show_legend(True)
    legend.placement(common_models.LegendPlacement.BOTTOM)
    if any("{{" in name for name in panel.queries):
        # Many series: the largest first.
        legend.display_mode(common_models.LegendDisplayMode.TABLE).calcs(["lastNotNull", "max"])
        legend.sort_by("Max").sort_desc(True)
    else:
        legend.display_mode(common_models.LegendDisplayMode.LIST)
    made.legend(legend)
    made.tooltip(
        common.VizTooltipOptions()
        .mode(common_models.TooltipDisplayMode.MULTI)
        .sort(common_models.SortOrder.DESCENDING)
    )
    for name, colour in MEANING.items():
        fixed = {"mode": "fixed", "fixedColor": colour}
        made.override_by_name(name, [models.DynamicConfigValue("color", fixed)])
    if panel.limits:
        made.thresholds(_thresholds(panel.limits))
        made.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(common_models.GraphTresholdsStyleMode.DASHED)
        )
    for label, url in FOLLOWED.items():
        if any(f"{{{{{label}}}}}" in legend for legend in panel.queries):
            value = f"${{__field.labels.{IDENTIFIED.get(label, label)}}}"
            made.data_links([link(MORE, url.replace("VALUE", value))])
            break
    return made


def _stat(panel: Panel) -> stat.Panel:
    made = stat.Panel().unit(panel.unit).color_mode(common_models.BigValueColorMode.BACKGROUND)
    made.graph_mode(common_models.BigValueGraphMode.NONE)
    if panel.drawn == "up":
        said = {"0": ("DOWN · 离线", "red"), "1": ("UP · 在线", "green")}
        results = {
            value: models.ValueMappingResult(text=text, color=colour)
            for value, (text, colour) in said.items()
        }
        return made.mappings([models.ValueMap(results)])
    if panel.limits:
        return made.thresholds(_thresholds(panel.limits))
    return made.color_mode(common_models.BigValueColorMode.NONE)


def _heatmap(panel: Panel) -> heatmap.Panel:
    return heatmap.Panel().y_axis(heatmap.YAxisConfig().unit(panel.unit)).calculate(False)


def _logs() -> logs.Panel:
    made = logs.Panel().show_time(True).wrap_log_message(True).enable_log_details(True)
    return made.sort_order(common_models.LogsSortOrder.DESCENDING)
