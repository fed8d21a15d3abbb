"""Nodes of the graphon engine: what one is, and what its open execution has come to so far."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from otel_dify import table as t
from otel_dify.operations.operation import Operation

type Failures = deque[tuple[str, str]]
"""Message and type of what failed last, the latest first."""
_FAILURES = 64


def no_failures() -> Failures:
    """Make what keeps the last failures: one of them is the cause of what fails next."""
    return deque(maxlen=_FAILURES)


class NodeExecution:
    """One execution of a node, all its attempts together, while it is open.

    Attributes:
        operation: its operation.
        node: the engine's node.
        inside: it lies in an iteration or loop of the same engine.
        running: attempts under way; one may start before the last has been reported as ended.
        ended_ns: when the last attempt ended.
        done: the engine has decided on its outcome.
        passes: items or passes begun so far.
        failures: message and type of what failed inside it, if it is a container.
        usage: what its attempts used.
    """

    def __init__(self, operation: Operation, node: Any, *, inside: bool) -> None:
        self.operation = operation
        self.node = node
        self.inside = inside
        self.running = 0
        self.ended_ns = 0
        self.done = False
        self.passes = 0
        self.failures = no_failures()
        self.usage = Usage()


class Usage:
    """Tokens and price, added up as Dify's engine adds them: failed attempts count as well.

    Input and output come to the total. Plugins of agents tell the total alone: what is not told
    apart counts as input, which nearly all of an agent's tokens are, since each round sends again
    what came before.
    """

    def __init__(self) -> None:
        self.total = self.input = self.output = 0
        self.price = 0.0
        self.currency = ""

    def take(self, usage: Any) -> None:
        """Add what one attempt of a node used; a container's includes what lies in it."""
        if usage.total_tokens:
            untold = max(usage.total_tokens - usage.prompt_tokens - usage.completion_tokens, 0)
            self.input += usage.prompt_tokens + untold
            self.output += usage.completion_tokens
            self.total = self.input + self.output
            self.price += float(usage.total_price)
            self.currency = usage.currency

    def add(self, other: Usage) -> None:
        """Add what a node used."""
        self.total += other.total
        self.input += other.input
        self.output += other.output
        self.price += other.price
        self.currency = other.currency or self.currency

    def write(self, operation: Operation) -> None:
        """Set the sums on an operation, if there are any."""
        if self.total:
            operation.set(t.TOTAL_TOKENS, self.total)
            operation.set(t.INPUT_TOKENS_BELOW, self.input)
            operation.set(t.OUTPUT_TOKENS_BELOW, self.output)
            operation.set(t.TOTAL_PRICE, self.price)
            operation.set(t.CURRENCY, self.currency)


def cause_of(failures: Failures, error: str) -> str:
    """Find the type of the failure that an error message repeats."""
    return next((kind for message, kind in failures if message in error), "")


def node_type(node: Any) -> str:
    """Return the type of a node as the DSL writes it."""
    kind = node.node_type
    return str(getattr(kind, "value", kind))


def describe(node: Any) -> dict[t.Attribute, object]:
    """Collect what a node is, before it runs."""
    # Not by `getattr`: pydantic takes long to say that there is no such field.
    data = vars(node.node_data)
    model = data.get("model")
    return {
        t.NODE_ID: node.id,
        t.NODE_TYPE: node_type(node),
        t.NODE_EXECUTION_ID: node.execution_id,
        t.NODE_TITLE: node.title,
        t.DIFY_PROVIDER: getattr(model, "provider", None),
        t.REQUEST_MODEL: getattr(model, "name", None),
        t.TOOL_NAME: data.get("tool_name"),
    }


def part_of(
    container: Any, variable_pool: Any, passes: int
) -> tuple[t.Kind, dict[t.Attribute, object]]:
    """Tell which item or pass of a container is about to run.

    Args:
        container: the node of an iteration or loop.
        variable_pool: the variables of the part, where an iteration's has its index.
        passes: passes of a loop begun before.

    Returns:
        Its kind, and what is known of it.
    """
    if node_type(container) == "iteration":
        index = variable_pool.get((container.id, "index"))
        number = None if index is None else index.value
        return t.ITEM, {t.ITERATION_ID: container.id, t.INDEX: number}
    return t.PASS, {t.LOOP_ID: container.id, t.INDEX: passes}


def owner_of(run_context: Mapping[str, Any]) -> Mapping[str, Any]:
    """Find who runs what in the context that Dify hands to graphon.

    It lies under ``_dify`` (``DIFY_RUN_CONTEXT_KEY``), in forks under a name of theirs: it is the
    value that knows a tenant. Empty where there is none.
    """
    for value in run_context.values():
        known = value if isinstance(value, Mapping) else getattr(value, "__dict__", {})
        if "tenant_id" in known:
            return known
    return {}
