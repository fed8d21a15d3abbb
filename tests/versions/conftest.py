"""What the tests of the engine's versions share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.nesting import unknown
from tests.recording import Recording


@pytest.fixture
def recorded(recorded: Recording) -> Iterator[Recording]:
    """Record the operations of a test, and fail it where one nests as the table does not say."""
    yield recorded
    assert unknown(recorded.pairs) == []
