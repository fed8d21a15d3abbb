"""Recording what a test made: the recorders of the product on in-memory exporters of the SDK.

The fixture ``recorded`` gives a ``Recording``: spans as an indented tree, metric points, log
events, and what lay below what. It fails a test in which one of our hooks failed without the test
saying so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

from otel_dify import guard
from otel_dify import table as t
from otel_dify.cleaning.text import choose
from otel_dify.export.sdk_outlets import SdkLogs, SdkSpans
from otel_dify.operations.current import Open
from otel_dify.operations.operation import Operation, Recorder
from otel_dify.process import process
from otel_dify.recording import SCOPE, Signals
from otel_dify.settings import Settings
from otel_dify.signals.cells import Cells
from otel_dify.signals.points import OwnStore
from otel_dify.signals.series import Exemplars
from tests.nesting import Pair, pairs_of

type Order = Callable[[ReadableSpan], Any]


def by_item(span: ReadableSpan) -> Any:
    """Order siblings that run side by side: by the number of their item, then by name."""
    index = dict(span.attributes or {}).get(t.INDEX.key)
    return (index if isinstance(index, int) else -1, span.name)


def by_start(span: ReadableSpan) -> Any:
    """Order siblings that run one after the other: as they started."""
    return span.start_time or 0


class _Noting:
    """The recorder of the product, and what lay below what it was given."""

    def __init__(self, recorder: Any, pairs: Counter[Pair]) -> None:
        self._recorder = recorder
        self._pairs = pairs

    def __getattr__(self, name: str) -> Any:
        """Pass on all else."""
        return getattr(self._recorder, name)

    def started(self, operation: Operation) -> None:
        """See an operation that has just been started."""
        self._recorder.started(operation)

    def ended(self, operation: Operation) -> None:
        """Note what an operation that has just ended lay below, unless one of our hooks failed.

        Tests break them one by one, and an operation that is missing then surrounds nothing.
        """
        if not guard.caught():
            self._pairs.update(pairs_of(operation))
        self._recorder.ended(operation)


class Recording:
    """What has been recorded so far.

    Attributes:
        pairs: the kinds of what has ended, each with the kind of what it lay below.

    Args:
        content: value of ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT``, lower case.
        environment: other settings.
    """

    def __init__(self, content: str = "no_content", **environment: str) -> None:
        resource = Resource({})
        self._ended: list[ReadableSpan] = []
        self._logs: list[ReadableLogRecord] = []
        self._store = OwnStore(Exemplars(), Cells())
        settings = Settings(
            {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": content, **environment}
        )
        self.signals = Signals(
            resource,
            settings,
            self._store,
            SdkSpans(self._ended.append, resource, SCOPE),
            lambda scope: SdkLogs(self._logs.append, resource, scope),
        )
        choose(settings)
        self.pairs: Counter[Pair] = Counter()
        self.recorder: Recorder = _Noting(self.signals.recorder, self.pairs)
        self.tracer_provider = TracerProvider(
            self.signals.sampler, resource, shutdown_on_exit=False
        )
        self.tracer_provider.add_span_processor(self.signals.foreign)
        self.tracer = self.tracer_provider.get_tracer("test")

    @property
    def spans(self) -> list[ReadableSpan]:
        """The ended spans, as they started."""
        process.kept(Open).end_dropped()
        return sorted(self._ended, key=by_start)

    def span(self, name: str) -> ReadableSpan:
        """Return the one span of a name."""
        [found] = [span for span in self.spans if span.name == name]
        return found

    def attributes(self, name: str) -> dict[str, Any]:
        """Return the attributes of the one span of a name."""
        return dict(self.span(name).attributes or {})

    def tree(self, *shown: t.Attribute, order: Order = by_start) -> str:
        """Draw the spans as indented lines: ``name [STATUS] {attributes} !event``.

        Names of attributes are shown without ``dify.`` and ``gen_ai.``.

        Args:
            shown: the attributes to show, where a span has them.
            order: what siblings are ordered by.
        """
        below: dict[int, list[ReadableSpan]] = {}
        spans = sorted(self.spans, key=order)
        ids = {span.context.span_id for span in spans}
        for span in spans:
            parent = span.parent.span_id if span.parent is not None else 0
            below.setdefault(parent if parent in ids else 0, []).append(span)
        return "\n".join(_lines(below, 0, 0, shown))

    def points(self, metric: str) -> dict[tuple[tuple[str, Any], ...], float]:
        """Return the points of a metric: labels to sum (a histogram's sum)."""
        return {
            tuple(sorted(point.attributes.items())): float(
                point.sum if hasattr(point, "sum") else point.value
            )
            for point in self._points(metric)
        }

    def total(self, metric: str, **labels: Any) -> float:
        """Add up the points of a metric that have these labels (``.`` written as ``__``)."""
        return sum(value for point, value in self.points(metric).items() if _has(point, labels))

    def counts(self, metric: str, label: str) -> dict[Any, int]:
        """Count the measurements of a histogram by the value of a label."""
        counts: Counter[Any] = Counter()
        for point in self._points(metric):
            counts[point.attributes.get(label)] += point.count
        return dict(counts)

    def metrics(self) -> Iterator[Any]:
        """Collect every metric."""
        return self._store.collect()

    def _points(self, metric: str) -> Iterator[Any]:
        for found in self.metrics():
            if found.name == metric:
                yield from found.data.data_points

    @property
    def told(self) -> list[Any]:
        """The log records, as they were emitted."""
        return [log.log_record for log in self._logs]

    @property
    def events(self) -> list[Any]:
        """The log records of what has ended."""
        return [record for record in self.told if record not in self.starts]

    @property
    def starts(self) -> list[Any]:
        """The log records of what has started."""
        return [record for record in self.told if str(record.event_name).endswith(".started")]

    def event(self, name: str) -> Any:
        """Return the one log event of a name."""
        [found] = [record for record in self.told if record.event_name == name]
        return found

    def clear(self) -> None:
        """Forget the spans and log records so far; metrics go on counting."""
        self._ended.clear()
        self._logs.clear()


def _has(point: tuple[tuple[str, Any], ...], labels: dict[str, Any]) -> bool:
    known = dict(point)
    return all(known.get(name.replace("__", ".")) == value for name, value in labels.items())


def _lines(
    below: dict[int, list[ReadableSpan]], parent: int, depth: int, shown: tuple[t.Attribute, ...]
) -> Iterator[str]:
    for span in below.get(parent, ()):
        known = dict(span.attributes or {})
        status = span.status.status_code.name
        values = [f"{_short(one.key)}={known[one.key]}" for one in shown if one.key in known]
        parts = [
            span.name,
            f"[{status}]" if status != "UNSET" else "",
            f"{{{', '.join(values)}}}" if values else "",
            *(f"!{event.name}" for event in span.events),
        ]
        yield "  " * depth + " ".join(part for part in parts if part)
        yield from _lines(below, span.context.span_id, depth + 1, shown)


def _short(key: str) -> str:
    return key.removeprefix("dify.").removeprefix("gen_ai.")


@contextmanager
def recording(content: str = "no_content", **environment: str) -> Iterator[Recording]:
    """Record all operations of a block; afterwards none is recorded any more.

    Raises:
        AssertionError: one of our hooks failed in the block and nobody cleared ``guard.caught()``.
    """
    guard.caught().clear()
    made = Recording(content, **environment)
    with recording_by(made):
        yield made
    choose(Settings({}))
    failures = dict(guard.caught())
    guard.caught().clear()
    assert not failures


@contextmanager
def recording_by(pipeline: Any) -> Iterator[None]:
    """Have a pipeline record all operations of a block; afterwards none is recorded any more."""
    before, process.pipeline = process.pipeline, pipeline
    try:
        yield
    finally:
        process.pipeline = before
