"""What the tests of sending share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otel_dify import guard
from otel_dify.export.sending.destination import destination
from otel_dify.export.sending.outcome import Transport
from otel_dify.process import process
from otel_dify.settings import Settings
from tests.unit.sending.certificates import Authority

type To = Callable[..., Transport]


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each test hear what is said once, and fail where a guard of ours had to catch."""
    monkeypatch.setattr(process.kept(guard.Failures), "said", set())
    guard.caught().clear()
    yield
    unexpected = dict(guard.caught())
    guard.caught().clear()
    assert not unexpected


@pytest.fixture
def to() -> Iterator[To]:
    """Return what makes the transport of traces to an address, with other variables by name."""
    made: list[Transport] = []

    def make(url: str, **environ: str) -> Transport:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": url} | environ
        made.append(destination(Settings(environ), "traces").transport())
        return made[-1]

    yield make
    for transport in made:
        transport.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the authority that the tests trust."""
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture
def missing(tmp_path: Path) -> Path:
    """Return a file that there is not."""
    return tmp_path / "missing.pem"
