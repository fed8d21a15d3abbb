"""Commands to Redis: where its clients execute them.

With ``OTEL_DIFY_QUERY_SPAN_MS=0`` every command is to be a span, and OpenTelemetry's
instrumentation is the way in. Otherwise it is not attached, and the clients' methods are timed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from importlib import import_module
from time import perf_counter_ns
from types import ModuleType
from typing import Any

from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.trace import SpanKind

from otel_dify import table as t
from otel_dify.guard import guarded, never_raises
from otel_dify.operations.operation import Operation
from otel_dify.settings import QUERY_SPAN_MS, Settings
from otel_dify.sources.libraries.bridge import instrument, take
from otel_dify.sources.libraries.queries import Folding

# Module to its classes, and their methods that send one command, or several.
_COMMANDS = {
    "redis.client": ("Redis.execute_command", "Pipeline.immediate_execute_command"),
    "redis.cluster": ("RedisCluster.execute_command",),
    "redis.asyncio.client": ("Redis.execute_command", "Pipeline.immediate_execute_command"),
    "redis.asyncio.cluster": ("RedisCluster.execute_command",),
}
_PIPELINES = {
    "redis.client": "Pipeline.execute",
    "redis.cluster": "ClusterPipeline.execute",
    "redis.asyncio.client": "Pipeline.execute",
    "redis.asyncio.cluster": "ClusterPipeline.execute",
}
_KEPT = "_otel_dify_commands"
"""Where a pool, or a cluster's client, keeps what its commands have in common."""
_COMMANDS_SHOWN = 20

type Commands = Sequence[Sequence[Any]]
type Given = Callable[[Any, tuple[Any, ...]], Commands]


def attach(_: ModuleType) -> None:
    """Attach to the clients of Redis."""
    if Settings()[QUERY_SPAN_MS] == 0:
        instrument(RedisInstrumentor(), {SpanKind.CLIENT: t.QUERY}, refine=_refine)
        return
    take(RedisInstrumentor())
    for name, methods in _COMMANDS.items():
        module = import_module(name)
        timed = _timed_async if ".asyncio." in name else _timed
        for method in methods:
            _replace(module, method, partial(timed, _of_command))
        _replace(module, _PIPELINES[name], partial(timed, _of_pipeline))


def _replace(
    module: ModuleType, name: str, timed: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> None:
    owner_name, _, method_name = name.partition(".")
    owner = getattr(module, owner_name)
    setattr(owner, method_name, timed(getattr(owner, method_name)))


def _timed(given: Given, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def timed(client: Any, *args: Any, **options: Any) -> Any:
        commands = given(client, args)
        began = perf_counter_ns()
        try:
            result = method(client, *args, **options)
        except BaseException as error:
            _ended(client, commands, perf_counter_ns() - began, error)
            raise
        _ended(client, commands, perf_counter_ns() - began)
        return result

    return timed


def _timed_async(given: Given, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    async def timed(client: Any, *args: Any, **options: Any) -> Any:
        commands = given(client, args)
        began = perf_counter_ns()
        try:
            result = await method(client, *args, **options)
        except BaseException as error:
            _ended(client, commands, perf_counter_ns() - began, error)
            raise
        _ended(client, commands, perf_counter_ns() - began)
        return result

    return timed


def _of_command(_client: Any, args: tuple[Any, ...]) -> Commands:
    return (args,)


def _of_pipeline(client: Any, _args: tuple[Any, ...]) -> Commands:
    """Return the first commands of a pipeline, which are gone when it has been executed."""
    with guarded("otel_dify.sources.libraries.redis pipeline"):
        # A cluster's queue them elsewhere; a command is a tuple or an object that has one.
        queued: Any = getattr(client, "command_stack", ()) or getattr(client, "command_queue", ())
        return [getattr(one, "args", None) or one[0] for one in queued[:_COMMANDS_SHOWN]]
    return ()


def _text_of(commands: Commands) -> str:
    """Write commands without their keys and values."""
    return "\n".join(
        " ".join([_word(command[0]), *("?" for _ in command[1:])]) for command in commands
    )


def _word(command: object) -> str:
    return command.decode("ascii", "replace") if isinstance(command, bytes) else str(command)


def _operation_of(command: object) -> str:
    """Tell the operation from a command, such as ``CLIENT`` from ``CLIENT SETNAME``."""
    return _word(command).partition(" ")[0].upper()


@never_raises("otel_dify.sources.libraries.redis end")
def _ended(
    client: Any, commands: Commands, elapsed_ns: int, error: BaseException | None = None
) -> None:
    # A cluster's clients have no pool of their own.
    owner = getattr(client, "connection_pool", None) or client
    known = getattr(owner, _KEPT, None) or _learn(owner)
    if known is not None:
        # A pipeline has the name of the first of its commands.
        first = commands[0][0] if commands and commands[0] else "PIPELINE"
        known.ended(first, commands, elapsed_ns, error)


def _learn(owner: Any) -> Folding | None:
    """Learn once what all commands through a pool, or of a cluster's client, have in common."""
    with guarded("otel_dify.sources.libraries.redis pool"):
        known = getattr(owner, "connection_kwargs", None)
        database = None if known is None else known.get("db") or 0
        known = known or {}
        made = Folding(
            t.QUERY,
            {
                t.DB_SYSTEM: "redis",
                t.DB_NAMESPACE: database,
                t.SERVER_ADDRESS: known.get("path") or known.get("host"),
                t.SERVER_PORT: None if "path" in known else known.get("port"),
            },
            _operation_of,
            _text_of,
        )
        setattr(owner, _KEPT, made)
        return made
    return None


def _refine(operation: Operation, name: str) -> None:
    """Name the command; a pipeline's name is its commands, of which the first will do."""
    operation.set(t.DB_OPERATION, name.partition(" ")[0].upper())
