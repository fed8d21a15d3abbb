"""The wheel, beside what Dify 1.14.2 ships: it needs nothing else and brings nothing but itself."""

from __future__ import annotations

import re
import shutil
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


@pytest.fixture(scope="module")
def old_pip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an empty environment with the pip that Python 3.12.1 bundles; return its folder."""
    environment = tmp_path_factory.mktemp("old_pip")
    _uv("venv", "--quiet", "--clear", environment)
    _uv("pip", "install", "--quiet", "--python", environment, "pip==23.2.1")
    return environment


def test_an_old_pip_installs_it_with_its_dependencies(wheel: Path, old_pip: Path) -> None:
    """The resolver of pip 23 gives up where releases of OpenTelemetry are not whole."""
    python = old_pip / "bin" / "python"
    for words in (["install", "--no-input", f"{wheel}[grpc]"], ["check"]):
        done = subprocess.run(
            [python, "-m", "pip", *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    told = subprocess.run(
        [old_pip / "bin" / "otel-dify", "--version"], capture_output=True, text=True, check=True
    )
    assert told.stdout.startswith("otel-dify, version ")


def _as_written(part: str) -> str:
    """Return the commands of the README between two marks."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    _, _, rest = text.partition(f"<!-- {part}: tested as written -->")
    section, _, _ = rest.partition(f"<!-- {part}: end -->")
    [block] = re.findall(r"```\n(.*?)```", section, re.DOTALL)
    return str(block)


def test_the_readmes_commands_build_and_install_the_wheel(old_pip: Path, tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns(
        "__pycache__", ".*", "tests", "docs", "collector", "benchmarks"
    )
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT, checkout, ignore=ignored)
    for part in ("wheel", "install"):
        done = subprocess.run(
            ["bash", "-c", _as_written(part)],
            cwd=checkout,
            env={"PATH": f"{old_pip / 'bin'}:/usr/bin:/bin", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert [path.suffix for path in (checkout / "dist").iterdir()] == [".whl"]
    assert (old_pip / "bin" / "otel-dify").exists()


def test_nothing_says_that_it_is_on_pypi() -> None:
    """Until somebody publishes it, `pip install otel-dify` would find nothing, or a stranger's."""
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("otel_dify/**/*.py")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"pip3? install (-\S+ )*otel[-_]dify", text), path
