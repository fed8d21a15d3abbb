"""Real telemetry for the commands that read it: the example host, run once."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collector.native.query import wait_until
from otel_dify.cli.otlp_json import read
from otel_dify.cli.traces import group, of_run
from otel_dify.settings import FILE_PATH

_UNREACHABLE = "http://127.0.0.1:9"


@dataclass
class Ran:
    """What the host has left behind.

    Attributes:
        home: a folder with the telemetry's under its default name.
        living: a copy of the state path, made while the processes lived.
        dead: the state path, when they had ended.
        runs: ids of the runs, by app, the first first.
        moment: between the first round of runs and the second, as ISO 8601.
    """

    home: Path
    living: Path
    dead: Path
    runs: dict[str, list[str]] = field(default_factory=dict)
    moment: str = ""

    @property
    def files(self) -> Path:
        """The folder with OTLP JSON lines."""
        return self.home / FILE_PATH.default


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the example host: its engine is newer than some that this is tested with."""
    for item in items:
        if "ran" in getattr(item, "fixturenames", ()):
            item.add_marker("host")


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Run each example twice, and keep its telemetry in files and in journals at once.

    Its Collector is not there, so all stays in the journals.
    """
    # Not above: see the marker.
    from examples.demo.runs import EXAMPLES
    from examples.host.up import Host

    home = tmp_path_factory.mktemp("home")
    made = Ran(home, home / "living", home / "state")
    env = {
        "OTEL_TRACES_EXPORTER": "otlp,otlp_file",
        "OTEL_LOGS_EXPORTER": "otlp,otlp_file",
        "OTEL_METRICS_EXPORTER": "otlp_file",
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_BLRP_SCHEDULE_DELAY": "200",
        "OTEL_EXPORTER_OTLP_ENDPOINT": _UNREACHABLE,
        "OTEL_DIFY_FILE_PATH": str(made.files),
        "OTEL_DIFY_STATE_PATH": str(made.dead),
    }
    prefix = [str(Path(sys.executable).parent / "opentelemetry-instrument")]
    with Host(home / "host", prefix=prefix, env=env) as host:
        for _ in range(2):
            for example in EXAMPLES:
                answer = host.run_app(example.app, example.inputs, stream=example.stream)
                made.runs.setdefault(example.app, []).append(answer["workflow_run_id"])
            ids = [run for runs in made.runs.values() for run in runs]
            wait_until(
                lambda ids=ids: all(_arrived(made.files, run) for run in ids),  # type: ignore[misc] # bound to each
                what=f"whole traces of {ids} in {made.files}",
                timeout=120,
            )
            made.moment = made.moment or _now()
        shutil.copytree(made.dead, made.living)
    return made


def _arrived(files: Path, run_id: str) -> bool:
    from examples.demo.runs import whole

    traces = of_run(group(read(files).spans), run_id) if files.exists() else []
    return len(traces) == 1 and whole(traces[0])


def _now() -> str:
    return datetime.now(UTC).isoformat()
