"""Ids of the past: derived from those of Dify's rows, so that told twice is the same twice.

A trace has the id of its run (of its message or node where there is no run), a span the low 64 bits
of the id of its row. What has no row of its own (an item, a pass, a model call) has a hash of its
owner's id and of what it is there.
"""

from __future__ import annotations

import hashlib
from uuid import UUID

from opentelemetry.sdk.trace.id_generator import IdGenerator

_LOW = (1 << 64) - 1


class DerivedIds(IdGenerator):
    """Gives the ids that it was told last."""

    def __init__(self) -> None:
        self._trace = self._span = 1

    def are(self, trace_id: int, span_id: int) -> None:
        """Say which ids are next."""
        self._trace, self._span = trace_id or 1, span_id or 1

    def generate_trace_id(self) -> int:
        """Return that of the trace."""
        return self._trace

    def generate_span_id(self) -> int:
        """Return that of the span."""
        return self._span


def low(identity: str) -> int:
    """Return the span id of a row: the low 64 bits of its id."""
    return UUID(identity).int & _LOW


def part(identity: str, *of: object) -> int:
    """Return the span id of what has no row: the first 64 bits of a SHA-256."""
    text = "/".join([identity, *map(str, of)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
