"""The models of the host: one provider, called over OpenAI's HTTP API.

As in Dify there are two halves. `ModelInstance` is what nodes hold; it calls
`LargeLanguageModel.invoke` (and the same of embedding and rerank models), which are graphon's.
Those call a model runtime: Dify's asks its plugin daemon, `OpenAIRuntime` the provider itself.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, NoReturn, overload

import httpx
from graphon.model_runtime.entities.common_entities import I18nObject
from graphon.model_runtime.entities.llm_entities import (
    LLMResult,
    LLMResultChunk,
    LLMResultChunkDelta,
    LLMUsage,
)
from graphon.model_runtime.entities.message_entities import AssistantPromptMessage, PromptMessage
from graphon.model_runtime.entities.model_entities import (
    AIModelEntity,
    FetchFrom,
    ModelPropertyKey,
    ModelType,
    ParameterRule,
    ParameterType,
    PriceConfig,
)
from graphon.model_runtime.entities.provider_entities import ConfigurateMethod, ProviderEntity
from graphon.model_runtime.entities.rerank_entities import RerankDocument, RerankResult
from graphon.model_runtime.entities.text_embedding_entities import (
    EmbeddingInputType,
    EmbeddingResult,
    EmbeddingUsage,
)
from graphon.model_runtime.errors.invoke import (
    InvokeAuthorizationError,
    InvokeBadRequestError,
    InvokeConnectionError,
    InvokeError,
    InvokeRateLimitError,
    InvokeServerUnavailableError,
)
from graphon.model_runtime.model_providers.base.large_language_model import LargeLanguageModel
from graphon.model_runtime.model_providers.base.rerank_model import RerankModel
from graphon.model_runtime.model_providers.base.text_embedding_model import TextEmbeddingModel

PROVIDER = "langgenius/openai/openai"
_MILLIONTH = Decimal("0.000001")
# US dollars for a million tokens: input, output.
_PRICES = {
    "gpt-4o-mini": ("0.15", "0.60"),
    "gpt-4o": ("2.50", "10.00"),
    "o4-mini": ("1.10", "4.40"),
    "text-embedding-3-small": ("0.02", "0"),
}
_ERRORS: dict[int, type[InvokeError]] = {
    400: InvokeBadRequestError,
    401: InvokeAuthorizationError,
    403: InvokeAuthorizationError,
    404: InvokeBadRequestError,
    429: InvokeRateLimitError,
}
_SERVER_ERRORS = 500


def _label(text: str) -> I18nObject:
    return I18nObject(en_US=text)


def _price(model: str) -> tuple[Decimal, Decimal]:
    # A suffix that asks the server for a fault ("gpt-4o-mini-error") costs what the model costs.
    name = max((n for n in _PRICES if model.startswith(n)), key=len, default="")
    unit_in, unit_out = _PRICES.get(name, ("0", "0"))
    return Decimal(unit_in), Decimal(unit_out)


def _schema(model: str, model_type: ModelType) -> AIModelEntity:
    unit_in, unit_out = _price(model)
    return AIModelEntity(
        model=model,
        label=_label(model),
        model_type=model_type,
        fetch_from=FetchFrom.PREDEFINED_MODEL,
        model_properties={ModelPropertyKey.MODE: "chat", ModelPropertyKey.CONTEXT_SIZE: 128_000},
        parameter_rules=[
            ParameterRule(
                name=name,
                use_template=name,
                label=_label(name),
                type=ParameterType.INT if name == "max_tokens" else ParameterType.FLOAT,
            )
            for name in ("temperature", "top_p", "max_tokens")
        ],
        pricing=PriceConfig(input=unit_in, output=unit_out, unit=_MILLIONTH, currency="USD"),
    )


@dataclass
class _Clock:
    """The times of one call, in seconds since it began."""

    began: float = field(default_factory=time.perf_counter)
    first_token: float | None = None

    def elapsed(self) -> float:
        return time.perf_counter() - self.began

    def token(self) -> None:
        if self.first_token is None:
            self.first_token = self.elapsed()


def _llm_usage(model: str, usage: Mapping[str, Any], clock: _Clock) -> LLMUsage:
    unit_in, unit_out = _price(model)
    prompt, completion = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
    prompt_price, completion_price = prompt * unit_in, completion * unit_out
    latency = clock.elapsed()
    return LLMUsage(
        prompt_tokens=prompt,
        prompt_unit_price=unit_in,
        prompt_price_unit=_MILLIONTH,
        prompt_price=prompt_price * _MILLIONTH,
        completion_tokens=completion,
        completion_unit_price=unit_out,
        completion_price_unit=_MILLIONTH,
        completion_price=completion_price * _MILLIONTH,
        total_tokens=prompt + completion,
        total_price=(prompt_price + completion_price) * _MILLIONTH,
        currency="USD",
        latency=latency,
        time_to_first_token=clock.first_token,
        time_to_generate=latency - clock.first_token if clock.first_token is not None else None,
    )


@contextmanager
def _invoke_errors() -> Iterator[None]:
    """Turn what goes wrong on the way to the provider into graphon's error of an invocation."""
    try:
        yield
    except httpx.TransportError as error:
        raise InvokeConnectionError(f"{type(error).__name__}: {error}") from error


def _checked(answer: httpx.Response) -> httpx.Response:
    """Return an answer of success; raise graphon's error for any other."""
    if answer.is_error:
        answer.read()
        status = answer.status_code
        fallback = InvokeServerUnavailableError if status >= _SERVER_ERRORS else InvokeError
        raise _ERRORS.get(status, fallback)(f"{status} from the model provider: {answer.text}")
    return answer


