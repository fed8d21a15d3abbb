"""Which sources there are, what each waits for, and how it attaches.

A source attaches when the library it watches has been imported, never before: importing a library
on its behalf could come before gevent's patch. The names are those that
``OTEL_PYTHON_DISABLED_INSTRUMENTATIONS`` switches off.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

from wrapt import register_post_import_hook

from otel_dify.guard import guarded, say_once
from otel_dify.sources import (
    carry,
    dify_helpers,
    dify_indexing,
    dify_lifecycle,
    dify_messages,
    dify_outside,
    dify_pauses,
    dify_prints,
    dify_requests,
    dify_retrieval,
    dify_steps,
    dify_tools,
)
from otel_dify.sources.hooks import importable
from otel_dify.startup import not_while_patching


@dataclass(frozen=True, slots=True)
class Source:
    """One source.

    Attributes:
        name: entry point name, and name in ``OTEL_PYTHON_DISABLED_INSTRUMENTATIONS``.
        watches: modules; it attaches to each that gets imported.
        adapter: module below ``otel_dify.sources`` whose ``attach(module)`` attaches it.
    """

    name: str
    watches: tuple[str, ...]
    adapter: str


_BASES = ("base", "__base")
# Modules of graphon that stand for each other in different versions.
_ENGINES = ("graphon.graph_engine.graph_engine", "graphon.engine.engine")
_MODELS = tuple(
    # Up to graphon 0.2 the folder was called __base.
    tuple(f"graphon.model_runtime.model_providers.{base}.{kind}_model" for base in _BASES)
    for kind in ("large_language", "text_embedding", "rerank", "moderation", "speech2text", "tts")
)
_EITHER = {module: group for group in (_ENGINES, *_MODELS) for module in group}

SOURCES: tuple[Source, ...] = (
    Source("dify_graphon", _ENGINES[:1], "graphon_engine"),
    Source("dify_graphon", _ENGINES[1:], "graphon_frames"),
    Source("dify_models", tuple(module for group in _MODELS for module in group), "models"),
    Source("dify_tools", ("graphon.nodes.tool.tool_node",), "tools"),
    Source("dify_pauses", dify_pauses.WATCHES, "dify_pauses"),
    Source("dify_messages", dify_messages.WATCHES, "dify_messages"),
    Source("dify_steps", dify_steps.WATCHES, "dify_steps"),
    Source("dify_requests", dify_requests.WATCHES, "dify_requests"),
    Source("dify_retrieval", dify_retrieval.WATCHES, "dify_retrieval"),
    Source("dify_tools", dify_tools.WATCHES, "dify_tools"),
    Source("dify_tools", dify_prints.WATCHES, "dify_prints"),
    Source("dify_helpers", dify_helpers.WATCHES, "dify_helpers"),
    Source("dify_lifecycle", dify_lifecycle.WATCHES, "dify_lifecycle"),
    Source("dify_indexing", dify_indexing.WATCHES, "dify_indexing"),
    Source("dify_outside", dify_outside.WATCHES, "dify_outside"),
    # After the calls of the same methods, so that those run in the context that is carried.
    Source("dify_threads", tuple(carry.METHODS), "carry"),
    Source("flask", ("flask",), "flask"),
    # Not `celery`: that is imported before its command line has asked gevent to patch.
    Source("celery", ("celery.app.base",), "celery"),
    Source("celery", ("celery.app.base",), "queues"),
    Source("sqlalchemy", ("sqlalchemy",), "sqlalchemy"),
    Source("sqlalchemy", ("sqlalchemy.pool",), "pools"),
    Source("redis", ("redis",), "redis"),
    Source("httpx", ("httpx",), "httpx"),
)

_DIFY = "app_factory"
"""Module of Dify that makes the app, in API, worker and beat alike."""

_attached: set[str] = set()


def knows(name: str) -> bool:
    """Tell whether an entry point's name is that of a source."""
    return any(source.name == name for source in SOURCES)


def bridges(module: str) -> bool:
    """Tell whether an instrumentation's module is one that a source attaches through the bridge.

    A module may hold several instrumentors (``httpx``, ``httpx2``). Importing it for another one
    would import the library, and with it attach the source in the middle of that import.
    """
    return knows(module.removeprefix("opentelemetry.instrumentation."))


def import_bridged(disabled: frozenset[str]) -> None:
    """Import the instrumentations that sources bridge, as another distro's loader will anyway.

    It would import the library with them, and so attach the source in the middle of that import.
    """
    for name in {source.name for source in SOURCES} - disabled:
        module = f"opentelemetry.instrumentation.{name}"
        # Neither all sources have one, nor are all libraries installed.
        with suppress(ImportError):
            import_module(module)


def attach(name: str) -> None:
    """Attach the sources of a name, each when what it watches has been imported."""
    if name in _attached:
        return
    if not _attached:
        register_post_import_hook(lambda _: not_while_patching(_say_what_is_missing), _DIFY)
    _attached.add(name)
    for source in SOURCES:
        if source.name == name:
            for module in source.watches:
                register_post_import_hook(_attacher(source), module)


def attach_all(disabled: frozenset[str] = frozenset()) -> None:
    """Attach every source but the disabled ones (``*``: all are)."""
    if "*" not in disabled:
        for source in SOURCES:
            if source.name not in disabled:
                attach(source.name)


def _say_what_is_missing() -> None:
    """Name, all together, the modules that this version of Dify or graphon lacks.

    No source would say so: each waits for a module that is never imported.
    """
    with guarded("otel_dify.sources.registry missing"):
        missing = {
            f"{' or '.join(stands_in)} ({source.name})": None
            for source in SOURCES
            if source.name in _attached and source.name.startswith("dify_")
            for stands_in in (_EITHER.get(module, (module,)) for module in source.watches)
            if not any(importable(module) for module in stands_in)
        }
        if missing:
            say_once(
                "This version of Dify lacks modules that otel_dify attaches to; what is done there "
                f"is not seen, all else is: {', '.join(missing)}"
            )


def _attacher(source: Source) -> Callable[[ModuleType], None]:
    def attach_to(module: ModuleType) -> None:
        with guarded(f"otel_dify.sources.{source.adapter} attach"):
            adapter: Any = import_module(f"otel_dify.sources.{source.adapter}")
            adapter.attach(module)

    return lambda module: not_while_patching(partial(attach_to, module))
