"""The layers, in the order in which a request of Dify's comes to them."""

from __future__ import annotations

from otel_dify.cli.health import machine, services
from otel_dify.cli.health.probing import Layer

# Milliseconds from which on operators of Dify are warned of their database and Redis.
_DATABASE_MS, _REDIS_MS, _OTHERS_MS = 100, 50, 1000

_HTTP = ("ssl", "urllib3")
_REDIS = ("redis.backoff", "redis.cluster", "redis.retry", "redis.sentinel")

LAYERS = (
    Layer(
        "database",
        services.database,
        essential=True,
        slow_ms=_DATABASE_MS,
        needs=("psycopg2", "psycopg"),
    ),
    Layer("redis", services.redis, essential=True, slow_ms=_REDIS_MS, needs=_REDIS),
    # Every model is a plugin.
    Layer("plugin-daemon", services.plugin_daemon, essential=True, slow_ms=_OTHERS_MS, needs=_HTTP),
    Layer("sandbox", services.sandbox, slow_ms=_OTHERS_MS, needs=_HTTP),
    Layer("vector-store", services.vector_store, slow_ms=_OTHERS_MS, needs=_HTTP),
    # Dify does not wait for any of these.
    Layer("collector", services.collector, slow_ms=_OTHERS_MS, needs=_HTTP),
    Layer("disk", machine.disk),
    Layer("memory", machine.memory),
    Layer("pool", machine.pool),
    Layer("journal", machine.journal),
)
BASIC = ("database", "redis")
"""What a load balancer asks for: without these nothing of Dify answers."""
