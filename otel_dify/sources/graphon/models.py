"""Calls of models, where every one of them passes: ``invoke`` of graphon's model classes.

Counting here is what makes the tokens of agents, classifiers, extractors, retrieval and suggested
questions right, which the numbers of Dify's nodes leave out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import Any

from otel_dify import table as t
from otel_dify.cleaning.content import Pieces
from otel_dify.guard import guarded
from otel_dify.operations.current import start
from otel_dify.operations.operation import Operation
from otel_dify.sources.graphon.providers import provider_name
from otel_dify.sources.hooks import has, hook
from otel_dify.sources.watch import watch

# Module to its class, and what that does, in OpenTelemetry's words where they have one; and the
# name of the argument that holds the inputs, with its position.
_CLASSES: dict[str, tuple[str, str, str, int]] = {
    "large_language_model": ("LargeLanguageModel", "chat", "prompt_messages", 2),
    "text_embedding_model": ("TextEmbeddingModel", "embeddings", "texts", 2),
    "rerank_model": ("RerankModel", "rerank", "docs", 3),
    "moderation_model": ("ModerationModel", "moderation", "text", 2),
    "speech2text_model": ("Speech2TextModel", "speech_to_text", "file", 2),
    "tts_model": ("TTSModel", "text_to_speech", "content_text", 2),
}


def attach(module: ModuleType) -> None:
    """Attach to the model class of a module."""
    name, operation_name, inputs, position = _CLASSES[module.__name__.rpartition(".")[2]]
    around = _around(operation_name, inputs, position)
    lost = f"model calls of kind '{operation_name}' are not seen"
    hook(module, f"{name}.invoke", around, lost)
    # Only rerank models have it.
    if has(module, f"{name}.invoke_multimodal_rerank"):
        hook(module, f"{name}.invoke_multimodal_rerank", around, lost)


def _around(operation_name: str, inputs: str, position: int) -> Callable[..., Any]:
    def invoke(wrapped: Callable[..., Any], model: Any, args: Any, kwargs: Any) -> Any:
        def begin() -> Operation:
            name = _argument("model", 0, args, kwargs)
            operation = start(t.MODEL_CALL, _request(model, operation_name, name, args, kwargs))
            with guarded("otel_dify.sources.graphon.models inputs"):
                _see_inputs(operation, _argument(inputs, position, args, kwargs))
            return operation

        return watch(
            "otel_dify.sources.graphon.models",
            begin,
            partial(wrapped, *args, **kwargs),
            whole=_see_result,
            stream=lambda operation: _Stream(operation).see,
        )

    return invoke


def _argument(name: str, position: int, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Return an argument of ``invoke``, however it was given."""
    return kwargs.get(name, args[position] if len(args) > position else None)


def _request(
    model: Any, operation_name: str, name: str, args: Any, kwargs: Mapping[str, Any]
) -> dict[t.Attribute, Any]:
    provider = str(model.provider)
    known: dict[t.Attribute, Any] = {
        t.OPERATION_NAME: operation_name,
        t.DIFY_PROVIDER: provider,
        t.PROVIDER: provider_name(provider),
        t.REQUEST_MODEL: name,
        # Where no app is above: Dify's runtime of models knows whose call it is.
        t.TENANT_ID: getattr(model.model_runtime, "tenant_id", None),
    }
    if operation_name == "chat":
        parameters: Mapping[str, Any] = _argument("model_parameters", 3, args, kwargs) or {}
        known |= {
            t.TEMPERATURE: parameters.get("temperature"),
            t.TOP_P: parameters.get("top_p"),
            t.MAX_TOKENS: parameters.get("max_tokens"),
        }
    return known


def _see_inputs(operation: Operation, given: Any) -> None:
    # Not the files of speech.
    if isinstance(given, str | list):
        operation.set(t.INPUT_MESSAGES, partial(_messages, given))
    if isinstance(given, list):
        operation.set(t.INPUT_COUNT, len(given))


def _see_result(operation: Operation, result: Any) -> None:
    operation.set(t.RESPONSE_MODEL, getattr(result, "model", None))
    _see_usage(operation, getattr(result, "usage", None))
    message = getattr(result, "message", None)
    if message is not None:
        operation.set(t.OUTPUT_MESSAGES, partial(_messages, [message]))


def _see_usage(operation: Operation, usage: Any) -> None:
    """Take tokens and price from the usage of a language model or of an embedding."""
    if usage is None:
        return
    inputs = getattr(usage, "prompt_tokens", None)
    operation.set(t.INPUT_TOKENS, getattr(usage, "tokens", None) if inputs is None else inputs)
    operation.set(t.OUTPUT_TOKENS, getattr(usage, "completion_tokens", None))
    operation.set(t.CALL_PRICE, float(usage.total_price))
    operation.set(t.CALL_CURRENCY, usage.currency)


class _Stream:
    """What the chunks of an answer tell, one after the other."""

    def __init__(self, operation: Operation) -> None:
        self._operation = operation
        self._texts = Pieces()
        operation.set(t.STREAM, True)

    def see(self, chunk: Any) -> None:
        """Look at one chunk; chunks of speech are bytes and tell only when they came."""
        operation = self._operation
        if operation.get(t.FIRST_TOKEN) is None:
            operation.set(t.FIRST_TOKEN, (time.time_ns() - operation.start_ns) / 1e9)
            operation.set(t.OUTPUT_MESSAGES, partial(_answer, self._texts))
        delta = getattr(chunk, "delta", None)
        if delta is None:
            return
        operation.set(t.RESPONSE_MODEL, chunk.model)
        if delta.message.content:
            self._texts.add(delta.message.content)
        if delta.finish_reason:
            operation.set(t.FINISH_REASONS, [delta.finish_reason])
        if delta.usage is not None:
            _see_usage(operation, delta.usage)


def _messages(given: Any) -> object:
    """Write messages as OpenTelemetry's GenAI conventions do; all else as it is."""
    if not isinstance(given, list) or not all(hasattr(message, "role") for message in given):
        return given
    return [
        {
            "role": str(getattr(message.role, "value", message.role)),
            "parts": _parts(message.content),
        }
        for message in given
    ]


def _parts(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str) or content is None:
        return [{"type": "text", "content": content or ""}]
    return [
        {"type": str(getattr(part.type, "value", part.type)), "content": getattr(part, "data", "")}
        for part in content
    ]


def _answer(texts: Pieces) -> object:
    text = "".join(part for part in texts.all if isinstance(part, str))
    return [{"role": "assistant", "parts": [{"type": "text", "content": text}]}]
