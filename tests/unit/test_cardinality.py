"""Series of a metric are bounded in number, and what overflows is still counted."""

from __future__ import annotations

import pytest

from otel_dify import table as t
from otel_dify.operations.current import start
from otel_dify.signals import points
from tests.recording import Recording


def test_series_beyond_the_limit_are_counted_as_overflow(
    recorded: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(points, "SERIES_LIMIT", 3)
    for number in (0, 1, 2, 3, 4, 0):
        start(t.FEEDBACK, {t.APP_ID: f"app-{number}", t.FEEDBACK_RATING: "like"}).end()

    found = recorded.points("dify.feedback.total")
    assert found.pop((("otel.metric.overflow", True),)) == 2
    assert {dict(labels)["app_id"]: count for labels, count in found.items()} == {
        "app-0": 2,
        "app-1": 1,
        "app-2": 1,
    }


def test_a_type_that_overflows_keeps_its_name_and_takes_no_other_types_place(
    recorded: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One app with thousands of nodes must not make the runs of all others uncountable."""
    monkeypatch.setattr(points, "SERIES_LIMIT", 3)
    for number in range(10):
        start(t.NODE, {t.APP_ID: "greedy", t.REQUEST_MODEL: f"model-{number}"}).end()
    for number in range(3):
        start(t.RUN, {t.APP_ID: f"app-{number}"}).end()

    found = recorded.points("dify.requests.total")
    assert found[(("otel.metric.overflow", True), ("type", "node"))] == 7
    assert recorded.total("dify.requests.total", type="node") == 10
    runs = {dict(labels).get("app_id") for labels in found if dict(labels)["type"] == "workflow"}
    assert runs == {"app-0", "app-1", "app-2"}
