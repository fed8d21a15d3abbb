"""Which environment and which code of Dify a command looks at: its own, or those of a process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

type Command = Callable[..., Any]


def by_pid(command: Command) -> Command:
    """Add the option that names a process."""
    return click.option(
        "--pid",
        type=click.IntRange(min=1),
        help="Look with the environment of a running process, of this machine or container.",
    )(command)


def environment(pid: int | None) -> dict[str, str]:
    """Return the variables of this process, or those that another was started with.

    Args:
        pid: the other; none for this one.

    Raises:
        click.UsageError: there is none, or we may not read it.
    """
    if pid is None:
        return dict(os.environ)
    from otel_dify.cli.doctor.processes import environment_of

    found = environment_of(Path(f"/proc/{pid}"))
    if found is None:
        raise click.UsageError(
            f"there is no process {pid} whose environment may be read: name one that runs here, "
            "and run this as its user or as root"
        )
    return found


def code_of_dify(environ: Mapping[str, str], pid: int | None) -> Path | None:
    """Return the folder of Dify's code; none where it is not here.

    Args:
        environ: the variables.
        pid: the process that they are of; none for this one.
    """
    from otel_dify.cli.doctor.examined import DIFY, dify_in

    path = [part for part in environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    folder = [] if pid is None else [Path(f"/proc/{pid}/cwd")]
    return dify_in([Path.cwd(), *path, *folder, DIFY])
