"""The wheel, beside what Dify 1.14.2 ships: it needs nothing else and brings nothing but itself."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = ROOT / "scripts" / "uv"


def _uv(*arguments: str | Path) -> str:
    done = subprocess.run([UV, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel."""
    folder = tmp_path_factory.mktemp("dist")
    _uv("build", "--quiet", "--wheel", "--out-dir", folder)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def dify(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment with Dify 1.14.2's versions of all that the package meets."""
    environment = tmp_path_factory.mktemp("dify")
    _uv("venv", "--quiet", "--clear", environment)
    pins = ROOT / "requirements" / "graphon-0.5.1.txt"
    _uv("pip", "sync", "--quiet", "--python", environment, pins)
    return environment


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {"otel_dify/py.typed", "otel_dify/cli/page.css"} <= set(names)
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"otel_dify"}


def test_installing_beside_dify_would_install_only_our_wheel(wheel: Path, dify: Path) -> None:
    told = _uv("pip", "install", "--dry-run", "--python", dify, wheel)
    changes = [line.strip() for line in told.splitlines() if line.startswith((" +", " -", " ~"))]
    assert changes == [f"+ otel-dify @ {wheel.as_uri()}"]


def test_without_its_dependencies_it_runs_beside_dify(
    wheel: Path, dify: Path, tmp_path: Path
) -> None:
    _uv("pip", "install", "--quiet", "--no-deps", "--python", dify, wheel)
    program = tmp_path / "program.py"
    program.write_text(
        "import logging\n"
        "from otel_dify import observe\n"
        "with observe('work'):\n"
        "    logging.getLogger('app').warning('inside')\n"
    )
    told = subprocess.run(
        [dify / "bin" / "opentelemetry-instrument", dify / "bin" / "python", program],
        env={
            "PATH": str(dify / "bin"),
            "OTEL_TRACES_EXPORTER": "otlp_file",
            "OTEL_METRICS_EXPORTER": "otlp_file",
            "OTEL_LOGS_EXPORTER": "otlp_file",
            "OTEL_DIFY_FILE_PATH": str(tmp_path / "telemetry"),
            "OTEL_DIFY_STATE_PATH": str(tmp_path / "state"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0
    assert told.stderr == "inside\n"
    written = {path.name.partition("-")[0]: path.read_text() for path in tmp_path.rglob("*.jsonl")}
    assert sorted(written) == ["logs", "metrics", "traces"]
    assert '"name":"work"' in written["traces"]
    assert '"stringValue":"inside"' in written["logs"]
    assert '"dify.custom.duration"' in written["metrics"]


def test_every_module_of_it_can_be_imported_beside_dify(wheel: Path, dify: Path) -> None:
    _uv("pip", "install", "--quiet", "--no-deps", "--python", dify, wheel)
    program = (
        "import importlib, pkgutil, otel_dify\n"
        "for module in pkgutil.walk_packages(otel_dify.__path__, 'otel_dify.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
        "        print(module.name)\n"
    )
    told = subprocess.run(
        [dify / "bin" / "python", "-c", program], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    assert "otel_dify.export.file" in told.stdout.splitlines()


def test_the_entry_points_of_the_wheel_lead_somewhere(wheel: Path, dify: Path) -> None:
    """The loader logs a stack for each that does not."""
    _uv("pip", "install", "--quiet", "--no-deps", "--python", dify, wheel)
    program = (
        "from importlib.metadata import distribution\n"
        "for entry in distribution('otel-dify').entry_points:\n"
        "    entry.load()\n"
        "    print(entry.group, entry.name)\n"
    )
    told = subprocess.run(
        [dify / "bin" / "python", "-c", program], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    for line in (
        "opentelemetry_distro otel_dify",
        "opentelemetry_configurator otel_dify",
        "opentelemetry_environment_variables otel_dify",
        "opentelemetry_instrumentor dify_graphon",
        "opentelemetry_traces_exporter otlp_file",
        "console_scripts otel-dify",
    ):
        assert line in told.stdout.splitlines()


def test_a_run_is_written_as_a_page_with_the_versions_that_dify_has(
    wheel: Path, dify: Path, tmp_path: Path
) -> None:
    _uv("pip", "install", "--quiet", "--no-deps", "--python", dify, wheel)
    page, data = tmp_path / "run.html", ROOT / "tests" / "cli" / "data" / "support"
    command: list[str | Path] = [dify / "bin" / "otel-dify", "view", "latest", data, "--html", page]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Where the time went" in page.read_text(encoding="utf-8")
