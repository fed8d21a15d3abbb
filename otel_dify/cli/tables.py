"""Tables: the runs there are, the metrics that moved, the log lines."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING

import click

from otel_dify.cli.text import cells, clock, duration, fit, number, plain, price, wrap

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from otel_dify.cli.moves import Move
    from otel_dify.cli.records import Log, Process
    from otel_dify.cli.traces import Trace

_GAP = "  "
# What operators of Dify look for comes before the plumbing.
_OURS = ("dify.", "gen_ai.")
# OTLP severity numbers: https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber
_SEVERITIES = (
    (17, "red", "ERROR"),
    (13, "yellow", "WARN"),
    (9, "green", "INFO"),
    (5, "blue", "DEBUG"),
    (1, "blue", "TRACE"),
)


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], width: int, flexible: int
) -> list[str]:
    """Lay out rows under a head; the flexible column wraps so that lines keep to ``width``."""
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(cells, column)) for column in columns]
    others = sum(widths) - widths[flexible] + len(_GAP) * (len(widths) - 1)
    widths[flexible] = min(widths[flexible], max(width - others, 16))
    lines = [click.style(_line(head, widths), bold=True)]
    for row in rows:
        parts = wrap(row[flexible], widths[flexible])
        for place, part in enumerate(parts):
            held = row if place == 0 else [""] * len(row)
            lines.append(_line([*held[:flexible], part, *held[flexible + 1 :]], widths))
    return lines


def _line(values: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(fit(v, w) for v, w in zip(values, widths, strict=True)).rstrip()


def trace_table(traces: Iterable[Trace], width: int) -> list[str]:
    """List traces: start, status, duration, tokens and cost, app, and the id to look it up by."""
    head = (
        "start (UTC)",
        "status",
        "duration",
        "tokens",
        "cost",
        "app",
        "run, message or trace id",
    )
    rows = [
        (
            clock(trace.start_ns, date=True),
            plain(trace.status),
            duration(trace.end_ns - trace.start_ns),
            str(sum(trace.tokens())),
            " ".join(price(amount, unit) for unit, amount in trace.cost().items()),
            plain(trace.title),
            plain(" ".join(trace.runs or trace.messages)) or trace.id,
        )
        for trace in traces
    ]
    return table(head, rows, width, flexible=5)


def metric_table(moves: Sequence[Move], width: int) -> list[str]:
    """List what moved: counters by how much, distributions by count, sum, median and 95 %.

    Attributes that have one value wherever they occur (most have: tenant, app, provider) are said
    once, above, so that the rows show what tells them apart.
    """
    values: dict[str, list[str]] = defaultdict(list)
    for key, value in (pair for move in moves for pair in move.attributes):
        values[key].append(value)
    shared = {k: v[0] for k, v in values.items() if len(v) > 1 and len(set(v)) == 1}
    said = [f"{key}={value}" for key, value in shared.items()]
    lines = wrap("where a metric has them: " + "  ".join(said), width) if said else []
    rows: list[tuple[str, str, str]] = []
    above = ""
    for move in sorted(moves, key=lambda m: not m.name.startswith(_OURS)):
        told_apart = "  ".join(f"{k}={v}" for k, v in move.attributes if k not in shared)
        rows.append(("" if move.name == above else plain(move.name), told_apart, _moved(move)))
        above = move.name
    return [*lines, *table(("metric", "attributes", "value"), rows, width, flexible=1)]


def _moved(move: Move) -> str:
    if move.kind != "distribution":
        sign = "+" if move.kind == "sum" and move.value > 0 else ""
        return f"{sign}{_amount(move.value, move.unit)}"
    parts = [f"+{move.count}", f"sum {_amount(move.value, move.unit)}"]
    # The sum says it better of a single value.
    for name, q in (("p50", 0.5), ("p95", 0.95)) if move.count > 1 else ():
        value = move.quantile(q)
        if value is not None:
            over = ">" if value == move.bounds[-1] and move.buckets[-1] else ""
            parts.append(f"{name} {over}{_amount(value, move.unit)}")
    return _GAP.join(parts)


def _amount(value: float, unit: str) -> str:
    if unit == "s":
        return duration(round(value * 1e9))
    # {token} and the like are annotations of UCUM, not units; 1 is none either.
    return number(value) if unit in {"", "1"} or unit[0] == "{" else f"{number(value)} {unit}"


def log_lines(logs: Iterable[Log], numbers: Mapping[Process, int]) -> list[str]:
    """Write log records in order of time: time, process, severity, event or logger, body, stack.

    Args:
        logs: the records.
        numbers: processes by number, as the waterfall has them; others are ``[-]``.
    """
    shown = sorted(logs, key=lambda log: log.at_ns)
    source_width = min(max((cells(log.source) for log in shown), default=0), 44)
    lines = []
    for log in shown:
        colour, level = severity(log)
        first, *rest = body_of(log)
        source = click.style(fit(plain(log.source), source_width), dim=True)
        lines.append(
            f"{clock(log.at_ns)}  [{numbers.get(log.process, '-')}]  "
            f"{click.style(level.ljust(5), fg=colour)}  {source}  {first}"
        )
        lines += (f"    {line}" for line in rest)
    return lines


def severity(log: Log) -> tuple[str, str]:
    """Return the colour of a log record and the name of its severity."""
    for least, colour, name in _SEVERITIES:
        if log.severity >= least:
            return colour, name
    return "white", plain(log.severity_text)[:5]


def body_of(log: Log) -> list[str]:
    """Return the lines of a log record: its body, then its stack."""
    body = log.body if isinstance(log.body, str) else json.dumps(log.body, ensure_ascii=False)
    stack = log.attributes.get("exception.stacktrace")
    text = f"{body}\n{stack}" if stack else body
    return [plain(line) for line in text.rstrip().split("\n")]
