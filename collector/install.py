"""Installs otel_dify from its sources into a folder, with nothing but Python: no pip, no network.

    python collector/install.py <folder>

Dify's containers run it when they start, on the copy of this project that is mounted in them. What
comes out is what pip makes of the wheel: the package, and its metadata with the entry points.
"""

from __future__ import annotations

import compileall
import shutil
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def install(folder: Path, root: Path = ROOT) -> None:
    """Put the package into a folder, in place of what is there.

    The folder appears when it is complete. Modules are compiled, because the program that imports
    them may not be allowed to write.

    Args:
        folder: what PYTHONPATH names.
        root: where pyproject.toml and the package are.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    package = project["name"].replace("-", "_")
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(root / package, new / package, ignore=ignored)
    metadata = new / f"{package}-{project['version']}.dist-info"
    metadata.mkdir()
    about = {"Metadata-Version": "2.1", "Name": project["name"], "Version": project["version"]}
    lines = [f"{key}: {value}\n" for key, value in about.items()]
    (metadata / "METADATA").write_text("".join(lines), encoding="utf-8")
    (metadata / "entry_points.txt").write_text(_entry_points(project), encoding="utf-8")
    compileall.compile_dir(new, quiet=1)
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def _entry_points(project: Mapping[str, Any]) -> str:
    groups = {"console_scripts": project["scripts"], **project["entry-points"]}
    return "\n".join(
        "".join([f"[{group}]\n", *(f"{name} = {place}\n" for name, place in entries.items())])
        for group, entries in groups.items()
    )


if __name__ == "__main__":
    install(Path(sys.argv[1]))
