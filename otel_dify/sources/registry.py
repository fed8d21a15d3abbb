"""Which sources there are, what each waits for, and how it attaches.

A source attaches when the library it watches has been imported, never before: importing a library
on its behalf could come before gevent's patch. The names are those that
``OTEL_PYTHON_DISABLED_INSTRUMENTATIONS`` switches off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from wrapt import register_post_import_hook

from otel_dify.guard import guarded, say_once
from otel_dify.patching import not_while_patching
from otel_dify.process import process
from otel_dify.sources import carry
from otel_dify.sources.dify import (
    helpers,
    indexing,
    lifecycle,
    messages,
    outside,
    pauses,
    prints,
    requests,
    retrieval,
    steps,
    tools,
)
from otel_dify.sources.hooks import importable


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
    Source("dify_graphon", _ENGINES[:1], "graphon.engine"),
    Source("dify_graphon", _ENGINES[1:], "graphon.frames"),
    Source("dify_models", tuple(module for group in _MODELS for module in group), "graphon.models"),
    Source("dify_tools", ("graphon.nodes.tool.tool_node",), "graphon.tools"),
    Source("dify_pauses", pauses.WATCHES, "dify.pauses"),
    Source("dify_messages", messages.WATCHES, "dify.messages"),
    Source("dify_steps", steps.WATCHES, "dify.steps"),
    Source("dify_requests", requests.WATCHES, "dify.requests"),
    Source("dify_retrieval", retrieval.WATCHES, "dify.retrieval"),
    Source("dify_tools", tools.WATCHES, "dify.tools"),
    Source("dify_tools", prints.WATCHES, "dify.prints"),
    Source("dify_helpers", helpers.WATCHES, "dify.helpers"),
    Source("dify_lifecycle", lifecycle.WATCHES, "dify.lifecycle"),
    Source("dify_indexing", indexing.WATCHES, "dify.indexing"),
    Source("dify_outside", outside.WATCHES, "dify.outside"),
    # After the calls of the same methods, so that those run in the context that is carried.
    Source("dify_threads", tuple(carry.METHODS), "carry"),
    Source("flask", ("flask",), "libraries.flask"),
    # Not `celery`: that is imported before its command line has asked gevent to patch.
    Source("celery", ("celery.app.base",), "libraries.celery"),
    Source("celery", ("celery.app.base",), "libraries.queues"),
    Source("sqlalchemy", ("sqlalchemy",), "libraries.sqlalchemy"),
    Source("sqlalchemy", ("sqlalchemy.pool",), "libraries.pools"),
    Source("redis", ("redis",), "libraries.redis"),
    Source("httpx", ("httpx",), "libraries.httpx"),
)

DISABLED = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
"""OpenTelemetry's variable that switches instrumentations off by name."""
_DIFY = "app_factory"
"""Module of Dify that makes the app, in API, worker and beat alike."""


class Attached:
    """The names of the sources that this process has attached."""

    def __init__(self) -> None:
        self.names: set[str] = set()


def disabled_by(environ: Mapping[str, str]) -> frozenset[str]:
    """Return the names that ``OTEL_PYTHON_DISABLED_INSTRUMENTATIONS`` switches off.

    Args:
        environ: the variables.
    """
    names = (name.strip() for name in environ.get(DISABLED, "").split(","))
    return frozenset(name for name in names if name)


def unknown(names: Iterable[str]) -> dict[str, str]:
    """Find names that switch nothing off, each with the nearest that would, or with none.

    Args:
        names: those that are to be switched off.
    """
    known = {source.name for source in SOURCES}
    # Other instrumentations can be switched off as well: OpenTelemetry's loader reads the same.
    known |= {entry.name for entry in entry_points(group="opentelemetry_instrumentor")}
    return {
        name: next(iter(get_close_matches(name, sorted(known), 1)), "")
        for name in sorted(names)
        if name != "*" and name not in known
    }


def say_unknown(names: frozenset[str]) -> None:
    """Warn of each name that switches nothing off: what was to be private would be recorded."""
    if not names:
        return
    for name, meant in unknown(names).items():
        did_you_mean = f" Did you mean {meant}?" if meant else ""
        say_once(
            f"{DISABLED} names {name!r}, and no source is called that: it switches nothing off."
            f"{did_you_mean} `otel-dify doctor` lists the names"
        )


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
    attached = process.kept(Attached).names
    if name in attached:
        return
    if not attached:
        register_post_import_hook(lambda _: not_while_patching(_say_what_is_missing), _DIFY)
    attached.add(name)
    for source in SOURCES:
        if source.name == name:
            for module in source.watches:
                register_post_import_hook(_attacher(source), module)


def attach_all(disabled: frozenset[str] = frozenset()) -> None:
    """Attach every source but the disabled ones (``*``: all are)."""
    with guarded("otel_dify.sources.registry disabled"):
        say_unknown(disabled)
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
            if source.name in process.kept(Attached).names and source.name.startswith("dify_")
            for stands_in in lacks(source)
        }
        if missing:
            say_once(
                "This version of Dify lacks modules that otel_dify attaches to; what is done there "
                f"is not seen, all else is: {', '.join(missing)}"
            )


def lacks(source: Source) -> list[tuple[str, ...]]:
    """Return the modules of a source that are not installed, each with those that stand in for it.

    They are looked for, and not imported.
    """
    return [
        stands_in
        for stands_in in dict.fromkeys(_EITHER.get(name, (name,)) for name in source.watches)
        if not any(importable(module) for module in stands_in)
    ]


def _attacher(source: Source) -> Callable[[ModuleType], None]:
    def attach_to(module: ModuleType) -> None:
        with guarded(f"otel_dify.sources.{source.adapter} attach"):
            adapter: Any = import_module(f"otel_dify.sources.{source.adapter}")
            adapter.attach(module)

    return lambda module: not_while_patching(partial(attach_to, module))
