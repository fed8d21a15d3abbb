"""Cells: the numbers of series, in a mapped file that outlives the process.

The file belongs to a slot of ``service.instance.id`` (``resource.py``) and is guarded by its lock.
Whoever takes the slot next goes on with the counters where they stood, so that a process that is
killed loses none, and a new one is no counter reset. Where nobody takes the slot, a sibling sends
what the file holds, once.

A header is followed by chunks, each mapped by itself; a chunk holds entries::

    length    4 bytes   of the entry, a multiple of 8; written last; 0 ends the chunk
    cells     4 bytes   number of cells
    text      4 bytes   length of the description
    checksum  4 bytes   CRC-32 of the description
    changed   8 bytes   when a collection found it changed, seconds since the epoch (a double)
    cells     8 bytes each, doubles
    description, padded to a multiple of 8

https://github.com/prometheus/client_python has a file like it for its multiprocess mode.
"""

from __future__ import annotations

import mmap
import os
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from zlib import crc32

from otel_dify.guard import say_later

CHUNK = 1 << 16
"""Bytes of a chunk: a few hundred series."""
HEADER = 1 << 13
"""Bytes before the first chunk: most of them for the resource."""
FORGET_S = 86_400.0
"""Seconds after which a series that nothing was added to is not gone on with by another process."""
_MAGIC = b"otdifym1"
# Whether its last values have been sent, length of the resource, checksum of it.
_HEAD = Struct("<8sIII")
_SENT = Struct("<I")
_SENT_AT = 8
_ENTRY = Struct("<IIIId")
_LENGTH = Struct("<I")
_CHANGED = Struct("<d")
_CHANGED_AT = 16


@dataclass(frozen=True, slots=True)
class Entry:
    """The cells of one series.

    Attributes:
        description: which series it is, in the words of who asked for it.
        cells: its numbers.
        changed: where it is noted when it has changed; none in memory.
    """

    description: bytes
    cells: memoryview[float] | array[float]
    changed: memoryview[float] | None

    def note_change(self, at_ns: int) -> None:
        """Note when its cells were found changed, nanoseconds since the epoch."""
        if self.changed is not None:
            self.changed[0] = at_ns / 1e9


