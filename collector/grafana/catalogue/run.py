"""One run, found by its id: all that was logged of it."""

from __future__ import annotations

from collector.grafana.panels import Dashboard, Panel, Variable
from collector.grafana.queries import LOGS

OF_RUN = f'{LOGS} | dify_workflow_run_id=~"$run"'
RUN = Variable("run", "Run id · 运行 ID", default=".+")

DASHBOARD = Dashboard(
    "dify-run",
    "Dify: one run",
    "单次运行",
    (
        Panel(
            "The run",
            "运行",
            {"": OF_RUN + ' | dify_event_name="dify.workflow.run"'},
            drawn="logs",
            source="loki",
        ),
        Panel(
            "Its nodes",
            "节点",
            {"": OF_RUN + ' | dify_event_name="dify.node.execution"'},
            drawn="logs",
            source="loki",
        ),
        Panel(
            "Its model calls",
            "模型调用",
            {"": OF_RUN + ' | dify_event_name="gen_ai.client.inference.operation.details"'},
            drawn="logs",
            source="loki",
        ),
        Panel(
            "What failed", "失败", {"": OF_RUN + ' | error_type!=""'}, drawn="logs", source="loki"
        ),
        Panel("All of its log", "全部日志", {"": OF_RUN}, drawn="logs", source="loki"),
    ),
    (RUN,),
)
