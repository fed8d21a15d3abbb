"""Spans of foreign instrumentations: inputs like the rest, cleaned before they go on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.sampling import Decision as Sampling
from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult
from opentelemetry.trace import Link, Status, StatusCode, get_current_span

from otel_dify.cleaning.content import as_text, is_content, reference_to
from otel_dify.cleaning.known_content import KnownContent, without
from otel_dify.cleaning.text import clean, clean_attribute
from otel_dify.guard import failed
from otel_dify.operations.allowance import may_have_span
from otel_dify.operations.current import current, known_around

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Span

    from otel_dify.cleaning.content import ContentGate
    from otel_dify.cleaning.values import Value
    from otel_dify.operations.operation import Operation
    from otel_dify.records.sampling import Decisions


class ForeignSampler(Sampler):
    """Decides on the traces of foreign spans as on those of operations.

    The SDK fixes the context of a span when it begins. So what one lies in is decided on then, with
    what is known of it.

    Args:
        decisions: how this process decides on traces.
        decide: has it decided on the trace of an operation.
    """

    def __init__(self, decisions: Decisions, decide: Callable[[Operation], None]) -> None:
        self._decisions = decisions
        self._decide = decide

    def should_sample(  # noqa: PLR0917 - the interface of OpenTelemetry
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: Any = None,
        attributes: Any = None,
        links: Any = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        """Tell whether a span is sampled, which carries what has been decided of its trace."""
        del name, kind, links, trace_state
        above = get_current_span(parent_context).get_span_context()
        around = current(parent_context)
        decision = None
        if around is not None and around.span_context.trace_id == trace_id:
            self._decide(around)
            decision = around.decision
        elif not above.is_valid or above.is_remote:
            decision = self._decisions.begin(above, trace_id, ours=False)
            if decision is not None and not decision.settled:
                decision.settle(self._decisions.rates.threshold(None, None))
        if decision is None:
            flags, state = self._decisions.undecided(above, ours=not above.is_remote)
        else:
            flags, state = decision.flags, decision.state
        sampled = Sampling.RECORD_AND_SAMPLE if flags.sampled else Sampling.DROP
        return SamplingResult(sampled, attributes, state)

    def get_description(self) -> str:
        """Say what it is."""
        return "otel_dify"


_KIND = "foreign"
"""What those that were left out are counted as."""
_SHARE = 2
"""As most kinds of the table have it (``Kind.share``)."""

type Known = Collection[KnownContent]


class ForeignSpans(SpanProcessor):
    """Takes spans that other instrumentations have ended, and sends clean copies on.

    Args:
        send: takes each span on.
        gate: what content goes into spans.
    """

    def __init__(self, send: Callable[[ReadableSpan], None], gate: ContentGate) -> None:
        self._send = send
        self._gate = gate

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Put the ids of the run that a span lies in on it."""
        operation = current(parent_context)
        if operation is not None:
            span.set_attributes(dict(operation.inherited))

    def on_end(self, span: ReadableSpan) -> None:
        """Send a copy of a span without secrets, and without content where nobody asked for it."""
        context = span.get_span_context()
        if context is None or not context.trace_flags.sampled:
            return
        try:
            # It ends where it began: within the operation that it lies in.
            around = current()
            if around is not None and not _has_room(around, span):
                return
            copy = self._clean(span, around)
        except Exception as error:  # noqa: BLE001 - what cannot be cleaned does not leave
            failed("otel_dify.records.foreign", error)
            return
        self._send(copy)

    def _clean(self, span: ReadableSpan, around: Operation | None) -> ReadableSpan:
        known = () if self._gate.span else known_around(around)
        return ReadableSpan(
            clean(span.name),
            span.get_span_context(),
            span.parent,
            span.resource,
            self._attributes(span.attributes, known),
            [
                Event(clean(event.name), self._attributes(event.attributes, known), event.timestamp)
                for event in span.events
            ],
            [Link(link.context, self._attributes(link.attributes, known)) for link in span.links],
            span.kind,
            status=Status(span.status.status_code, _description(span.status, known)),
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )

    def _attributes(self, attributes: Mapping[str, Any] | None, known: Known) -> Any:
        """Clean attributes of any name; how many the SDK has dropped is still told."""
        given = attributes or {}
        cleaned = {key: self._value(key, value, given, known) for key, value in given.items()}
        dropped = getattr(attributes, "dropped", 0)
        if not dropped:
            return cleaned
        bounded = BoundedAttributes(attributes=cleaned)
        bounded.dropped = dropped
        return bounded

    def _value(self, key: str, value: object, others: Mapping[str, Any], known: Known) -> Value:
        if not is_content(key):
            cleaned = clean_attribute(key, value)
            return without(cleaned, known) if isinstance(cleaned, str) else cleaned
        return as_text(value) if self._gate.span else reference_to(others)


def _has_room(around: Operation, span: ReadableSpan) -> bool:
    """Tell whether there may be one more span in an operation; count it there otherwise."""
    if may_have_span(around, _SHARE):
        return True
    allowance = around.allowance
    if allowance is None:
        return True
    has_failed = span.status.status_code is StatusCode.ERROR
    elapsed_ns = (span.end_time or 0) - (span.start_time or 0)
    return not allowance.leaves_out(around.folding(), _KIND, elapsed_ns, has_failed=has_failed)


def _description(status: Status, known: Known) -> str | None:
    text = status.description
    return None if text is None else clean(without(text, known))
