"""Rows of Dify's history, told as the operations that they were, with their true times.

Ids are derived from Dify's, so that what is told twice is the same twice: a trace has the id of its
run (of its message or node where there is no run), a span the low 64 bits of the id of its row.
What has no row of its own (an item, a pass, a model call) has a hash of its owner's id and of what
it is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from opentelemetry.context import Context
from opentelemetry.sdk.trace.id_generator import IdGenerator

from otel_dify import table as t
from otel_dify.operations.operation import Operation, Recorder
from otel_dify.sources.graphon.providers import provider_name
from otel_dify.sources.history import rows
from otel_dify.sources.history.database import Row
from otel_dify.sources.history.rows import Apps, Run

_LOW = (1 << 64) - 1
_SECOND_NS = 10**9
_CONTAINERS = (("iteration", t.ITEM, t.ITERATION_ID), ("loop", t.PASS, t.LOOP_ID))
_MESSAGE_STATUS = {"error": "failed", "normal": "succeeded"}
_TERMINATED = "process terminated: its row in Dify's database has no end"

type Times = tuple[int, int]


class DerivedIds(IdGenerator):
    """Gives the ids that it was told last."""

    def __init__(self) -> None:
        self._trace = self._span = 1

    def are(self, trace_id: int, span_id: int) -> None:
        """Say which ids are next."""
        self._trace, self._span = trace_id or 1, span_id or 1

    def generate_trace_id(self) -> int:
        """Return that of the trace."""
        return self._trace

    def generate_span_id(self) -> int:
        """Return that of the span."""
        return self._span


def low(identity: str) -> int:
    """Return the span id of a row: the low 64 bits of its id."""
    return UUID(identity).int & _LOW


def part(identity: str, *of: object) -> int:
    """Return the span id of what has no row: the first 64 bits of a SHA-256."""
    text = "/".join([identity, *map(str, of)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


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
        self._trace = 0

    def run(self, run: Run) -> None:
        """Tell a run, its nodes, and the messages that it answers."""
        row = run.row
        self._trace = UUID(row["id"]).int
        start, end = rows.span_of(row)
        ends = [rows.span_of(node)[1] for node in run.nodes]
        end = end or max([start, *ends, *(rows.ns(node["created_at"]) for node in run.nodes)])
        tops = []
        for message in run.messages:
            begun, rounded = rows.ns(message["created_at"]), not message["created_at"].microsecond
            begun = start if rounded and abs(begun - start) < _SECOND_NS else begun
            tops.append(self._message(message, (min(begun, start), end)))
        operation = self._begin(
            t.RUN,
            low(row["id"]),
            start,
            self._owner(row)
            | {
                t.WORKFLOW_ID: row["workflow_id"],
                t.RUN_ID: row["id"],
                t.WORKFLOW_VERSION: row.get("version"),
                t.INVOKE_FROM: "debugger" if row.get("triggered_from") == "debugging" else None,
                t.RUN_STATUS: _of_run(row["status"]),
                t.EXCEPTIONS_COUNT: row.get("exceptions_count") or None,
                t.NODE_COUNT: len(run.nodes),
                t.RUN_INPUTS: rows.value(row.get("inputs")),
                t.RUN_OUTPUTS: rows.value(row.get("outputs")),
            },
            tops[0] if tops else None,
        )
        told = _Nodes(self, operation, run.nodes, end)
        told.begin()
        operation.set(t.TOTAL_TOKENS, row.get("total_tokens") or None)
        told.add_up(operation)
        told.end()
        if row["status"] in {"failed", "running"}:
            error = row.get("error") or (_TERMINATED if row["status"] == "running" else "")
            otherwise = "process_terminated" if row["status"] == "running" else "WorkflowError"
            operation.fail(error, rows.error_type(error, otherwise))
            operation.set(t.RUN_ERROR, row.get("error"))
        operation.end(end)
        for top in tops:
            self._fail_message(top, run.messages[tops.index(top)])
            top.end(end)

    def message(self, row: Row) -> None:
        """Tell a message that no run answers, its agent, and the model that it called."""
        self._trace = UUID(row["id"]).int
        times = rows.of_message(row)
        operation = self._message(row, times)
        above = operation
        thoughts = row.get("thoughts") or ()
        if row.get("agent_based"):
            model = {t.REQUEST_MODEL: row.get("model_id"), t.DIFY_PROVIDER: row["model_provider"]}
            known = model | {t.OPERATION_NAME: "invoke_agent", t.AGENT_QUERY: row["query"]}
            above = self._begin(t.AGENT, part(row["id"], "agent"), times[0], known, operation)
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
            self.model_call(above, row["id"], model_of, usage, times=times, data={})
        self._fail_message(operation, row)
        if above is not operation:
            above.end(times[1])
        operation.end(times[1])

    def draft(self, row: Row) -> None:
        """Tell a node that somebody has tried out in the editor."""
        self._trace = UUID(row["id"]).int
        start, end = rows.span_of(row)
        known = self._owner(row) | {t.WORKFLOW_ID: row["workflow_id"], t.INVOKE_FROM: "debugger"}
        operation = self._begin(t.DRAFT_NODE, low(row["id"]), start, known | _of_node(row), None)
        fail_node(operation, row, end or start)
        self.model_call_of(operation, row, end or start)
        operation.end(end or start)

    def _message(self, row: Row, times: Times) -> Operation:
        user = row.get("from_end_user_id") or row.get("from_account_id")
        of_run = bool(row.get("workflow_run_id"))
        return self._begin(
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

    def _begin(
        self,
        kind: t.Kind,
        span_id: int,
        start_ns: int,
        known: Mapping[t.Attribute, object],
        parent: Operation | None,
    ) -> Operation:
        """Begin an operation of the past."""
        self._ids.are(self._trace, span_id)
        context = Context() if parent is None else parent.context
        operation = Operation(
            kind, self._recorder, parent=parent, context=context, start_ns=start_ns
        )
        for attribute, given in known.items():
            operation.set(attribute, given)
        self._recorder.started(operation)
        return operation

    begin = _begin

    def model_call_of(self, node: Operation, row: Row, end_ns: int) -> None:
        """Tell the call of a model that a node notes."""
        data = rows.mapping(row.get("process_data"))
        usage = data.get("usage") or rows.mapping(row.get("outputs")).get("usage")
        if not isinstance(usage, dict) or not data.get("model_name"):
            return
        latency = int(float(usage.get("latency") or 0) * 1e9)
        start = max(end_ns - latency, node.start_ns) if latency else node.start_ns
        model = str(data.get("model_provider") or ""), str(data["model_name"])
        self.model_call(node, row["id"], model, usage, times=(start, end_ns), data=data)

    def model_call(
        self,
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
            above: what it served.
            identity: id of the row that notes it.
            model: provider and model, in Dify's names.
            usage: tokens, price and seconds, in Dify's names.
            times: start and end.
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
        self._begin(t.MODEL_CALL, part(identity, "model call"), times[0], known, above).end(
            times[1]
        )


class _Nodes:
    """The nodes of a run, nested as they ran.

    Args:
        teller: begins their operations.
        run: that of the run.
        found: their rows, as they were created.
        end_ns: when the run ended: so did what nobody knows the end of.
    """

    def __init__(self, teller: Teller, run: Operation, found: list[Row], end_ns: int) -> None:
        self._teller = teller
        self._run = run
        self._rows = {row["id"]: row for row in found}
        self._end_ns = end_ns
        self._nodes: dict[str, Operation] = {}
        self._parts: dict[tuple[str, object], Operation] = {}
        self._ends: dict[tuple[str, object], int] = {}

    def begin(self) -> None:
        """Begin them all, so that each knows what the others' texts may quote."""
        for row in self._rows.values():
            self._node(row)

    def end(self) -> None:
        """End them, what lies within others first."""
        for identity in sorted(self._nodes, key=lambda one: -_depth(self._nodes[one])):
            row, node = self._rows[identity], self._nodes[identity]
            end = self._end_of(row)
            fail_node(node, row, end)
            self._teller.model_call_of(node, row, end)
            for key, one in self._parts.items():
                if one.parent is node:
                    one.end(self._ends[key])
            node.end(end)

    def add_up(self, run: Operation) -> None:
        """Set what the run's row does not have: tokens by kind, price."""
        used = [
            node
            for identity, node in self._nodes.items()
            if self._rows[identity]["node_type"] not in {"iteration", "loop"}
        ]
        for attribute in (t.INPUT_TOKENS_BELOW, t.OUTPUT_TOKENS_BELOW, t.TOTAL_PRICE):
            amounts = [amount for one in used if (amount := one.get(attribute))]
            if amounts:
                run.set(attribute, sum(a for a in amounts if isinstance(a, int | float)))
        run.set(t.CURRENCY, next(filter(None, (one.get(t.CURRENCY) for one in used)), None))

    def _end_of(self, row: Row) -> int:
        return rows.span_of(row)[1] or self._end_ns

    def _node(self, row: Row) -> Operation:
        known = self._nodes.get(row["id"])
        if known is None:
            above = self._above(row)
            known = self._teller.begin(
                t.NODE, low(row["id"]), rows.ns(row["created_at"]), _of_node(row), above
            )
            for attribute in (t.ITERATION_ID, t.LOOP_ID, t.INDEX):
                known.set(attribute, above.get(attribute))
            self._nodes[row["id"]] = known
        return known

    def _above(self, row: Row) -> Operation:
        """Find what a node lay in: the run, or an item or pass of the container begun last."""
        metadata = rows.mapping(row.get("execution_metadata"))
        inner: tuple[Row, str, t.Kind, t.Attribute] | None = None
        for name, kind, attribute in _CONTAINERS:
            container = self._container(metadata.get(f"{name}_id"), row)
            later = inner is None or (
                container is not None and container["created_at"] >= inner[0]["created_at"]
            )
            if container is not None and later:
                inner = container, name, kind, attribute
        if inner is None:
            return self._run
        container, name, kind, attribute = inner
        index = metadata.get(f"{name}_index")
        key = container["id"], index
        self._ends[key] = max(self._ends.get(key, 0), self._end_of(row))
        if key not in self._parts:
            self._parts[key] = self._teller.begin(
                kind,
                part(container["id"], name, index),
                rows.ns(row["created_at"]),
                {attribute: container["node_id"], t.INDEX: index},
                self._node(container),
            )
        return self._parts[key]

    def _container(self, node_id: object, row: Row) -> Row | None:
        """Find the execution of a container that a node lay in: the last that had begun."""
        found = None
        for other in self._rows.values():
            begun = other["created_at"] <= row["created_at"]
            if node_id and other["node_id"] == node_id and other is not row and begun:
                found = other
        return found


