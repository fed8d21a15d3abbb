"""Hooks on functions of Dify and graphon, which a version of theirs may lack.

What is not there is named once, with what is not seen for want of it; all else goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

from wrapt import wrap_function_wrapper

from otel_dify.guard import say_once


def hook(module: ModuleType | str, function: str, wrapper: Callable[..., Any], lost: str) -> bool:
    """Wrap a function, or say once that it is not there.

    Args:
        module: where it is; a name is imported.
        function: its qualified name there.
        wrapper: as ``wrapt`` calls it: wrapped function, instance, arguments.
        lost: what is not seen without it, for the operator.

    Returns:
        Whether it is there.
    """
    try:
        found = import_module(module) if isinstance(module, str) else module
    except ModuleNotFoundError as error:
        lacking(str(error.name), lost)
        return False
    if not has(found, function):
        lacking(f"{found.__name__}.{function}", lost)
        return False
    wrap_function_wrapper(found, function, wrapper)
    return True


def has(module: ModuleType, function: str) -> bool:
    """Tell whether a module has a function of this qualified name."""
    found: Any = module
    for name in function.split("."):
        if not hasattr(found, name):
            return False
        found = getattr(found, name)
    return True


def lacking(name: str, lost: str) -> None:
    """Say once that a version of Dify or graphon lacks something, and what is not seen for it."""
    owner = "graphon" if name.partition(".")[0] == "graphon" else "Dify"
    say_once(f"{name} is not there in this version of {owner}: {lost}")


def importable(module: str) -> bool:
    """Tell whether a module can be found, without importing it or what it lies in."""
    path: list[str] | None = None
    for name in module.split("."):
        # By its last name: one of a package without `__init__` would import what it lies in.
        spec = None if path == [] else PathFinder.find_spec(name, path)
        if spec is None:
            return False
        path = list(spec.submodule_search_locations or ())
    return True
