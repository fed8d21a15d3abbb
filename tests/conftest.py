"""Fixtures that every test may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.recording import Recording, recording


@pytest.fixture
def recorded() -> Iterator[Recording]:
    """Record the operations of a test, content off."""
    with recording() as made:
        yield made
