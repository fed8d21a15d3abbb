"""The models of the host, as its nodes and tools hold them.

As in Dify there are two halves. `ModelInstance` calls `LargeLanguageModel.invoke` (and the same of
embedding and rerank models), which are graphon's. Those call a model runtime: Dify's asks its
plugin daemon, ours (`provider.py`) the provider itself.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Literal, NoReturn, overload

from graphon.model_runtime.entities.llm_entities import LLMResult, LLMResultChunk
from graphon.model_runtime.entities.message_entities import PromptMessage
from graphon.model_runtime.entities.model_entities import AIModelEntity, ModelType
from graphon.model_runtime.entities.rerank_entities import RerankResult
from graphon.model_runtime.entities.text_embedding_entities import (
    EmbeddingInputType,
    EmbeddingResult,
)
from graphon.model_runtime.model_providers.base.large_language_model import LargeLanguageModel
from graphon.model_runtime.model_providers.base.rerank_model import RerankModel
from graphon.model_runtime.model_providers.base.text_embedding_model import TextEmbeddingModel

from examples.host.catalogue import PROVIDER, schema_of


class ModelInstance:
    """One model with its parameters, as nodes and tools hold it.

    Args:
        runtime: who calls the provider.
        model_name: the model.
        parameters: completion parameters; a node fills in variables.
    """

    provider = PROVIDER
    stop: Sequence[str] | None = None

    def __init__(
        self, runtime: Any, model_name: str, parameters: Mapping[str, Any] | None = None
    ) -> None:
        self.model_name = model_name
        self.parameters: Mapping[str, Any] = dict(parameters or {})
        self._runtime = runtime
        (self._schema,) = runtime.fetch_model_providers()
        self._credentials: dict[str, Any] = {}

    def get_model_schema(self) -> AIModelEntity:
        """Return what is known of the model."""
        return schema_of(self.model_name, ModelType.LLM)

    def get_llm_num_tokens(self, prompt_messages: Sequence[PromptMessage]) -> int:
        """Return an estimate of a prompt's tokens."""
        llm = LargeLanguageModel(self._schema, self._runtime)
        return llm.get_num_tokens(self.model_name, self._credentials, list(prompt_messages))

    @overload
    def invoke_llm(
        self,
        *,
        prompt_messages: Sequence[PromptMessage],
        model_parameters: Mapping[str, Any],
        tools: Sequence[Any] | None,
        stop: Sequence[str] | None,
        stream: Literal[False],
    ) -> LLMResult: ...

    @overload
    def invoke_llm(
        self,
        *,
        prompt_messages: Sequence[PromptMessage],
        model_parameters: Mapping[str, Any],
        tools: Sequence[Any] | None,
        stop: Sequence[str] | None,
        stream: Literal[True],
    ) -> Generator[LLMResultChunk, None, None]: ...

    def invoke_llm(
        self,
        *,
        prompt_messages: Sequence[PromptMessage],
        model_parameters: Mapping[str, Any],
        tools: Sequence[Any] | None,
        stop: Sequence[str] | None,
        stream: bool,
    ) -> LLMResult | Generator[LLMResultChunk, None, None]:
        """Call the model through graphon's `LargeLanguageModel.invoke`."""
        return LargeLanguageModel(self._schema, self._runtime).invoke(
            model=self.model_name,
            credentials=self._credentials,
            prompt_messages=list(prompt_messages),
            model_parameters={**self.parameters, **model_parameters},
            tools=list(tools) if tools else None,
            stop=list(stop) if stop else None,
            stream=stream,
        )

    def invoke_llm_with_structured_output(self, **kwargs: Any) -> NoReturn:
        """Refuse: the host has no structured output."""
        del kwargs
        raise NotImplementedError("This example host has no structured output: turn it off.")

    def is_structured_output_parse_error(self, error: Exception) -> bool:
        """Return False: there is no structured output."""
        del error
        return False

    def invoke_text_embedding(
        self, texts: list[str], input_type: EmbeddingInputType = EmbeddingInputType.DOCUMENT
    ) -> EmbeddingResult:
        """Call the model through graphon's `TextEmbeddingModel.invoke`."""
        model = TextEmbeddingModel(self._schema, self._runtime)
        return model.invoke(
            model=self.model_name,
            credentials=self._credentials,
            texts=texts,
            input_type=input_type,
        )

    def invoke_rerank(self, query: str, docs: list[str], top_n: int) -> RerankResult:
        """Call the model through graphon's `RerankModel.invoke`."""
        model = RerankModel(self._schema, self._runtime)
        return model.invoke(
            model=self.model_name,
            credentials=self._credentials,
            query=query,
            docs=docs,
            top_n=top_n,
        )
