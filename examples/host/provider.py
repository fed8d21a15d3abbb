"""The provider: graphon's model runtime, over OpenAI's HTTP API."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from graphon.model_runtime.entities.llm_entities import (
    LLMResult,
    LLMResultChunk,
    LLMResultChunkDelta,
    LLMUsage,
)
from graphon.model_runtime.entities.message_entities import AssistantPromptMessage, PromptMessage
from graphon.model_runtime.entities.model_entities import AIModelEntity, ModelType
from graphon.model_runtime.entities.provider_entities import ConfigurateMethod, ProviderEntity
from graphon.model_runtime.entities.rerank_entities import RerankDocument, RerankResult
from graphon.model_runtime.entities.text_embedding_entities import (
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

from examples.host.catalogue import MILLIONTH, PROVIDER, label_of, price_of, schema_of

_ERRORS: dict[int, type[InvokeError]] = {
    400: InvokeBadRequestError,
    401: InvokeAuthorizationError,
    403: InvokeAuthorizationError,
    404: InvokeBadRequestError,
    429: InvokeRateLimitError,
}
_SERVER_ERRORS = 500


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
    unit_in, unit_out = price_of(model)
    prompt, completion = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
    prompt_price, completion_price = prompt * unit_in, completion * unit_out
    latency = clock.elapsed()
    return LLMUsage(
        prompt_tokens=prompt,
        prompt_unit_price=unit_in,
        prompt_price_unit=MILLIONTH,
        prompt_price=prompt_price * MILLIONTH,
        completion_tokens=completion,
        completion_unit_price=unit_out,
        completion_price_unit=MILLIONTH,
        completion_price=completion_price * MILLIONTH,
        total_tokens=prompt + completion,
        total_price=(prompt_price + completion_price) * MILLIONTH,
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
                label=label_of("OpenAI"),
                supported_model_types=[ModelType.LLM, ModelType.TEXT_EMBEDDING, ModelType.RERANK],
                configurate_methods=[ConfigurateMethod.PREDEFINED_MODEL],
            )
        ]

    def get_model_schema(
        self, *, provider: str, model_type: ModelType, model: str, credentials: dict[str, Any]
    ) -> AIModelEntity | None:
        """Return the schema of a model; every name is one."""
        del provider, credentials
        return schema_of(model, model_type)

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
        tokens, (unit, _) = int(answer["usage"]["total_tokens"]), price_of(model)
        return EmbeddingResult(
            model=model,
            embeddings=[item["embedding"] for item in answer["data"]],
            usage=EmbeddingUsage(
                tokens=tokens,
                total_tokens=tokens,
                unit_price=unit,
                price_unit=MILLIONTH,
                total_price=tokens * unit * MILLIONTH,
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