def _depth(operation: Operation) -> int:
    depth = 0
    while operation.parent is not None:
        depth, operation = depth + 1, operation.parent
    return depth


def _of_run(status: str) -> str:
    return "terminated" if status == "running" else status


def _of_node(row: Row) -> dict[t.Attribute, object]:
    data = rows.mapping(row.get("process_data"))
    metadata = rows.mapping(row.get("execution_metadata"))
    usage = data.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    total = metadata.get("total_tokens") or None
    output = usage.get("completion_tokens") or 0
    price = metadata.get("total_price")
    return {
        t.NODE_ID: row["node_id"],
        t.NODE_TYPE: row["node_type"],
        t.NODE_EXECUTION_ID: row.get("node_execution_id") or row["id"],
        t.NODE_TITLE: row["title"],
        t.NODE_STATUS: _of_run(row["status"]),
        t.DIFY_PROVIDER: data.get("model_provider"),
        t.REQUEST_MODEL: data.get("model_name"),
        t.TOTAL_TOKENS: total,
        t.INPUT_TOKENS_BELOW: total - output if total else None,
        t.OUTPUT_TOKENS_BELOW: output if total else None,
        t.TOTAL_PRICE: float(price) if price else None,
        t.CURRENCY: metadata.get("currency"),
        t.NODE_INPUTS: rows.value(row.get("inputs")),
        t.NODE_OUTPUTS: rows.value(row.get("outputs")),
        t.NODE_PROCESS_DATA: rows.value(row.get("process_data")),
    }


def fail_node(node: Operation, row: Row, end_ns: int) -> None:
    """Say why a node failed, or what it recovered from."""
    status, error = row["status"], row.get("error") or ""
    if status == "exception":
        kind = str(rows.mapping(row.get("outputs")).get("error_type") or "")
        kind = kind or rows.error_type(error, "NodeError")
        node.recover(error, kind, end_ns)
        node.set(t.NODE_RECOVERED, kind)
    elif status in {"failed", "running"}:
        otherwise = "NodeError" if status == "failed" else "process_terminated"
        node.fail(error or _TERMINATED, rows.error_type(error, otherwise))
    node.set(t.NODE_ERROR, error)
