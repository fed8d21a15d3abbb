"""Places: the folder of one journal, locked as long as the process lives that writes to it.

The lock (``flock``) goes with the process, however it dies. So whoever can take the lock of a
folder may adopt what is in it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from otel_dify.locks import Lock, lock

SEGMENT = ".segment"
"""What the names of segments end in."""
_LOCK, _RESOURCE = "lock", "resource"
_BEING_MADE = "."
_MAKING_S = 3600
"""Seconds after which a folder that nobody has finished making is left over from a dead process."""


class Place:
    """A folder that no other process writes to or adopts.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path, held: Lock) -> None:
        self.path = path
        self._lock = held

    @classmethod
    def make(cls, root: Path, owner: str, resource: bytes) -> Place:
        """Make a folder for this process.

        Args:
            root: where it lies, with those of other processes.
            owner: what its name begins with: which process it is.
            resource: says in the words of a request whose records they are.

        Raises:
            OSError: it cannot be made.
        """
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{owner}-{os.getpid()}-{secrets.token_hex(4)}"
        # Others look only at folders of their final name, and those are locked.
        making = root / f"{_BEING_MADE}{name}"
        making.mkdir(mode=0o700)
        held = None
        try:
            held = lock(making / _LOCK, create=True)
            _write(making / _RESOURCE, resource)
            made = root / name
            making.rename(made)
        except OSError:
            if held is not None:
                held.release()
            shutil.rmtree(making, ignore_errors=True)
            raise
        if held is None:
            raise OSError(0, "another process has taken the folder")
        return cls(made, held)

    def resource(self) -> bytes:
        """Return what its process said of whose records they are.

        Raises:
            OSError: it cannot be read.
        """
        return resource_of(self.path)

    def segments(self, signal: str) -> list[Path]:
        """List the segments of a signal that are in it."""
        return sorted(self.path.glob(f"{signal}-*{SEGMENT}"))

    def has_segments(self) -> bool:
        """Tell whether there is a segment of any signal in it."""
        return any(self.path.glob(f"*{SEGMENT}"))

    def leave(self) -> None:
        """Give up the lock: whoever comes next may adopt what is in the folder."""
        self._lock.release()

    def delete(self) -> None:
        """Delete the folder, with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.leave()


class Home:
    """Where the journals of this process are: a place of its own, made when it is first needed.

    Args:
        root: where the folders of all processes lie; none where there is none.
        owner: names this process in the name of its folder.
        resource: says in the words of a request whose records they are.
    """

    def __init__(self, root: Path | None, owner: str, resource: bytes) -> None:
        self._root = root
        self._owner = owner
        self._resource = resource
        self._place: Place | None = None

    @classmethod
    def at(cls, place: Place) -> Home:
        """Return the home of a process that is dead, whose place was adopted.

        Raises:
            OSError: it cannot be read.
        """
        home = cls(place.path.parent, "", place.resource())
        home._place = place
        return home

    @property
    def resource(self) -> bytes:
        """Whose records they are, in the words of a request."""
        return self._resource

    def path(self) -> Path | None:
        """Return the folder, made anew where somebody has removed it; none for memory.

        Raises:
            OSError: it cannot be made.
        """
        if self._root is None:
            return None
        if self._place is None or not self._place.path.is_dir():
            self.leave()
            self._place = Place.make(self._root, self._owner, self._resource)
        return self._place.path

    @property
    def made(self) -> Path | None:
        """The folder, where there is one; somebody may have removed it."""
        return None if self._place is None else self._place.path

    def has(self, file: Path | None) -> bool:
        """Tell whether a file of this process's is where it was made."""
        return file is None or file.parent.is_dir()

    def __str__(self) -> str:
        return str(self._root)

    def delete(self) -> None:
        """Delete the folder: nothing in it waits."""
        if self._place is not None:
            self._place.delete()
            self._place = None

    def leave(self) -> None:
        """Give up the folder to whoever comes next."""
        if self._place is not None:
            self._place.leave()
            self._place = None


def free_name(folder: Path, signal: str) -> Path:
    """Return a name for a segment of a signal that none in a folder has."""
    return folder / f"{signal}-{secrets.token_hex(8)}{SEGMENT}"


def adopt(root: Path) -> Iterator[Place]:
    """Take the folders of dead processes, one after the other."""
    try:
        found = sorted(root.iterdir())
    except OSError:
        return
    for path in found:
        place = _taken(path)
        if place is None:
            continue
        if path.name.startswith(_BEING_MADE):
            place.delete()
        else:
            yield place


def resource_of(path: Path) -> bytes:
    """Return what the process of a folder said of whose records they are, in a request's words.

    Raises:
        OSError: it cannot be read.
    """
    return (path / _RESOURCE).read_bytes()


def lives(path: Path) -> bool:
    """Tell whether the process lives that a folder belongs to, or that has taken it over."""
    try:
        held = lock(path / _LOCK)
    except OSError:  # removed meanwhile
        return False
    if held is not None:
        held.release()
    return held is None


def _taken(path: Path) -> Place | None:
    try:
        being_made = path.name.startswith(_BEING_MADE)
        if being_made and path.stat().st_mtime > time.time() - _MAKING_S:
            return None
        held = lock(path / _LOCK)
    except OSError:  # no folder of ours, or another process was faster
        return None
    if held is None:  # its process lives
        return None
    if not path.exists():  # another process has sent what was in it, and deleted it
        held.release()
        return None
    return Place(path, held)


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
