"""Content: what users and models wrote leaves the process only where it was asked for.

Otherwise a reference stands in its place (``ref:workflow_run_id=…``, the form that Dify
Enterprise's data dictionary uses), so that who may see the content can look it up in Dify.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from otel_dify import table as t
from otel_dify.cleaning.known_content import KnownContent
from otel_dify.cleaning.redaction import cut, mask, mask_up_to
from otel_dify.cleaning.values import Value, encodable
from otel_dify.guard import failed

# Where content can be looked up, the narrowest first.
_KEYS = (
    ("node_execution_id", t.NODE_EXECUTION_ID),
    ("message_id", t.MESSAGE_ID),
    ("workflow_run_id", t.RUN_ID),
    ("conversation_id", t.CONVERSATION_ID),
)
LIMIT = 32_768
"""Characters kept of one value: beyond it a prompt is no longer read but stored."""

_OF_THE_TABLE = frozenset(attribute.key for attribute in t.ATTRIBUTES if attribute.content)
# What other instrumentations call content: OpenTelemetry's GenAI conventions, old and new,
# OpenInference, OpenLLMetry; and values bound to a statement.
_PREFIXES = (
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.prompt",
    "gen_ai.completion",
    "gen_ai.tool.call.",
    "gen_ai.tool.definitions",
    "gen_ai.retrieval.query",
    "gen_ai.retrieval.documents",
    "llm.input_messages",
    "llm.output_messages",
    "llm.prompts",
    "llm.completions",
    "llm.prompt_template",
    "input.value",
    "output.value",
    "retrieval.documents",
    "embedding.text",
    "embedding.embeddings",
    "message.content",
    "tool.parameters",
    "traceloop.entity.input",
    "traceloop.entity.output",
    "db.query.parameter",
    "db.statement.parameters",
    "http.request.body.content",
    "http.response.body.content",
)


def is_content(key: str) -> bool:
    """Tell whether an attribute of this name holds what users or models wrote."""
    return key in _OF_THE_TABLE or key.startswith(_PREFIXES)


class ContentGate:
    """Decides what content is written into a signal.

    Attributes:
        span: whether it goes into spans.
        event: whether it goes into log events and log records.
        whole: whether it goes into all of these.

    Args:
        mode: value of ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT``, lower case.
    """

    def __init__(self, mode: str) -> None:
        self.span = mode in {"span_only", "span_and_event"}
        self.event = mode in {"event_only", "span_and_event"}
        self.whole = self.span and self.event

    def values(
        self, content: Mapping[t.Attribute, object], known: Mapping[str, Value], *, sampled: bool
    ) -> tuple[dict[str, Value], dict[str, Value]]:
        """Return content as it goes into a span, and as it goes into an event.

        Args:
            content: what users or models wrote.
            known: attributes of the operation that has it, which a reference is made of.
            sampled: whether the span is sent; else nothing goes into it.
        """
        if not content:
            return {}, {}
        texts: dict[str, Value] = {}
        references: dict[str, Value] = {}
        if (self.span and sampled) or self.event:
            texts = {attribute.key: _text_of(value) for attribute, value in content.items()}
        if not self.whole:
            references = dict.fromkeys((one.key for one in content), reference_to(known))
        return texts if self.span else references, texts if self.event else references

    def unquoted(
        self, texts: Mapping[str, Value], known: KnownContent | None
    ) -> tuple[dict[str, Value], dict[str, Value]]:
        """Return texts without the content that they quote, for a span and for an event.

        Args:
            texts: texts that may quote content, by attribute name.
            known: the content that may be quoted.

        Returns:
            For each signal that content does not go into, the texts that are others there.
        """
        if known is None or not texts or self.whole:
            return {}, {}
        others: dict[str, Value] = {
            key: other for key, text in texts.items() if (other := known.without(str(text))) != text
        }
        return {} if self.span else others, {} if self.event else others


def reference_to(known: Mapping[str, Value]) -> str:
    """Name where the content of an operation can be looked up in Dify, from its attributes."""
    for name, attribute in _KEYS:
        if value := known.get(attribute.key):
            return f"ref:{name}={value}"
    return "ref:none"


def _text_of(value: object) -> str:
    """Serialise content; where that fails the operation goes on without it."""
    try:
        return as_text(value)
    except Exception as error:  # noqa: BLE001 - collecting and opening up run code of Dify
        failed("otel_dify.cleaning.content", error)
        return f"unavailable ({type(error).__name__})"


def as_text(value: object) -> str:
    """Serialise content: text as it is, all else as JSON, secrets masked, cut at ``LIMIT``.

    A function is called for the content: a source gives one where collecting costs something.
    """
    given = value() if callable(value) else value
    if isinstance(given, str):
        return mask_up_to(given, LIMIT)
    return cut(encodable(_json(mask(given, LIMIT))), LIMIT)


def _json(value: object) -> str:
    """Serialise as JSON; what is no JSON by itself is opened up or becomes text."""
    try:
        return json.dumps(value, ensure_ascii=False, default=_Opening())
    except TypeError:  # a key that JSON has not
        return json.dumps(_with_text_keys(value), ensure_ascii=False, default=_Opening())


def _with_text_keys(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _with_text_keys(inner) for key, inner in value.items()}
    return [_with_text_keys(inner) for inner in value] if isinstance(value, list) else value


class _Opening:
    """Opens up the pydantic models that engine and model runtime pass around.

    An iteration may put out ten thousand files: what comes after ``LIMIT`` characters is cut off in
    the end, and is not even opened.
    """

    def __init__(self) -> None:
        self._left = LIMIT

    def __call__(self, value: object) -> object:
        """Open up one object, or make text of it."""
        if self._left <= 0:
            return "…"
        dump = getattr(value, "model_dump", None)
        opened = mask(dump(mode="json"), self._left) if callable(dump) else None
        if opened is None:
            opened = mask_up_to(str(value), self._left)
        # What is in it may be no JSON either: then it comes here next, and counts by itself.
        self._left -= _size_of(opened)
        return opened


def _size_of(value: object) -> int:
    """Count the characters of the texts in a value, and what is no text as one."""
    if isinstance(value, str):
        return len(value) + 1
    if isinstance(value, dict):
        return sum(_size_of(inner) for inner in value.values()) + 1
    return sum(_size_of(inner) for inner in value) + 1 if isinstance(value, list) else 1


_OF_AN_OBJECT = 64
"""Characters that a piece which is no text is taken for."""


class Pieces:
    """What comes piece by piece: an answer that is streamed, the messages of a tool.

    No more is kept of it than is of a content in the end.
    """

    def __init__(self) -> None:
        self._pieces: list[object] = []
        self._left = LIMIT

    def add(self, piece: object) -> None:
        """Keep a piece, if there is room."""
        if self._left > 0:
            self._pieces.append(piece)
            self._left -= len(piece) if isinstance(piece, str) else _OF_AN_OBJECT

    @property
    def all(self) -> list[object]:
        """What was kept."""
        return self._pieces
