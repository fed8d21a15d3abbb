"""``otel-dify backfill``: sends what Dify's database has of the past as traces."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from otel_dify.cli.database import moments, opened, window
from otel_dify.cli.options import reading

if TYPE_CHECKING:
    from otel_dify.backfilling import Live, Report

_CLOSE_S = 10.0


@click.command()
@window
@click.option("--all", "everything", is_flag=True, help="Nothing of the window has live telemetry.")
@click.option(
    "--rate",
    metavar="N",
    type=click.FloatRange(min=0, min_open=True),
    default=20.0,
    show_default=True,
    help="Runs and messages a second.",
)
@click.option(
    "--state",
    "state_path",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep in this file how far it has got, and go on from there.",
)
@click.option("--dry-run", is_flag=True, help="Count what would be sent, and send nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")
@reading
def backfill(
    *,
    dsn: str | None,
    since: str,
    until: str | None,
    app: str | None,
    everything: bool,
    rate: float,
    state_path: Path | None,
    dry_run: bool,
    as_json: bool,
    source: str | None,
    loki: str | None,
    headers: tuple[str, ...],
) -> None:
    """Send past runs, node executions and messages as traces, from Dify's own database.

    The database is only read. Spans have their true times, ids derived from Dify's, so that a
    second backfill writes the same ones, and the attribute dify.backfilled. Metrics and log
    records are not written. Where to is said by OpenTelemetry's variables, as for Dify.

    What has live telemetry is left out: say with --from where that is (Jaeger's address, files,
    journals), with --until the moment since when there is any, or with --all that there is none.
    """
    if source is None and until is None and not everything:
        raise click.UsageError(
            "say what has live telemetry and is to be left out: --from http://jaeger:16686, "
            "--until the moment that otel_dify was installed, or --all where there is none"
        )
    # They take a while to import.
    from otel_dify import backfilling as b
    from otel_dify.cli.asking import BackendError
    from otel_dify.sources.history.database import DatabaseError

    begin, end, now = moments(since, until)
    database = opened(dsn)
    sending = None if dry_run else b.Sending(b.settings_for(os.environ))
    state = b.State(
        None if dry_run else state_path,
        {"since": since, "until": until, "app": app, "dsn": dsn or os.environ.get("DB_DATABASE")},
    )
    going = b.backfill(
        database,
        sending,
        live=_live(source, loki, headers),
        rate=b.Rate(rate, time.monotonic, time.sleep),
        now_ns=now,
    )
    try:
        for report in going.window(begin, end, app, state):
            if not as_json:
                click.echo(f"\r{report.runs} runs, {report.messages} messages", nl=False, err=True)
    except (DatabaseError, BackendError, b.StuckError) as error:
        raise click.ClickException(str(error)) from None
    finally:
        database.close()
        if sending is not None:
            sending.close(time.monotonic() + _CLOSE_S)
    if as_json:
        click.echo(json.dumps(b.report_of(going.report)))
    else:
        click.echo("", err=True)
        click.echo(words(going.report, dry_run=dry_run))


def words(report: Report, *, dry_run: bool) -> str:
    """Say what was done.

    Args:
        report: what was done.
        dry_run: whether it was only counted.
    """
    done = "Would send" if dry_run else "Sent"
    return (
        f"{done} {report.runs} runs with {report.nodes} node executions, {report.messages} "
        f"messages and {report.drafts} draft nodes.\nLeft out: {report.live} with live telemetry, "
        f"{report.waiting} that have not ended."
    )


def _live(source: str | None, loki: str | None, headers: tuple[str, ...]) -> Live:
    from otel_dify.cli.finding import opened as opened_origin
    from otel_dify.cli.live import Nothing, Seen

    if source is None:
        return Nothing()
    place = opened_origin(source, loki, headers)
    return Seen(lambda since, until: place.between(since, until).spans)
