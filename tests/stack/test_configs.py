"""Every configuration is accepted by the program that reads it, and refused when it is wrong."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from collector.native.build import ensure
from collector.native.layout import Layout
from collector.native.programs import (
    COLLECTOR,
    COLLECTOR_FOLDER,
    JAEGER,
    LOKI,
    MANIFEST,
    PROMETHEUS,
)
from collector.native.services import (
    COLLECTOR_CONFIG,
    JAEGER_CONFIG,
    LOKI_CONFIG,
    PROMETHEUS_CONFIG,
)

DROP_INS = sorted((COLLECTOR_FOLDER / "drop-ins").glob("*.yaml"))
# Whose component our build has not; test_drop_ins.py holds it against the component's keys.
NOT_BUILT = [COLLECTOR_FOLDER / "drop-ins" / "clickhouse.yaml"]
CONFIGS_WITH_VARIABLES = [COLLECTOR_CONFIG, JAEGER_CONFIG, LOKI_CONFIG]
VARIABLE = re.compile(r"\$\{(?:env:)?([A-Z][A-Z0-9_]+)(:-[^}]*)?\}")


def run(
    *command: str | Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a checker with its output captured, on top of this process's environment."""
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | dict(environment or {}),
    )


def validate_collector(*configs: Path, environment: Mapping[str, str]) -> str:
    """What `otelcol validate` objects to; empty if nothing."""
    arguments = [f"--config={config}" for config in configs]
    answer = run(ensure(COLLECTOR) / "otelcol", "validate", *arguments, environment=environment)
    return "" if answer.returncode == 0 else answer.stderr or answer.stdout or "refused"


@pytest.fixture
def native(tmp_path: Path) -> Mapping[str, str]:
    """The environment of a native run."""
    return Layout(tmp_path).environment()


def test_the_collector_accepts_its_file_with_the_defaults_of_the_containers(tmp_path: Path) -> None:
    # The one default that cannot be on this machine: validation looks for the queue's folder.
    assert (
        validate_collector(COLLECTOR_CONFIG, environment={"OTELCOL_DATA_DIR": str(tmp_path)}) == ""
    )


def test_the_collector_accepts_its_file_natively(native: Mapping[str, str]) -> None:
    assert validate_collector(COLLECTOR_CONFIG, environment=native) == ""


def test_the_collector_accepts_every_drop_in(native: Mapping[str, str]) -> None:
    built = [drop_in for drop_in in DROP_INS if drop_in not in NOT_BUILT]
    for drop_in in built:
        assert validate_collector(COLLECTOR_CONFIG, drop_in, environment=native) == "", drop_in
    assert validate_collector(COLLECTOR_CONFIG, *built, environment=native) == ""


def test_a_drop_in_fills_the_slots_and_adds_a_pipeline(
    native: Mapping[str, str], tmp_path: Path
) -> None:
    """What drop-ins/README.md promises: no list of the base file is repeated."""
    drop_in = tmp_path / "drop-in.yaml"
    drop_in.write_text(
        """
processors:
  transform/drop_in:
    metric_statements: ['set(metric.description, "x") where metric.name == "y"']
exporters:
  otlp_http/another: {endpoint: "http://127.0.0.1:1"}
service:
  pipelines:
    traces/another: {receivers: [otlp], exporters: [otlp_http/another]}
"""
    )
    assert validate_collector(COLLECTOR_CONFIG, drop_in, environment=native) == ""


def test_the_collector_refuses_a_wrong_statement(native: Mapping[str, str], tmp_path: Path) -> None:
    drop_in = tmp_path / "drop-in.yaml"
    drop_in.write_text("processors: {transform/drop_in: {metric_statements: ['nonsense(']}}")
    assert "nonsense" in validate_collector(COLLECTOR_CONFIG, drop_in, environment=native)


def test_the_collector_has_every_component_of_its_manifest() -> None:
    manifest = yaml.safe_load(MANIFEST.read_text())
    listed = yaml.safe_load(run(ensure(COLLECTOR) / "otelcol", "components").stdout)
    built = {
        component["module"]
        for kind in ("receivers", "processors", "exporters", "connectors", "extensions")
        for component in listed[kind]
    }
    wanted = {
        component["gomod"]
        for kind in ("receivers", "processors", "exporters", "connectors", "extensions")
        for component in manifest[kind]
    }
    assert wanted <= built


@pytest.mark.parametrize("storage", ["badger", "memory"])
def test_jaeger_accepts_its_file(native: Mapping[str, str], storage: str) -> None:
    environment = {**native, "JAEGER_STORAGE": storage}
    answer = run(
        ensure(JAEGER) / "jaeger", "validate", f"--config={JAEGER_CONFIG}", environment=environment
    )
    assert answer.returncode == 0, answer.stderr


def test_loki_accepts_its_file(native: Mapping[str, str]) -> None:
    command = (
        ensure(LOKI) / "loki",
        f"-config.file={LOKI_CONFIG}",
        "-config.expand-env=true",
        "-verify-config",
    )
    assert run(*command, environment=native).returncode == 0
    assert run(*command).returncode == 0
    wrong = run(*command, environment={**native, "LOKI_RETENTION": "soon"})
    assert wrong.returncode != 0


def test_prometheus_accepts_its_file_in_place_and_linked(tmp_path: Path) -> None:
    linked = Layout(tmp_path).prometheus_folder() / "prometheus.yaml"
    for path in (PROMETHEUS_CONFIG, linked):
        answer = run(ensure(PROMETHEUS) / "promtool", "check", "config", path)
        assert answer.returncode == 0, answer.stderr


def test_prometheus_accepts_its_rules() -> None:
    for rules in sorted((PROMETHEUS_CONFIG.parent / "rules").glob("*.yaml")):
        answer = run(ensure(PROMETHEUS) / "promtool", "check", "rules", rules)
        assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("config", CONFIGS_WITH_VARIABLES, ids=lambda path: path.name)
def test_variables_have_defaults_and_are_documented(config: Path) -> None:
    readme = (COLLECTOR_FOLDER / "README.md").read_text()
    for name, default in VARIABLE.findall(config.read_text()):
        assert default, f"{name} in {config} has no default"
        assert f"`{name}`" in readme, f"{name} of {config} is not in collector/README.md"


@pytest.mark.parametrize("drop_in", DROP_INS, ids=lambda path: path.name)
def test_variables_of_drop_ins_have_defaults_and_are_documented(drop_in: Path) -> None:
    readme = (drop_in.parent / "README.md").read_text()
    shared = (COLLECTOR_FOLDER / "README.md").read_text()
    for name, default in VARIABLE.findall(drop_in.read_text()):
        assert default, f"{name} in {drop_in} has no default"
        assert f"`{name}`" in readme + shared, f"{name} of {drop_in} is not in its README.md"


def test_a_native_run_sets_every_address_port_and_folder(native: Mapping[str, str]) -> None:
    """Else a native run would fall back to a container's address."""
    used = {
        name
        for config in CONFIGS_WITH_VARIABLES
        for name, _ in VARIABLE.findall(config.read_text())
        if name.endswith(("_LISTEN", "_PORT", "_URL", "_ENDPOINT", "_DIR"))
    }
    assert used <= set(native)
