"""The critical path of a trace: at each moment the one operation that all others waited for.

The walk is CRISP's (Zhang et al., "CRISP: Critical Path Analysis of Large-Scale Microservice
Architectures", USENIX ATC 2022, section 3): from the end backwards, an operation waited for that
of its children which finished last; before the start of that child, for the one that had finished
last by then; and so on down the tree. What is left of an operation between its children is its own.

Dify is not what CRISP assumes in three points:

- A child may outlive its parent: a worker takes a task from the queue when the span that sent it
  has ended. What lies beyond the parent's end counts below the next operation above that still
  runs.
- A task says how long it was in its queue. That time is a stretch of its own before its start.
- Clocks differ by a little from process to process, so a child may end after the one that waited
  for it began. So the child is taken whose end is nearest to the moment, before or after it; CRISP
  knows only those before.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_dify import table as t
from otel_dify.cli.kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otel_dify.cli.records import Span
    from otel_dify.cli.traces import Trace


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the critical path that one operation had to itself.

    Attributes:
        span: the operation; none where nothing was recorded.
        waiting: whether it is a task that was in its queue.
        start_ns: nanoseconds since the epoch.
        end_ns: the same.
    """

    span: Span | None
    waiting: bool
    start_ns: int
    end_ns: int

    @property
    def duration_ns(self) -> int:
        """Nanoseconds from start to end."""
        return self.end_ns - self.start_ns


@dataclass(frozen=True, slots=True)
class Path:
    """The critical path of a trace.

    Attributes:
        start_ns: start of the trace.
        end_ns: when its first operation, its runs and its messages had all ended. What goes on
            after that (a task that keeps statistics) kept nobody waiting.
        stretches: in order of time, one following the other from start to end.
        parents: the span above each, by id; none above a root.
        below: what lies below each while it runs, by its id; below ``""`` what no span holds.
        own: the stretches of each that it spent working, by its id.
    """

    start_ns: int
    end_ns: int
    stretches: tuple[Stretch, ...]
    parents: Mapping[str, Span | None]
    below: Mapping[str, Sequence[Stretch]]
    own: Mapping[str, Sequence[Stretch]]

    @property
    def duration_ns(self) -> int:
        """Nanoseconds from start to end."""
        return self.end_ns - self.start_ns

    def of(self, span: Span) -> Sequence[Stretch]:
        """Return the stretches of a span that it spent working."""
        return self.own.get(span.span_id, ())


def critical_path(trace: Trace) -> Path:
    """Find the critical path of a trace."""
    parents = {row.span.span_id: row.parent for row in trace.rows()}
    start_ns, last_ns = trace.start_ns, trace.end_ns
    ends = {span.span_id: span.end_ns or last_ns for span in trace.spans}
    end_ns = max(ends[span.span_id] for span in _waited_for(trace, parents))
    below = _below(trace, parents, ends)
    stretches: list[Stretch] = []
    todo = [Stretch(None, False, start_ns, max(end_ns, start_ns))]
    while todo:
        whole = todo.pop()
        held = "" if whole.span is None else whole.span.span_id
        for part in _parts(whole, [] if whole.waiting else below[held]):
            (
                stretches if part.span is whole.span and part.waiting == whole.waiting else todo
            ).append(part)
    stretches.sort(key=lambda one: one.start_ns)
    own: dict[str, list[Stretch]] = defaultdict(list)
    for one in stretches:
        if one.span is not None and not one.waiting:
            own[one.span.span_id].append(one)
    return Path(start_ns, max(end_ns, start_ns), tuple(stretches), parents, below, own)


def _waited_for(trace: Trace, parents: Mapping[str, Span | None]) -> Iterator[Span]:
    """Yield the operations that somebody waited for: the first, and all runs and messages."""
    yield next(span for span in trace.spans if parents[span.span_id] is None)
    for span in trace.spans:
        if kind_of(span) in {t.RUN, t.MESSAGE}:
            yield span


def _below(
    trace: Trace, parents: Mapping[str, Span | None], ends: Mapping[str, int]
) -> dict[str, list[Stretch]]:
    """Say what lies below each span while that runs."""
    below: dict[str, list[Stretch]] = defaultdict(list)
    for span in trace.spans:
        whole = [Stretch(span, False, span.start_ns, ends[span.span_id])]
        if queued_ns := round(span.number(t.QUEUE_WAIT.key) * 1e9):
            whole.append(Stretch(span, True, span.start_ns - queued_ns, span.start_ns))
        for part in whole:
            parent, start_ns = parents[span.span_id], part.start_ns
            while parent is not None and start_ns < part.end_ns:
                begins = max(start_ns, parent.start_ns)
                start_ns = max(start_ns, ends[parent.span_id])
                until = min(part.end_ns, ends[parent.span_id])
                if begins < until:
                    below[parent.span_id].append(Stretch(span, part.waiting, begins, until))
                parent = parents[parent.span_id]
            if start_ns < part.end_ns:
                below[""].append(Stretch(span, part.waiting, start_ns, part.end_ns))
    return below


def _parts(whole: Stretch, below: list[Stretch]) -> Iterator[Stretch]:
    """Divide a stretch into what lies below it and, between that, its own."""
    to_come = sorted(below, key=lambda one: one.end_ns)
    # Those that still run at the moment; the one that ends first is the last of them.
    running: list[Stretch] = []
    at = whole.end_ns
    while at > whole.start_ns:
        while to_come and to_come[-1].end_ns > at:
            running.append(to_come.pop())
        while running and running[-1].start_ns >= at:
            running.pop()
        ended = to_come[-1] if to_come and to_come[-1].end_ns > whole.start_ns else None
        if running and (ended is None or running[-1].end_ns - at < at - ended.end_ns):
            last = running.pop()
        elif ended is not None:
            last = to_come.pop()
        else:
            yield Stretch(whole.span, whole.waiting, whole.start_ns, at)
            return
        if last.end_ns < at:
            yield Stretch(whole.span, whole.waiting, last.end_ns, at)
        until, at = min(last.end_ns, at), max(last.start_ns, whole.start_ns)
        if at < until:
            yield Stretch(last.span, last.waiting, at, until)
