"""``otel-dify drain``: sends what Dify's processes have left in their journals."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from otel_dify.settings import JOURNAL_DIR, Settings

if TYPE_CHECKING:
    from otel_dify.draining import Report


@click.command()
@click.option(
    "--journal",
    "folder",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the journals; without it the one that OTEL_DIFY_JOURNAL_DIR says.",
)
@click.option(
    "--timeout",
    "patience_s",
    metavar="S",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Give up after so many seconds in which the Collector takes nothing.",
)
def drain(*, folder: Path | None, patience_s: float) -> None:
    """Send what Dify's processes have left, and end what killed ones had begun.

    For when no process of Dify does it: after an uninstall, or before a machine is taken down.
    Where to is said by OpenTelemetry's variables, as for Dify (OTEL_EXPORTER_OTLP_ENDPOINT …);
    OTEL_DIFY_STATE_PATH is where the last values of metrics are. Journals of processes that live
    are left to them.

    Ends with 0 if nothing is left, with 1 if something is, and can be run again.
    """
    source = folder or Settings().journal()
    if source is None:
        raise click.UsageError(
            f"{JOURNAL_DIR.name}=none: there are no journals, all was kept in memory. Name the "
            "folder with --journal if there are some from another time"
        )
    # It takes a while to import.
    from otel_dify.draining import Draining

    draining = Draining(dict(os.environ), source, patience_s)
    for problem in draining.problems:
        click.secho(problem, fg="yellow", err=True)
    report = draining.run()
    click.echo("\n".join(lines(report, source)))
    if not report.empty:
        raise SystemExit(1)


def lines(report: Report, source: Path) -> list[str]:
    """Say what was done in plain words.

    Args:
        report: what was done.
        source: the folder of the journals.
    """
    told = [f"Drained {source}"]
    for signal, drained in report.signals.items():
        what = "last values of processes " if signal == "metrics" else ""
        line = (
            f"{signal}: {what}{drained.sent} sent, {drained.refused} refused, {drained.left} left"
        )
        told.append(line + (f", {drained.damaged} damaged" if drained.damaged else ""))
    if report.ended:
        told.append(
            f"{_operations(report.ended)} that killed processes had begun ended as errors, and "
            "sent and counted with the rest"
        )
    if report.in_use:
        told.append(
            f"{report.in_use} of the journals belong to processes that run: what is left in them "
            "is sent by those; run this again when they have ended"
        )
    elif not report.empty:
        told.append("What is left stays where it is: run this again")
    return told


def _operations(number: int) -> str:
    return "1 operation" if number == 1 else f"{number} operations"
