"""Segments: the mapped files that a journal is written to.

A mapped file takes a record by a copy, where ``write`` takes a system call that gives up the
interpreter's lock. What was copied is in the page cache, which outlives the process. A segment that
has been sent is used again: its pages are there already, and touching a new one costs more than the
record that is put into it.

The space of a file is allocated before it is mapped. A disk that is full is then an error of the
allocation; touching a mapped page that has no place on the disk would end the process (SIGBUS).
"""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path
from struct import Struct

from otel_dify.export.journal.frames import HEADER, Sort, header

SIZE = 1 << 20
"""Bytes of a segment: a few seconds of one process under load."""
START = 64
"""Where the first frame of a segment is."""
_MAGIC = b"otdify1\n"
# The magic, the place among the segments of the journal, up to where records have been sent, when
# the first was written in nanoseconds since the epoch.
_HEAD = Struct("<8sQQQ")
_ACKNOWLEDGED = Struct("<Q")
_ACKNOWLEDGED_AT = 16


class Segment:
    """A segment: a mapped file, or mapped memory where there can be no file.

    Attributes:
        view: its bytes.
        path: its file; none in memory.
        sequence: its place among the segments of its journal.
        written: where the next frame goes; in one that a dead process has left, its end.
        acknowledged: up to where records have been sent.
        begun_ns: when it was begun, nanoseconds since the epoch.
        begun_s: the same by ``time.monotonic``, for who has made it.
        sealed_s: since when it takes no more frames, likewise.
        waiting: records in it that have not been sent; not known of one that was left.
    """

    def __init__(self, view: mmap.mmap, path: Path | None) -> None:
        self.view = view
        self.path = path
        self.sequence = self.begun_ns = self.waiting = 0
        self.written = self.acknowledged = START
        self.begun_s = 0.0
        self.sealed_s: float | None = None
        self._room = len(view)
        self._scopes: set[int] = set()

    @classmethod
    def make(cls, path: Path | None, sequence: int, size: int = SIZE) -> Segment:
        """Make a segment.

        Args:
            path: its file, which must not exist; none for memory.
            sequence: its place among the segments of its journal.
            size: its bytes.

        Raises:
            OSError: the file cannot be made, or the disk is full.
        """
        made = cls(mmap.mmap(-1, size) if path is None else _mapped(path, size), path)
        made._begin(sequence)
        return made

    @classmethod
    def left(cls, path: Path) -> Segment:
        """Open a segment that a dead process has left; of a damaged header nothing is believed.

        Raises:
            OSError: it cannot be read.
            ValueError: its process was killed before it had a header.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            size = status.st_size
            if size < START:
                raise ValueError(f"{path} is no segment of a journal: it is too short")
            found = cls(mmap.mmap(descriptor, size), path)
        finally:
            os.close(descriptor)
        found.written = size
        magic, sequence, acknowledged, begun_ns = _HEAD.unpack_from(found.view, 0)
        if magic == _MAGIC and START <= acknowledged <= size:
            found.sequence, found.acknowledged = sequence, acknowledged
            found.begun_ns = begun_ns or status.st_mtime_ns
        else:
            found.begun_ns = status.st_mtime_ns
        return found

    def _begin(self, sequence: int) -> None:
        self.sequence, self.begun_ns, self.begun_s = sequence, time.time_ns(), time.monotonic()
        _HEAD.pack_into(self.view, 0, _MAGIC, sequence, START, self.begun_ns)
        self.written = self.acknowledged = START
        self.waiting = 0
        self.sealed_s = None
        self._room = len(self.view)
        self._scopes.clear()

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return len(self.view)

    def knows(self, scope: int) -> bool:
        """Tell whether it has a frame that describes a scope."""
        return scope in self._scopes

    def append(self, sort: Sort, scope: int, payload: bytes) -> bool:
        """Append a frame; false where it does not fit."""
        at = self.written
        begins = at + HEADER
        end = begins + len(payload)
        if end > self._room:
            return False
        # First the payload: a process that is killed in between leaves nothing behind the last one.
        self.view[begins:end] = payload
        self.view[at:begins] = header(sort, scope, payload)
        self.written = end
        if sort is Sort.RECORD:
            self.waiting += 1
        elif sort is Sort.SCOPE:
            self._scopes.add(scope)
        return True

    def acknowledge(self, until: int, number: int) -> None:
        """Note up to where records have been sent, so that who adopts the file goes on there."""
        _ACKNOWLEDGED.pack_into(self.view, _ACKNOWLEDGED_AT, until)
        self.acknowledged = until
        self.waiting -= number

    def seal(self) -> None:
        """Take no more frames."""
        self._room = self.written
        if self.sealed_s is None:
            self.sealed_s = time.monotonic()

    def begin_again(self, sequence: int) -> None:
        """Empty it for other records."""
        # First the frames: a process that is killed in between leaves nothing to be sent twice.
        self.view[START : self.written] = bytes(self.written - START)
        self._begin(sequence)

    def close(self) -> None:
        """Let go of it; its file stays."""
        self.view.close()

    def delete(self) -> None:
        """Let go of it and of its file."""
        self.view.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _mapped(path: Path, size: int) -> mmap.mmap:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
        return mmap.mmap(descriptor, size)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
