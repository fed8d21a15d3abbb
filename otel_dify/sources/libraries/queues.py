"""Queues of Celery: how many tasks wait in each, read by one worker of a host."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

from celery import signals
from kombu.exceptions import OperationalError
from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_dify import table as t
from otel_dify.guard import never_raises
from otel_dify.process import process
from otel_dify.resource import Slot
from otel_dify.settings import STATE_PATH, Settings
from otel_dify.signals.gauges import provide


def attach(_: ModuleType) -> None:
    """Attach to the workers' start."""
    signals.worker_ready.connect(_on_ready, weak=False)


ANSWER_S = 1
"""Seconds that the broker has to accept a connection, and to answer: other metrics wait for it."""

_SHORT = {"socket_connect_timeout": ANSWER_S, "socket_timeout": ANSWER_S}


class _Queues:
    """The right to read the queues of this host's workers, while it is held.

    Args:
        slot: held by one process of the host.
    """

    def __init__(self, slot: Slot) -> None:
        self.slot = slot

    def forked(self) -> None:
        """Leave reading to the parent."""
        self.slot.close()


@never_raises("otel_dify.sources.libraries.queues ready")
def _on_ready(sender: Any = None, **_: Any) -> None:
    """Read the queues that this worker consumes, if no other worker of this host reads them.

    Workers of several hosts report the same queues: take the maximum, not the sum.
    """
    slot = Slot(Settings()[STATE_PATH], "queue-reader", limit=1)
    if not slot.held:
        return
    process.keep(_Queues(slot))
    app = sender.app
    names = sorted(app.amqp.queues.consume_from)

    def read() -> Iterable[tuple[float, dict[str, str]]]:
        # The slot is held as long as this function is.
        return _lengths(app, names) if slot.held else []

    provide(t.QUEUE_SIZE, read)


def _lengths(app: Any, names: Iterable[str]) -> list[tuple[float, dict[str, str]]]:
    """Ask the broker, by a connection of its own, how many tasks wait in each queue.

    What cannot be asked has no length: other brokers than Redis, and one that does not answer,
    which the worker itself tells of.
    """
    # Sentinels, which are asked first where there are some, have options of their own.
    of_sentinels = (app.conf.broker_transport_options or {}).get("sentinel_kwargs") or {}
    options = {
        **_SHORT,
        "retry_on_timeout": False,
        "sentinel_kwargs": {**of_sentinels, **_SHORT, "retry": None},
    }
    with (
        suppress_instrumentation(),
        app.connection_for_read(connect_timeout=ANSWER_S, transport_options=options) as connection,
    ):
        if connection.transport.driver_type != "redis":
            return []
        # Each address of the broker once; Sentinel's transport asks all of its own by itself.
        others = 0 if connection.transport_cls == "sentinel" else max(len(connection.alt) - 1, 0)
        connection.transport_options["max_retries"] = others
        try:
            client = connection.default_channel.client
            return [(client.llen(name), {"queue_name": name}) for name in names]
        except (*connection.connection_errors, *connection.channel_errors, OperationalError):
            return []
