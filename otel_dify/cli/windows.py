"""Two windows of an app: its runs before a moment, and after it."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from otel_dify import table as t
from otel_dify.cli.changes import both, change
from otel_dify.cli.kinds import kind_of
from otel_dify.cli.steps import Step, matched, steps_of
from otel_dify.cli.tables import table
from otel_dify.cli.text import clock, duration, number, plain, price

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from otel_dify.cli.records import Span
    from otel_dify.cli.traces import Trace

type Json = dict[str, Any]

_WIDE = 100
_FAILED = {"failed", "terminated"}


@dataclass(slots=True)
class Window:
    """What an app did in a stretch of time.

    Attributes:
        start_ns: nanoseconds since the epoch.
        end_ns: the same.
        statuses: how many runs ended how; one that was paused ended as its last part did.
        durations_ns: of the runs, pauses left out.
        steps: their steps, all runs together.
        tokens: input and output tokens.
        cost: by currency.
    """

    start_ns: int
    end_ns: int
    statuses: Counter[str] = field(default_factory=Counter)
    durations_ns: list[int] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    tokens: tuple[int, int] = (0, 0)
    cost: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @property
    def runs(self) -> int:
        """How many runs."""
        return len(self.durations_ns)

    @property
    def failed(self) -> int:
        """How many of them failed."""
        return sum(number for status, number in self.statuses.items() if status in _FAILED)


def of_app(trace: Trace, app: str) -> bool:
    """Tell whether a trace is of an app, named by its name or by how its id begins."""
    wanted = app.lower()
    return any(
        span.text(t.APP_NAME.key).lower() == wanted
        or span.text(t.APP_ID.key).lower().startswith(wanted)
        for span in trace.spans
    )


def window_of(traces: Iterable[Trace], start_ns: int, end_ns: int) -> Window:
    """Sum up the runs that started in a stretch of time.

    Where there are no runs of workflows, messages are told (chat apps of the simple sort).

    Args:
        traces: traces of one app.
        start_ns: start of the stretch.
        end_ns: its end, which is not part of it.
    """
    window = Window(start_ns, end_ns)
    inside = [trace for trace in traces if start_ns <= trace.start_ns < end_ns]
    runs = _runs(inside, t.RUN, t.RUN_ID) or _runs(inside, t.MESSAGE, t.MESSAGE_ID)
    for parts in runs.values():
        window.durations_ns.append(sum(part.duration_ns for part in parts))
        window.statuses[_status(parts[-1])] += 1
    window.steps = steps_of(inside)
    spent = [trace.tokens() for trace in inside]
    window.tokens = sum(one for one, _ in spent), sum(other for _, other in spent)
    for trace in inside:
        for currency, amount in trace.cost().items():
            window.cost[currency] += amount
    return window


def _runs(traces: Iterable[Trace], kind: t.Kind, key: t.Attribute) -> dict[str, list[Span]]:
    runs: dict[str, list[Span]] = defaultdict(list)
    for trace in traces:
        for span in trace.spans:
            if kind_of(span) is kind:
                runs[span.text(key.key) or span.span_id].append(span)
    return runs


def _status(span: Span) -> str:
    told = span.text(t.RUN_STATUS.key) or span.text(t.MESSAGE_STATUS.key)
    return told or ("failed" if span.failed else "succeeded")


def quantile(values: Sequence[float], q: float) -> float:
    """Return a quantile, linear between the two values around it; of no values 0.

    That is number 7 of Hyndman and Fan, "Sample Quantiles in Statistical Packages" (1996), which
    NumPy and spreadsheets have by default.
    """
    if not values:
        return 0.0
    known, place = sorted(values), q * (len(values) - 1)
    below = math.floor(place)
    above = min(below + 1, len(known) - 1)
    return known[below] + (known[above] - known[below]) * (place - below)


def lines(app: str, before: Window, after: Window, width: int) -> list[str]:
    """Render two windows for a terminal of so many cells."""
    told = [click.style(plain(app), bold=True)]
    for name, window in (("before", before), ("after ", after)):
        stretch = f"{clock(window.start_ns, date=True)} to {clock(window.end_ns, date=True)} UTC"
        told.append(f"{name}  {stretch}")
    told += ["", *table(("", "before", "after", "change"), list(_whole(before, after)), width, 0)]
    rows = [_row(pair.step, pair.a, pair.b, width) for pair in matched(before.steps, after.steps)]
    return [*told, "", *table(_head(width), rows, width, 0)]


def _whole(a: Window, b: Window) -> Iterator[tuple[str, str, str, str]]:
    yield "runs", str(a.runs), str(b.runs), change(a.runs, b.runs)
    for status in sorted({*a.statuses, *b.statuses}):
        x, y = a.statuses[status], b.statuses[status]
        yield f"  {plain(status)}", _part(x, a.runs), _part(y, b.runs), change(x, y)
    for name, q in (("P50", 0.5), ("P95", 0.95)):
        x, y = (round(quantile(window.durations_ns, q)) for window in (a, b))
        yield f"duration {name}", duration(x), duration(y), change(x, y)
    for place, name in enumerate(("tokens in", "tokens out")):
        p, r = (_each(window.tokens[place], window) for window in (a, b))
        yield f"{name}, a run", number(p), number(r), change(p, r)
    for currency in sorted({*a.cost, *b.cost}):
        p, r = (_each(window.cost.get(currency, 0.0), window) for window in (a, b))
        yield "cost, a run", price(p, currency), price(r, currency), change(p, r)


def _each(amount: float, window: Window) -> float:
    return amount / window.runs if window.runs else 0.0


def _part(number_of_them: int, of: int) -> str:
    return f"{number_of_them} ({number_of_them / of * 100:.0f} %)" if of else "0"


def _head(width: int) -> tuple[str, ...]:
    median = ("P50",) if width >= _WIDE else ()
    return ("step", "executions", *median, "P95", "change", "failed", "tokens")


def _row(step: Step, a: Step | None, b: Step | None, width: int) -> tuple[str, ...]:
    median = (both(_quantile(a, 0.5), _quantile(b, 0.5)),) if width >= _WIDE else ()
    slow = [quantile(one.durations_ns, 0.95) if one else 0.0 for one in (a, b)]
    failed = [one.failed if one else 0 for one in (a, b)]
    tokens = [one.input_tokens + one.output_tokens if one else 0 for one in (a, b)]
    return (
        ("  " if step.inside else "") + plain(step.name),
        both(_executions(a), _executions(b)),
        *median,
        both(_quantile(a, 0.95), _quantile(b, 0.95)),
        change(*slow),
        both(*map(str, failed)) if any(failed) else "",
        both(*map(str, tokens)) if any(tokens) else "",
    )


def _executions(step: Step | None) -> str:
    return str(len(step.durations_ns)) if step else "0"


def _quantile(step: Step | None, q: float) -> str:
    return duration(round(quantile(step.durations_ns, q))) if step else ""


def document(app: str, before: Window, after: Window) -> Json:
    """Tell of two windows, for programs."""
    return {
        "app": app,
        "before": _window(before),
        "after": _window(after),
        "steps": [
            {
                "node_id": pair.step.node_id or None,
                "name": pair.step.name,
                "before": _step(pair.a),
                "after": _step(pair.b),
            }
            for pair in matched(before.steps, after.steps)
        ],
    }


def _window(window: Window) -> Json:
    return {
        "start_ns": window.start_ns,
        "end_ns": window.end_ns,
        "runs": window.runs,
        "failed": window.failed,
        "statuses": dict(window.statuses),
        "p50_ns": round(quantile(window.durations_ns, 0.5)),
        "p95_ns": round(quantile(window.durations_ns, 0.95)),
        "tokens": {"input": window.tokens[0], "output": window.tokens[1]},
        "cost": dict(window.cost),
    }


def _step(step: Step | None) -> Json | None:
    if step is None:
        return None
    return {
        "executions": len(step.durations_ns),
        "failed": step.failed,
        "p50_ns": round(quantile(step.durations_ns, 0.5)),
        "p95_ns": round(quantile(step.durations_ns, 0.95)),
        "tokens": {"input": step.input_tokens, "output": step.output_tokens},
        "cost": dict(step.cost),
    }
