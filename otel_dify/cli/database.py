"""The options of the commands that read Dify's database."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_dify.sources.history.database import Database

type Command = Callable[..., Any]


def window(command: Command) -> Command:
    """Add the options that say which rows of which database are read."""
    for option in (
        click.option("--app", metavar="ID", help="The rows of one app, by its id."),
        click.option(
            "--until", metavar="T", help="Rows created before that; now where none is given."
        ),
        click.option(
            "--since",
            metavar="T",
            default="7d",
            show_default=True,
            help="Rows created from then on: 2026-11-24T08:00 (UTC), or 2h for two hours ago.",
        ),
        click.option(
            "--dsn",
            metavar="DSN",
            help="Dify's database, as libpq writes it (postgresql://…). Without it: DB_HOST, "
            "DB_PORT, DB_USERNAME, DB_PASSWORD and DB_DATABASE, as Dify has them.",
        ),
    ):
        command = option(command)
    return command


def opened(dsn: str | None) -> Database:
    """Connect to Dify's database.

    Raises:
        click.ClickException: it cannot be read.
    """
    from otel_dify.sources.history.database import DatabaseError, connect

    try:
        return connect(dsn, os.environ)
    except DatabaseError as error:
        raise click.ClickException(str(error)) from None


def moments(since: str, until: str | None) -> tuple[int, int, int]:
    """Read a window.

    Returns:
        its beginning, its end, and now, nanoseconds since the epoch.

    Raises:
        click.UsageError: one is no moment, or they are not in order.
    """
    from otel_dify.cli.moments import moment_ns

    now = time.time_ns()
    try:
        begin, end = moment_ns(since, now), moment_ns(until, now) if until else now
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if begin >= end:
        raise click.UsageError("--since is not before --until")
    return begin, end, now
