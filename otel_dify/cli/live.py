"""What has live telemetry: asked of Jaeger, or read from files and journals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_dify import table as t

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otel_dify.cli.records import Span

KEYS = (t.RUN_ID.key, t.MESSAGE_ID.key, t.NODE_EXECUTION_ID.key)
_AROUND_NS = 10 * 60 * 10**9


class Nothing:
    """Knows nothing: all that a window has is told."""

    def has(self, identity: str, start_ns: int, end_ns: int) -> bool:
        """Tell that it has none."""
        del identity, start_ns, end_ns
        return False


class Seen:
    """Reads the telemetry around what is asked for, and remembers what was there.

    Args:
        between: reads the spans of traces between two moments.
        step_ns: nanoseconds that are read at once.
    """

    def __init__(
        self, between: Callable[[int, int], Iterable[Span]], step_ns: int = 6 * _AROUND_NS
    ) -> None:
        self._between = between
        self._step_ns = step_ns
        self._ids: set[str] = set()
        self._read: set[int] = set()

    def has(self, identity: str, start_ns: int, end_ns: int) -> bool:
        """Tell whether something has live telemetry, by its id."""
        first = (start_ns - _AROUND_NS) // self._step_ns
        for step in range(first, (end_ns + _AROUND_NS) // self._step_ns + 1):
            if step not in self._read:
                self._read.add(step)
                spans = self._between(step * self._step_ns, (step + 1) * self._step_ns)
                self._ids.update(live_ids(spans))
        return identity in self._ids


def live_ids(spans: Iterable[Span]) -> set[str]:
    """Collect the ids of what spans tell of that were not backfilled."""
    return {
        text
        for span in spans
        if not is_backfilled(span)
        for key in KEYS
        if (text := span.text(key))
    }


def is_backfilled(span: Span) -> bool:
    """Tell whether a span was told from Dify's database."""
    return str(span.attributes.get(t.BACKFILLED.key, "")).lower() == "true"
