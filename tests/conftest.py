"""Fixtures that every test may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.recording import Recording, recording

# Seeded, and no assertion about time: a machine may be busy.
settings.register_profile(
    "otel_dify", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("otel_dify")


@pytest.fixture
def recorded() -> Iterator[Recording]:
    """Record the operations of a test, content off."""
    with recording() as made:
        yield made
