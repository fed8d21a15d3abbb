"""Pools of database connections: how full they are, and how long one waits for a connection."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any
from weakref import WeakSet

from wrapt import wrap_function_wrapper

from otel_dify.guard import failed, guarded
from otel_dify.operations.instruments import CONNECTIONS_ACTIVE, CONNECTIONS_MAX
from otel_dify.operations.kinds import CHECKOUT
from otel_dify.operations.lifecycle import start
from otel_dify.signals.gauges import provide

logger = logging.getLogger("otel_dify")

SLOW_S = 10.0
"""Seconds from which on waiting for a connection is worth a warning."""

_pools: WeakSet[Any] = WeakSet()


def attach(module: ModuleType) -> None:
    """Attach to the pools of SQLAlchemy.

    Args:
        module: ``sqlalchemy.pool``.
    """
    wrap_function_wrapper(module, "Pool.connect", _on_connect)
    provide(CONNECTIONS_ACTIVE, lambda: _sum(lambda pool: pool.checkedout()))
    # There is no public name for how far a pool may overflow; -1 is without limit.
    provide(CONNECTIONS_MAX, lambda: _sum(lambda pool: pool.size() + max(_overflow(pool), 0)))


def _on_connect(wrapped: Callable[..., Any], pool: Any, args: Any, kwargs: Any) -> Any:
    try:
        if hasattr(pool, "checkedout"):
            _pools.add(pool)
        operation = start(CHECKOUT)
    except Exception as error:  # noqa: BLE001 - Dify must get its connection
        failed("otel_dify.sources.pools start", error)
        return wrapped(*args, **kwargs)
    before = time.monotonic()
    try:
        return wrapped(*args, **kwargs)
    except BaseException as error:
        with guarded("otel_dify.sources.pools failure"):
            operation.fail(error)
        raise
    finally:
        with guarded("otel_dify.sources.pools end"):
            operation.end()
            waited = time.monotonic() - before
            if waited > SLOW_S:
                logger.warning(
                    "Waited %.1f s for a database connection: the pool is exhausted or the "
                    "database slow. %s. Raise SQLALCHEMY_POOL_SIZE or look for slow queries",
                    waited,
                    pool.status(),
                )


def _sum(of: Callable[[Any], int]) -> Iterable[tuple[float, dict[str, str]]]:
    pools = list(_pools)
    return [(sum(of(pool) for pool in pools), {})] if pools else []


def _overflow(pool: Any) -> int:
    return int(getattr(pool, "_max_overflow", 0))
