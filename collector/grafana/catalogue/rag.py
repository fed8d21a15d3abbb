"""Retrieval and indexing."""

from __future__ import annotations

from collector.grafana.panels import Dashboard, Panel
from collector.grafana.queries import CALLS, LOGS, quantile, rate

FOUND = f'{LOGS} | dify_event_name="dify.dataset.retrieval" | unwrap dify_retrieval_document_count'

DASHBOARD = Dashboard(
    "dify-rag",
    "Dify: retrieval",
    "知识检索",
    (
        Panel(
            "Retrievals a second",
            "每秒检索数",
            {
                "{{dataset_id}} {{method}}": rate(
                    "dataset_id, method", "dify_dataset_retrievals_total"
                )
            },
        ),
        Panel(
            "Duration, 95 %",
            "耗时 P95",
            {"{{dataset_id}}": quantile(0.95, "dify_retrieval_duration_seconds", "", "dataset_id")},
            "s",
        ),
        Panel(
            "Retrievals by outcome",
            "检索结果",
            {
                "{{source}} {{status}}": rate(
                    "source, status", "dify_requests_total", 'type="dataset_retrieval"'
                )
            },
        ),
        Panel(
            "Documents found, on average",
            "平均命中文档数",
            {"documents": f"avg(avg_over_time({FOUND} [$__auto]))"},
            source="loki",
        ),
        Panel(
            "Embeddings and reranks, 95 %",
            "向量化与重排耗时 P95",
            {
                "{{gen_ai_request_model}}": quantile(
                    0.95,
                    CALLS,
                    'gen_ai_operation_name=~"embeddings|rerank"',
                    "gen_ai_request_model",
                )
            },
            "s",
        ),
        Panel(
            "Answers by annotations",
            "标注命中",
            {"{{app_id}}": "sum by (app_id) (increase(dify_annotation_hits_total[1d]))"},
        ),
        Panel(
            "Indexing by phase, 95 %",
            "索引各阶段耗时 P95",
            {"{{phase}}": quantile(0.95, "dify_indexing_duration_seconds", "", "phase")},
            "s",
        ),
        Panel(
            "Indexing by outcome",
            "索引结果",
            {"{{phase}} {{status}}": rate("phase, status", "dify_indexing_duration_seconds_count")},
        ),
    ),
)
