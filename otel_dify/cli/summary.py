"""What stands above a waterfall: what failed, whose trace it is, where the time went."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from otel_dify.cli.text import cells, clock, duration, fit, plain, price, wrap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_dify.cli.analysis import Analysis, Queries
    from otel_dify.cli.failures import Failure
    from otel_dify.cli.records import Process
    from otel_dify.cli.spending import Spent
    from otel_dify.cli.traces import Trace

_SHOWN = 5
_BAR = 20
_NAMED = 3
ON_PATH = "█"


def summary(found: Analysis, numbers: Mapping[Process, int], width: int) -> list[str]:
    """Render what is told of a trace as lines of ``width`` cells at most.

    Args:
        found: what is told.
        numbers: its processes by number.
        width: cells of a line.
    """
    trace = found.trace
    lines = [click.style(line, bold=True) for line in wrap(trace.title, width)]
    lines += [line for one in found.failures[:_SHOWN] for line in _failure(one, width)]
    if more := len(found.failures) - _SHOWN:
        lines += [f"  and {more} more"] if more > 0 else []
    lines += [f"run    {plain(run)}" for run in trace.runs]
    lines += [f"message {plain(message)}" for message in trace.messages]
    lines.append(f"trace  {trace.id}  {clock(trace.start_ns, date=True)} UTC")
    lines.append(f"       {_outcome(trace)}")
    lines += [f"       {usage}"] if (usage := usage_of(trace)) else []
    if found.queries.number:
        lines += [f"       {line}" for line in wrap(queries(found.queries), width - 7)]
    lines += [f"[{numbers[p]}]    {plain(p.label)}" for p in trace.processes]
    return [*lines, "", *_where(found, width), ""]


def _outcome(trace: Trace) -> str:
    colour = {"succeeded": "green", "failed": "red"}.get(trace.status, "yellow")
    status = click.style(plain(trace.status), fg=colour, bold=True)
    failed = f", {trace.failed} failed" if trace.failed else ""
    took = duration(trace.end_ns - trace.start_ns)
    return f"{status} in {took}; {len(trace.spans)} spans{failed}"


def usage_of(trace: Trace) -> str:
    """Say what a trace took of models: tokens, and the price by currency."""
    spent, written = trace.tokens()
    prices = [price(amount, unit) for unit, amount in trace.cost().items()]
    tokens = [f"tokens {spent} in, {written} out"] if spent or written else []
    return "; ".join([*tokens, *prices])


def queries(found: Queries) -> str:
    """Say how many queries there were without spans, how long they took, and of which database."""
    of = [
        f"{plain(system)} {number} in {duration(round(seconds * 1e9))}"
        for system, (number, seconds) in sorted(found.systems.items())
    ]
    return (
        f"queries {found.number} in {duration(round(found.seconds * 1e9))}, the slowest "
        f"{duration(round(found.slowest * 1e9))}" + (f" ({', '.join(of)})" if of else "")
    )


def _failure(one: Failure, width: int) -> Iterator[str]:
    colour, sign = ("yellow", "!") if one.recovered else ("red", "✗")
    said = "failed, and the run went on" if one.recovered else "failed"
    text = f"{sign} {one.span.name} {said}: {one.why}"
    for place, line in enumerate(wrap(text, width - 2)):
        yield click.style(("  " if place else "") + line, fg=colour)
    if one.place:
        for line in wrap(f"in {' → '.join(one.place)}", width - 4):
            yield f"    {line}"


def _where(found: Analysis, width: int) -> Iterator[str]:
    """Say where the time went, in parts that come to 100 %."""
    path = found.path
    took = duration(path.duration_ns)
    yield click.style(f"Where the time went: {took} on the critical path ({ON_PATH})", bold=True)
    names = max((cells(one.where) for one in found.spent), default=0)
    times = max((cells(duration(one.ns)) for one in found.spent), default=0)
    for one in found.spent:
        bar = fit(ON_PATH * round(one.share * _BAR / 1000), _BAR)
        line = (
            f"  {fit(one.where, names)}  {duration(one.ns).rjust(times)}  "
            f"{one.share / 10:5.1f} %  {bar}"
        )
        room = width - cells(line) - 2
        yield f"{line}  {fit(most(one), room)}".rstrip() if room > 0 else line.rstrip()


def most(one: Spent) -> str:
    """Name the operations in which most of it was spent."""
    named = [f"{plain(name)} {duration(ns)}" for name, ns in one.most[:_NAMED] if ns]
    return ", ".join(named)
