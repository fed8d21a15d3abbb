"""``otel-dify logs``: errors, requests and what was slow, from log files of any size."""

from __future__ import annotations

import shutil
from pathlib import Path

import click


@click.command()
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE...",
)
@click.option(
    "--slow",
    "slow_s",
    metavar="S",
    type=click.FloatRange(min=0),
    default=2.0,
    show_default=True,
    help="A request is slow from so many seconds on.",
)
@click.option(
    "--top",
    "most",
    metavar="N",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Rows of each table, and slow requests that are named.",
)
@click.option("--json", "as_json", is_flag=True, help="Write all of it as JSON.")
def logs(*, files: tuple[Path, ...], slow_s: float, most: int, as_json: bool) -> None:
    """Count errors by type and fingerprint, requests by route, and name the slow ones.

    FILE is what the Collector wrote with log-files.yaml (app-<day>.json has everything), OTLP JSON
    lines, or the log of a process of Dify, as text or as JSON; compressed by gzip if its name ends
    in .gz, and standard input for -. It is read once, a line at a time, so that it may be larger
    than memory.
    """
    # They take a while to import.
    from otel_dify.cli.logs.analysis import Analysis
    from otel_dify.cli.logs.reading import Reading
    from otel_dify.cli.logs.report import as_json as written
    from otel_dify.cli.logs.report import lines

    analysis, readings = Analysis(slow_s, most), [Reading(path) for path in files]
    for reading in readings:
        try:
            for entry in reading.entries():
                analysis.add(entry)
        except (OSError, EOFError) as error:
            raise click.ClickException(
                f"{reading.path} cannot be read to its end ({error}). A file that ends in .gz must "
                "be one of gzip"
            ) from None
    for reading in readings:
        if reading.unreadable:
            click.secho(
                f"{reading.path}: {reading.unreadable} line(s) are of no format that is known and "
                f"are left out, the first is line {reading.first}",
                fg="yellow",
                err=True,
            )
    if as_json:
        click.echo(written(analysis, {str(each.path): each.unreadable for each in readings}))
        return
    width = shutil.get_terminal_size((120, 24)).columns
    click.echo("\n".join(lines(analysis, most, slow_s, width)))
