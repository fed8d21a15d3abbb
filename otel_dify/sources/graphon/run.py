"""A run of the graphon engine, translated into operations.

The adapters (``graphon_engine`` up to 0.7, ``graphon_frames`` from 0.8 on) tell a ``RunObserver``
what the engine tells its layers: graph and node starts and ends, and events. Events are told apart
by the names of their classes, which are the same in every version.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any
from weakref import WeakValueDictionary

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanContext

from otel_dify import table as t
from otel_dify.operations.current import current, start
from otel_dify.operations.operation import Operation
from otel_dify.process import process
from otel_dify.sources.graphon.events import SLOT
from otel_dify.sources.graphon.nodes import (
    Failures,
    NodeExecution,
    Usage,
    cause_of,
    describe,
    no_failures,
    node_type,
)

# Entry points of iterations and loops: neither does anything, and Dify records neither.
_MARKERS = frozenset({"iteration-start", "loop-start"})

# Where a run begins; the names of Dify's triggers go on with what they wait for.
_ENTRIES = ("start", "trigger-")

_RUN_STATUS = {
    "GraphRunSucceededEvent": "succeeded",
    "GraphRunPartialSucceededEvent": "partial-succeeded",
    "GraphRunFailedEvent": "failed",
    "GraphRunAbortedEvent": "stopped",
    "GraphRunPausedEvent": "paused",
}
_NODE_STATUS = {
    "NodeRunSucceededEvent": "succeeded",
    "NodeRunFailedEvent": "failed",
    "NodeRunExceptionEvent": "exception",
    "NodeRunPauseRequestedEvent": "paused",
}


def ends_node(event: Any) -> bool:
    """Tell whether an event says how a node ended."""
    return type(event).__name__ in _NODE_STATUS


# Where a run was left that this thread is about to go on with (dify_pauses).
resumed_from: ContextVar[SpanContext | None] = ContextVar("otel_dify.resumed_from", default=None)


class OpenRuns:
    """Runs under way in this process.

    Attributes:
        by_id: their observers, by run id.
    """

    def __init__(self) -> None:
        self.by_id: WeakValueDictionary[str, RunObserver] = WeakValueDictionary()

    def forked(self) -> None:
        """Forget the parent's."""
        self.by_id.clear()


