"""A run of the graphon engine, translated into operations.

The adapters (``graphon_engine`` up to 0.7, ``graphon_frames`` from 0.8 on) tell a ``RunObserver``
what the engine tells its layers: graph and node starts and ends, and events. Events are told apart
by the names of their classes, which are the same in every version.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from types import ModuleType
from typing import Any

from opentelemetry.context import Context
from wrapt import wrap_function_wrapper

from otel_dify.guard import guarded
from otel_dify.operations import attributes as a
from otel_dify.operations.kinds import NODE, Kind
from otel_dify.operations.operation import Operation, start

# Entry points of iterations and loops: neither does anything, and Dify records neither.
_MARKERS = frozenset({"iteration-start", "loop-start"})

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
# Where a node that is about to run finds its operation (see _on_run).
_SLOT = "_otel_dify_operation"


class NodeExecution:
    """One execution of a node, all its attempts together.

    Attributes:
        operation: its operation.
        node: the engine's node.
        running: attempts under way; one may start before the last has been reported as ended.
        ended_ns: when the last attempt ended.
        done: the engine has decided on its outcome.
        passes: passes of a loop begun so far.
    """

    def __init__(self, operation: Operation, node: Any) -> None:
        self.operation = operation
        self.node = node
        self.running = 0
        self.ended_ns = 0
        self.done = False
        self.passes = 0


class RunObserver:
    """Observes one engine: a run, or (up to 0.7) one item or pass.

    Args:
        kind: what the engine runs.
        known: attributes of that operation.
        context: context to start it in where it is started in none.
    """

    def __init__(
        self, kind: Kind, known: Mapping[a.Attribute, object], context: Context | None
    ) -> None:
        self.nodes: dict[str, NodeExecution] = {}
        self._kind = kind
        self._known = known
        self._context = context
        self.operation: Operation | None = None

    def graph_started(self) -> None:
        """Start the run, or go on with it in a second engine."""
        self.operation = start(self._kind, self._known, parent=self._context)

    def graph_event(self, event: Any) -> None:
        """Take what an event about the whole graph tells; the last one ends the run."""
        operation, name = self.operation, type(event).__name__
        if operation is None:
            return
        if name == "GraphRunStartedEvent":
            reason = getattr(event, "reason", "")
            if str(getattr(reason, "value", reason)) == "resumption":
                operation.set(a.RUN_RESUMED, True)
            return
        status = _RUN_STATUS.get(name)
        if status is None:
            return
        if operation.kind.status is a.RUN_STATUS:
            operation.set(a.RUN_STATUS, status)
            operation.set(a.EXCEPTIONS_COUNT, getattr(event, "exceptions_count", 0) or None)
            operation.set(a.RUN_OUTPUTS, getattr(event, "outputs", None))
        if status == "failed":
            self._fail(operation, event.error)
        self._end(status)

    def graph_ended(self, error: BaseException | None) -> None:
        """End what no event has ended: the engine is torn down."""
        operation = self.operation
        if operation is not None and not operation.end_ns:
            if error is not None:
                self._fail(operation, str(error), type(error).__name__)
            self._end("failed" if error is not None else "stopped")

    def _fail(self, operation: Operation, error: str, error_type: str = "") -> None:
        """Mark the run as failed, with the type of the node's failure that caused it."""
        cause = next(
            (
                execution.operation
                for execution in self.nodes.values()
                if execution.operation.failed
                and execution.operation.get(a.NODE_STATUS) == "failed"
                and str(execution.operation.get(a.ERROR_MESSAGE)) in error
            ),
            None,
        )
        known = str(cause.get(a.ERROR_TYPE)) if cause is not None else error_type
        operation.fail(error, known or "WorkflowError")
        if operation.kind.status is a.RUN_STATUS:
            operation.set(a.RUN_ERROR, error)

    def _end(self, status: str) -> None:
        """End the run and before it every node that is still open."""
        for execution in self.nodes.values():
            if not execution.operation.end_ns:
                execution.operation.set(
                    a.NODE_STATUS, "paused" if status == "paused" else "stopped"
                )
                execution.operation.end(execution.ended_ns or None)
        if self.operation is not None:
            if self.operation.kind.status is a.RUN_STATUS:
                self.operation.set(a.RUN_STATUS, status)
                self._add_up(self.operation)
            self.operation.end()

    def _add_up(self, operation: Operation) -> None:
        """Sum what the nodes of the run used; a container's usage includes its children's."""
        executions = [execution.operation for execution in self.nodes.values()]
        for attribute in (a.TOTAL_TOKENS, a.INPUT_TOKENS_BELOW, a.OUTPUT_TOKENS_BELOW):
            values = [node.get(attribute) for node in executions if not _inside(node)]
            total = sum(value for value in values if isinstance(value, int))
            operation.set(attribute, total or None)
        prices = [node.get(a.TOTAL_PRICE) for node in executions if not _inside(node)]
        price = sum(value for value in prices if isinstance(value, float))
        if price:
            operation.set(a.TOTAL_PRICE, price)
            operation.set(a.CURRENCY, next(c for node in executions if (c := node.get(a.CURRENCY))))

    def node_started(self, node: Any, parent: Operation | None) -> None:
        """Start the operation of a node, or take note of another attempt."""
        if node_type(node) in _MARKERS or parent is None:
            return
        known = self.nodes.get(node.execution_id)
        if known is None:
            known = NodeExecution(start(NODE, describe(node), parent=parent.context), node)
            if parent is not self.operation:
                for attribute in (a.ITERATION_ID, a.LOOP_ID, a.INDEX):
                    known.operation.set(attribute, parent.get(attribute))
            self.nodes[node.execution_id] = known
        known.running += 1
        setattr(node, _SLOT, known.operation)

    def node_ended(self, node: Any) -> None:
        """Take note that an attempt of a node has ended."""
        known = self.nodes.get(node.execution_id)
        if known is not None:
            known.running -= 1
            known.ended_ns = time.time_ns()
            self._finish(known)

    def node_event(self, event: Any) -> None:
        """Take what an event about a node tells; events of other engines' nodes are not known."""
        known = self.nodes.get(event.id)
        if known is None:
            return
        name = type(event).__name__
        operation = known.operation
        if name == "NodeRunRetryEvent":
            operation.set(a.NODE_RETRIES, event.retry_index)
            operation.happened(
                "retry", {a.NODE_RETRY_INDEX: event.retry_index, a.ERROR_MESSAGE: event.error}
            )
            return
        status = _NODE_STATUS.get(name)
        if status is None or known.done:
            return
        known.done = True
        operation.set(a.NODE_STATUS, status)
        _take_result(operation, event.node_run_result)
        if status in {"failed", "exception"}:
            operation.fail(event.error, event.node_run_result.error_type)
            operation.set(a.NODE_ERROR, event.error)
        self._finish(known)

    def _finish(self, known: NodeExecution) -> None:
        if known.done and known.running <= 0:
            known.operation.end(known.ended_ns or None)


