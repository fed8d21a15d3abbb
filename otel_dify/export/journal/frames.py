"""Frames: how records lie in a segment of the journal.

A frame is a header of 16 bytes and a payload::

    checksum   4 bytes   CRC-32 of all that follows; numbers are little-endian
    mark       2 bytes   `oD`: where reading goes on after a part that is damaged
    sort       1 byte    ``Sort``
               1 byte    nothing
    scope      2 bytes   number of the record's scope in its segment
               2 bytes   nothing
    length     4 bytes   of the payload

A page cache outlives the process that wrote to it, so that a frame is torn only where a process
was killed while it copied: it is then the last of its segment, and its checksum does not fit. A
power cut may leave any page of a segment as zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from mmap import mmap
from struct import Struct
from zlib import crc32

MARK = b"oD"
_CHECKSUM = Struct("<I")
_HEAD = Struct("<2sBxHxxI")
_unpack = Struct("<I2sBxHxxI").unpack_from
HEADER = _CHECKSUM.size + _HEAD.size
"""Bytes of a frame before its payload."""


class Sort(IntEnum):
    """What a frame holds.

    A segment is complete in itself: it begins with the resource, and a scope comes before the
    first record that is of it.
    """

    DAMAGED = 0
    """Nothing that can be read; never written."""
    RESOURCE = 1
    """The fields of a request that say whose the records are."""
    SCOPE = 2
    """The fields of a request that say what made the records of a scope."""
    RECORD = 3
    """A record, as the bytes that a request has."""


type Frame = tuple[int, int, bytes, int]
"""A frame that was read: what it holds, one of ``Sort`` (of a later version, anything); the number
of its scope; its payload; where in the segment the next one begins."""


def frame(sort: int, scope: int, payload: bytes) -> bytes:
    """Make the bytes of a frame."""
    return header(sort, scope, payload) + payload


def header(sort: int, scope: int, payload: bytes) -> bytes:
    """Make what comes before the payload of a frame."""
    head = _HEAD.pack(MARK, sort, scope, len(payload))
    return _CHECKSUM.pack(crc32(payload, crc32(head))) + head


def read(view: mmap | bytes, at: int, until: int) -> Frame | None:
    """Read the frame at a place; none where there is none, or it is damaged."""
    begins = at + HEADER
    if begins > until:
        return None
    checksum, mark, sort, scope, length = _unpack(view, at)
    end = begins + length
    if mark != MARK or end > until:
        return None
    payload = view[begins:end]
    if crc32(payload, crc32(view[at + _CHECKSUM.size : begins])) != checksum:
        return None
    return sort, scope, payload, end


def frames(view: mmap | bytes, at: int, until: int) -> Iterator[Frame]:
    """Read frames from a place on; ``DAMAGED`` ones stand for what cannot be read.

    A segment is filled with zeros, so that nothing follows where zeros are and no frame behind
    them: after a power cut there may be one.

    Args:
        view: the bytes of the segment.
        at: where the first one begins.
        until: where the segment ends.
    """
    search = _Search(view, until, _EFFORT * (until - at))
    while at < until:
        found = read(view, at, until)
        if found is None:
            following = search.after(at)
            if following == until and _is_blank(view, at, until):
                return
            found = Sort.DAMAGED, 0, b"", following
        yield found
        at = found[-1]


_BLANK = bytes(HEADER)
_EFFORT = 16
"""How many times a segment may be read in search of what is whole in it: bytes of a damaged record
may look like many headers."""


def _is_blank(view: mmap | bytes, at: int, until: int) -> bool:
    """Tell whether nothing was written at a place."""
    return view[at : min(at + HEADER, until)] == _BLANK[: until - at]


class _Search:
    """Finds the next frame that is whole.

    Args:
        view: the bytes of the segment.
        until: where the segment ends.
        most: bytes that it may read in all.
    """

    def __init__(self, view: mmap | bytes, until: int, most: int) -> None:
        self._view = view
        self._until = until
        self._left = most

    def after(self, at: int) -> int:
        """Return where the next whole frame begins, or the end of the segment."""
        view, until = self._view, self._until
        while self._left > 0:
            mark = view.find(MARK, at + 1 + _CHECKSUM.size, until)
            if mark < 0:
                break
            at = mark - _CHECKSUM.size
            if read(view, at, until) is not None:
                return at
            if mark + _HEAD.size <= until:
                length = _HEAD.unpack_from(view, mark)[-1]
                self._left -= length if mark + _HEAD.size + length <= until else 0
        return until
