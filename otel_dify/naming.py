"""What functions of other people are called."""

from __future__ import annotations

from functools import partial
from typing import Any


def name_of(function: Any) -> str:
    """Return the qualified name of a function, or of what a callable object calls."""
    function = _inner(function)
    found: str = getattr(function, "__qualname__", type(function).__qualname__)
    return found


def log_of(function: Any) -> str:
    """Return the name of the logger that a function's module has by custom."""
    found: str = getattr(_inner(function), "__module__", None) or "otel_dify"
    return found


def _inner(function: Any) -> Any:
    while isinstance(function, partial):
        function = function.func
    return function
