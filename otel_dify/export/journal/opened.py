"""Opened: what a process has begun and not ended, so that others can end it when it was killed.

A mapped file in the process's place has a slot for each operation that is open. A start writes one,
an end frees it by storing a zero. It is read by whoever adopts the place.

A header is followed by slots of 2 KiB each::

    length    4 bytes   of the description; 0: free
    checksum  4 bytes   CRC-32 of it
    text      what was said of the operation, by Python's ``marshal``
"""

from __future__ import annotations

import marshal
import mmap
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from otel_dify.export.journal.place import Home
from otel_dify.process import process

FILE = "opened"
"""Name of the file in a place."""
SLOT = 2_048
"""Bytes of a slot; what is too long for it is noted without its long attributes."""
AT_ONCE = 4_096
"""Operations that are noted at once; more than that are not."""
_GROW = 64
_SHORT = 100
"""Characters of a value that is kept where all of them are too long for a slot."""
_AGAIN_S = 10.0
"""Seconds until the next attempt where there can be no file."""
_HEAD = Struct("<II")
_ROOM = SLOT - _HEAD.size
_LENGTH = Struct("<I")
_VERSION = 2
"""Version of ``marshal``: later ones look for what is in it twice, which takes as long again."""

type Plain = str | bool | int | float | Sequence[str]


class Begun(NamedTuple):
    """An operation that was begun.

    Attributes:
        kind: name of its kind.
        trace_id: of its span.
        span_id: of its span.
        flags: trace flags of its span.
        state: trace state of its span, as in a header.
        above_trace_id: of the span above; 0 where there is none.
        above_id: of the span above.
        above_remote: whether that is another process's.
        start_ns: its start, nanoseconds since the epoch.
        span_name: name of its span where the table's pattern cannot be filled.
        attributes: what was known of it.
    """

    kind: str
    trace_id: int
    span_id: int
    flags: int
    state: str
    above_trace_id: int
    above_id: int
    above_remote: bool
    start_ns: int
    span_name: str
    attributes: Mapping[str, Plain]


class Opened:
    """The operations of this process that others can end.

    Args:
        home: where the file is.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._view: mmap.mmap | None = None
        self._folder: Path | None = None
        self._slots = 0
        self._free: list[int] = []
        self._not_before = 0.0

    def add(self, begun: Begun) -> int | None:
        """Note an operation; returns its slot, none where it cannot be noted."""
        text = _fitting(begun)
        if text is None:
            return None
        with process.counting:
            made = self._home.made
            if made is not self._folder and made is not None and self._folder is not None:
                # Somebody has removed the folder, and there is another.
                self._map(self._slots)
            if not self._free and not self._map(self._slots + max(_GROW, self._slots)):
                return None
            view = self._view
            if view is None:
                return None
            slot = self._free.pop()
            at = slot * SLOT
            view[at + _HEAD.size : at + _HEAD.size + len(text)] = text
            _HEAD.pack_into(view, at, len(text), crc32(text))
        return slot

    def remove(self, slot: int) -> None:
        """Note that an operation has ended."""
        with process.counting:
            if self._view is not None:
                _LENGTH.pack_into(self._view, slot * SLOT, 0)
                self._free.append(slot)

    def any(self) -> bool:
        """Tell whether something is noted that has not ended."""
        return len(self._free) < self._slots

    def _map(self, slots: int) -> bool:
        """Have a file with so many slots, with all that is noted; false where there is none."""
        if slots > AT_ONCE or time.monotonic() < self._not_before:
            return False
        try:
            folder = self._home.path()
            if folder is None:
                return False
            view = _mapped(folder / FILE, slots * SLOT)
        except OSError:
            # The journal says so.
            self._not_before = time.monotonic() + _AGAIN_S
            return False
        if self._view is not None and self._folder is not folder:
            view[: len(self._view)] = self._view[:]
        self._view, self._folder = view, folder
        self._free += range(self._slots, slots)
        self._slots = slots
        return True


def _fitting(begun: Begun) -> bytes | None:
    """Describe an operation so that it fits into a slot; none where it cannot be described."""
    text = _text(begun)
    if text is not None:
        return text
    short = {name: value for name, value in begun.attributes.items() if len(str(value)) <= _SHORT}
    text = _text(begun._replace(attributes=short))
    if text is not None:
        return text
    return _text(begun._replace(attributes={}, state="", span_name=begun.span_name[:_SHORT]))


def _text(begun: Begun) -> bytes | None:
    """Describe all of an operation; none where that is too long, or of a type that is not plain."""
    try:
        text = marshal.dumps(tuple(begun), _VERSION)  # type: ignore[arg-type] # all of it is plain
    except ValueError:
        return None
    return text if len(text) <= _ROOM else None


def _mapped(path: Path, size: int) -> mmap.mmap:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)


def begun(folder: Path) -> Iterator[tuple[int, Begun]]:
    """Read what a dead process has begun and not ended, with the slot of each.

    Raises:
        OSError: its file cannot be read.
    """
    path = folder / FILE
    if not path.exists():
        return
    content = path.read_bytes()
    for at in range(0, len(content) - SLOT + 1, SLOT):
        length, checksum = _HEAD.unpack_from(content, at)
        text = content[at + _HEAD.size : at + _HEAD.size + length]
        if 0 < length <= _ROOM and crc32(text) == checksum:
            # Another version may have said other things.
            with suppress(TypeError):
                yield at // SLOT, Begun(*marshal.loads(text))  # noqa: S302 - written by a process of ours, 0600


def end(folder: Path, slot: int) -> None:
    """Note that what a dead process has begun was ended in its place.

    Raises:
        OSError: its file cannot be written.
    """
    with (folder / FILE).open("r+b") as file:
        file.seek(slot * SLOT)
        file.write(_LENGTH.pack(0))
