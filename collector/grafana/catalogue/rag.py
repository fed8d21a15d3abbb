"""Retrieval and indexing."""

from __future__ import annotations

from collector.grafana.catalogue.choices import DATASET
from collector.grafana.panels import HALF, Dashboard, Panel, Section
from collector.grafana.queries import CALLS, LOGS, a_minute, daily, named, quantile

OF_DATASET = 'dataset_id=~"$dataset"'
FOUND = f'{LOGS} | dify_event_name="dify.dataset.retrieval" | unwrap dify_retrieval_document_count'

DASHBOARD = Dashboard(
    "dify-rag",
    "Dify: retrieval",
    "知识检索",
    (
        Section(
            "Retrieval",
            "检索",
            (
                Panel(
                    "Retrievals by outcome, a minute",
                    "每分钟检索结果",
                    {
                        "{{source}} {{status}}": a_minute(
                            "source, status", "dify_requests_total", 'type="dataset_retrieval"'
                        )
                    },
                ),
                Panel(
                    "Duration, 95 %",
                    "耗时 P95",
                    {
                        "{{dataset_id}}": quantile(
                            0.95, "dify_retrieval_duration_seconds", OF_DATASET, "dataset_id"
                        )
                    },
                    "s",
                ),
                Panel(
                    "Documents found, on average",
                    "平均命中文档数",
                    {"documents": f"avg(avg_over_time({FOUND} [$__interval]))"},
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
                    opens="dify-models",
                ),
                Panel(
                    "Retrievals a minute",
                    "每分钟检索数",
                    {
                        "{{dataset_id}} {{method}}": a_minute(
                            "dataset_id, method", "dify_dataset_retrievals_total", OF_DATASET
                        )
                    },
                ),
                Panel(
                    "Answers by annotations in 24 hours",
                    "近 24 小时标注命中",
                    {"{{app_name}}": named(daily("app_id", "dify_annotation_hits_total"))},
                ),
            ),
        ),
        Section(
            "Indexing",
            "索引",
            (
                Panel(
                    "Indexing by outcome, a minute",
                    "每分钟索引结果",
                    {
                        "{{phase}} {{status}}": a_minute(
                            "phase, status", "dify_indexing_duration_seconds_count", OF_DATASET
                        )
                    },
                    width=HALF,
                ),
                Panel(
                    "Indexing by phase, 95 %",
                    "索引各阶段耗时 P95",
                    {
                        "{{phase}}": quantile(
                            0.95, "dify_indexing_duration_seconds", OF_DATASET, "phase"
                        )
                    },
                    "s",
                    width=HALF,
                ),
            ),
        ),
    ),
    (DATASET,),
)
