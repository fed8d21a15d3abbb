"""The rig: a real Dify on this machine, which the variable ``DIFY_RIG`` names the folder of.

The folder holds what ``benchmarks/README.md`` lists. Configurations are files ``otel.NAME.env`` in
it; ``off`` has none. A line ``PRE=...`` in such a file is what the commands of api and worker are
started with.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.collecting import Collecting, collecting
from benchmarks.garbage import Collections, collections, written_down

PARTS = ("api", "worker")
OFF = "off"
_OTLP_PORT = 4318
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """What a part of Dify, all its processes, has used so far.

    Attributes:
        cpu_s: CPU, user and system, in seconds; processes that have ended included.
        memory_mib: resident memory now, in MiB; pages that are shared count for each process.
        garbage: the full garbage collections of the processes there are; in ``cpu_s`` as well.
    """

    cpu_s: float
    memory_mib: float
    garbage: Collections


class Rig:
    """Starts, drives and reads a rig.

    Args:
        folder: where it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_folder = folder / "run"
        self._garbage = self.run_folder / "garbage"
        self._collector: Collecting | None = None
        self._before: dict[str, int] = {}

    @classmethod
    def from_environment(cls) -> Rig:
        """Return the rig that ``DIFY_RIG`` names, or end with what is missing."""
        folder = os.environ.get("DIFY_RIG")
        if not folder or not (Path(folder) / "up.sh").exists():
            sys.exit(
                "Set DIFY_RIG to the folder of a rig: benchmarks/README.md says what it holds."
            )
        return cls(Path(folder).absolute())

    @property
    def python(self) -> Path:
        """The Python that Dify runs on."""
        return self.folder / "venv/bin/python"

    @contextmanager
    def started(self) -> Iterator[None]:
        """Have what all configurations share: a Collector, and what Dify needs where it is not up.

        Dify's processes write down their full garbage collections. Dify is stopped at the end.
        """
        self._script("up.sh", "infra")
        with written_down(self.python, self._garbage), collecting(_OTLP_PORT) as collector:
            self._collector = collector
            try:
                yield
            finally:
                self.stop_dify()
                self._collector = None

    def restart_dify(self, name: str) -> None:
        """Start api and worker anew in a configuration.

        Raises:
            FileNotFoundError: there is no such configuration.
        """
        environ = {"OTEL_ENV": os.devnull}
        if name != OFF:
            file = self.folder / f"otel.{name}.env"
            for line in file.read_text(encoding="utf-8").splitlines():
                if line.startswith("PRE="):
                    environ["PRE"] = line.removeprefix("PRE=").strip().strip('"')
            environ["OTEL_ENV"] = str(file)
        self.stop_dify()
        self._before = self._taken()
        self._script("up.sh", "app", **environ)

    def stop_dify(self) -> None:
        """Stop api and worker."""
        self._script("down.sh", "app")

    def drive(self, app: str, runs: int, concurrency: int) -> dict[str, Any]:
        """Run an app some times, blocking and streaming in turn; return the driver's summary.

        ``ok`` is how many succeeded, ``mean`` and ``p95`` are their latency in seconds.
        """
        python = self.folder / "tools-venv/bin/python"
        done = subprocess.run(
            [python, "drive.py", "bench", app, str(runs), str(concurrency)],
            cwd=self.folder,
            env=self._environ(),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        summary: dict[str, Any] = json.loads(done.stdout)
        return summary

    def received(self) -> dict[str, int]:
        """Return how many items the Collector has taken in this configuration, by signal."""
        return {signal: taken - self._before[signal] for signal, taken in self._taken().items()}

    def _taken(self) -> dict[str, int]:
        if self._collector is None:
            raise RuntimeError("the rig is not started")
        return self._collector.taken()

    def pid(self, part: str) -> int:
        """Return the process that leads the session of a part, ``api`` or ``worker``."""
        return int((self.run_folder / f"{part}.pid").read_text(encoding="ascii"))

    def check(self, name: str) -> dict[str, int]:
        """Return what has been received, which must be what the configuration says.

        When telemetry cannot start, Dify runs on without it, which would look very cheap.

        Raises:
            RuntimeError: telemetry came although it was off, or no span although it was on.
        """
        received = self.received()
        if sum(received.values()) > 0 if name == OFF else received["traces"] == 0:
            raise RuntimeError(f"from the configuration {name!r} the Collector took {received}")
        return received

    def usage(self, part: str) -> Usage:
        """Return what all processes of a part have used so far."""
        session, ticks, pages, pids = self.pid(part), 0, 0, []
        for pid, fields in _stats():
            # From the third field on: 3 session, 11 to 14 CPU of it and its ended children, 21 RSS.
            if int(fields[3]) == session:
                ticks += sum(map(int, fields[11:15]))
                pages += int(fields[21])
                pids.append(pid)
        return Usage(ticks / _TICKS, pages * _PAGE / 2**20, collections(self._garbage, pids))

    def dify_version(self) -> str:
        """Return the version that Dify's source tree names, or nothing."""
        project = self.folder / "dify/api/pyproject.toml"
        if project.exists():
            for line in project.read_text(encoding="utf-8").splitlines():
                if line.startswith("version"):
                    return line.partition("=")[2].strip().strip('"')
        return "unknown"

    def _script(self, script: str, what: str, **environ: str) -> None:
        subprocess.run(
            [self.folder / script, what],
            cwd=self.folder,
            env=self._environ() | environ,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    @staticmethod
    def _environ() -> dict[str, str]:
        """Return this process's environment without what would set telemetry up by accident."""
        return {k: v for k, v in os.environ.items() if not k.startswith("OTEL_") and k != "PRE"}


def _stats() -> Iterator[tuple[int, list[str]]]:
    """Read /proc/*/stat of every process: its number, and what follows its name."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:  # it has ended
                continue
            yield int(entry.name), text.rpartition(")")[2].split()
