"""Backlog: segments that dead processes have left, and that this one sends in their place."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from pathlib import Path

from otel_dify.export.delivery import lose
from otel_dify.export.journal.batch import Batch, Reader
from otel_dify.export.journal.frames import Sort, frames
from otel_dify.export.journal.journal import TAKEN
from otel_dify.export.journal.place import SEGMENT
from otel_dify.export.journal.segment import START, Segment
from otel_dify.settings import SIGNALS


class Piece:
    """A segment in a backlog; it is not mapped before its turn comes.

    What nothing was written to is cut off: a segment of a process that lived for a moment is large
    and has little in it.

    Attributes:
        path: its file.
        begun_ns: when it was begun, nanoseconds since the epoch.
        sequence: its place among the segments of its process.
        bytes: how large it is.

    Args:
        path: its file.

    Raises:
        OSError: it cannot be read.
        ValueError: its process was killed before it had a header.
    """

    def __init__(self, path: Path) -> None:
        segment = Segment.left(path)
        self.path = path
        self.begun_ns, self.sequence = segment.begun_ns, segment.sequence
        self.bytes = segment.size
        if segment.view[-1:] == b"\0":
            ends = (end for *_, end in frames(segment.view, START, segment.written))
            self.bytes = max(ends, default=START)
            os.truncate(path, self.bytes)
        segment.close()

    def waiting(self) -> int:
        """Count the records in it that have not been sent."""
        return waiting(self.path)


def waiting(path: Path) -> int:
    """Count the records in a segment that have not been sent; it may be another process's."""
    try:
        segment = Segment.left(path)
    except (OSError, ValueError):  # somebody has removed it, or cut it off
        return 0
    found = frames(segment.view, START, segment.written)
    records = [end for sort, *_, end in found if sort == Sort.RECORD]
    segment.close()
    return sum(end > segment.acknowledged for end in records)


def waiting_in(place: Path) -> Counter[str]:
    """Count the records in the folder of one process that have not been sent, by signal."""
    found: Counter[str] = Counter()
    for path in place.glob(f"*{SEGMENT}"):
        signal = path.name.partition("-")[0]
        if count := waiting(path) if signal in SIGNALS else 0:
            found[signal] += count
    return found


class Backlog:
    """What waits of one signal of dead processes.

    Attributes:
        signal: ``traces`` or ``logs``.

    Args:
        size: records of a batch.
    """

    def __init__(self, signal: str, size: int) -> None:
        self.signal = signal
        self._size = size
        self._pieces: deque[Piece] = deque()
        self._reader: Reader | None = None

    def add(self, piece: Piece) -> None:
        """Put a segment behind the others."""
        self._pieces.append(piece)

    @property
    def bytes(self) -> int:
        """Bytes of its segments."""
        return sum(piece.bytes for piece in list(self._pieces))

    def __len__(self) -> int:
        return len(self._pieces)

    def take(self) -> Batch | None:
        """Read the oldest records that wait; none where all have been sent."""
        while self._pieces:
            reader = self._reader
            if reader is None:
                try:
                    segment = Segment.left(self._pieces[0].path)
                except (OSError, ValueError):  # somebody has removed it, or cut it off
                    lose(self.signal, 1, "damaged")
                    self._done()
                    continue
                reader = self._reader = Reader(segment, self._size)
            batch = reader.next()
            if batch is not None:
                return batch
            if reader.damaged:
                lose(self.signal, reader.damaged, "damaged")
            self._done()
        return None

    def _done(self) -> None:
        """Let go of the oldest segment."""
        piece = self._pieces.popleft()
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.segment.close()
        piece.path.unlink(missing_ok=True)

    def acknowledge(self, batch: Batch) -> None:
        """Let go of a batch that was taken."""
        batch.segment.acknowledge(batch.end, len(batch))

    def release(self) -> None:
        """Nothing else uses what was taken."""

    def hold_to(self, most_bytes: int, seconds: float) -> None:
        """Drop the oldest segments beyond the limits.

        Args:
            most_bytes: bytes that they may have.
            seconds: how old their last records may be.
        """
        before_ns = time.time_ns() - int(seconds * (1 + TAKEN) * 1e9)
        while self._pieces:
            piece = self._pieces[0]
            if self.bytes > most_bytes:
                lose(self.signal, piece.waiting(), "full")
            elif piece.begun_ns < before_ns:
                lose(self.signal, piece.waiting(), "old")
            else:
                return
            self._done()
