"""Series of a metric are bounded in number, and what overflows is still counted."""

from __future__ import annotations

import pytest

from otel_dify.operations import attributes as a
from otel_dify.operations.kinds_of_apps import FEEDBACK
from otel_dify.operations.lifecycle import start
from otel_dify.signals import metrics
from tests.recording import Recording


def test_series_beyond_the_limit_are_counted_as_overflow(
    recorded: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "SERIES_LIMIT", 3)
    for number in (0, 1, 2, 3, 4, 0):
        start(FEEDBACK, {a.APP_ID: f"app-{number}", a.FEEDBACK_RATING: "like"}).end()

    points = recorded.points("dify.feedback.total")
    assert points.pop((("otel.metric.overflow", True),)) == 2
    assert {dict(labels)["app_id"]: count for labels, count in points.items()} == {
        "app-0": 2,
        "app-1": 1,
        "app-2": 1,
    }
