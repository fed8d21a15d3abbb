"""One engine for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.containers.engine import Engine
from tests.containers.engine import engine as run_engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Have a Docker engine."""
    with run_engine() as running:
        yield running
