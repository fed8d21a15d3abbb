"""Runs for a terminal: the list of them, and one with all that is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from otel_dify.cli.ids import of_runs
from otel_dify.cli.moves import moved
from otel_dify.cli.tables import metric_table, trace_table
from otel_dify.cli.traces import points_of
from otel_dify.cli.waterfall import waterfall

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_dify.cli.records import Log, Telemetry
    from otel_dify.cli.traces import Trace

_LISTED = 20


def listed(traces: Sequence[Trace], *, everything: bool) -> Sequence[Trace]:
    """Return the latest runs, or else traces."""
    return (traces if everything else of_runs(traces))[-_LISTED:]


def listing(traces: Sequence[Trace], width: int, *, everything: bool) -> list[str]:
    """List the latest runs, or else traces, and say how to see one and what is left out."""
    of = traces if everything else of_runs(traces)
    shown = listed(traces, everything=everything)
    hints = ["See one by its id, or by as much of that as is unique: otel-dify view <id>"]
    if earlier := len(of) - len(shown):
        hints.append(f"{earlier} earlier ones are not listed.")
    if others := len(traces) - len(of):
        hints.append(f"{others} traces without a run are not listed: add --all.")
    return [*trace_table(shown, width), "", *hints]


def report(
    telemetry: Telemetry,
    traces: Sequence[Trace],
    width: int,
    *,
    metrics: bool,
    logs: Sequence[Log],
) -> list[str]:
    """Render traces as waterfalls with their log records, then the metrics that moved.

    Args:
        telemetry: what they were read with.
        traces: what to render.
        width: cells of a line.
        metrics: whether to say which metrics moved.
        logs: their log records; nothing where nobody has asked for them.
    """
    lines: list[str] = []
    processes = dict.fromkeys(process for trace in traces for process in trace.processes)
    numbers = {process: n for n, process in enumerate(processes, start=1)}
    for trace in traces:
        lines += [*waterfall(trace, numbers, width, logs), ""]
    if metrics:
        points = points_of(traces, telemetry.points)
        moves = moved(points, traces[0].start_ns, max(trace.end_ns for trace in traces))
        lines.append(click.style("Metrics that moved meanwhile", bold=True))
        lines += [*(metric_table(moves, width) if moves else ["none in the data"]), ""]
    return lines[:-1]
