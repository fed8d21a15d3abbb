"""The real stack for tests: one for the session, on free ports, data in a temporary folder."""

from collections.abc import Iterator

import pytest

from collector.native.layout import Layout, Ports
from collector.native.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Collector, Jaeger, Prometheus and Loki, shared by all tests: tell your data by its ids."""
    layout = Layout(tmp_path_factory.mktemp("stack"), Ports.free())
    with Stack(layout) as running:
        yield running
