"""Queues of Celery: how many tasks wait in each, read by one worker of a host."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

from celery import signals
from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_dify.guard import never_raises
from otel_dify.operations.instruments import QUEUE_SIZE
from otel_dify.resource import Slot
from otel_dify.settings import STATE_PATH, Settings
from otel_dify.signals.gauges import provide


def attach(_: ModuleType) -> None:
    """Attach to the workers' start."""
    signals.worker_ready.connect(_on_ready, weak=False)


@never_raises("otel_dify.sources.queues ready")
def _on_ready(sender: Any = None, **_: Any) -> None:
    """Read the queues that this worker consumes, if no other worker of this host reads them.

    Workers of several hosts report the same queues: take the maximum, not the sum.
    """
    slot = Slot(Settings()[STATE_PATH], "queue-reader", limit=1)
    if not slot.held:
        return
    app = sender.app
    names = sorted(app.amqp.queues.consume_from)

    def read() -> Iterable[tuple[float, dict[str, str]]]:
        # The slot is held as long as this function is.
        if not slot.held:
            return []
        with suppress_instrumentation(), app.connection_for_read() as connection:
            client = getattr(connection.default_channel, "client", None)
            if client is None or not hasattr(client, "llen"):
                return []
            return [(client.llen(name), {"queue_name": name}) for name in names]

    provide(QUEUE_SIZE, read)
