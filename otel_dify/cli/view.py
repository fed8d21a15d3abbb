"""``otel-dify view``: traces, metrics and logs in the terminal, from OTLP JSON files."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from otel_dify.cli.moves import moved
from otel_dify.cli.otlp_json import read
from otel_dify.cli.tables import log_lines, metric_table, trace_table
from otel_dify.cli.traces import Trace, group, logs_of, of_id, of_run, points_of
from otel_dify.cli.waterfall import waterfall
from otel_dify.settings import FILE_PATH, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_dify.cli.records import Telemetry

_LISTED = 20


@click.command()
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--run", "run_id", metavar="ID", help="Show the run with this workflow run id.")
@click.option("--trace", "trace_id", metavar="ID", help="Show the trace with this id.")
@click.option("--last", is_flag=True, help="Show the latest run.")
@click.option("--all", "everything", is_flag=True, help="List traces without a run, too.")
@click.option("--metrics", is_flag=True, help="Show its app's metrics that moved meanwhile.")
@click.option("--logs", is_flag=True, help="Show its log lines, too.")
def view(
    *,
    path: Path | None,
    run_id: str | None,
    trace_id: str | None,
    last: bool,
    everything: bool,
    metrics: bool,
    logs: bool,
) -> None:
    """Show runs as waterfalls, from OTLP JSON lines.

    PATH is a folder that the otlp_file exporters wrote, or one file of theirs or of the
    Collector's file exporter. Without one it is OTEL_DIFY_FILE_PATH. Without --run, --trace or
    --last the latest runs are listed.
    """
    if sum(map(bool, (run_id, trace_id, last))) > 1:
        raise click.UsageError("--run, --trace and --last exclude each other: give one of them")
    source = path or Settings()[FILE_PATH]
    try:
        telemetry = read(source)
    except FileNotFoundError:
        raise click.ClickException(
            f"{source} does not exist. Name the folder that OTEL_DIFY_FILE_PATH is set to for "
            "Dify, where OTEL_TRACES_EXPORTER=otlp_file writes"
        ) from None
    for problem in telemetry.problems:
        click.secho(problem, fg="yellow", err=True, color=_coloured(os.environ, sys.stderr))
    traces = group(telemetry.spans)
    if not traces:
        raise click.ClickException(
            f"there are no spans in {source}. Spans are written within a second of their end: run "
            "an app, or check that OTEL_TRACES_EXPORTER=otlp_file is set where Dify runs"
        )
    width = shutil.get_terminal_size((120, 24)).columns
    if not (run_id or trace_id or last):
        lines = listing(traces, width, everything=everything)
    else:
        lines = report(
            telemetry, chosen(traces, run_id, trace_id), width, metrics=metrics, logs=logs
        )
    click.echo("\n".join(lines), color=_coloured(os.environ, sys.stdout))


def listing(traces: Sequence[Trace], width: int, *, everything: bool) -> list[str]:
    """List the latest runs, or else traces, and say how to see one and what is left out."""
    found = traces if everything else _with_runs(traces)
    shown = found[-_LISTED:]
    hints = ["See one with --run ID, --trace ID or --last; add --metrics and --logs."]
    if earlier := len(found) - len(shown):
        hints.append(f"{earlier} earlier ones are not listed.")
    if others := len(traces) - len(found):
        hints.append(f"{others} traces without a run are not listed: add --all.")
    return [*trace_table(shown, width), "", *hints]


def _with_runs(traces: Sequence[Trace]) -> Sequence[Trace]:
    """Leave out traces without a run, unless all are."""
    return [trace for trace in traces if trace.runs] or traces


def chosen(traces: Sequence[Trace], run_id: str | None, trace_id: str | None) -> list[Trace]:
    """Find the traces of a run or with an id; the latest run's where neither is given.

    Raises:
        click.ClickException: there is none.
    """
    if run_id:
        found, what = of_run(traces, run_id), f"run {run_id}"
    elif trace_id:
        found, what = of_id(traces, trace_id), f"trace {trace_id}"
    else:
        return [_with_runs(traces)[-1]]
    if not found:
        raise click.ClickException(
            f"{what} is not among the {len(traces)} traces here. Without --run and --trace the "
            "latest are listed"
        )
    return found


def report(
    telemetry: Telemetry, traces: Sequence[Trace], width: int, *, metrics: bool, logs: bool
) -> list[str]:
    """Render traces as waterfalls, then the metrics that moved and their log lines if wanted."""
    lines: list[str] = []
    processes = dict.fromkeys(process for trace in traces for process in trace.processes)
    numbers = {process: n for n, process in enumerate(processes, start=1)}
    for trace in traces:
        lines += [*waterfall(trace, numbers, width), ""]
    if metrics:
        points = points_of(traces, telemetry.points)
        moves = moved(points, traces[0].start_ns, max(trace.end_ns for trace in traces))
        lines.append(click.style("Metrics that moved meanwhile", bold=True))
        lines += [*(metric_table(moves, width) if moves else ["none in the data"]), ""]
    if logs:
        found = logs_of(traces, telemetry.logs)
        lines.append(click.style("Logs", bold=True))
        lines += [*(log_lines(found, numbers) or ["none in the data"]), ""]
    return lines[:-1]


def _coloured(environ: Mapping[str, str], stream: object) -> bool:
    """Decide on colour: NO_COLOR, then FORCE_COLOR (both: any text but none), then a terminal."""
    if environ.get("NO_COLOR"):
        return False
    isatty = getattr(stream, "isatty", None)
    return bool(environ.get("FORCE_COLOR")) or bool(isatty and isatty())
