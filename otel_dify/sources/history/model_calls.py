"""Calls of models, told from what Dify's rows note of them: tokens, price and seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_dify import table as t
from otel_dify.operations.operation import Operation
from otel_dify.sources.graphon.providers import provider_name
from otel_dify.sources.history import rows
from otel_dify.sources.history.database import Row
from otel_dify.sources.history.ids import part
from otel_dify.sources.history.trace import PastTrace

type Times = tuple[int, int]


def tell_of_node(trace: PastTrace, node: Operation, row: Row, end_ns: int) -> None:
    """Tell the call of a model that a node notes.

    Args:
        trace: that of the node.
        node: the node.
        row: its row.
        end_ns: when it ended, nanoseconds since the epoch.
    """
    data = rows.mapping(row.get("process_data"))
    usage = data.get("usage") or rows.mapping(row.get("outputs")).get("usage")
    if not isinstance(usage, dict) or not data.get("model_name"):
        return
    latency = int(float(usage.get("latency") or 0) * 1e9)
    start = max(end_ns - latency, node.start_ns) if latency else node.start_ns
    model = str(data.get("model_provider") or ""), str(data["model_name"])
    tell(trace, node, row["id"], model, usage, times=(start, end_ns), data=data)


def tell(
    trace: PastTrace,
    above: Operation,
    identity: str,
    model: tuple[str, str],
    usage: Mapping[str, Any],
    *,
    times: Times,
    data: Mapping[str, Any],
) -> None:
    """Tell a call of a model.

    Args:
        trace: that of what it served.
        above: what it served.
        identity: id of the row that notes it.
        model: provider and model, in Dify's names.
        usage: tokens, price and seconds, in Dify's names.
        times: start and end, nanoseconds since the epoch.
        data: what else a node notes.
    """
    reason = data.get("finish_reason")
    known = {
        t.OPERATION_NAME: "chat",
        t.PROVIDER: provider_name(model[0] or ""),
        t.DIFY_PROVIDER: model[0],
        t.REQUEST_MODEL: model[1],
        t.FINISH_REASONS: [reason] if reason else None,
        t.INPUT_TOKENS: usage.get("prompt_tokens"),
        t.OUTPUT_TOKENS: usage.get("completion_tokens"),
        t.CALL_PRICE: float(usage.get("total_price") or 0),
        t.CALL_CURRENCY: usage.get("currency"),
        t.FIRST_TOKEN: usage.get("time_to_first_token"),
        t.INPUT_MESSAGES: data.get("prompts"),
    }
    trace.begin(t.MODEL_CALL, part(identity, "model call"), times[0], known, above).end(times[1])
