"""The steps of a run, folded: what ran several times, in items and passes, is one step."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from otel_dify import table as t
from otel_dify.cli.failures import why
from otel_dify.cli.kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from otel_dify.cli.records import Span
    from otel_dify.cli.traces import Trace

_NODES = frozenset({t.NODE, t.DRAFT_NODE})
# What a run without nodes is told by: chat apps of the simple sort, agents, tasks.
_OTHERS = frozenset(
    {t.MESSAGE, t.AGENT, t.TOOL_CALL, t.RETRIEVAL, t.MODERATION, t.GENERATION, t.INDEXING, t.CUSTOM}
)


@dataclass(slots=True)
class Step:
    """A node, or another step, with all its executions.

    Attributes:
        node_id: id of the node; empty for other steps.
        name: type and title, or name of the span.
        inside: whether it lies in an iteration or loop.
        durations_ns: of its executions, by start.
        failed: how many failed.
        why: type and message of the first failure, also of one that it recovered from.
        input_tokens: of its own model calls, not of what lies in steps below it.
        output_tokens: the same.
        cost: of the same, by currency.
    """

    node_id: str
    name: str
    inside: bool = False
    durations_ns: list[int] = field(default_factory=list)
    failed: int = 0
    why: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @property
    def total_ns(self) -> int:
        """Nanoseconds of all executions together."""
        return sum(self.durations_ns)

    @property
    def ended(self) -> str:
        """How it ended, in a word."""
        if self.failed:
            return "failed"
        return "recovered" if self.why else "succeeded"

    def add(self, span: Span) -> None:
        """Add an execution."""
        self.durations_ns.append(span.duration_ns)
        self.failed += span.failed
        self.why = self.why or why(span)

    def spend(self, call: Span) -> None:
        """Add what a call of a model took."""
        self.input_tokens += int(call.number(t.INPUT_TOKENS.key))
        self.output_tokens += int(call.number(t.OUTPUT_TOKENS.key))
        if price := call.number(t.CALL_PRICE.key):
            self.cost[call.text(t.CALL_CURRENCY.key)] += price


def steps_of(traces: Iterable[Trace]) -> list[Step]:
    """Find the steps of a run, in the order in which they first started.

    Args:
        traces: its traces.
    """
    steps: dict[tuple[str, str], Step] = {}
    for trace in traces:
        for span, owner, inside in _owned(trace):
            step = owner or span
            node_id = step.text(t.NODE_ID.key) if kind_of(step) in _NODES else ""
            # Titles are not unique, ids are; others have nothing but their name.
            key = (node_id, "" if node_id else step.name)
            found = steps.setdefault(key, Step(node_id, step.name, inside))
            if step is span:
                found.add(span)
            if kind_of(span) is t.MODEL_CALL:
                found.spend(span)
    return list(steps.values())


def _owned(trace: Trace) -> Iterator[tuple[Span, Span | None, bool]]:
    """Yield each step, and each model call with the step that it was made for; none for its own."""
    parents = {row.span.span_id: row.parent for row in trace.rows()}
    has_nodes = any(kind_of(span) in _NODES for span in trace.spans)
    kinds = _NODES if has_nodes else _OTHERS
    for span in trace.spans:
        kind = kind_of(span)
        if kind in kinds:
            above = list(_above(span, parents))
            yield span, None, any(kind_of(one) in {t.ITEM, t.PASS} for one in above)
        elif kind is t.MODEL_CALL:
            owners = (one for one in _above(span, parents) if kind_of(one) in kinds)
            yield span, next(owners, None), False


def _above(span: Span, parents: Mapping[str, Span | None]) -> Iterator[Span]:
    above = parents[span.span_id]
    while above is not None:
        yield above
        above = parents[above.span_id]


@dataclass(frozen=True, slots=True)
class Pair:
    """A step in two runs.

    Attributes:
        step: the step, of the first run where that has it.
        a: the step in the first run; none where it did not come there.
        b: the same in the other run.
    """

    step: Step
    a: Step | None
    b: Step | None


def matched(one: Sequence[Step], other: Sequence[Step]) -> list[Pair]:
    """Put the steps of two runs beside each other: by node id, then by name and order.

    Returns:
        pairs, in the order of the first run; what only the other has stands behind what came
        before it there.
    """
    left = list(one)
    partners: dict[int, Step] = {}
    for same in (_same_node, _same_name):
        for step in other:
            if id(step) not in partners:
                found = next((known for known in left if same(known, step)), None)
                if found is not None:
                    left.remove(found)
                    partners[id(step)] = found
    of_one = {id(partners[id(step)]): step for step in other if id(step) in partners}
    pairs = [Pair(step, step, of_one.get(id(step))) for step in one]
    at = 0
    for step in other:
        if id(step) in partners:
            at = next(n for n, pair in enumerate(pairs) if pair.b is step) + 1
        else:
            pairs.insert(at, Pair(step, None, step))
            at += 1
    return pairs


def _same_node(one: Step, other: Step) -> bool:
    return bool(one.node_id) and one.node_id == other.node_id


def _same_name(one: Step, other: Step) -> bool:
    return one.name == other.name
