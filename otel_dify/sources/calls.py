"""Calls of one function as operations: what most sources of Dify's own code are made of."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

from otel_dify import table as t
from otel_dify.operations.current import start
from otel_dify.operations.operation import Operation
from otel_dify.sources.hooks import hook
from otel_dify.sources.watch import watch

type Arguments = Mapping[str, Any]
type Describe = Callable[[Arguments], Mapping[t.Attribute, object]]
type Conclude = Callable[[Operation, Any, Arguments], None]


def _nothing(_operation: Operation, _result: Any, _given: Arguments) -> None:
    """Take nothing from a result."""


@dataclass(frozen=True, slots=True)
class Call:
    """A function of Dify whose calls are operations.

    Attributes:
        function: its qualified name in its module.
        kind: kind of the operation.
        describe: attributes from the arguments by name, ``self`` among them. Names that a version
            of Dify adds or drops do no harm: it reads those that it knows.
        conclude: completes the operation from the result.
    """

    function: str
    kind: t.Kind
    describe: Describe
    conclude: Conclude = _nothing


def attach_calls(module: ModuleType, *calls: Call) -> None:
    """Attach to functions of a module; one that this version of Dify lacks is named once."""
    for call in calls:
        lost = f"operations of kind '{call.kind.name}' that it makes are not seen"
        hook(module, call.function, _around(call, module.__name__), lost)


def _around(call: Call, module: str) -> Callable[..., Any]:
    place = f"{module}.{call.function}"
    signature: inspect.Signature | None = None

    def run(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        given: Arguments = {}

        def begin() -> Operation | None:
            nonlocal signature, given
            if signature is None:
                signature = inspect.signature(wrapped)
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError:  # Dify's mistake, which the call itself will raise
                return None
            given = {"self": instance, **bound.arguments}
            return start(call.kind, call.describe(given))

        return watch(
            place,
            begin,
            partial(wrapped, *args, **kwargs),
            whole=lambda operation, result: call.conclude(operation, result, given),
        )

    return run


def plain(value: Any) -> Any:
    """Return the value of an enumeration, and anything else as it is."""
    return getattr(value, "value", value)
