"""What panels of every kind share: their queries, titles, limits, and where they lead."""

from __future__ import annotations

from urllib.parse import quote

from grafana_foundation_sdk.builders import (
    dashboard,
    heatmap,
    logs,
    loki,
    prometheus,
    stat,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import dashboard as models

from collector.grafana.panels import Limits, Shown, Source

QUIET = "None · 无"
NOTHING = "No data · 无数据"
EMPTY = "-"
MORE = "More · 详情"
WHEN = "&${__url_time_range}"
EXPLORED = '{"datasource":"jaeger","queries":[{"query":"VALUE","refId":"A"}]}'
FOLLOWED = {
    "app_id": f"/d/dify-apps?var-app=VALUE{WHEN}",
    "app_name": f"/d/dify-apps?var-app=VALUE{WHEN}",
    "gen_ai_request_model": f"/d/dify-models?var-model=VALUE{WHEN}",
    "dataset_id": f"/d/dify-rag?var-dataset=VALUE{WHEN}",
    "dify_workflow_run_id": f"/d/dify-run?var-run=VALUE{WHEN}",
    "trace_id": f"/explore?left={quote(EXPLORED)}",
}
"""Where a label's value leads."""
IDENTIFIED = {"app_name": "app_id"}
"""The label that is led to instead of a name."""
SEVERITY = {"critical": "red", "warning": "orange", "info": "blue"}
MEANING = {
    **dict.fromkeys(("5xx", "failed", "FAILURE", "ERROR", "CRITICAL", "dislike"), "red"),
    **dict.fromkeys(("4xx", "WARN", "WARNING"), "orange"),
    **dict.fromkeys(("succeeded", "SUCCESS"), "green"),
}
"""Colours of series and statuses whose whole name says whether it is good."""


type Made = timeseries.Panel | stat.Panel | heatmap.Panel | logs.Panel | table.Panel
type Asked = prometheus.Dataquery | loki.Dataquery


def reference(source: Source) -> models.DataSourceRef:
    """Name a data source, as provisioning/datasources has it."""
    return models.DataSourceRef(type_val=source, uid=source)


def dress(made: Made, panel: Shown) -> None:
    """What panels of every kind have."""
    made.title(f"{panel.title} · {panel.chinese}").span(panel.width).height(panel.height)
    made.no_value(QUIET if panel.quiet else NOTHING)
    if panel.opens:
        made.links([link(MORE, f"/d/{panel.opens}?{WHEN[1:]}")])


def link(title: str, url: str) -> dashboard.DashboardLink:
    """Lead to an address below Grafana's."""
    return dashboard.DashboardLink(title).type(models.DashboardLinkType.LINK).url(url)


def steps(limits: Limits) -> models.ThresholdsConfig:
    """Colour values by their limits."""
    return models.ThresholdsConfig(
        steps=[
            models.Threshold(None, "green"),
            models.Threshold(limits.warning, "orange"),
            models.Threshold(limits.critical, "red"),
        ]
    )


def asked_for(source: Source, expression: str, number: int, *, now: bool) -> Asked:
    """One query: of now, or of every step in the time chosen."""
    identity = chr(ord("A") + number)
    if source == "loki":
        found = loki.Dataquery().expr(expression).ref_id(identity)
        return found.query_type("instant" if now else "range").datasource(reference(source))
    asked = prometheus.Dataquery().expr(expression).ref_id(identity)
    asked.datasource(reference(source))
    # Exemplars: the dots that lead to a trace.
    asked.exemplar("_bucket" in expression and not now)
    return asked.instant() if now else asked.range()
