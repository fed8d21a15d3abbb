"""The model server keeps OpenAI's interface, and the host's models report what it says."""

from __future__ import annotations

from decimal import Decimal

import httpx
import pytest
from graphon.model_runtime.entities.llm_entities import LLMUsage
from graphon.model_runtime.entities.message_entities import SystemPromptMessage, UserPromptMessage
from graphon.model_runtime.errors.invoke import (
    InvokeAuthorizationError,
    InvokeConnectionError,
    InvokeError,
    InvokeRateLimitError,
    InvokeServerUnavailableError,
)

from examples.host.models import ModelInstance
from examples.host.provider import OpenAIRuntime
from examples.model_answers import REASONING_TOKENS
from examples.model_server import ModelServer

PROMPT = [
    SystemPromptMessage(content="You answer questions about the weather, in one short line."),
    UserPromptMessage(content="Will it rain?"),
]


def usage_of(instance: ModelInstance, stream: bool) -> LLMUsage:
    """Call the model and return the usage it reports."""
    if not stream:
        return instance.invoke_llm(
            prompt_messages=PROMPT, model_parameters={}, tools=None, stop=None, stream=False
        ).usage
    chunks = instance.invoke_llm(
        prompt_messages=PROMPT, model_parameters={}, tools=None, stop=None, stream=True
    )
    (usage,) = [chunk.delta.usage for chunk in chunks if chunk.delta.usage]
    return usage


@pytest.mark.parametrize("stream", [False, True])
def test_usage_and_price_are_those_of_the_server(
    server: ModelServer, models: OpenAIRuntime, stream: bool
) -> None:
    usage = usage_of(ModelInstance(models, "gpt-4o"), stream)
    counted = server.provider.stats()["chat"]["gpt-4o"]
    assert usage.prompt_tokens == counted["input_tokens"] > 0
    assert usage.completion_tokens == counted["output_tokens"] > 0
    price = usage.prompt_tokens * Decimal("2.5e-6") + usage.completion_tokens * Decimal("1e-5")
    assert usage.total_price == price
    assert (usage.time_to_first_token is not None) is stream


def test_usage_has_cached_and_reasoning_tokens(server: ModelServer) -> None:
    body = {
        "model": "o4-mini",
        "messages": [
            {"role": "system", "content": "word " * 40},
            {"role": "user", "content": "Think."},
        ],
    }
    usage = httpx.post(f"{server.url}/v1/chat/completions", json=body).json()["usage"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": 48}
    assert usage["completion_tokens_details"] == {"reasoning_tokens": REASONING_TOKENS}
    assert usage["completion_tokens"] > REASONING_TOKENS
    counted = server.provider.stats()["chat"]["o4-mini"]
    assert (counted["cached_tokens"], counted["reasoning_tokens"]) == (48, REASONING_TOKENS)


def test_a_stream_has_usage_only_where_it_is_asked_for(server: ModelServer) -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    plain = httpx.post(f"{server.url}/v1/chat/completions", json=body).text
    options = {"stream_options": {"include_usage": True}}
    with_usage = httpx.post(f"{server.url}/v1/chat/completions", json=body | options).text
    assert '"usage"' not in plain
    assert '"usage"' in with_usage
    assert plain.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("gpt-4o-ratelimit", InvokeRateLimitError),
        ("gpt-4o-auth", InvokeAuthorizationError),
        ("gpt-4o-error", InvokeServerUnavailableError),
    ],
)
def test_faults_are_the_errors_that_graphon_knows(
    server: ModelServer, models: OpenAIRuntime, model: str, kind: type[InvokeError], stream: bool
) -> None:
    with pytest.raises(kind):
        usage_of(ModelInstance(models, model), stream)
    assert server.provider.stats()["chat"][model] == {"requests": 1, "errors": 1}


def test_a_stream_that_breaks_is_a_connection_error_and_has_no_tokens(
    server: ModelServer, models: OpenAIRuntime
) -> None:
    model = "gpt-4o-break"
    with pytest.raises(InvokeConnectionError):
        usage_of(ModelInstance(models, model), stream=True)
    assert server.provider.stats()["chat"][model] == {"requests": 1, "errors": 1}


def test_embeddings_report_the_tokens_that_the_server_counted(
    server: ModelServer, models: OpenAIRuntime
) -> None:
    instance = ModelInstance(models, "text-embedding-3-small")
    result = instance.invoke_text_embedding(["solar", "wind and waves"])
    counted = server.provider.stats()["embeddings"]["text-embedding-3-small"]
    assert result.usage.total_tokens == counted["input_tokens"] > 0
    assert len(result.embeddings) == 2


def test_rerank_puts_the_nearest_document_first(models: OpenAIRuntime) -> None:
    documents = ["tea and cake", "wind from the north", "rain from the west"]
    result = ModelInstance(models, "rerank-v3.5").invoke_rerank("rain west", documents, top_n=2)
    assert [document.index for document in result.docs] == [2, 0]


def test_requests_are_listed_with_their_trace_context_until_reset(server: ModelServer) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    httpx.get(f"{server.url}/ok", headers={"traceparent": traceparent})
    httpx.get(f"{server.url}/ok", headers={"baggage": "a=1"})
    expected = [
        {"method": "GET", "path": "/ok", "traceparent": traceparent, "baggage": None},
        {"method": "GET", "path": "/ok", "traceparent": None, "baggage": "a=1"},
    ]
    assert httpx.get(f"{server.url}/requests").json() == expected
    httpx.post(f"{server.url}/reset")
    assert httpx.get(f"{server.url}/requests").json() == []


def test_the_flaky_target_fails_as_often_as_asked_for_each_key(server: ModelServer) -> None:
    def status(key: str) -> int:
        return httpx.get(f"{server.url}/flaky?fail=2&key={key}").status_code

    assert [status("a"), status("b"), status("a"), status("a")] == [503, 503, 503, 200]


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/status/418", 418, {"status": 418}),
        ("/slow/1", 200, {"slept_ms": 1}),
        ("/nowhere", 404, {"error": "no such path: /nowhere"}),
    ],
)
def test_targets_for_http_nodes(
    server: ModelServer, path: str, status: int, body: dict[str, object]
) -> None:
    answer = httpx.get(f"{server.url}{path}")
    assert (answer.status_code, answer.json()) == (status, body)
