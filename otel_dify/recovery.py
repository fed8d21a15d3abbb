"""Recovery: ending what a killed process has begun, in that process's own name.

It runs in the process that has adopted the place of the dead one, before what is in that place is
sent. Spans and events are put into the dead one's journal, as it would have done; points are this
process's, since nobody else would count them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from opentelemetry.proto.logs.v1.logs_pb2 import ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans
from opentelemetry.sdk.trace import SpanLimits

from otel_dify.export.encoding.logs import LogEncoder
from otel_dify.export.encoding.spans import SpanEncoder
from otel_dify.export.encoding.values import Attributes
from otel_dify.export.journal.frames import Sort, frames
from otel_dify.export.journal.journal import Journal
from otel_dify.export.journal.opened import FILE, begun
from otel_dify.export.journal.place import Home, Place
from otel_dify.export.journal.segment import START, Segment
from otel_dify.export.outlets import JournalLogs, JournalSpans
from otel_dify.recording import SCOPE
from otel_dify.records.recorder import Writers
from otel_dify.records.recovery import records_of
from otel_dify.signals.events import EventWriter
from otel_dify.signals.logs import LogWriter
from otel_dify.signals.points import PointWriter
from otel_dify.signals.spans import SpanWriter

_FIRST = 90_000_000
"""Number of the first segment that recovery adds, behind all that the process has written."""
_NO_LIMIT = 1 << 62


class Recovery:
    """Ends what dead processes have begun.

    Args:
        points: the points of this process.
        log_limits: attributes that a log record may have, and characters of a value.
    """

    def __init__(self, points: PointWriter, log_limits: tuple[int, int | None]) -> None:
        self._points = points
        self._log_limits = log_limits

    def __call__(self, place: Place) -> None:
        """End what the process of a place has begun, once.

        Raises:
            OSError: the place cannot be read or written.
        """
        open_ones = list(begun(place.path))
        if not open_ones:
            return
        ended, last_ns = _traces(place)
        last_ns = max(last_ns, _last_log(place), *_written(place))
        # One that ended just before its process did may still be noted.
        left = [one for one in open_ones if one.span_id not in ended]
        home, attributes = Home.at(place), Attributes()
        spans = Journal("traces", home, _NO_LIMIT, 1, _FIRST)
        logs = Journal("logs", home, _NO_LIMIT, 1, _FIRST)
        events = JournalLogs(LogEncoder(attributes), logs, SCOPE, _nobody)
        writers = Writers(
            SpanWriter(JournalSpans(SpanEncoder(attributes), spans, SCOPE, _nobody), SpanLimits()),
            self._points,
            EventWriter(LogWriter(events, *self._log_limits), starts=False),
        )
        # Before they are counted: a process that is killed here counts none twice.
        records = list(records_of(left, last_ns))
        (place.path / FILE).unlink(missing_ok=True)
        for record in records:
            writers.write(record)


def _nobody() -> None:
    """What is adopted is sent when recovery is done."""


def _records(paths: list[Path]) -> Iterator[bytes]:
    for path in paths:
        try:
            segment = Segment.left(path)
        except (OSError, ValueError):  # whoever sends it says so
            continue
        for found in frames(segment.view, START, segment.written):
            if found.sort == Sort.RECORD:
                yield found.payload
        segment.close()


def _traces(place: Place) -> tuple[set[int], int]:
    """Return the ids of the spans that are in a place, and when the last of them ended."""
    ids, last_ns = set(), 0
    for record in _records(place.segments("traces")):
        # A record is a field of a scope's spans.
        for span in ScopeSpans.FromString(record).spans:
            ids.add(int.from_bytes(span.span_id))
            last_ns = max(last_ns, span.end_time_unix_nano)
    return ids, last_ns


def _last_log(place: Place) -> int:
    times = (
        log.time_unix_nano
        for record in _records(place.segments("logs"))
        for log in ScopeLogs.FromString(record).log_records
    )
    return max(times, default=0)


def _written(place: Place) -> Iterator[int]:
    """Yield when files of a place were written to, nanoseconds since the epoch."""
    for path in place.path.iterdir():
        yield path.stat().st_mtime_ns
