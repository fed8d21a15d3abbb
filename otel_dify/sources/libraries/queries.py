"""Queries: what has been timed is folded into the operation around it, or becomes a span.

Which of the two is known from its duration and from whether it raised. Until then nothing is made
of it: its text is not read, no attribute is collected, no context is copied.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import INVALID_SPAN_CONTEXT

from otel_dify import table as t
from otel_dify.cleaning.text import clean_known
from otel_dify.operations.current import around, start
from otel_dify.process import process
from otel_dify.signals.shown import Shown

if TYPE_CHECKING:
    from otel_dify.cleaning.values import Value
    from otel_dify.records.recorder import Recorder
    from otel_dify.signals.series import Series

_NAMES = 512
"""Operations of one database that are remembered; beyond it all are forgotten."""


class Folding:
    """What folds with the same attributes: the queries of one database, the checkouts of pools.

    Args:
        kind: its kind.
        known: its attributes, the same for all.
        name_of: makes ``db.operation.name`` of the beginning of what the driver was given.
        text_of: makes ``db.query.text`` of what the driver was given.
        has_shapes: whether what the driver was given is a statement, the same for the same query.
    """

    def __init__(
        self,
        kind: t.Kind,
        known: Mapping[t.Attribute, Any],
        name_of: Callable[[Any], str] = str,
        text_of: Callable[[Any], str] = str,
        *,
        has_shapes: bool = False,
    ) -> None:
        self._kind = kind
        self._known = {key: value for key, value in known.items() if value not in {None, ""}}
        self._labels: dict[str, Value] = {key.key: value for key, value in self._known.items()}
        self._system = str(known.get(t.DB_SYSTEM, ""))
        self._name_of = name_of
        self._text_of = text_of
        self._has_shapes = has_shapes
        self._recorder: Recorder | None = None
        self._series: dict[Any, Series] = {}

    def ended(
        self,
        beginning: Any,
        given: Any,
        elapsed_ns: int,
        error: BaseException | None = None,
    ) -> None:
        """Take one that has just ended.

        Args:
            beginning: what ``name_of`` makes its name of; empty where it has none.
            given: what the driver was given.
            elapsed_ns: what it took, nanoseconds.
            error: what it raised.
        """
        pipeline = process.pipeline or process.recording()
        if pipeline is None:
            return
        recorder = pipeline.recorder
        context = context_api.get_current()
        above = around(context)
        if above is not None:
            span = above.span_context
        elif is_instrumentation_enabled():
            span = trace.get_current_span(context).get_span_context()
        else:
            return
        is_fast = error is None and elapsed_ns < recorder.slow_ns
        if not is_fast:
            if not recorder.folds(elapsed_ns, span, has_failed=error is not None):
                self._become_span(beginning, given, elapsed_ns, error)
                return
            self._list_slow(recorder, beginning, given, elapsed_ns, error)
        if above is not None and self._system:
            folded = above.folded or above.folding()
            folded.add(self._system, elapsed_ns, given if self._has_shapes else "")
        series = self._series_of(recorder, beginning, error)
        series.record(elapsed_ns / 1e9, span, time.time_ns())

    def counted(self, elapsed_ns: int) -> None:
        """Take one that is neither looked for in a trace nor by its name: it is a point only.

        Args:
            elapsed_ns: what it took, nanoseconds.
        """
        pipeline = process.pipeline or process.recording()
        if pipeline is None:
            return
        series = self._series_of(pipeline.recorder, "", None)
        series.record(elapsed_ns / 1e9, INVALID_SPAN_CONTEXT, time.time_ns())

    def _series_of(self, recorder: Recorder, beginning: Any, error: BaseException | None) -> Series:
        if self._recorder is not recorder:
            # A forked child has another.
            self._recorder, self._series = recorder, {}
        key = beginning if error is None else (beginning, type(error))
        return self._series.get(key) or self._find(recorder, key, beginning, error)

    def _find(
        self, recorder: Recorder, key: Any, beginning: Any, error: BaseException | None
    ) -> Series:
        labels = dict(self._labels)
        if beginning:
            labels[t.DB_OPERATION.key] = self._name_of(beginning)
        if error is not None:
            labels[t.ERROR_TYPE.key] = type(error).__name__
        if len(self._series) >= _NAMES:
            self._series.clear()
        found = self._series[key] = recorder.points.duration_of(self._kind, labels)
        return found

    def _list_slow(
        self,
        recorder: Recorder,
        beginning: Any,
        given: Any,
        elapsed_ns: int,
        error: BaseException | None,
    ) -> None:
        """Have one without a span in the list of slow queries, if it is slow and has a text."""
        if not beginning or elapsed_ns < recorder.listed_ns:
            return
        known = {
            **self._labels,
            t.DB_OPERATION.key: self._name_of(beginning),
            t.DB_STATEMENT.key: clean_known(t.DB_STATEMENT, self._text_of(given)),
        }
        shown, ended_s = process.kept(Shown), time.time()
        shown.query(known, elapsed_ns / 1e9, ended_s, failed=error is not None)

    def _become_span(
        self, beginning: Any, given: Any, elapsed_ns: int, error: BaseException | None
    ) -> None:
        """Make an operation of one that is worth a span, with its true start."""
        now = time.time_ns()
        operation = start(self._kind, self._known, at_ns=now - elapsed_ns)
        if beginning:
            operation.set(t.DB_OPERATION, self._name_of(beginning))
            operation.set(t.DB_STATEMENT, self._text_of(given))
        if error is not None:
            operation.fail(error)
        operation.end(now)
