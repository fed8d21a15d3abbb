"""``otel-dify view``: a run as a waterfall, in the terminal, as a page, or as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from otel_dify.cli.options import reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_dify.cli.origins import Origin
    from otel_dify.cli.records import Log, Telemetry
    from otel_dify.cli.traces import Trace


@click.command()
@click.argument("what", metavar="[ID|latest] [SOURCE]", nargs=-1)
@click.option("--run", "run_id", metavar="ID", help="Show the run whose id begins so.")
@click.option("--trace", "trace_id", metavar="ID", help="Show the trace whose id begins so.")
@click.option("--last", is_flag=True, help="Show the latest run: the same as latest.")
@click.option("--all", "everything", is_flag=True, help="List traces without a run, too.")
@click.option("--logs", is_flag=True, help="Show its log lines where they were written.")
@click.option("--metrics", is_flag=True, help="Show its app's metrics that moved meanwhile.")
@click.option(
    "--html",
    "page",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page that needs nothing else instead.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")
@reading
def view(
    *,
    what: tuple[str, ...],
    run_id: str | None,
    trace_id: str | None,
    last: bool,
    everything: bool,
    logs: bool,
    metrics: bool,
    page: Path | None,
    as_json: bool,
    source: str | None,
    loki: str | None,
    headers: tuple[str, ...],
) -> None:
    """Show a run: what failed, where the time went, and every step as a waterfall.

    ID is how the id of a run, a message or a trace begins; "latest" is the latest run, "latest~1"
    the one before it. Without one, the latest runs are listed. SOURCE is the same as --from.

    What it reads, it does not change: journals of running processes are read as well.
    """
    # They take a while to import, and `otel-dify --help` needs none of them.
    from otel_dify.cli.analysis import analyse
    from otel_dify.cli.finding import arguments, found, latest, opened, say, say_problems, width
    from otel_dify.cli.report import listed, listing, report
    from otel_dify.cli.traces import group

    names, source = arguments(what, source, most=1)
    named = [
        (text, called, of)
        for text, called, of in (
            *((text, text, ()) for text in names),
            (run_id, f"run {run_id}", ("run",)),
            (trace_id, f"trace {trace_id}", ("trace",)),
            ("latest" if last else None, "latest", ()),
        )
        if text
    ]
    if len(named) > 1:
        raise click.UsageError("an id, --run, --trace and --last exclude each other: give one")
    place = opened(source, loki, headers)
    if named:
        telemetry, traces = found(place, *named[0])
        written = _logs(place, telemetry, traces) if logs else None
    else:
        telemetry, written = latest(place), None
        say_problems(telemetry)
        traces = group(telemetry.spans)
    if page is not None:
        if not named:
            raise click.UsageError("--html is of one run: give an id, or latest")
        from otel_dify.cli.page import page_of

        try:
            page.write_text(page_of([analyse(trace) for trace in traces], written or ()), "utf-8")
        except OSError as error:
            raise click.ClickException(f"{page} cannot be written: {error.strerror}") from None
        click.echo(f"Wrote {page}")
    elif as_json:
        from otel_dify.cli.machine import told

        shown = traces if named else listed(traces, everything=everything)
        documents = [told(analyse(trace), written) for trace in shown]
        click.echo(json.dumps(documents, ensure_ascii=False, indent=1))
    elif named:
        say(report(telemetry, traces, width(), metrics=metrics, logs=written or ()))
    else:
        say(listing(traces, width(), everything=everything))


def _logs(place: Origin, telemetry: Telemetry, traces: Sequence[Trace]) -> list[Log]:
    from otel_dify.cli.asking import BackendError

    try:
        return place.logs(telemetry, traces)
    except BackendError as error:
        raise click.ClickException(str(error)) from None
