"""The choices above dashboards, and the labels that they choose."""

from __future__ import annotations

from collector.grafana.panels import Annotation, Variable

TENANT = Variable("tenant", "Workspace · 空间", "label_values(dify_requests_total, tenant_id)")
APP = Variable(
    "app",
    "App · 应用",
    # An app that has only its id for a name has no workspace either.
    'query_result(dify:app:info{tenant_id=~"$tenant|"})',
    # Chosen by name, asked by id.
    picks='/app_id="(?<value>[^"]+)".*app_name="(?<text>[^"]+)"/',
)
MODEL = Variable(
    "model",
    "Model · 模型",
    "label_values(gen_ai_client_operation_duration_seconds_count, gen_ai_request_model)",
)
DATASET = Variable(
    "dataset", "Dataset · 知识库", "label_values(dify_dataset_retrievals_total, dataset_id)"
)
QUEUE = Variable(
    "queue",
    "Queue · 队列",
    "label_values(messaging_process_duration_seconds_count, messaging_destination_name)",
)
RUN = Variable("run", "Run id · 运行 ID", default=".+")
WORDS = Variable("words", "Words (regular expression) · 文本 正则", default=".*")

DEPLOYED = Annotation(
    "Deployed",
    "部署",
    'count by (service_version) (dify_workers{service_version!=""})'
    ' unless count by (service_version) (dify_workers{service_version!=""} offset 5m)',
    "prometheus",
    "purple",
)
"""A version of Dify that no process ran before."""
CHANGED = Annotation(
    "Published, changed",
    "发布与修改",
    '{service_name=~"dify-.+"} | dify_event_name=~"dify[.](workflow[.]published|app[.]updated)"'
    ' | dify_app_id=~"$app"',
    "loki",
    "blue",
)
"""A workflow that was published, an app that was changed."""

OF_APP = 'tenant_id=~"$tenant",app_id=~"$app"'
LOGGED_OF_APP = ' | dify_tenant_id=~"$tenant" | dify_app_id=~"$app"'
