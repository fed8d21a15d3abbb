"""Two runs side by side: as a whole, by what the time went into, and step by step."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from otel_dify import table as t
from otel_dify.cli.analysis import Analysis, analyse
from otel_dify.cli.changes import both, change
from otel_dify.cli.kinds import kind_of
from otel_dify.cli.spending import Where
from otel_dify.cli.steps import Pair, Step, matched, steps_of
from otel_dify.cli.tables import table
from otel_dify.cli.text import clock, duration, number, plain, price, wrap

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_dify.cli.traces import Trace

type Json = dict[str, Any]

_WIDE = 100


@dataclass(frozen=True, slots=True)
class Run:
    """A run that is compared: its traces, several where it was paused.

    Attributes:
        found: its traces and what is told of them.
        steps: its steps.
    """

    found: tuple[Analysis, ...]
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, traces: Sequence[Trace]) -> Run:
        """Make it of the traces of a run, one at least."""
        return cls(tuple(map(analyse, traces)), tuple(steps_of(traces)))

    @property
    def traces(self) -> list[Trace]:
        """Its traces."""
        return [one.trace for one in self.found]

    @property
    def parts(self) -> list[Analysis]:
        """Those of its traces that it ran in; the name of a conversation is made in another one."""
        ran = [
            one
            for one in self.found
            if any(kind_of(span) in {t.RUN, t.MESSAGE} for span in one.trace.spans)
        ]
        return ran or list(self.found)

    @property
    def name(self) -> str:
        """Its id."""
        first = self.traces[0]
        return next(iter((*first.runs, *first.messages)), first.id)

    @property
    def status(self) -> str:
        """How it ended."""
        return self.parts[-1].trace.status

    @property
    def duration_ns(self) -> int:
        """Nanoseconds that it took, without pauses."""
        return sum(one.path.duration_ns for one in self.parts)

    @property
    def tokens(self) -> tuple[int, int]:
        """Input and output tokens."""
        spent = [trace.tokens() for trace in self.traces]
        return sum(one for one, _ in spent), sum(other for _, other in spent)

    @property
    def cost(self) -> dict[str, float]:
        """What its model calls cost, by currency."""
        cost: dict[str, float] = defaultdict(float)
        for trace in self.traces:
            for currency, amount in trace.cost().items():
                cost[currency] += amount
        return dict(cost)

    @property
    def spent(self) -> Counter[Where]:
        """Nanoseconds of the critical path by what they were spent in."""
        return Counter({s.where: s.ns for one in self.parts for s in one.spent})


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs, and their steps put beside each other.

    Attributes:
        one: the first run.
        other: the one it is compared with.
        pairs: their steps; none where a run did not come there.
    """

    one: Run
    other: Run
    pairs: list[Pair]


def compare(one: Sequence[Trace], other: Sequence[Trace]) -> Comparison:
    """Compare two runs, each given by its traces."""
    a, b = Run.of(one), Run.of(other)
    return Comparison(a, b, matched(a.steps, b.steps))


def lines(found: Comparison, width: int) -> list[str]:
    """Render a comparison for a terminal of so many cells."""
    one, other = found.one, found.other
    told: list[str] = []
    for letter, run in (("A", one), ("B", other)):
        trace = run.traces[0]
        head = f"{letter}  {run.name}  {clock(trace.start_ns, date=True)}  {trace.title}"
        colour = {"succeeded": "green", "failed": "red"}.get(run.status, "yellow")
        told += wrap(head, width)
        told.append("   " + click.style(plain(run.status), fg=colour, bold=True))
    told += ["", *table(("", "A", "B", "change"), list(_whole(one, other)), width, flexible=0)]
    told += ["", *table(_head(width), [_row(pair, width) for pair in found.pairs], width, 0)]
    return [*told, *_remarks(found, width)]


