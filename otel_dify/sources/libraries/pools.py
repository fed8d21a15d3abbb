"""Pools of database connections: how full they are, and how long one waits for a connection."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial, wraps
from time import perf_counter_ns
from types import ModuleType
from typing import Any
from weakref import ref

from otel_dify import table as t
from otel_dify.guard import never_raises
from otel_dify.process import process
from otel_dify.signals.gauges import provide
from otel_dify.sources.libraries.queries import Folding

logger = logging.getLogger("otel_dify")

SLOW_S = 10.0
"""Seconds from which on waiting for a connection is worth a warning."""
_QUICK_NS = 1_000_000
"""Nanoseconds below which nobody has waited: a connection was there."""

_KEPT = "_otel_dify_checkouts"
"""Where a pool keeps what its checkouts have in common."""


class _Pools:
    """The pools that this process has seen.

    Attributes:
        known: by identity.
    """

    def __init__(self) -> None:
        self.known: dict[int, ref[Any]] = {}


def attach(module: ModuleType) -> None:
    """Attach to the pools of SQLAlchemy.

    Args:
        module: ``sqlalchemy.pool``.
    """
    connect = module.Pool.connect

    @wraps(connect)
    def timed(pool: Any) -> Any:
        began = perf_counter_ns()
        try:
            connection = connect(pool)
        except BaseException as error:
            _ended(pool, perf_counter_ns() - began, error)
            raise
        _ended(pool, perf_counter_ns() - began)
        return connection

    module.Pool.connect = timed
    provide(t.CONNECTIONS_ACTIVE, lambda: _sum(lambda pool: pool.checkedout()))
    # There is no public name for how far a pool may overflow; -1 is without limit.
    provide(t.CONNECTIONS_MAX, lambda: _sum(lambda pool: pool.size() + max(_overflow(pool), 0)))


@never_raises("otel_dify.sources.libraries.pools end")
def _ended(pool: Any, elapsed_ns: int, error: BaseException | None = None) -> None:
    checkouts = pool.__dict__.get(_KEPT) or _learn(pool)
    if elapsed_ns < _QUICK_NS and error is None:
        checkouts.counted(elapsed_ns)
        return
    checkouts.ended("", None, elapsed_ns, error)
    if elapsed_ns > SLOW_S * 1e9:
        logger.warning(
            "Waited %.1f s for a database connection: the pool is exhausted or the "
            "database slow. %s. Raise SQLALCHEMY_POOL_SIZE or look for slow queries",
            elapsed_ns / 1e9,
            pool.status(),
        )


def _learn(pool: Any) -> Folding:
    """Take note of a pool; only those that count can say how full they are."""
    if hasattr(pool, "checkedout"):
        known = process.kept(_Pools).known
        known[id(pool)] = ref(pool, partial(_forget, id(pool)))
    made = Folding(t.CHECKOUT, {})
    setattr(pool, _KEPT, made)
    return made


def _forget(identity: int, _: object) -> None:
    process.kept(_Pools).known.pop(identity, None)


def _sum(of: Callable[[Any], int]) -> Iterable[tuple[float, dict[str, str]]]:
    known = list(process.kept(_Pools).known.values())
    pools = [pool for reference in known if (pool := reference()) is not None]
    return [(sum(of(pool) for pool in pools), {})] if pools else []


def _overflow(pool: Any) -> int:
    return int(getattr(pool, "_max_overflow", 0))
