"""Which release of Dify this process runs, as Dify itself reads it."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

_DIFY = "dify_app.py"
"""A file beside which Dify's `pyproject.toml` lies."""


def release_of_dify(folders: Iterable[str] | None = None) -> str:
    """Return Dify's version, such as ``1.14.2``.

    Nothing of Dify is imported for it: that may come before gevent's patch.

    Args:
        folders: where modules are looked for; ``sys.path`` where none are given.

    Returns:
        The version; empty where this is not Dify, or it does not say.
    """
    for folder in sys.path if folders is None else folders:
        place = Path(folder or ".")
        try:
            if (place / _DIFY).is_file():
                found = tomllib.loads((place / "pyproject.toml").read_text(encoding="utf-8"))
                return str(found.get("project", {}).get("version", ""))
        except (OSError, ValueError, AttributeError):
            # What is not readable is not known; Dify itself would not start with it.
            continue
    return ""
