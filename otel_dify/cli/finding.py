"""Finding what was asked for, and saying so: how the commands that read telemetry begin and end."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import click

from otel_dify.cli.asking import BackendError
from otel_dify.cli.ids import AmbiguousIdError, UnknownIdError, is_id
from otel_dify.cli.origins import origin
from otel_dify.cli.tables import trace_table
from otel_dify.cli.text import plain
from otel_dify.cli.traces import group

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from otel_dify.cli.origins import Origin
    from otel_dify.cli.records import Telemetry
    from otel_dify.cli.traces import Trace

_LISTED = 20


def width() -> int:
    """Return the cells of a line of this terminal."""
    return shutil.get_terminal_size((120, 24)).columns


def arguments(given: Sequence[str], source: str | None, most: int) -> tuple[list[str], str | None]:
    """Divide arguments into ids and a source: what looks like no id is a file or an address.

    Args:
        given: the arguments.
        source: what --from says.
        most: how many ids there may be.

    Raises:
        click.UsageError: there are more than that, or two sources.
    """
    names = [text for text in given if is_id(text)]
    sources = [text for text in given if not is_id(text)] + ([source] if source else [])
    if len(sources) > 1 or len(names) > most:
        raise click.UsageError(
            f"too much is given: {' '.join([*names, *sources])}. An id is written in the digits "
            "0-9 and a-f, or is 'latest'; all else is a file, a folder (./cafe) or an address"
        )
    return names, sources[0] if sources else None


def opened(source: str | None, loki: str | None, headers: Iterable[str]) -> Origin:
    """Open where telemetry is read from.

    Raises:
        click.ClickException: there is nothing.
    """
    pairs = (header.partition(":") for header in headers)
    return origin(source, loki, {name.strip(): value.strip() for name, _, value in pairs})


def found(
    origin: Origin, text: str, what: str, of: Sequence[str] = ()
) -> tuple[Telemetry, list[Trace]]:
    """Find the traces that a text names.

    Args:
        origin: where they are.
        text: what names them.
        what: how it is called in messages.
        of: what it may be an id of; nothing for all.

    Raises:
        click.ClickException: nothing is named so, or several are.
    """
    try:
        telemetry, traces = origin.find(text, of)
    except BackendError as error:
        raise click.ClickException(str(error)) from None
    except AmbiguousIdError as error:
        raise click.ClickException("\n".join(_could_be(what, error))) from None
    except UnknownIdError:
        traces = group(latest(origin).spans)
        raise click.ClickException(
            f"{what} is not among the {len(traces)} traces here. Without an id the "
            "latest are listed"
        ) from None
    say_problems(telemetry)
    return telemetry, traces


def _could_be(what: str, error: AmbiguousIdError) -> list[str]:
    shown = list(error.matches.items())[:_LISTED]
    traces = {trace.id: trace for _, found in shown for trace in found}
    lines = [f"{what} could be any of these; write more of it:", ""]
    lines += [f"{kind:7}  {plain(known)}" for (kind, known), _ in shown]
    if more := len(error.matches) - len(shown):
        lines.append(f"and {more} more")
    return [*lines, "", *trace_table(list(traces.values()), width())]


def latest(origin: Origin) -> Telemetry:
    """Read what there is, or the newest of it.

    Raises:
        click.ClickException: a backend does not answer, or there are no spans.
    """
    try:
        telemetry = origin.latest()
    except BackendError as error:
        raise click.ClickException(str(error)) from None
    if not telemetry.spans:
        say_problems(telemetry)
        raise click.ClickException(f"there are no spans in {origin.name}: {origin.hint}")
    return telemetry


def say_problems(telemetry: Telemetry) -> None:
    """Say what could not be read."""
    for problem in telemetry.problems:
        click.secho(problem, fg="yellow", err=True, color=coloured(os.environ, sys.stderr))


def say(lines: Iterable[str]) -> None:
    """Print lines, in colour where that is wanted."""
    click.echo("\n".join(lines), color=coloured(os.environ, sys.stdout))


def coloured(environ: Mapping[str, str], stream: object) -> bool:
    """Decide on colour: NO_COLOR, then FORCE_COLOR (both: any text but none), then a terminal."""
    if environ.get("NO_COLOR"):
        return False
    isatty = getattr(stream, "isatty", None)
    return bool(environ.get("FORCE_COLOR")) or bool(isatty and isatty())