class OpenAIRuntime:
    """graphon's model runtime, for a provider that speaks OpenAI's API.

    Args:
        base_url: the provider's address up to and with `/v1`.
        api_key: sent as the bearer token.
    """

    def __init__(self, base_url: str, api_key: str) -> None:
        headers = {"Authorization": f"Bearer {api_key}"}
        self._http = httpx.Client(base_url=base_url, headers=headers, timeout=60)

    def close(self) -> None:
        """Close the connections to the provider."""
        self._http.close()

    def fetch_model_providers(self) -> Sequence[ProviderEntity]:
        """Return the one provider."""
        return [
            ProviderEntity(
                provider=PROVIDER,
                provider_name="openai",
                label=_label("OpenAI"),
                supported_model_types=[ModelType.LLM, ModelType.TEXT_EMBEDDING, ModelType.RERANK],
                configurate_methods=[ConfigurateMethod.PREDEFINED_MODEL],
            )
        ]

    def get_model_schema(
        self, *, provider: str, model_type: ModelType, model: str, credentials: dict[str, Any]
    ) -> AIModelEntity | None:
        """Return the schema of a model; every name is one."""
        del provider, credentials
        return _schema(model, model_type)

    def get_llm_num_tokens(self, *, prompt_messages: Sequence[PromptMessage], **kwargs: Any) -> int:
        """Return an estimate: four characters a token."""
        del kwargs
        return sum(math.ceil(len(m.get_text_content()) / 4) for m in prompt_messages)

    def get_text_embedding_num_tokens(self, *, texts: list[str], **kwargs: Any) -> list[int]:
        """Return an estimate for each text: four characters a token."""
        del kwargs
        return [math.ceil(len(text) / 4) for text in texts]

    def invoke_llm(
        self,
        *,
        model: str,
        model_parameters: dict[str, Any],
        prompt_messages: Sequence[PromptMessage],
        stop: Sequence[str] | None,
        stream: bool,
        **kwargs: Any,
    ) -> LLMResult | Generator[LLMResultChunk, None, None]:
        """Call `/chat/completions`.

        Returns:
            The result, or when streaming its chunks, of which the last has the usage.

        Raises:
            InvokeError: one of its kinds; when streaming, while the chunks are read.
        """
        del kwargs  # provider and credentials are this runtime's own; there are no tools here
        body: dict[str, Any] = {
            "model": model,
            "messages": [
                {"role": message.role.value, "content": message.get_text_content()}
                for message in prompt_messages
            ],
            **model_parameters,
        }
        if stop:
            body["stop"] = list(stop)
        if stream:
            return self._stream(model, {**body, "stream": True})
        clock = _Clock()
        with _invoke_errors():
            answer = _checked(self._http.post("/chat/completions", json=body)).json()
        text = answer["choices"][0]["message"]["content"]
        return LLMResult(
            model=model,
            message=AssistantPromptMessage(content=text),
            usage=_llm_usage(model, answer["usage"], clock),
        )

    def _stream(self, model: str, body: dict[str, Any]) -> Generator[LLMResultChunk, None, None]:
        clock, finish = _Clock(), None
        body["stream_options"] = {"include_usage": True}
        with _invoke_errors(), self._http.stream("POST", "/chat/completions", json=body) as answer:
            for line in _checked(answer).iter_lines():
                if not line.startswith("data: ") or line == "data: [DONE]":
                    continue
                event = json.loads(line.removeprefix("data: "))
                text, usage = "", None
                if event["choices"]:
                    choice = event["choices"][0]
                    text = choice["delta"].get("content") or ""
                    finish = choice.get("finish_reason") or finish
                    clock.token()
                if event.get("usage"):
                    usage = _llm_usage(model, event["usage"], clock)
                yield LLMResultChunk(
                    model=model,
                    delta=LLMResultChunkDelta(
                        index=0,
                        message=AssistantPromptMessage(content=text),
                        usage=usage,
                        finish_reason=finish if usage else None,
                    ),
                )

    def invoke_text_embedding(
        self, *, model: str, texts: list[str], **kwargs: Any
    ) -> EmbeddingResult:
        """Call `/embeddings`. Raises an InvokeError."""
        del kwargs
        clock = _Clock()
        with _invoke_errors():
            body = {"model": model, "input": texts}
            answer = _checked(self._http.post("/embeddings", json=body)).json()
        tokens, (unit, _) = int(answer["usage"]["total_tokens"]), _price(model)
        return EmbeddingResult(
            model=model,
            embeddings=[item["embedding"] for item in answer["data"]],
            usage=EmbeddingUsage(
                tokens=tokens,
                total_tokens=tokens,
                unit_price=unit,
                price_unit=_MILLIONTH,
                total_price=tokens * unit * _MILLIONTH,
                currency="USD",
                latency=clock.elapsed(),
            ),
        )

    def invoke_rerank(
        self,
        *,
        model: str,
        query: str,
        docs: list[str],
        score_threshold: float | None,
        top_n: int | None,
        **kwargs: Any,
    ) -> RerankResult:
        """Call `/rerank`. Raises an InvokeError."""
        del kwargs
        with _invoke_errors():
            body = {"model": model, "query": query, "documents": docs, "top_n": top_n}
            answer = _checked(self._http.post("/rerank", json=body)).json()
        ranked = [
            RerankDocument(
                index=result["index"], text=docs[result["index"]], score=result["relevance_score"]
            )
            for result in answer["results"]
        ]
        kept = [doc for doc in ranked if score_threshold is None or doc.score >= score_threshold]
        return RerankResult(model=model, docs=kept)


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
        return _schema(self.model_name, ModelType.LLM)

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
