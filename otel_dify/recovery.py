"""Recovery: ending what a killed process has begun, in that process's own name.

It runs in the process that has adopted the place of the dead one, before what is in that place is
sent. Spans and events are put into the dead one's journal, as it would have done; points are this
process's, since nobody else would count them.
"""

from __future__ import annotations

from collections.abc import Iterator

from opentelemetry.proto.logs.v1.logs_pb2 import ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans
from opentelemetry.sdk.trace import SpanLimits

from otel_dify.export.encoding.logs import LogEncoder
from otel_dify.export.encoding.spans import SpanEncoder
from otel_dify.export.journal.frames import Sort, frames
from otel_dify.export.journal.journal import Journal
from otel_dify.export.journal.opened import begun, end
from otel_dify.export.journal.place import Home, Place
from otel_dify.export.journal.segment import START, Segment
from otel_dify.export.outlets import JournalLogs, JournalSpans
from otel_dify.export.ticking import let_others_run
from otel_dify.guard import guarded
from otel_dify.recording import SCOPE
from otel_dify.records.recovery import record_of
from otel_dify.signals.events import EventWriter
from otel_dify.signals.logs import LogWriter
from otel_dify.signals.points import PointWriter
from otel_dify.signals.spans import SpanWriter

_FIRST = 90_000_000
"""Number of the first segment that recovery adds, behind all that the process has written."""
_NO_LIMIT = 1 << 62


class Recovery:
    """Ends what dead processes have begun.

    Attributes:
        ended: how many operations it has ended.

    Args:
        points: the points of this process.
        log_limits: attributes that a log record may have, and characters of a value.
    """

    def __init__(self, points: PointWriter, log_limits: tuple[int, int | None]) -> None:
        self._points = points
        self._log_limits = log_limits
        self.ended = 0

    def __call__(self, place: Place) -> None:
        """End what the process of a place has begun, once.

        Raises:
            OSError: the place cannot be read or written.
        """
        open_ones = list(begun(place.path))
        if not open_ones:
            return
        known = _Known(place)
        last_ns = max(known.last_ns, _last_log(place), *_written(place))
        home = Home.at(place)
        spans = Journal("traces", home, _NO_LIMIT, 1, known.free)
        logs = Journal("logs", home, _NO_LIMIT, 1, known.free)
        events = JournalLogs(LogEncoder(), logs, SCOPE, _nobody)
        write_span = SpanWriter(
            JournalSpans(SpanEncoder(), spans, SCOPE, _nobody), SpanLimits()
        ).write
        write_event = EventWriter(LogWriter(events, *self._log_limits), starts=False).ended
        for slot, one in open_ones:
            # One that ended just before its process did may still be noted.
            record = None if one.span_id in known.ended else record_of(one, last_ns)
            if record is not None and one.span_id not in known.recovered:
                with guarded("otel_dify.recovery span"):
                    write_span(record)
                if record.plan.kind.event:
                    with guarded("otel_dify.recovery event"):
                        write_event(record)
            # Before it is counted: where this process is killed here, none is counted twice.
            end(place.path, slot)
            if record is not None:
                self.ended += 1
                with guarded("otel_dify.recovery points"):
                    self._points.write(record)
        for journal in (spans, logs):
            # On a disk that is full it was of memory.
            journal.close()


def _nobody() -> None:
    """What is adopted is sent when recovery is done."""


def _records(segment: Segment) -> Iterator[bytes]:
    for sort, _, payload, _ in frames(segment.view, START, segment.written):
        if sort == Sort.RECORD:
            yield payload


def _segments(place: Place, signal: str) -> Iterator[Segment]:
    for path in place.segments(signal):
        try:
            segment = Segment.left(path)
        except (OSError, ValueError):  # whoever sends it says so
            continue
        yield segment
        segment.close()
        let_others_run()


class _Known:
    """What the segments of a place tell of its spans.

    Attributes:
        ended: ids of those that its process has ended.
        recovered: ids of those that a process ended in its place that was killed at it.
        last_ns: when the last of the former ended, nanoseconds since the epoch.
        free: from this number on there are no segments.
    """

    def __init__(self, place: Place) -> None:
        self.ended: set[int] = set()
        self.recovered: set[int] = set()
        self.last_ns = 0
        # By their names: one whose maker was killed at it has nothing in it yet.
        names = [path.stem.rpartition("-")[2] for path in place.segments("*")]
        self.free = max((int(name) + 1 for name in names if name.isdecimal()), default=0)
        self.free = max(self.free, _FIRST)
        for segment in _segments(place, "traces"):
            by_recovery = segment.sequence >= _FIRST
            ids = self.recovered if by_recovery else self.ended
            for record in _records(segment):
                # A record is a field of a scope's spans.
                for span in ScopeSpans.FromString(record).spans:
                    ids.add(int.from_bytes(span.span_id))
                    if not by_recovery:
                        self.last_ns = max(self.last_ns, span.end_time_unix_nano)


def _last_log(place: Place) -> int:
    times = (
        log.time_unix_nano
        for segment in _segments(place, "logs")
        for record in _records(segment)
        for log in ScopeLogs.FromString(record).log_records
    )
    return max(times, default=0)


def _written(place: Place) -> Iterator[int]:
    """Yield when files of a place were written to, nanoseconds since the epoch."""
    for path in place.path.iterdir():
        yield path.stat().st_mtime_ns
