"""The nodes of a run: what their rows say, and how they lay in one another."""

from __future__ import annotations

from otel_dify import table as t
from otel_dify.operations.operation import Operation
from otel_dify.sources.history import model_calls, rows
from otel_dify.sources.history.database import Row
from otel_dify.sources.history.ids import low, part
from otel_dify.sources.history.trace import PastTrace

_CONTAINERS = (("iteration", t.ITEM, t.ITERATION_ID), ("loop", t.PASS, t.LOOP_ID))
TERMINATED = "process terminated: its row in Dify's database has no end"


class Nodes:
    """The nodes of a run, nested as they ran.

    Args:
        trace: that of the run.
        run: that of the run.
        found: their rows, as they were created.
        end_ns: when the run ended: so did what nobody knows the end of.
    """

    def __init__(self, trace: PastTrace, run: Operation, found: list[Row], end_ns: int) -> None:
        self._trace = trace
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
            model_calls.tell_of_node(self._trace, node, row, end)
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
            known = self._trace.begin(
                t.NODE, low(row["id"]), rows.ns(row["created_at"]), attributes_of(row), above
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
            self._parts[key] = self._trace.begin(
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


def status_of(status: str) -> str:
    """Name the status of a row as telemetry does: what runs for ever was terminated."""
    return "terminated" if status == "running" else status


def attributes_of(row: Row) -> dict[t.Attribute, object]:
    """Tell the attributes of a node that its row has."""
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
        t.NODE_STATUS: status_of(row["status"]),
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
        node.fail(error or TERMINATED, rows.error_type(error, otherwise))
    node.set(t.NODE_ERROR, error)
