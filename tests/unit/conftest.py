"""Libraries watched in this process, and let go again after the test."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import flask as flask_module
import httpx
import pytest
import redis.asyncio.client
import redis.asyncio.cluster
import redis.cluster
from sqlalchemy.engine.default import DefaultDialect

# Read once by the instrumentations, when the first of them is attached (see otel_dify.startup).
os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http,database")

from opentelemetry.instrumentation.celery import CeleryInstrumentor

with warnings.catch_warnings():
    # Up to 0.62b1 it asks Flask for its version in the old way.
    warnings.simplefilter("ignore", DeprecationWarning)
    from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor

_INSTRUMENTORS: dict[str, Callable[[], Any]] = {
    "celery": CeleryInstrumentor,
    "flask": FlaskInstrumentor,
    "httpx": HTTPXClientInstrumentor,
    "redis": RedisInstrumentor,
    "sqlalchemy": SQLAlchemyInstrumentor,
}
_TIMED: dict[str, tuple[tuple[type, str], ...]] = {
    "httpx": (
        (httpx.HTTPTransport, "__init__"),
        (httpx.HTTPTransport, "handle_request"),
        (httpx.AsyncHTTPTransport, "__init__"),
        (httpx.AsyncHTTPTransport, "handle_async_request"),
    ),
    "redis": (
        (redis.client.Redis, "execute_command"),
        (redis.client.Pipeline, "execute"),
        (redis.client.Pipeline, "immediate_execute_command"),
        (redis.cluster.RedisCluster, "execute_command"),
        (redis.cluster.ClusterPipeline, "execute"),
        (redis.asyncio.client.Redis, "execute_command"),
        (redis.asyncio.client.Pipeline, "execute"),
        (redis.asyncio.client.Pipeline, "immediate_execute_command"),
        (redis.asyncio.cluster.RedisCluster, "execute_command"),
        (redis.asyncio.cluster.ClusterPipeline, "execute"),
    ),
    "sqlalchemy": tuple(
        (DefaultDialect, name) for name in ("do_execute", "do_executemany", "do_execute_no_params")
    ),
}


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Return what attaches the source of a library and returns the library."""
    attached: list[str] = []

    def watch(library: str) -> ModuleType:
        if library == "flask":
            # What the source wraps itself; monkeypatch puts the original back.
            monkeypatch.setattr(flask_module.Flask, "__call__", flask_module.Flask.__call__)
        module = import_module(library)
        for owner, method in _TIMED.get(library, ()):
            # The same for what it times.
            monkeypatch.setattr(owner, method, getattr(owner, method))
        adapter: Any = import_module(f"otel_dify.sources.libraries.{library}")
        adapter.attach(module)
        attached.append(library)
        return module

    yield watch
    for library in attached:
        instrumentor = _INSTRUMENTORS[library]()
        if vars(instrumentor).pop("_instrument", None) is None:
            instrumentor.uninstrument()
        else:
            instrumentor._is_instrumented_by_opentelemetry = False