def _inside(node: Operation) -> bool:
    """Tell whether a node lies in an iteration or loop of the same engine."""
    return node.get(a.INDEX) is not None


def node_type(node: Any) -> str:
    """Return the type of a node as the DSL writes it."""
    kind = node.node_type
    return str(getattr(kind, "value", kind))


def describe(node: Any) -> dict[a.Attribute, object]:
    """Collect what a node is, before it runs."""
    data = node.node_data
    model = getattr(data, "model", None)
    return {
        a.NODE_ID: node.id,
        a.NODE_TYPE: node_type(node),
        a.NODE_EXECUTION_ID: node.execution_id,
        a.NODE_TITLE: node.title,
        a.DIFY_PROVIDER: getattr(model, "provider", None),
        a.REQUEST_MODEL: getattr(model, "name", None),
        a.TOOL_NAME: getattr(data, "tool_name", None),
    }


def _take_result(operation: Operation, result: Any) -> None:
    """Take content and usage from the result of a node."""
    operation.set(a.NODE_INPUTS, result.inputs or None)
    operation.set(a.NODE_OUTPUTS, result.outputs or None)
    operation.set(a.NODE_PROCESS_DATA, result.process_data or None)
    usage = result.llm_usage
    if usage.total_tokens:
        operation.set(a.TOTAL_TOKENS, usage.total_tokens)
        operation.set(a.INPUT_TOKENS_BELOW, usage.prompt_tokens)
        operation.set(a.OUTPUT_TOKENS_BELOW, usage.completion_tokens)
        operation.set(a.TOTAL_PRICE, float(usage.total_price))
        operation.set(a.CURRENCY, usage.currency)


def describe_run(workflow_id: str, graph: Any, variable_pool: Any) -> dict[a.Attribute, object]:
    """Collect what a run is: from the system variables, and from the context Dify passes along.

    Dify's context is ``run_context["_dify"]`` of every node (``DIFY_RUN_CONTEXT_KEY``).
    """
    given = graph.root_node.run_context.get("_dify")
    dify = given if isinstance(given, Mapping) else getattr(given, "__dict__", {})
    invoked = dify.get("invoke_from")

    def system(name: str) -> object:
        variable = variable_pool.get(("sys", name))
        return None if variable is None else variable.value

    return {
        a.WORKFLOW_ID: workflow_id,
        a.RUN_ID: system("workflow_run_id"),
        a.TENANT_ID: dify.get("tenant_id"),
        a.APP_ID: dify.get("app_id") or system("app_id"),
        a.APP_NAME: dify.get("app_name"),
        a.USER_ID: dify.get("user_id") or system("user_id"),
        a.INVOKE_FROM: str(getattr(invoked, "value", invoked or "")),
        a.CONVERSATION_ID: system("conversation_id"),
    }


def observe_nodes(module: ModuleType) -> None:
    """Make each node's operation the current one while the node runs.

    Args:
        module: ``graphon.nodes.base.node``.
    """
    wrap_function_wrapper(module, "Node.run", _on_run)
    if hasattr(module.Node, "resume_container"):
        wrap_function_wrapper(module, "Node.resume_container", _on_run)


def _on_run(wrapped: Any, node: Any, args: Any, kwargs: Any) -> Generator[Any, Any, Any]:
    """Fetch each event of a node with its operation as the current one.

    Engines of 0.8 make the generator before they report the start of the node, so its operation
    is looked up with the first event.
    """
    events = wrapped(*args, **kwargs)
    try:
        while True:
            operation = node.__dict__.get(_SLOT)
            try:
                if operation is None:
                    event = next(events)
                else:
                    with operation.active():
                        event = next(events)
            except StopIteration as stop:
                return stop.value
            yield event
    finally:
        with guarded("otel_dify.sources.graphon_run close"):
            events.close()
