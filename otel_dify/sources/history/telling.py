"""Rows of Dify's history, told as the operations that they were, with their true times.

A run, a message that no run answers, and a node that somebody tried out are a trace each.
"""

from __future__ import annotations

from otel_dify import table as t
from otel_dify.operations.operation import Operation, Recorder
from otel_dify.sources.history import model_calls, rows
from otel_dify.sources.history.database import Row
from otel_dify.sources.history.ids import DerivedIds, low, part
from otel_dify.sources.history.model_calls import Times
from otel_dify.sources.history.nodes import (
    TERMINATED,
    Nodes,
    attributes_of,
    fail_node,
    status_of,
)
from otel_dify.sources.history.rows import Apps, Run
from otel_dify.sources.history.trace import PastTrace

_SECOND_NS = 10**9
_MESSAGE_STATUS = {"error": "failed", "normal": "succeeded"}


class Teller:
    """Tells runs, messages and draft nodes to a recorder.

    Args:
        recorder: takes the operations.
        ids: where the recorder has its ids from.
        apps: names of apps.
    """

    def __init__(self, recorder: Recorder, ids: DerivedIds, apps: Apps) -> None:
        self._recorder = recorder
        self._ids = ids
        self._apps = apps

    def run(self, run: Run) -> None:
        """Tell a run, its nodes, and the messages that it answers."""
        row = run.row
        trace = PastTrace(self._recorder, self._ids, row["id"])
        start, end = rows.span_of(row)
        ends = [rows.span_of(node)[1] for node in run.nodes]
        end = end or max([start, *ends, *(rows.ns(node["created_at"]) for node in run.nodes)])
        tops = []
        for message in run.messages:
            begun, rounded = rows.ns(message["created_at"]), not message["created_at"].microsecond
            begun = start if rounded and abs(begun - start) < _SECOND_NS else begun
            tops.append(self._message(trace, message, (min(begun, start), end)))
        operation = trace.begin(
            t.RUN,
            low(row["id"]),
            start,
            self._owner(row)
            | {
                t.WORKFLOW_ID: row["workflow_id"],
                t.RUN_ID: row["id"],
                t.WORKFLOW_VERSION: row.get("version"),
                t.INVOKE_FROM: "debugger" if row.get("triggered_from") == "debugging" else None,
                t.RUN_STATUS: status_of(row["status"]),
                t.EXCEPTIONS_COUNT: row.get("exceptions_count") or None,
                t.NODE_COUNT: len(run.nodes),
                t.RUN_INPUTS: rows.value(row.get("inputs")),
                t.RUN_OUTPUTS: rows.value(row.get("outputs")),
            },
            tops[0] if tops else None,
        )
        told = Nodes(trace, operation, run.nodes, end)
        told.begin()
        operation.set(t.TOTAL_TOKENS, row.get("total_tokens") or None)
        told.add_up(operation)
        told.end()
        if row["status"] in {"failed", "running"}:
            error = row.get("error") or (TERMINATED if row["status"] == "running" else "")
            otherwise = "process_terminated" if row["status"] == "running" else "WorkflowError"
            operation.fail(error, rows.error_type(error, otherwise))
            operation.set(t.RUN_ERROR, row.get("error"))
        operation.end(end)
        for top in tops:
            self._fail_message(top, run.messages[tops.index(top)])
            top.end(end)

    def message(self, row: Row) -> None:
        """Tell a message that no run answers, its agent, and the model that it called."""
        trace = PastTrace(self._recorder, self._ids, row["id"])
        times = rows.of_message(row)
        operation = self._message(trace, row, times)
        above = operation
        thoughts = row.get("thoughts") or ()
        if row.get("agent_based"):
            model = {t.REQUEST_MODEL: row.get("model_id"), t.DIFY_PROVIDER: row["model_provider"]}
            known = model | {t.OPERATION_NAME: "invoke_agent", t.AGENT_QUERY: row["query"]}
            above = trace.begin(t.AGENT, part(row["id"], "agent"), times[0], known, operation)
            above.set(t.AGENT_ROUNDS, len(thoughts) or None)
            for number, thought in enumerate(thoughts, 1):
                at_ns = min(max(rows.ns(thought["created_at"]), times[0]), times[1])
                values = {t.AGENT_THOUGHT_ID: thought["id"], t.AGENT_ROUNDS: number}
                above.happened("agent.thought", values, at_ns)
        tokens = row.get("message_tokens") or 0, row.get("answer_tokens") or 0
        if row.get("model_id") and any(tokens):
            usage = {
                "prompt_tokens": tokens[0],
                "completion_tokens": tokens[1],
                "total_price": row.get("total_price"),
                "currency": row.get("currency"),
            }
            model_of = (row["model_provider"], row["model_id"])
            model_calls.tell(trace, above, row["id"], model_of, usage, times=times, data={})
        self._fail_message(operation, row)
        if above is not operation:
            above.end(times[1])
        operation.end(times[1])

    def draft(self, row: Row) -> None:
        """Tell a node that somebody has tried out in the editor."""
        trace = PastTrace(self._recorder, self._ids, row["id"])
        start, end = rows.span_of(row)
        known = self._owner(row) | {t.WORKFLOW_ID: row["workflow_id"], t.INVOKE_FROM: "debugger"}
        operation = trace.begin(
            t.DRAFT_NODE, low(row["id"]), start, known | attributes_of(row), None
        )
        fail_node(operation, row, end or start)
        model_calls.tell_of_node(trace, operation, row, end or start)
        operation.end(end or start)

    def _message(self, trace: PastTrace, row: Row, times: Times) -> Operation:
        user = row.get("from_end_user_id") or row.get("from_account_id")
        of_run = bool(row.get("workflow_run_id"))
        return trace.begin(
            t.MESSAGE,
            low(row["id"]),
            times[0],
            self._owner(row | {"created_by": user})
            | {
                t.INVOKE_FROM: row.get("invoke_from"),
                t.CONVERSATION_ID: row["conversation_id"],
                t.MESSAGE_ID: row["id"],
                t.OPERATION_TYPE: "message",
                t.DIFY_PROVIDER: None if of_run else row.get("model_provider"),
                t.REQUEST_MODEL: None if of_run else row.get("model_id"),
                t.MESSAGE_STATUS: _MESSAGE_STATUS.get(row["status"], row["status"]),
                t.MESSAGE_INPUTS: {"inputs": rows.value(row["inputs"]), "query": row.get("query")},
            },
            None,
        )

    @staticmethod
    def _fail_message(operation: Operation, row: Row) -> None:
        operation.knows(row.get("answer") or "")
        if row["status"] == "error":
            error = row.get("error") or ""
            operation.fail(error, rows.error_type(error, "MessageError"))
            operation.set(t.MESSAGE_ERROR, error)

    def _owner(self, row: Row) -> dict[t.Attribute, object]:
        app = self._apps.of(row["app_id"])
        return {
            t.TENANT_ID: row.get("tenant_id") or app.get("tenant_id"),
            t.APP_ID: row["app_id"],
            t.APP_NAME: app.get("name"),
            t.APP_MODE: app.get("mode"),
            t.USER_ID: row.get("created_by"),
            t.BACKFILLED: True,
        }
