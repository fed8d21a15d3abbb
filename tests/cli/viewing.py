"""Running ``otel-dify view`` on the files in ``data``, which were written by hand."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from otel_dify.cli.main import main

DATA = Path(__file__).parent / "data"
_DECIDE_ON_COLOUR = ("NO_COLOR", "FORCE_COLOR")


@dataclass(frozen=True)
class Shown:
    """What a command printed, and its exit code."""

    stdout: str
    stderr: str
    exit_code: int


def view(*arguments: object, width: int = 120, environ: Mapping[str, str] | None = None) -> Shown:
    """Run ``otel-dify view``, as ``run`` does."""
    return run("view", *arguments, width=width, environ=environ)


def run(*arguments: object, width: int = 120, environ: Mapping[str, str] | None = None) -> Shown:
    """Run ``otel-dify`` where nothing is a terminal.

    click's own runner is not used: what it makes of colour and standard error depends on click's
    version, and Dify's is an old one.

    Args:
        arguments: of the command line, as text.
        width: what ``COLUMNS`` says.
        environ: further environment variables; the caller's colour settings do not count.
    """
    kept = {k: v for k, v in os.environ.items() if k not in _DECIDE_ON_COLOUR}
    settings = {**kept, "COLUMNS": str(width), **(environ or {})}
    code = 0
    with (
        patch.dict(os.environ, settings, clear=True),
        redirect_stdout(StringIO()) as stdout,
        redirect_stderr(StringIO()) as stderr,
    ):
        try:
            main(list(map(str, arguments)), prog_name="otel-dify")
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
    return Shown(stdout.getvalue(), stderr.getvalue(), code)


def expected(name: str) -> str:
    """Read what a rendering must be, to the character."""
    return (DATA / "expected" / f"{name}.txt").read_text(encoding="utf-8")
