"""The benchmark's ruler tells full garbage collections of a rig's processes apart."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from benchmarks.dify import report
from benchmarks.garbage import Collections, collections, written_down

PROGRAM = (
    "import gc, os; gc.disable(); gc.collect(0); gc.collect(); gc.collect(1);"
    "print(os.getpid(), flush=True); os._exit(0)"
)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Python of an environment that nothing else uses."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, symlinks=True)
    return home / "bin" / Path(sys.executable).name


def test_a_process_writes_its_full_collections_down_and_no_young_ones(
    python: Path, tmp_path: Path
) -> None:
    with written_down(python, tmp_path):
        found = subprocess.run([python, "-c", PROGRAM], check=True, capture_output=True, text=True)
    told = collections(tmp_path, [int(found.stdout), 2**30])
    assert told.number == 1
    assert told.cpu_s > 0
    assert collections(tmp_path, [2**30]) == Collections()


def test_nothing_is_left_in_the_rig_and_an_earlier_series_is_forgotten(
    python: Path, tmp_path: Path
) -> None:
    (tmp_path / "17").write_text("0.5\n")

    def there() -> set[Path]:
        return {file for file in python.parents[1].rglob("*") if "site-packages" in file.parts}

    before = there()
    with written_down(python, tmp_path):
        subprocess.run([python, "-c", PROGRAM], check=True, capture_output=True)
        assert there() > before
    assert there() == before
    assert collections(tmp_path, [17]) == Collections()


def test_the_report_holds_configurations_against_each_other_with_collections_and_without() -> None:
    """``ours`` adds 10 ms a run and had the only collection, of 400 ms in 20 runs."""

    def line(name: str, steady: float, full: float) -> dict[str, object]:
        one = {"name": name, "names": ["off", "ours", "builtin"], "app": "wf", "n": 20, "c": 2}
        spent = {"cpu_ms": steady + full, "steady_ms": steady, "full_collections": int(full > 0)}
        return {**one, **spent, "latency_ms": steady, "memory_mib": 1, "failed": 0}

    rounds = [
        [line("off", 100 + n, 0), line("ours", 110 + n, 20), line("builtin", 200 + n, 0)]
        for n in range(3)
    ]
    told = report(rounds, {"Dify": "1.14.2"})
    assert "telemetry adds: 0.10 (0.10 to 0.10)**; with full garbage collections" in told
    assert "0.30 (0.30 to 0.30)" in told
    assert "`off` had 0 in its 60 runs, 0.0 ms a run; `ours` had 3 in its 60 runs, 20.0 ms" in told
