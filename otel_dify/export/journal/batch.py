"""Batches: records of one segment that are sent in one request."""

from __future__ import annotations

from collections.abc import Mapping

from otel_dify.export.encoding.request import request
from otel_dify.export.journal.frames import Sort, frames
from otel_dify.export.journal.segment import START, Segment


class Batch:
    """Records of one segment, in the order in which they were written.

    Attributes:
        segment: where they are.

    Args:
        segment: the same.
        resource: fields of the request that say whose they are.
        scopes: the same of their scopes, by number.
        records: their bytes.
        of: the number of the scope of each.
        ends: where in the segment the next frame begins, of each.
    """

    def __init__(
        self,
        segment: Segment,
        resource: bytes,
        scopes: Mapping[int, bytes],
        *,
        records: list[bytes],
        of: list[int],
        ends: list[int],
    ) -> None:
        self.segment = segment
        self._resource = resource
        self._scopes = scopes
        self._records = records
        self._of = of
        self._ends = ends

    @property
    def end(self) -> int:
        """Up to where in the segment it goes."""
        return self._ends[-1]

    def __len__(self) -> int:
        return len(self._records)

    def halves(self) -> tuple[Batch, Batch]:
        """Split it, to find the one record that a backend refuses."""
        middle = len(self) // 2
        return self._part(slice(middle)), self._part(slice(middle, None))

    def _part(self, part: slice) -> Batch:
        return Batch(
            self.segment,
            self._resource,
            self._scopes,
            records=self._records[part],
            of=self._of[part],
            ends=self._ends[part],
        )

    def body(self) -> bytes:
        """Make the body of the request."""
        of_scopes: dict[int, list[bytes]] = {}
        for scope in set(self._of):
            pairs = zip(self._records, self._of, strict=True)
            of_scopes[scope] = [record for record, of in pairs if of == scope]
        # A scope whose frame is damaged is none.
        return request(
            self._resource,
            [(self._scopes.get(scope, b""), records) for scope, records in of_scopes.items()],
        )


_RECORD = Sort.RECORD.value
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
        records: list[bytes] = []
        of: list[int] = []
        ends: list[int] = []
        size = 0
        acknowledged, until = segment.acknowledged, segment.written
        for sort, scope, payload, end in frames(segment.view, at, until):
            if sort == _RECORD and end > acknowledged:
                size += len(payload)
                if records and (len(records) >= self._most or size > MOST_BYTES):
                    break
                records.append(payload)
                of.append(scope)
                ends.append(end)
            elif sort == Sort.SCOPE:
                self._scopes[scope] = payload
            elif sort == Sort.RESOURCE:
                self._resource = payload
            elif sort == Sort.DAMAGED and end > self.seen:
                self.damaged += 1
            self.seen = max(self.seen, end)
        else:
            self.seen = until
        if not records:
            return None
        return Batch(segment, self._resource, self._scopes, records=records, of=of, ends=ends)
