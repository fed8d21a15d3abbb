"""Running ``otel-dify view`` on the files in ``data``, which were written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from click.testing import CliRunner, Result

from otel_dify.cli.main import main

DATA = Path(__file__).parent / "data"


def view(
    *arguments: object,
    width: int = 120,
    colour: bool = False,
    environ: Mapping[str, str] | None = None,
) -> Result:
    """Run it on a terminal ``width`` cells wide, without the caller's colour settings.

    Args:
        arguments: of the command line, as text.
        width: what ``COLUMNS`` says.
        colour: whether codes are left in what is captured.
        environ: further environment variables.
    """
    settings: dict[str, str | None] = {"NO_COLOR": None, "FORCE_COLOR": None, **(environ or {})}
    settings["COLUMNS"] = str(width)
    return CliRunner().invoke(main, ["view", *map(str, arguments)], env=settings, color=colour)


def expected(name: str) -> str:
    """Read what a rendering must be, to the character."""
    return (DATA / "expected" / f"{name}.txt").read_text(encoding="utf-8")