class RunObserver:
    """Observes one engine: a run, or (up to 0.7) one item or pass.

    Hooks come from the engine's threads: graph hooks from whoever consumes the run, node starts
    and ends from workers, events from a dispatcher, which may be ahead of or behind the workers.

    Args:
        kind: what the engine runs.
        known: attributes of that operation.
        context: context to start it in; a run prefers the one that it is started in.
        failures: where message and type of what makes nodes fail are kept.
        node_kind: what its nodes are.
    """

    def __init__(
        self,
        kind: t.Kind,
        known: Mapping[t.Attribute, object],
        context: Context,
        failures: Failures | None = None,
        node_kind: t.Kind = t.NODE,
    ) -> None:
        self._node_kind = node_kind
        self.operation: Operation | None = None
        self._kind = kind
        self._known = known
        self._context = context
        self._failures = no_failures() if failures is None else failures
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._nodes: dict[str, NodeExecution] = {}
        self._usage = Usage()
        self._status = ""
        self._ended_ns = 0

    def open_nodes(self) -> list[NodeExecution]:
        """Return the executions that have not ended."""
        with self._lock:
            return list(self._nodes.values())

    def find(self, execution_id: str) -> NodeExecution | None:
        """Return an execution that has not ended."""
        return self._nodes.get(execution_id)

    def graph_started(self) -> None:
        """Start the run, or go on with it."""
        self._reset()
        here = current() is not None or trace.get_current_span().get_span_context().is_valid
        parent = None if self._kind is t.RUN and here else self._context
        left = resumed_from.get() if self._kind is t.RUN else None
        links = () if left is None else (Link(left),)
        self.operation = start(self._kind, self._known, parent=parent, links=links)
        if self._kind is t.RUN:
            process.kept(OpenRuns).by_id[str(self._known.get(t.RUN_ID))] = self

    def graph_event(self, event: Any) -> None:
        """Take what an event about the whole graph tells."""
        operation, name = self.operation, type(event).__name__
        if operation is None:
            return
        if name == "GraphRunStartedEvent":
            reason = getattr(event, "reason", "")
            if str(getattr(reason, "value", reason)) == "resumption":
                operation.set(t.RUN_RESUMED, True)
            return
        status = _RUN_STATUS.get(name)
        if status is None:
            return
        self._status, self._ended_ns = status, time.time_ns()
        if self._kind is t.RUN:
            # Now: the request may be answered before the engine tells of the end.
            operation.tell(t.RUN_STATUS, status)
            operation.set(t.EXCEPTIONS_COUNT, getattr(event, "exceptions_count", 0) or None)
            operation.set(t.RUN_OUTPUTS, getattr(event, "outputs", None))
        if status == "failed":
            self._fail(operation, event.error)

    def graph_ended(self, error: BaseException | None) -> None:
        """End the run and before it every node that is still open: the workers have stopped."""
        operation = self.operation
        if operation is None:
            return
        if not self._status and error is not None:
            self._fail(operation, str(error), type(error).__name__)
        status = self._status or ("stopped" if error is None else "failed")
        for known in self.open_nodes():
            if not known.done:
                # Not failed, as Dify's database has it of all but pauses
                # (WorkflowPersistenceLayer._fail_running_node_executions): it did nothing wrong.
                known.operation.set(t.NODE_STATUS, "paused" if status == "paused" else "stopped")
            self._close(known)
        if self._kind is t.RUN:
            operation.set(t.RUN_STATUS, status)
            operation.tell(t.RUN_STATUS, status)
            self._usage.write(operation)
        operation.end(self._ended_ns or None)
        self._reset()

    def _fail(self, operation: Operation, error: str, error_type: str = "") -> None:
        """Mark the run as failed, with the type of the node's failure that caused it."""
        operation.fail(error, cause_of(self._failures, error) or error_type or "WorkflowError")
        if self._kind is t.RUN:
            operation.set(t.RUN_ERROR, error)

    def node_started(self, node: Any, parent: Operation | None) -> None:
        """Start the operation of a node, or take note of another attempt."""
        if node_type(node) in _MARKERS or parent is None:
            return
        known = self.find(node.execution_id)
        if known is None:
            operation = start(self._node_kind, describe(node), parent=parent.context)
            inside = parent is not self.operation
            for attribute in (t.ITERATION_ID, t.LOOP_ID, t.INDEX):
                operation.set(attribute, parent.get(attribute))
            run = operation.enclosing(t.RUN)
            if run is not None:
                run.add(t.NODE_COUNT, 1)
            known = NodeExecution(operation, node, inside=inside)
        with self._lock:
            self._nodes[node.execution_id] = known
            known.running += 1
        setattr(node, SLOT, known.operation)

    def node_ended(self, node: Any, result: Any) -> None:
        """Take note that an attempt of a node has ended.

        Args:
            node: the engine's node.
            result: the attempt's last event; none where the engine itself failed.
        """
        known = self.find(node.execution_id)
        if known is None:
            return
        if result is not None and result.id == node.execution_id:
            known.usage.take(result.node_run_result.llm_usage)
        with self._lock:
            known.running -= 1
            known.ended_ns = time.time_ns()
        self._finish(known)

    def node_event(self, event: Any) -> None:
        """Take what an event about a node tells; events of other engines' nodes are not known."""
        known = self.find(event.id)
        if known is None:
            return
        name = type(event).__name__
        operation = known.operation
        if name == "NodeRunRetryEvent":
            operation.set(t.NODE_RETRIES, event.retry_index)
            operation.happened(
                "retry", {t.NODE_RETRY_INDEX: event.retry_index, t.ERROR_MESSAGE: event.error}
            )
            return
        status = _NODE_STATUS.get(name)
        if status is None:
            return
        result = event.node_run_result
        operation.set(t.NODE_STATUS, status)
        operation.set(t.NODE_INPUTS, result.inputs or None)
        if self._kind is t.RUN and node_type(known.node).startswith(_ENTRIES):
            self._set_inputs(result.inputs)
        operation.set(t.NODE_OUTPUTS, result.outputs or None)
        operation.set(t.NODE_PROCESS_DATA, result.process_data or None)
        if status in {"failed", "exception"}:
            # Where the engine recovers it hands the type on as an output; containers have none.
            told = result.error_type or (result.outputs or {}).get("error_type")
            kind = str(told or cause_of(known.failures, event.error))
            operation.set(t.NODE_ERROR, event.error)
            if status == "failed":
                operation.fail(event.error, kind)
                self._failures.appendleft((event.error, str(operation.get(t.ERROR_TYPE))))
            else:
                operation.recover(event.error, kind)
                operation.set(t.NODE_RECOVERED, kind)
        known.done = True
        self._finish(known)

    def _set_inputs(self, inputs: Mapping[str, Any] | None) -> None:
        """Take the run's inputs from where it begins: Dify's database has the same."""
        if self.operation is not None:
            self.operation.set(t.RUN_INPUTS, inputs or None)

    def _finish(self, known: NodeExecution) -> None:
        if known.done and known.running <= 0:
            self._close(known)

    def _close(self, known: NodeExecution) -> None:
        """End a node, once: worker and dispatcher may find at the same time that it has ended."""
        with self._lock:
            if self._nodes.pop(known.node.execution_id, None) is None:
                return
            if not known.inside:
                self._usage.add(known.usage)
        known.usage.write(known.operation)
        known.operation.end(known.ended_ns or None)
