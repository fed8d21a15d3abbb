"""Queues of a real broker: each as long as it is, asked with connections that are let go again."""

from __future__ import annotations

from pathlib import Path

import pytest
from celery import Celery
from redis import Redis

from otel_dify.sources.libraries import queues


@pytest.mark.parametrize("options", [{}, {"global_keyprefix": "dify:"}, {"socket_timeout": 3600}])
def test_every_queue_is_as_long_as_it_is_and_no_connection_stays(
    fresh_broker: str, options: dict[str, object]
) -> None:
    """Dify may put a prefix of its own before the names of all queues."""
    app = Celery("tests", broker=fresh_broker)
    app.conf.broker_transport_options = options
    with Redis.from_url(fresh_broker) as client:
        prefix = options.get("global_keyprefix", "")
        client.rpush(f"{prefix}mail", "1", "2", "3")
        client.info()
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        lengths = queues._lengths(app, ["dataset", "mail"])
        assert lengths == [(0, {"queue_name": "dataset"}), (3, {"queue_name": "mail"})]
        assert queues._lengths(app, ["mail"]) == [(3, {"queue_name": "mail"})]
        assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    assert app.conf.broker_transport_options == options


def test_what_is_no_queue_has_no_length(fresh_broker: str) -> None:
    app = Celery("tests", broker=fresh_broker)
    with Redis.from_url(fresh_broker) as client:
        client.set("mail", "no list")
    assert queues._lengths(app, ["mail"]) == []
