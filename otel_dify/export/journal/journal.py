"""The journal of one signal of this process: records go in as they end, and out in batches.

It is a few segments in a folder of the process's own. Where there can be no file (a disk that is
full, a folder that cannot be written) segments are of memory, fewer of them, until a file can be
made again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from otel_dify.export.delivery import lose
from otel_dify.export.journal.batch import Batch, Reader
from otel_dify.export.journal.frames import HEADER, Sort
from otel_dify.export.journal.place import SEGMENT, Home
from otel_dify.export.journal.segment import SIZE, START, Segment
from otel_dify.guard import say_later
from otel_dify.process import process

IN_MEMORY = 8
"""Segments that are kept where there can be no file."""
_ENOUGH = SIZE // 2
TAKEN = 0.1
"""For which part of the time after which records are dropped a segment is written to."""


def _nothing() -> None:
    """Nobody sends yet."""


class Journal:
    """What waits to be sent of one signal of this process.

    Attributes:
        signal: ``traces`` or ``logs``.
        size: records of a batch.
        most_bytes: bytes of its segments.
        full: called when as many records as a batch has have come since the last one was taken.

    Args:
        signal: ``traces`` or ``logs``.
        home: where its segments are.
        most_bytes: bytes of its segments; beyond that the oldest is dropped.
        size: records of a batch.
        first: number of its first segment.
    """

    def __init__(
        self,
        signal: str,
        home: Home,
        most_bytes: int,
        size: int,
        first: int = 1,
    ) -> None:
        self.signal = signal
        self._resource = home.resource
        self._home = home
        self.most_bytes = most_bytes
        self.size = size
        self.full: Callable[[], None] = _nothing
        self._segments: deque[Segment] = deque()
        self._spare: Segment | None = None
        self._sequence = first - 1
        self._scopes: list[bytes] = []
        self._reader: Reader | None = None
        self._sending: Segment | None = None
        self._since_full = 0
        self._writing = False
        self._forgotten = False
        self._meanwhile: deque[tuple[int, bytes]] = deque()

    def scope(self, fields: bytes) -> int:
        """Return the number of a scope, from the fields of a request that describe it."""
        with process.counting:
            if fields not in self._scopes:
                self._scopes.append(fields)
            return self._scopes.index(fields)

    def append(self, scope: int, record: bytes) -> None:
        """Take a record: from now on a process that is killed does not lose it."""
        with process.counting:
            if self._writing:
                # Of a signal handler or finalizer that has come in between.
                self._meanwhile.append((scope, record))
                return
            if self._forgotten:
                return
            self._writing = True
            try:
                self._write(scope, record)
                while self._meanwhile:
                    self._write(*self._meanwhile.popleft())
            finally:
                self._writing = False
        self._since_full += 1
        if self._since_full == self.size:
            self.full()

    def _write(self, scope: int, record: bytes) -> None:
        segments = self._segments
        if segments:
            segment = segments[-1]
            if segment.knows(scope):
                if segment.append(Sort.RECORD, scope, record):
                    return
            elif self._describe(segment, scope) and segment.append(Sort.RECORD, scope, record):
                return
        fields = self._scopes[scope]
        segment = self._next(START + 3 * HEADER + len(self._resource) + len(fields) + len(record))
        segment.append(Sort.RESOURCE, 0, self._resource)
        segment.append(Sort.SCOPE, scope, fields)
        segment.append(Sort.RECORD, scope, record)

    def _describe(self, segment: Segment, scope: int) -> bool:
        return segment.append(Sort.SCOPE, scope, self._scopes[scope])

    def _next(self, needed: int) -> Segment:
        """Add a segment, of at least so many bytes; drop the oldest where there are too many."""
        self._sequence += 1
        if self._segments:
            self._segments[-1].seal()
        spare, self._spare = self._spare, None
        if spare is not None and spare.size >= needed and self._home.has(spare.path):
            spare.begin_again(self._sequence)
            made = spare
        else:
            if spare is not None:
                spare.delete()
            made = self._make(max(SIZE, needed))
        self._segments.append(made)
        self._hold_to_limits()
        return made

    def _make(self, size: int) -> Segment:
        try:
            folder = self._home.path()
            if folder is not None:
                path = folder / f"{self.signal}-{self._sequence:08d}{SEGMENT}"
                return Segment.make(path, self._sequence, size)
        except OSError as error:
            say_later(
                f"The journal in {self._home} cannot be written ({error.strerror}): "
                f"{self.signal} that wait to be sent are kept in memory, and are lost if this "
                "process is killed. Give Dify a folder to write to (OTEL_DIFY_JOURNAL_DIR), or "
                "room on its disk"
            )
        return Segment.make(None, self._sequence, size)

    def _hold_to_limits(self) -> None:
        """Drop the oldest segments beyond the limits, but for one that is being sent."""
        while sum(one.size for one in self._segments) > self.most_bytes:
            if not self._drop(self._segments):
                break
        in_memory = [one for one in self._segments if one.path is None]
        if len(in_memory) > IN_MEMORY:
            self._drop(in_memory)

    def _drop(self, of: deque[Segment] | list[Segment]) -> bool:
        """Drop the first of some segments that is neither being sent nor written to."""
        for segment in list(of):
            if segment is not self._sending and segment is not self._segments[-1]:
                self._segments.remove(segment)
                lose(self.signal, segment.waiting, "full")
                segment.delete()
                return True
        return False

    @property
    def waiting(self) -> int:
        """Records that wait."""
        return sum(segment.waiting for segment in list(self._segments))

    @property
    def bytes(self) -> int:
        """Bytes of its segments."""
        return sum(segment.size for segment in list(self._segments))

    @property
    def age(self) -> float:
        """Seconds since the oldest segment that has something waiting was begun; 0 without one."""
        begun = [segment.begun_ns for segment in list(self._segments) if segment.waiting]
        return max(time.time_ns() - min(begun), 0) / 1e9 if begun else 0.0

    def take(self) -> Batch | None:
        """Read the oldest records that wait; they stay until they are acknowledged."""
        with process.counting:
            self._since_full = 0
            segments = self._segments
            while segments and not segments[0].waiting and len(segments) > 1:
                self._free(segments.popleft())
            if not segments or not segments[0].waiting:
                return None
            segment = self._sending = segments[0]
            if not self._home.has(segments[-1].path):
                # Somebody has removed the folder: what comes goes into another.
                segments[-1].seal()
        reader = self._reader
        if reader is None or reader.segment is not segment:
            reader = self._reader = Reader(segment, self.size)
        batch = reader.next()
        if batch is None:
            self._give_up(segment, reader.seen)
        return batch

    def _give_up(self, segment: Segment, seen: int) -> None:
        """Let go of what waits and cannot be read: somebody else has written to the file."""
        with process.counting:
            self._sending = None
            if segment.written == seen and segment.waiting:
                lose(self.signal, segment.waiting, "damaged")
                segment.acknowledge(seen, segment.waiting)

    def acknowledge(self, batch: Batch) -> None:
        """Let go of a batch that was taken: it has been sent, or will never be."""
        segment = batch.segment
        with process.counting:
            segment.acknowledge(batch.end, len(batch))
            if segment is self._segments[-1] and not segment.waiting and segment.written > _ENOUGH:
                # What it goes on with has its own resource and scopes.
                self._segments.pop()
                self._free(segment)

    def release(self) -> None:
        """Say that what was taken is not being sent now."""
        self._sending = None

    def _free(self, segment: Segment) -> None:
        """Keep a segment that was sent for the next records, or delete it."""
        self._reader = None
        if self._spare is None and segment.size == SIZE and segment.path is not None:
            self._spare = segment
        else:
            segment.delete()

    def expire(self, seconds: float) -> None:
        """Drop segments whose last record was written longer ago.

        By the clock that nobody sets. A segment is taken for a part of that time only, so that what
        comes now does not keep what came long ago.
        """
        now = time.monotonic()
        with process.counting:
            if self._segments and self._segments[-1].begun_s + seconds * TAKEN < now:
                self._segments[-1].seal()
            for segment in list(self._segments):
                sealed_s = segment.sealed_s
                if sealed_s is None or sealed_s + seconds > now or segment is self._sending:
                    continue
                if segment.waiting:
                    lose(self.signal, segment.waiting, "old")
                self._segments.remove(segment)
                segment.delete()

    def forget(self) -> None:
        """Take nothing more: in a forked child the files are the parent's, who writes to them."""
        self._forgotten = True
        self._segments.clear()
        self._spare = self._reader = None

    def close(self) -> bool:
        """End it; tell whether nothing in its files waits."""
        with process.counting:
            in_memory = sum(one.waiting for one in self._segments if one.path is None)
            if in_memory:
                lose(self.signal, in_memory, "ended")
            return not any(one.waiting for one in self._segments if one.path is not None)
