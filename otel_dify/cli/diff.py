"""``otel-dify diff``: two runs, or two windows of an app, beside each other."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from otel_dify.cli.options import reading

if TYPE_CHECKING:
    from otel_dify.cli.origins import Origin
    from otel_dify.cli.windows import Window


@click.command()
@click.argument("what", metavar="[A B] [SOURCE]", nargs=-1)
@click.option(
    "--before", "moment", metavar="T", help="Compare the runs before a moment with those after it."
)
@click.option("--app", metavar="APP", help="Whose runs: name of the app, or how its id begins.")
@click.option(
    "--window",
    "length",
    metavar="TIME",
    default="24h",
    show_default=True,
    help="How long each window is.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")
@reading
def diff(
    *,
    what: tuple[str, ...],
    moment: str | None,
    app: str | None,
    length: str,
    as_json: bool,
    source: str | None,
    loki: str | None,
    headers: tuple[str, ...],
) -> None:
    """Compare two runs step by step, or the runs of an app before and after a moment.

    A and B are how the ids of two runs, messages or traces begin, or "latest", "latest~1" and so
    on. Nodes are matched by their id, then by name and order; what ran several times, in an
    iteration or a loop, is one step.

    With --before and --app two windows of an app are compared. T is 2026-11-24T08:00 (UTC), or 2h
    for two hours ago: the moment of an upgrade, say. SOURCE is the same as --from.
    """
    # They take a while to import, and `otel-dify --help` needs none of them.
    from otel_dify.cli import comparison, windows
    from otel_dify.cli.finding import arguments, found, opened, say, width

    names, source = arguments(what, source, most=2)
    if bool(moment) != bool(app) or bool(moment) == bool(names):
        raise click.UsageError("give two runs (A B), or a moment and an app (--before T --app APP)")
    place = opened(source, loki, headers)
    if moment and app:
        told = _windows(place, app, moment, length)
        document, lines = windows.document(*told), windows.lines(*told, width())
    else:
        if len(names) != 2:  # noqa: PLR2004 - A and B
            raise click.UsageError(f"give two runs: {names[0]} alone is compared with nothing")
        runs = [found(place, name, name)[1] for name in names]
        compared = comparison.compare(*runs)
        document, lines = comparison.document(compared), comparison.lines(compared, width())
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False, indent=1))
    else:
        say(lines)


def _windows(place: Origin, app: str, moment: str, length: str) -> tuple[str, Window, Window]:
    from otel_dify.cli.asking import BackendError
    from otel_dify.cli.finding import say_problems
    from otel_dify.cli.moments import length_ns, moment_ns
    from otel_dify.cli.traces import group
    from otel_dify.cli.windows import of_app, window_of

    try:
        at_ns, length_of = moment_ns(moment, time.time_ns()), length_ns(length)
        telemetry = place.of_app(app, at_ns - length_of, at_ns + length_of)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except BackendError as error:
        raise click.ClickException(str(error)) from None
    say_problems(telemetry)
    traces = [trace for trace in group(telemetry.spans) if of_app(trace, app)]
    before = window_of(traces, at_ns - length_of, at_ns)
    after = window_of(traces, at_ns, at_ns + length_of)
    if not before.runs and not after.runs:
        raise click.ClickException(
            f"there are no runs of {app} within {length} of that moment in {place.name}"
        )
    return app, before, after
