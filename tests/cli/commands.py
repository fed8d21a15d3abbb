"""The commands that the page on viewing shows, and a shell to run them in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_PAGE = Path(__file__).parents[2] / "docs" / "view.md"


def commands(part: str) -> list[str]:
    """Return the commands between two marks of the page, one a line."""
    text = _PAGE.read_text(encoding="utf-8")
    _, _, rest = text.partition(f"<!-- {part}: tested as written -->")
    section, end, _ = rest.partition(f"<!-- {part}: end -->")
    assert end, part
    blocks = re.findall(r"```\n(.*?)```", section, re.DOTALL)
    found = [line for block in blocks for line in block.splitlines()]
    assert found, part
    return found


def shell(
    command: str, folder: Path, environ: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, in a shell that has the package's scripts and this tree."""
    root = str(Path(__file__).parents[2])
    paths = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={"PATH": paths, "PYTHONPATH": root, "HOME": str(folder), "COLUMNS": "100", **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