class Cells:
    """Cells in memory, for who has no slot.

    Attributes:
        entries: what other processes have left; nothing here.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def allocate(self, description: bytes, initial: Sequence[float]) -> Entry:
        """Make the cells of a series.

        Args:
            description: which series it is.
            initial: what is in them, which says how many there are.
        """
        return Entry(description, array("d", initial), None)

    def note_sent(self) -> None:
        """Note that the last values have been sent."""

    def close(self) -> None:
        """Let go of them."""


class MappedCells(Cells):
    """Cells in the file of a slot, whose lock this process holds.

    Args:
        path: the file.
        resource: says in the words of a request whose they are, for a sibling.
        identity: the parts of it that are labels of series. What was left under others (another
            host name, another release of Dify) is not gone on with: it would be counted twice.
        now: seconds since the epoch.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(
        self, path: Path, resource: bytes, identity: Sequence[bytes] = (), now: float | None = None
    ) -> None:
        super().__init__()
        self._path = path
        self._head: mmap.mmap | None = None
        self._chunks: list[mmap.mmap] = []
        self._used = CHUNK
        left: list[Entry] = []
        if path.exists():
            before = head_of(path)[1]
            if all(part in before for part in identity):
                left += read(path)
        oldest = (time.time() if now is None else now) - FORGET_S
        # Written anew beside it, so that a process that is killed here leaves the old one.
        making = path.with_suffix(".new")
        making.unlink(missing_ok=True)
        self._descriptor = os.open(making, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._begin(resource)
            for entry in left:
                changed = entry.changed[0] if entry.changed is not None else 0.0
                if changed >= oldest:
                    made = self.allocate(entry.description, entry.cells)
                    if made.changed is not None:
                        made.changed[0] = changed
                    self.entries.append(made)
            making.rename(path)
        except OSError:
            self.close()
            raise

    def _begin(self, resource: bytes) -> None:
        os.posix_fallocate(self._descriptor, 0, HEADER)
        kept = resource if len(resource) <= HEADER - _HEAD.size else b""
        self._head = mmap.mmap(self._descriptor, HEADER)
        _HEAD.pack_into(self._head, 0, _MAGIC, 0, len(kept), crc32(kept))
        self._head[_HEAD.size : _HEAD.size + len(kept)] = kept

    def allocate(self, description: bytes, initial: Sequence[float]) -> Entry:
        """Make the cells of a series; in memory where the disk is full."""
        padded = description + bytes(-len(description) % 8)
        length = _ENTRY.size + 8 * len(initial) + len(padded)
        if self._used + length > CHUNK:
            try:
                self._add_chunk(length)
            except OSError as error:
                say_later(
                    f"{self._path} cannot be written ({error.strerror}): what is counted from now "
                    "on is lost if this process is killed. Make room on its disk"
                )
                return super().allocate(description, initial)
        chunk, at = self._chunks[-1], self._used
        view = memoryview(chunk)
        cells = view[at + _ENTRY.size : at + _ENTRY.size + 8 * len(initial)].cast("d")
        cells[:] = memoryview(array("d", initial))
        chunk[at + length - len(padded) : at + length] = padded
        checksum, changed = crc32(description), time.time()
        _ENTRY.pack_into(chunk, at, 0, len(initial), len(description), checksum, changed)
        _LENGTH.pack_into(chunk, at, length)
        self._used = at + length
        noted = view[at + _CHANGED_AT : at + _ENTRY.size].cast("d")
        return Entry(description, cells, noted)

    def _add_chunk(self, least: int) -> None:
        if least > CHUNK:
            raise OSError(0, "a description is too long")
        at = HEADER + len(self._chunks) * CHUNK
        os.posix_fallocate(self._descriptor, at, CHUNK)
        self._chunks.append(mmap.mmap(self._descriptor, CHUNK, offset=at))
        self._used = 0

    def note_sent(self) -> None:
        """Note that the last values have been sent: no sibling sends them again."""
        if self._head is not None:
            _SENT.pack_into(self._head, _SENT_AT, 1)

    def close(self) -> None:
        """Let go of the file; what refers to its cells keeps them mapped."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read(path: Path) -> Iterator[Entry]:
    """Read the entries of a file; what is damaged is left out.

    Raises:
        OSError: it cannot be read.
    """
    content = memoryview(bytearray(path.read_bytes()))
    if len(content) < HEADER or content[: len(_MAGIC)] != _MAGIC:
        return
    for start in range(HEADER, len(content) - CHUNK + 1, CHUNK):
        at, end = start, start + CHUNK
        while at + _ENTRY.size <= end:
            length, number, text, checksum, _ = _ENTRY.unpack_from(content, at)
            cells = at + _ENTRY.size
            described = cells + 8 * number
            if not length or at + length > end or described + text > at + length:
                break
            description = bytes(content[described : described + text])
            if crc32(description) == checksum:
                changed = content[at + _CHANGED_AT : cells].cast("d")
                yield Entry(description, content[cells:described].cast("d"), changed)
            at += length


def resource_of(path: Path) -> bytes | None:
    """Return whose the values of a file are, if they have still to be sent.

    Raises:
        OSError: it cannot be read.
    """
    sent, resource = head_of(path)
    return None if sent or not resource else resource


def head_of(path: Path) -> tuple[bool, bytes]:
    """Read whether the values of a file have been sent, and whose they are.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(HEADER)
    if len(head) < HEADER:
        return False, b""
    magic, sent, length, checksum = _HEAD.unpack_from(head)
    resource = head[_HEAD.size : _HEAD.size + length]
    whole = magic == _MAGIC and crc32(resource) == checksum
    return bool(sent), resource if whole else b""


def note_sent(path: Path) -> None:
    """Note that the last values of a file have been sent.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("r+b") as file:
        file.seek(_SENT_AT)
        file.write(_SENT.pack(1))
