"""What goes with the requests of a run: to a node's target the trace, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import httpx
import pytest

from examples.model_server import ModelServer
from otel_dify.sources import registry
from tests.recording import Recording

for _source in ("dify_graphon", "dify_models", "dify_tools"):
    registry.attach(_source)


def test_the_target_of_an_http_request_node_gets_the_traceparent_only(
    run_app: Callable[..., Any],
    server: ModelServer,
    recorded: Recording,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Attaching replaces them; monkeypatch puts the originals back.
    for transport in (httpx.HTTPTransport, httpx.AsyncHTTPTransport):
        for name in ("__init__", "handle_request", "handle_async_request"):
            if name in vars(transport):
                monkeypatch.setattr(transport, name, vars(transport)[name])
    adapter: Any = import_module("otel_dify.sources.libraries.httpx")
    adapter.attach(httpx)

    run_app("support_triage", question="I was charged twice", customer="Ada")

    [call] = [
        span
        for span in recorded.spans
        if span.name == "POST" and "/v1/" not in str((span.attributes or {})["url.full"])
    ]
    path = str((call.attributes or {})["url.full"]).removeprefix(server.url)
    [got] = [
        one for one in server.provider.requests() if str(one["path"]).partition("?")[0] == path
    ]
    assert got["traceparent"] == f"00-{call.context.trace_id:032x}-{call.context.span_id:016x}-01"
    assert got["baggage"] is None
