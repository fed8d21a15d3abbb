"""Versions: the table is the package's own, and what is missing or too old is named."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from otel_dify.cli.doctor import versions
from otel_dify.cli.doctor.examined import Examined
from otel_dify.cli.doctor.finding import Finding, Severity
from otel_dify.version import __version__

ROOT = Path(__file__).parents[3]


def dify(folder: Path, version: str) -> Path:
    (folder / "dify_app.py").touch()
    (folder / "pyproject.toml").write_text(f'[project]\nversion = "{version}"\n')
    return folder


def found(about: str, examined: Examined | None = None) -> Finding:
    [finding] = [each for each in versions.check(examined or Examined({})) if each.about == about]
    return finding


def test_what_is_needed_is_what_the_package_says_of_itself() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pairs = (dependency.partition(">=") for dependency in project["dependencies"])
    # After the comma: a release that is left out, because it is not whole.
    assert {name: lowest.partition(",")[0] for name, _, lowest in pairs} == versions.NEEDED


def test_here_everything_is_as_it_should_be() -> None:
    severities = {each.severity for each in versions.check(Examined({}))}
    # Dify's code is not here.
    assert severities == {Severity.OK, Severity.NOTE}
    assert f"otel_dify {__version__}" in found("versions.otel_dify").what
    assert "Dify's code is not here" in found("versions.dify").what


@pytest.mark.parametrize(
    ("version", "severity"),
    [
        ("1.13.3", Severity.PROBLEM),
        ("1.14.0", Severity.OK),
        ("1.16.2", Severity.OK),
        ("1.17.0", Severity.NOTE),
        ("", Severity.NOTE),
    ],
)
def test_a_dify_that_is_too_old_or_not_known_is_told(
    tmp_path: Path, version: str, severity: Severity
) -> None:
    finding = found("versions.dify", Examined({}, dify(tmp_path, version)))
    assert finding.severity is severity
    assert version in finding.what


@pytest.mark.parametrize(
    ("package", "version", "said"),
    [
        ("protobuf", "", "protobuf is not installed"),
        ("protobuf", "4.25.3", "protobuf 4.25.3 is too old"),
        ("opentelemetry-instrumentation", "0.60b1", "opentelemetry-instrumentation 0.60b1 is too"),
        ("opentelemetry-sdk", "1.39.1", "opentelemetry-sdk 1.39.1 is too old"),
    ],
)
def test_a_package_that_is_missing_or_too_old_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, package: str, version: str, said: str
) -> None:
    real = versions.installed
    monkeypatch.setattr(
        versions, "installed", lambda name: version if name == package else real(name)
    )
    finding = found(f"versions.{package}") if package != "protobuf" else _problem()
    assert finding.severity is Severity.PROBLEM
    assert finding.what.startswith(said)
    assert versions.NEEDED[package] in finding.do


def _problem() -> Finding:
    [finding] = [each for each in versions.check(Examined({})) if each.severity is Severity.PROBLEM]
    return finding


def test_an_api_and_an_sdk_of_two_versions_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = versions.installed
    monkeypatch.setattr(
        versions, "installed", lambda name: "1.50.0" if name == "opentelemetry-api" else real(name)
    )
    assert found("versions.opentelemetry").severity is Severity.WARNING


def test_grpc_without_its_package_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    real = versions.installed
    monkeypatch.setattr(versions, "installed", lambda name: "" if name == "grpcio" else real(name))
    by_grpc = Examined({"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc"})
    finding = found("versions.grpcio", by_grpc)
    assert finding.severity is Severity.PROBLEM
    assert re.match("metrics are to be sent by grpc", finding.what)


def test_zstd_without_its_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "has_zstd", lambda: False)
    asked = Examined({"OTEL_EXPORTER_OTLP_COMPRESSION": "zstd"})
    assert found("versions.zstd", asked).severity is Severity.WARNING


@pytest.mark.parametrize(
    ("text", "numbers"), [("0.61b0", (0, 61)), ("5.29.6", (5, 29, 6)), ("2", (2,)), ("x", ())]
)
def test_the_numbers_of_a_version(text: str, numbers: tuple[int, ...]) -> None:
    assert versions.numbers(text) == numbers
