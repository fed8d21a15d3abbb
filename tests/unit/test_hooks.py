"""Hooks on a Dify or graphon that lacks something: it is named once, and all else goes on."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from wrapt import FunctionWrapper

from otel_dify import guard
from otel_dify.process import process
from otel_dify.sources import registry
from otel_dify.sources.hooks import hook, importable

WATCHED = [
    (source.adapter, module)
    for source in registry.SOURCES
    if source.name.startswith("dify_") and source.name != "dify_graphon"
    for module in source.watches
]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start with nothing said, and end without failures."""
    monkeypatch.setattr(process.kept(guard.Failures), "said", set())
    yield
    assert not guard.caught()


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the operator has been told."""
    assert {record.levelno for record in caplog.records} <= {logging.WARNING}
    return [record.getMessage() for record in caplog.records if record.name == "otel_dify"]


def twice(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
    """Double a result."""
    return 2 * wrapped(*args, **kwargs)


def module_with(**names: Any) -> ModuleType:
    """Make a module of Dify."""
    module = ModuleType("services.made")
    vars(module).update(names)
    return module


def test_a_function_that_is_there_is_wrapped() -> None:
    class Service:
        def run(self) -> int:
            return 21

    assert hook(module_with(Service=Service), "Service.run", twice, "")
    assert Service().run() == 42


@pytest.mark.parametrize("name", ["run", "Service.walk", "Service.__missing__", "Other.__init__"])
def test_a_function_that_is_not_there_is_named_once(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Also one that every object has, of a class that is not there."""
    module = module_with(Service=type("Service", (), {}))

    assert not any(hook(module, name, twice, "runs are not seen") for _ in range(2))
    line = f"services.made.{name} is not there in this version of Dify: runs are not seen"
    assert said(caplog) == [line]


def test_a_module_that_is_not_there_is_named(caplog: pytest.LogCaptureFixture) -> None:
    assert not hook("graphon.not.there", "Engine.run", twice, "nodes are not seen")
    assert said(caplog) == [
        "graphon.not is not there in this version of graphon: nodes are not seen"
    ]


@pytest.mark.parametrize(("adapter", "module"), WATCHED, ids=[module for _, module in WATCHED])
def test_a_source_names_what_a_module_lacks(
    adapter: str, module: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A version of Dify that has the module and none of the functions."""
    source: Any = import_module(f"otel_dify.sources.{adapter}")

    source.attach(ModuleType(module))

    lines = said(caplog)
    assert lines
    assert all(line.startswith(f"{module}.") for line in lines)


def test_what_a_module_still_has_is_attached(caplog: pytest.LogCaptureFixture) -> None:
    """A version of Dify that has renamed one of several functions."""
    source: Any = import_module("otel_dify.sources.dify.retrieval")
    service = SimpleNamespace(**dict.fromkeys(["retrieve", "keyword_search"], print))
    module = ModuleType("core.rag.datasource.retrieval_service")
    vars(module)["RetrievalService"] = service

    source.attach(module)

    assert [type(found) for found in vars(service).values()] == [FunctionWrapper] * 2
    names = [line.partition(" is not there")[0].rpartition(".")[2] for line in said(caplog)]
    assert names == ["embedding_search", "full_text_index_search"]


def write(folder: Path, *modules: str) -> None:
    """Write empty modules, in folders without ``__init__`` as some of Dify's are."""
    for module in modules:
        path = folder / Path(*module.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_module_is_found_without_being_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "core.made.here")
    (tmp_path / "core" / "bad").mkdir()
    (tmp_path / "core" / "bad" / "__init__.py").write_text("raise RuntimeError")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    known = set(sys.modules)

    names = ("core.made.here", "core.made", "core.made.gone", "core.made.here.too", "core.bad.x")
    assert [importable(name) for name in names] == [True, True, False, False, False]
    assert set(sys.modules) == known


def test_modules_that_dify_lacks_are_named_all_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Of those that stand for each other in different versions of graphon one is enough."""
    every = [module for _, module in WATCHED]
    gone = ("services.message_service", "core.indexing_runner")
    models = [name for name in every if "providers.__base." in name or name.endswith("tts_model")]
    write(tmp_path, *(name for name in every if name not in {*gone, *models}))
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    names = {source.name for source in registry.SOURCES} - {"dify_indexing"}
    monkeypatch.setattr(process.kept(registry.Attached), "names", names)

    for _ in range(2):
        registry._say_what_is_missing()

    [line] = said(caplog)
    folder = "graphon.model_runtime.model_providers"
    assert line.partition(": ")[2].split(", ") == [
        "graphon.graph_engine.graph_engine or graphon.engine.engine (dify_graphon)",
        f"{folder}.base.tts_model or {folder}.__base.tts_model (dify_models)",
        "services.message_service (dify_lifecycle)",
        # A source that is switched off is not missed; this one carries context for another.
        "core.indexing_runner (dify_threads)",
    ]
