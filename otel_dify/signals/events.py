"""Log events: the recorder that emits a structured event for an ended operation.

Runs and nodes have one for their start as well: what has begun and not ended is what hangs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from opentelemetry._logs import SeverityNumber

from otel_dify.operations import attributes as a
from otel_dify.operations.errors import stack_of
from otel_dify.processors.redaction import mask_text

if TYPE_CHECKING:
    from opentelemetry._logs import Logger

    from otel_dify.operations.operation import Operation
    from otel_dify.operations.values import Value
    from otel_dify.processors.content import ContentGate


class EventRecorder:
    """Records operations as log events.

    Args:
        logger: where events are emitted.
        gate: what of an operation's content goes into its event.
    """

    def __init__(self, logger: Logger, gate: ContentGate) -> None:
        self._logger = logger
        self._gate = gate

    def start(self, operation: Operation) -> None:
        """Emit the event of the start, where the kind's row names one."""
        kind = operation.kind
        if kind.start_event:
            subject = operation.fill(kind.subject, missing="?")
            self._emit(operation, kind.start_event, f"{subject} started", operation.start_ns)

    def end(self, operation: Operation) -> None:
        """Emit the event that the kind's row names."""
        kind = operation.kind
        if not kind.event:
            return
        attributes: dict[str, Value] = {
            **self._gate.values(operation, "event"),
            a.ELAPSED.key: operation.duration,
        }
        if operation.error is not None:
            attributes[a.STACK_TRACE.key] = mask_text(stack_of(operation.error))
        self._emit(operation, kind.event, sentence(operation), operation.end_ns, attributes)

    def _emit(
        self,
        operation: Operation,
        name: str,
        body: str,
        at_ns: int,
        attributes: Mapping[str, Value] = MappingProxyType({}),
    ) -> None:
        severity = SeverityNumber.ERROR if operation.failed else SeverityNumber.INFO
        self._logger.emit(
            timestamp=at_ns,
            observed_timestamp=time.time_ns(),
            context=operation.context,
            severity_number=severity,
            severity_text=severity.name,
            body=body,
            attributes={**operation.attributes, **attributes, a.EVENT_NAME.key: name},
            event_name=name,
        )


def sentence(operation: Operation) -> str:
    """Say what happened, for who reads the log: subject, outcome, seconds, cause."""
    kind, known = operation.kind, operation.attributes
    subject = operation.fill(kind.subject or kind.name, missing="?")
    status = known.get(kind.status.key) if kind.status else None
    outcome = str(status or ("failed" if operation.failed else "succeeded"))
    cause = f": {known.get(a.ERROR_MESSAGE.key, '')}" if operation.failed else ""
    return f"{subject} {outcome} in {operation.duration:.3f} s{cause}"
