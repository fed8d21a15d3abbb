"""Libraries watched in this process, and let go again after the test."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import flask as flask_module
import pytest

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


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Return what attaches the source of a library and returns the library."""
    attached: list[str] = []

    def watch(library: str) -> ModuleType:
        if library == "flask":
            # What the source wraps itself; monkeypatch puts the original back.
            monkeypatch.setattr(flask_module.Flask, "__call__", flask_module.Flask.__call__)
        module = import_module(library)
        adapter: Any = import_module(f"otel_dify.sources.{library}")
        adapter.attach(module)
        attached.append(library)
        return module

    yield watch
    for library in attached:
        _INSTRUMENTORS[library]().uninstrument()
