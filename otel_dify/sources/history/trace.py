"""A trace of the past: operations begin in it with their true times and derived ids."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from opentelemetry.context import Context

from otel_dify import table as t
from otel_dify.operations.operation import Operation, Recorder
from otel_dify.sources.history.ids import DerivedIds


class PastTrace:
    """A trace of the past.

    Args:
        recorder: takes the operations.
        ids: where the recorder has its ids from.
        identity: id of the row that the trace is of.
    """

    def __init__(self, recorder: Recorder, ids: DerivedIds, identity: str) -> None:
        self._recorder = recorder
        self._ids = ids
        self._trace = UUID(identity).int

    def begin(
        self,
        kind: t.Kind,
        span_id: int,
        start_ns: int,
        known: Mapping[t.Attribute, object],
        parent: Operation | None,
    ) -> Operation:
        """Begin an operation.

        Args:
            kind: its kind.
            span_id: id of its span.
            start_ns: when it began, nanoseconds since the epoch.
            known: its attributes.
            parent: the operation around it; none for the trace's root.
        """
        self._ids.are(self._trace, span_id)
        context = Context() if parent is None else parent.context
        operation = Operation(
            kind, self._recorder, parent=parent, context=context, start_ns=start_ns
        )
        for attribute, given in known.items():
            operation.set(attribute, given)
        self._recorder.started(operation)
        return operation
