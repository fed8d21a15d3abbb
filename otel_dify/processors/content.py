"""Content: what users and models wrote leaves the process only where it was asked for.

Otherwise a reference stands in its place (``ref:workflow_run_id=…``, the form that Dify
Enterprise's data dictionary uses), so that who may see the content can look it up in Dify.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

from otel_dify.guard import failed
from otel_dify.operations import attributes as a
from otel_dify.operations.values import encodable
from otel_dify.processors.redaction import mask, mask_text

if TYPE_CHECKING:
    from otel_dify.operations.operation import Operation
    from otel_dify.operations.values import Value

# Where content can be looked up, the narrowest first.
_KEYS = (
    ("node_execution_id", a.NODE_EXECUTION_ID),
    ("message_id", a.MESSAGE_ID),
    ("workflow_run_id", a.RUN_ID),
    ("conversation_id", a.CONVERSATION_ID),
)
LIMIT = 32_768
"""Characters kept of one value: beyond it a prompt is no longer read but stored."""

_KEPT = {
    "span": {"span_only", "span_and_event"},
    "event": {"event_only", "span_and_event"},
}


class ContentGate:
    """Decides what of an operation's content is written into a signal.

    Args:
        mode: value of ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT``, lower case.
    """

    def __init__(self, mode: str) -> None:
        self.mode = mode

    def keeps(self, signal: Literal["span", "event"]) -> bool:
        """Tell whether content goes into a signal."""
        return self.mode in _KEPT[signal]

    def values(self, operation: Operation, signal: Literal["span", "event"]) -> dict[str, Value]:
        """Return the content attributes of an operation as they go into ``signal``."""
        if not operation.content:
            return {}
        if self.keeps(signal):
            return {
                attribute.key: _text_of(value) for attribute, value in operation.content.items()
            }
        reference = reference_to(operation)
        return {attribute.key: reference for attribute in operation.content}


def reference_to(operation: Operation) -> str:
    """Name where the content of an operation can be looked up in Dify."""
    for name, attribute in _KEYS:
        if value := operation.get(attribute):
            return f"ref:{name}={value}"
    return "ref:none"


def _text_of(value: object) -> str:
    """Serialise content; where that fails the operation goes on without it."""
    try:
        return as_text(value)
    except Exception as error:  # noqa: BLE001 - collecting and opening up run code of Dify
        failed("otel_dify.processors.content", error)
        return f"unavailable ({type(error).__name__})"


def as_text(value: object) -> str:
    """Serialise content: text as it is, all else as JSON, secrets masked, cut at ``LIMIT``.

    A function is called for the content: a source gives one where collecting costs something.
    """
    masked = mask(value() if callable(value) else value)
    text = encodable(masked if isinstance(masked, str) else _json(masked))
    return text if len(text) <= LIMIT else f"{text[:LIMIT]}… ({len(text)} characters)"


def _json(value: object) -> str:
    """Serialise as JSON; what is no JSON by itself is opened up or becomes text."""
    try:
        return json.dumps(value, ensure_ascii=False, default=_plain)
    except TypeError:  # a key that JSON has not
        return json.dumps(_with_text_keys(value), ensure_ascii=False, default=_plain)


def _with_text_keys(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _with_text_keys(inner) for key, inner in value.items()}
    return [_with_text_keys(inner) for inner in value] if isinstance(value, list) else value


def _plain(value: object) -> object:
    """Open up the pydantic models that engine and model runtime pass around."""
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return mask(dump(mode="json"))
    return mask_text(str(value))
