"""The commands of ``docs/view.md`` run as they are written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.commands import commands, shell
from tests.cli.conftest import Ran

TEXT = (Path(__file__).parents[2] / "docs" / "view.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "command", [c for part in ("view", "diff", "windows") for c in commands(part)]
)
def test_a_command_of_the_page_works_as_written(ran: Ran, command: str) -> None:
    shown = shell(command, ran.home, {"OTEL_DIFY_STATE_PATH": str(ran.dead)})
    assert shown.returncode == 0, shown.stderr
    assert shown.stderr == ""
    assert len(shown.stdout) > 10


def test_the_page_has_its_picture() -> None:
    [picture] = re.findall(r"!\[.*\]\((.*)\)", TEXT)
    assert (Path(__file__).parents[2] / "docs" / picture).stat().st_size > 1000