def _whole(one: Run, other: Run) -> Iterator[tuple[str, str, str, str]]:
    a, b = one.duration_ns, other.duration_ns
    yield "duration", duration(a), duration(b), change(a, b)
    spent, spent_b = one.spent, other.spent
    for where in sorted({*spent, *spent_b}, key=lambda w: -max(spent[w], spent_b[w])):
        a, b = spent[where], spent_b[where]
        yield f"  {where.value}", _time(a), _time(b), change(a, b)
    for name, a, b in zip(("tokens in", "tokens out"), one.tokens, other.tokens, strict=True):
        yield name, str(a), str(b), change(a, b)
    for currency in sorted({*one.cost, *other.cost}):
        x, y = one.cost.get(currency, 0.0), other.cost.get(currency, 0.0)
        yield "cost", price(x, currency), price(y, currency), change(x, y)
    queries = [sum(f.queries.number for f in run.found) for run in (one, other)]
    if any(queries):
        yield "queries", str(queries[0]), str(queries[1]), change(*queries)


def _time(ns: int) -> str:
    return duration(ns) if ns else "-"


def _head(width: int) -> tuple[str, ...]:
    cost = ("cost",) if width >= _WIDE else ()
    return ("step", "A", "B", "change", "tokens", *cost, "ended")


def _row(pair: Pair, width: int) -> tuple[str, ...]:
    step, a, b = pair.step, pair.a, pair.b
    name = ("  " if step.inside else "") + plain(step.name)
    tokens = both(_tokens(a), _tokens(b))
    cost = (both(_cost(a), _cost(b)),) if width >= _WIDE else ()
    if a is None or b is None:
        ended = "only in B" if a is None else "only in A"
    else:
        ended = both(a.ended, b.ended)
    changed = change(a.total_ns, b.total_ns) if a and b else ""
    return (name, _took(a), _took(b), changed, tokens, *cost, ended)


def _took(step: Step | None) -> str:
    if step is None:
        return "-"
    times = f"{len(step.durations_ns)}x " if len(step.durations_ns) > 1 else ""
    return f"{times}{duration(step.total_ns)}"


def _tokens(step: Step | None) -> str:
    amount = 0 if step is None else step.input_tokens + step.output_tokens
    return number(amount) if amount else ""


def _cost(step: Step | None) -> str:
    return "" if step is None else " ".join(price(x, unit) for unit, x in step.cost.items())


def _remarks(found: Comparison, width: int) -> Iterator[str]:
    """Say which path each run took, and why steps failed in one and not in the other."""
    only = {
        "A": [pair.step.name for pair in found.pairs if pair.b is None],
        "B": [pair.step.name for pair in found.pairs if pair.a is None],
    }
    for letter, names in only.items():
        if names:
            yield from ("", *wrap(f"Only {letter} came to: {', '.join(names)}", width))
    for pair in found.pairs:
        for letter, step, beside in (("A", pair.a, pair.b), ("B", pair.b, pair.a)):
            if step and step.why and (beside is None or beside.why != step.why):
                text = f"{letter}: {step.name} {step.ended}: {step.why}"
                colour = "red" if step.failed else "yellow"
                yield ""
                yield from (click.style(line, fg=colour) for line in wrap(text, width))


def document(found: Comparison) -> Json:
    """Tell of a comparison, for programs."""
    return {
        "a": _run(found.one),
        "b": _run(found.other),
        "steps": [
            {
                "node_id": pair.step.node_id or None,
                "name": pair.step.name,
                "a": _step(pair.a),
                "b": _step(pair.b),
            }
            for pair in found.pairs
        ],
    }


def _run(run: Run) -> Json:
    spent, written = run.tokens
    return {
        "id": run.name,
        "trace_ids": [trace.id for trace in run.traces],
        "status": run.status,
        "start_ns": run.traces[0].start_ns,
        "duration_ns": run.duration_ns,
        "spent_ns": {where.value: ns for where, ns in run.spent.items()},
        "tokens": {"input": spent, "output": written},
        "cost": run.cost,
    }


def _step(step: Step | None) -> Json | None:
    if step is None:
        return None
    return {
        "executions": len(step.durations_ns),
        "duration_ns": step.total_ns,
        "failed": step.failed,
        "ended": step.ended,
        "why": step.why or None,
        "tokens": {"input": step.input_tokens, "output": step.output_tokens},
        "cost": dict(step.cost),
    }
