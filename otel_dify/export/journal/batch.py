"""Batches: records of one segment that are sent in one request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from otel_dify.export.encoding.request import request
from otel_dify.export.journal.frames import Sort, frames
from otel_dify.export.journal.segment import START, Segment


class Item(NamedTuple):
    """A record of a batch.

    Attributes:
        scope: number of its scope.
        record: its bytes.
        end: where in the segment the next frame begins.
    """

    scope: int
    record: bytes
    end: int


class Batch:
    """Records of one segment, in the order in which they were written.

    Attributes:
        segment: where they are.
        items: the records.

    Args:
        resource: fields of the request that say whose they are.
        scopes: the same of their scopes, by number.
    """

    def __init__(
        self, segment: Segment, resource: bytes, scopes: Mapping[int, bytes], items: list[Item]
    ) -> None:
        self.segment = segment
        self.items = items
        self._resource = resource
        self._scopes = scopes

    @property
    def end(self) -> int:
        """Up to where in the segment it goes."""
        return self.items[-1].end

    def __len__(self) -> int:
        return len(self.items)

    def halves(self) -> tuple[Batch, Batch]:
        """Split it, to find the one record that a backend refuses."""
        middle = len(self.items) // 2
        parts = self.items[:middle], self.items[middle:]
        first, second = (Batch(self.segment, self._resource, self._scopes, part) for part in parts)
        return first, second

    def body(self) -> bytes:
        """Make the body of the request."""
        of_scopes: dict[int, list[bytes]] = {}
        for item in self.items:
            of_scopes.setdefault(item.scope, []).append(item.record)
        # A scope whose frame is damaged is none.
        return request(
            self._resource,
            [(self._scopes.get(scope, b""), records) for scope, records in of_scopes.items()],
        )


MOST_BYTES = 1 << 19
"""Bytes of a request before compression, but for one record that is larger alone."""


class Reader:
    """Reads the records of a segment, batch by batch.

    Attributes:
        segment: the segment.
        damaged: parts of it that could not be read.
        seen: up to where it was read.

    Args:
        most: records of a batch.
    """

    def __init__(self, segment: Segment, most: int) -> None:
        self.segment = segment
        self.damaged = 0
        self.seen = START
        self._most = most
        self._resource = b""
        self._scopes: dict[int, bytes] = {}

    def next(self) -> Batch | None:
        """Read the records that come after the acknowledged ones; none where nothing waits."""
        segment = self.segment
        # What another process has acknowledged is read for the scopes that are in it.
        at = min(segment.acknowledged, self.seen)
        items: list[Item] = []
        size = 0
        until = segment.written
        for sort, scope, payload, end in frames(segment.view, at, until):
            if sort == Sort.RECORD and end > segment.acknowledged:
                size += len(payload)
                if items and (len(items) >= self._most or size > MOST_BYTES):
                    break
                items.append(Item(scope, payload, end))
            elif sort == Sort.SCOPE:
                self._scopes[scope] = payload
            elif sort == Sort.RESOURCE:
                self._resource = payload
            elif sort == Sort.DAMAGED and end > self.seen:
                self.damaged += 1
            self.seen = max(self.seen, end)
        else:
            self.seen = until
        return Batch(segment, self._resource, self._scopes, items) if items else None
