"""The folder that the demo writes into: emptied only where an earlier demo made it."""

from __future__ import annotations

import shutil
from pathlib import Path

MARK = ".otel_dify_demo"
"""File that says that the demo made the folder, and may delete what is in it."""


class NotOursError(Exception):
    """The folder is in use by somebody else; its text says what to do."""


def emptied(folder: Path) -> None:
    """Make a folder for the demo, or empty the one that it made before.

    Args:
        folder: where to; it may not be there yet.

    Raises:
        NotOursError: it is no folder, or it has files and no mark of ours. Nothing is deleted.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise NotOursError(f"{folder} is no folder: name a new or empty one with --folder")
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).is_file():
            raise NotOursError(
                f"{folder} is not known to be the demo's, and nothing in it is deleted: name a new "
                "or empty folder with --folder, or delete this one yourself"
            )
        # The mark goes last, so that a demo that is interrupted here can still go on.
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != MARK:
                path.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()
