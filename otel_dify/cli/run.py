"""``otel-dify run``: starts a process of Dify with telemetry, as the compose overlay does.

The overlay starts Dify by ``opentelemetry-instrument`` with our distro named. That command puts a
folder with a ``sitecustomize`` on ``PYTHONPATH`` and becomes the program; so does this one, which
can therefore say beforehand what it will set.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

_INJECTED = "opentelemetry.instrumentation.auto_instrumentation"
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
"""Exit codes that a shell has for a command that is not there, and for one that cannot be run."""

CHOSEN = {"OTEL_PYTHON_DISTRO": "otel_dify", "OTEL_PYTHON_CONFIGURATOR": "otel_dify"}
"""What names us to OpenTelemetry's loader: Dify ships the stock distro, too."""


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--print", "only_print", is_flag=True, help="Show what it would set; start nothing.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(*, only_print: bool, command: tuple[str, ...]) -> None:
    """Start a process of Dify with telemetry, as the compose overlay does.

    \b
    otel-dify run -- gunicorn --worker-class gevent app:socketio_app
    otel-dify run -- celery -A celery_entrypoint.celery worker -P gevent

    COMMAND takes the place of this program: signals and the exit code are its own, and so is its
    environment but for the variables that --print shows. Every Python that it starts has telemetry.
    """  # noqa: D301 - click's mark of lines that are to stay as they are
    prepared = environment(os.environ, Path.cwd(), injected())
    if only_print:
        click.echo("\n".join(lines(os.environ, prepared, command)))
        return
    program = shutil.which(command[0], path=prepared.get("PATH"))
    if program is None:
        click.echo(f"Error: {command[0]}: no such command on PATH", err=True)
        raise SystemExit(_NOT_FOUND)
    # Python ignores these, and what it becomes would inherit that.
    for inherited in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(inherited, signal.SIG_DFL)
    try:
        os.execve(program, command, prepared)  # noqa: S606 - it is what the command is for
    except OSError as error:
        click.echo(f"Error: {program}: {error.strerror}", err=True)
        raise SystemExit(_NOT_EXECUTABLE) from None


def injected() -> Path:
    """Return the folder whose ``sitecustomize`` loads OpenTelemetry into a program.

    Raises:
        click.ClickException: OpenTelemetry, or the metadata by which it finds us, is not installed.
    """
    # They take a while to import.
    from importlib.metadata import entry_points
    from importlib.util import find_spec

    try:
        spec = find_spec(_INJECTED)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise click.ClickException(
            "the package opentelemetry-instrumentation is not installed here. Dify has it: run "
            "this with the Python that Dify runs on"
        )
    if not entry_points(group="opentelemetry_distro", name="otel_dify"):
        raise click.ClickException(
            "otel_dify is on the path, but its metadata is not, and OpenTelemetry finds it by that:"
            " install the wheel, or `python collector/install.py FOLDER` and PYTHONPATH=FOLDER"
        )
    return Path(spec.origin).parent


def environment(environ: Mapping[str, str], folder: Path, sitecustomize: Path) -> dict[str, str]:
    """Return the environment of the program.

    Args:
        environ: the one that it is started from.
        folder: the working folder; ``opentelemetry-instrument`` puts it on the path, too.
        sitecustomize: the folder whose ``sitecustomize`` loads OpenTelemetry.
    """
    path = [part for part in environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    if str(folder) not in path:
        path.insert(0, str(folder))
    path = [str(sitecustomize), *(part for part in path if part != str(sitecustomize))]
    return {**environ, **CHOSEN, "PYTHONPATH": os.pathsep.join(path)}


def lines(
    environ: Mapping[str, str], prepared: Mapping[str, str], command: Sequence[str]
) -> list[str]:
    """Say what would be done, in the words of a shell and without a secret.

    Args:
        environ: the environment that there is.
        prepared: the one that the program would have.
        command: the program and its arguments.
    """
    # It loads what masks secrets.
    from otel_dify.cli.shown import shown, shown_command

    def exports(names: Sequence[str]) -> list[str]:
        return [f"export {name}={shlex.quote(shown(name, prepared[name]))}" for name in names]

    changed = sorted(name for name in prepared if prepared[name] != environ.get(name))
    kept = sorted(name for name in prepared if name.startswith("OTEL_") and name not in changed)
    told = ["# otel-dify run sets", *(exports(changed) or ["# nothing: all of it is set already"])]
    told += ["# The environment has these for OpenTelemetry, and keeps them", *exports(kept)]
    if not kept:
        told.append("# none: the defaults of the README's reference apply")
    return [*told, f"exec {shlex.join(shown_command(command))}"]
