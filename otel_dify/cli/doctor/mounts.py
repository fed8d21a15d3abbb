"""Mounts: which file system a folder lies on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """A file system that is mounted.

    Attributes:
        at: where.
        kind: its type: ``ext4``, ``overlay``, ``tmpfs`` and so on.
    """

    at: Path
    kind: str


def mount_of(folder: Path, proc: Path) -> Mount | None:
    """Return what a folder lies on; none where the system does not tell.

    Args:
        folder: the folder, which need not be there yet.
        proc: the kernel's files about processes; ``self/mountinfo`` is read (proc(5)).
    """
    try:
        text = (proc / "self" / "mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    path, found = folder.resolve(), None
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        at = Path(_OCTAL.sub(lambda code: chr(int(code[1], 8)), fields.split(" ")[4]))
        # Of mounts at one place the last is seen.
        if path.is_relative_to(at) and (found is None or len(at.parts) >= len(found.at.parts)):
            found = Mount(at, rest.split(" ")[0])
    return found
