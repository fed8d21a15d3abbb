"""The options of the commands that read telemetry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

type Command = Callable[..., Any]


def reading(command: Command) -> Command:
    """Add the options that say where telemetry is read from."""
    for option in (
        click.option(
            "--header",
            "headers",
            metavar="NAME:VALUE",
            multiple=True,
            help="Send a header to Jaeger and Loki, such as 'Authorization: Bearer …'.",
        ),
        click.option("--loki", metavar="URL", help="Where Loki is: for --logs beside Jaeger."),
        click.option(
            "--from",
            "source",
            metavar="SOURCE",
            help="Read from there: a file, a folder of files, a folder of journals, or the address "
            "of Jaeger. Without it: OTEL_DIFY_FILE_PATH, or else the journals of this machine.",
        ),
    ):
        command = option(command)
    return command
