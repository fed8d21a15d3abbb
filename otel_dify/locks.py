"""Locks of files: they go with the process that holds them, however it dies.

A lock (``flock``) belongs to a descriptor, and a forked child has copies of its parent's: a lock
would stay as long as the child lives. So a child closes what it has inherited.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from otel_dify.process import process


class _Held:
    """The locks that this process holds."""

    def __init__(self) -> None:
        self.locks: set[Lock] = set()

    def forked(self) -> None:
        """Close the copies of the parent's."""
        for lock in list(self.locks):
            lock.release()


class Lock:
    """A lock that this process holds.

    Args:
        descriptor: the file that is locked.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        process.kept(_Held).locks.add(self)

    def release(self) -> None:
        """Let go of it; again it does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        process.kept(_Held).locks.discard(self)
        if descriptor is not None:
            os.close(descriptor)


def lock(path: Path, *, create: bool = False) -> Lock | None:
    """Lock a file; none where another process has it.

    Args:
        path: the file.
        create: whether to make it where it is not there.

    Raises:
        OSError: it cannot be opened.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    descriptor = os.open(path, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return Lock(descriptor)
