"""Model and tool runtimes as a host gives them to graphon, answering from a script."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from decimal import Decimal
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from tests.versions.graphs import GRAPHON, load

_BASE = "__base" if GRAPHON < (0, 2) else "base"

LLMUsage: Any = load("model_runtime.entities.llm_entities", "LLMUsage")
_LLMResult: Any = load("model_runtime.entities.llm_entities", "LLMResult")
_Chunk: Any = load("model_runtime.entities.llm_entities", "LLMResultChunk")
_Delta: Any = load("model_runtime.entities.llm_entities", "LLMResultChunkDelta")
_Assistant: Any = load("model_runtime.entities.message_entities", "AssistantPromptMessage")
UserMessage: Any = load("model_runtime.entities.message_entities", "UserPromptMessage")
ToolNodeError: Any = load("nodes.tool.exc", "ToolNodeError")
RateLimited: Any = load("model_runtime.errors.invoke", "InvokeRateLimitError")

PROVIDER = "langgenius/openai/openai"


def usage(tokens_in: int, tokens_out: int) -> Any:
    """Make the usage of one call, at a thousandth of a dollar for each token."""
    return LLMUsage.from_metadata(
        {
            "prompt_tokens": tokens_in,
            "completion_tokens": tokens_out,
            "total_tokens": tokens_in + tokens_out,
            "total_price": str(Decimal(tokens_in + tokens_out) / 1000),
            "currency": "USD",
        }
    )


class Models:
    """A model runtime that answers from a script and counts what it answered.

    Attributes:
        input_tokens: sum of what was told as used.
        output_tokens: the same for output.
        calls: calls of any kind.
    """

    def __init__(self, text: str = "fine", *, fail_at: int | None = None) -> None:
        self.text = text
        self.fail_at = fail_at
        self.input_tokens = self.output_tokens = self.calls = 0

    def _used(self) -> Any:
        self.input_tokens += 7
        self.output_tokens += 3
        return usage(7, 3)

    def invoke_llm(self, *, model: str, stream: bool, **_: Any) -> Any:
        """Answer word by word, the usage in the last chunk; or all at once."""
        self.calls += 1
        if not stream:
            if self.fail_at is not None:
                raise RateLimited("slow down")
            message = _Assistant(content=self.text)
            return _LLMResult(model=model, message=message, usage=self._used())
        return self._chunks(model)

    def _chunks(self, model: str) -> Generator[Any, None, None]:
        words = [*self.text, ""]
        for index, word in enumerate(words):
            if index == self.fail_at:
                raise RateLimited("slow down")
            last = index == len(words) - 1
            yield _Chunk(
                model=model,
                delta=_Delta(
                    index=index,
                    message=_Assistant(content=word),
                    usage=self._used() if last else None,
                    finish_reason="stop" if last else None,
                ),
            )

    def invoke_text_embedding(self, *, model: str, texts: list[str], **_: Any) -> Any:
        """Embed texts, five tokens each."""
        self.calls += 1
        self.input_tokens += 5 * len(texts)
        entities = import_module("graphon.model_runtime.entities.text_embedding_entities")
        return entities.EmbeddingResult(
            model=model,
            embeddings=[[0.0]] * len(texts),
            usage=entities.EmbeddingUsage(
                tokens=5 * len(texts),
                total_tokens=5 * len(texts),
                unit_price=Decimal(0),
                price_unit=Decimal(0),
                total_price=Decimal(5 * len(texts)) / 1000,
                currency="USD",
                latency=0.0,
            ),
        )

    def invoke_rerank(self, *, model: str, docs: list[Any], **_: Any) -> Any:
        """Rank documents as they come."""
        self.calls += 1
        entities = import_module("graphon.model_runtime.entities.rerank_entities")
        ranked = [
            entities.RerankDocument(index=index, text=str(text), score=0.5)
            for index, text in enumerate(docs)
        ]
        return entities.RerankResult(model=model, docs=ranked)

    invoke_multimodal_rerank = invoke_rerank

    def invoke_moderation(self, **_: Any) -> bool:
        """Find nothing."""
        self.calls += 1
        return False

    def invoke_speech_to_text(self, **_: Any) -> str:
        """Hear a word."""
        self.calls += 1
        return self.text

    def invoke_tts(self, **_: Any) -> Generator[bytes, None, None]:
        """Speak, byte by byte."""
        self.calls += 1
        for letter in self.text:
            yield letter.encode()


def model(kind: str, runtime: Models) -> Any:
    """Make one of graphon's model classes.

    Args:
        kind: its module, such as ``large_language``.
        runtime: what it calls.
    """
    module = import_module(f"graphon.model_runtime.model_providers.{_BASE}.{kind}_model")
    name = {
        "large_language": "LargeLanguageModel",
        "text_embedding": "TextEmbeddingModel",
        "rerank": "RerankModel",
        "moderation": "ModerationModel",
        "speech2text": "Speech2TextModel",
        "tts": "TTSModel",
    }[kind]
    # Only these are read of a provider's schema.
    provider = SimpleNamespace(provider=PROVIDER, label=SimpleNamespace(en_US="O", en_us="O"))
    return getattr(module, name)(provider, runtime)


def ask(runtime: Models, *, stream: bool = True, **more: Any) -> Any:
    """Call a language model."""
    return model("large_language", runtime).invoke(
        model="gpt-4o",
        credentials={},
        prompt_messages=[UserMessage(content="How are you?")],
        model_parameters={"temperature": 0.5, "max_tokens": 64},
        stream=stream,
        **more,
    )


class PreparedModel:
    """What a host gives to nodes that call a language model."""

    provider = PROVIDER
    model_name = "gpt-4o"
    stop: Sequence[str] = ()

    def __init__(self, runtime: Models) -> None:
        self._model = model("large_language", runtime)
        self.parameters: Mapping[str, Any] = {}

    def invoke_llm(self, *, stream: bool, **given: Any) -> Any:
        """Call the model."""
        given.pop("request_metadata", None)
        return self._model.invoke(
            model=self.model_name,
            credentials={},
            prompt_messages=list(given["prompt_messages"]),
            model_parameters=dict(given["model_parameters"]),
            stream=stream,
        )

    def get_llm_num_tokens(self, _prompt_messages: Any) -> int:
        """Count nothing."""
        return 0

    def get_model_schema(self) -> Any:
        """Describe the model: text only, a large context."""
        entities = import_module("graphon.model_runtime.entities.model_entities")
        common = import_module("graphon.model_runtime.entities.common_entities")
        label = {"en_US": "O"} if "en_US" in common.I18nObject.model_fields else {"en_us": "O"}
        return entities.AIModelEntity(
            model=self.model_name,
            label=common.I18nObject(**label),
            model_type=entities.ModelType.LLM,
            fetch_from=entities.FetchFrom.PREDEFINED_MODEL,
            model_properties={"mode": "chat", "context_size": 100_000},
        )

    def is_structured_output_parse_error(self, _error: Exception) -> bool:
        """Make none of them out."""
        return False


class _Prompts:
    """Keeps prompts as they are."""

    def serialize(self, *, prompt_messages: Sequence[Any], **_: Any) -> list[str]:
        """Turn messages into what a database keeps."""
        return [str(message.content) for message in prompt_messages]


def llm_extra(runtime: Models) -> dict[str, Any]:
    """Return what an LLM node needs of its host."""
    return {
        "model_instance": PreparedModel(runtime),
        "http_client": object(),
        "llm_file_saver": object(),
        "prompt_message_serializer": _Prompts(),
    }


def classifier_extra(runtime: Models, template: Any) -> dict[str, Any]:
    """Return what a question classifier needs of its host."""
    return {**llm_extra(runtime), "template_renderer": template}


MODEL_DATA: dict[str, Any] = {
    "provider": PROVIDER,
    "name": "gpt-4o",
    "mode": "chat",
    "completion_params": {},
}
LLM_DATA: dict[str, Any] = {
    "model": MODEL_DATA,
    "prompt_template": [{"role": "user", "text": "How are you?"}],
    "context": {"enabled": False},
}


class Tools:
    """A tool runtime that streams messages, or fails: at once or between two messages."""

    def __init__(self, *messages: str, fails: str = "", late: bool = False) -> None:
        self.messages = messages
        self.fails = fails
        self.late = late

    def get_runtime(self, **_: Any) -> Any:
        """Find the tool."""
        return load("nodes.tool_runtime_entities", "ToolRuntimeHandle")(raw=None)

    def get_runtime_parameters(self, **_: Any) -> list[Any]:
        """List its parameters."""
        return [load("nodes.tool_runtime_entities", "ToolRuntimeParameter")(name="city")]

    def invoke(self, **_: Any) -> Generator[Any, None, None]:
        """Call it."""
        if self.fails and not self.late:
            raise ToolNodeError(self.fails)
        return self._stream()

    def _stream(self) -> Generator[Any, None, None]:
        message = load("nodes.tool_runtime_entities", "ToolRuntimeMessage")
        for text in self.messages:
            yield message(type=message.MessageType.TEXT, message=message.TextMessage(text=text))
        if self.fails:
            raise ToolNodeError(self.fails)

    def get_usage(self, **_: Any) -> Any:
        """Use nothing."""
        return LLMUsage.empty_usage()


TOOL_DATA: dict[str, Any] = {
    "provider_id": "weather",
    "provider_type": "builtin",
    "provider_name": "weather",
    "tool_name": "forecast",
    "tool_label": "Forecast",
    "tool_configurations": {},
    "tool_parameters": {"city": {"type": "mixed", "value": "Oslo"}},
}


def tool_extra(runtime: Tools) -> dict[str, Any]:
    """Return what a tool node needs of its host."""
    files = "tool_file_manager_factory" if GRAPHON < (0, 2) else "tool_file_manager"
    return {"runtime": runtime, files: None}
