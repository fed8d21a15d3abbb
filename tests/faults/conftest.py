"""Programs that record and say what they have recorded, against receivers that fail."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.faults.receiver import Receiver
from tests.process.conftest import INSTRUMENT, Programs, eventually

PROGRAMS = Path(__file__).with_name("programs")
DEADLINE = 60.0
"""Seconds after which what should have come true is taken never to."""
OTLP = {
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_METRICS_EXPORTER": "otlp",
    "OTEL_LOGS_EXPORTER": "otlp",
    "OTEL_BSP_SCHEDULE_DELAY": "50",
    "OTEL_BLRP_SCHEDULE_DELAY": "50",
    "OTEL_METRIC_EXPORT_INTERVAL": "200",
    "PYTHONPATH": f"{PROGRAMS}:{Path(__file__).parents[2]}",
}


class Lists:
    """What programs have said that they did.

    Args:
        folder: where they say it.
    """

    def __init__(self, folder: Path) -> None:
        self.said: dict[str, list[str]] = {}
        for path in folder.glob("*.list"):
            # The last line may be cut off.
            for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
                what, _, of = line.partition(" ")
                self.said.setdefault(what, []).append(of)

    def __getitem__(self, what: str) -> list[str]:
        return self.said.get(what, [])


class Rig(Programs):
    """Programs, and the receiver that they send to.

    Args:
        folder: for files of all sorts.
        receiver: where they send to.
    """

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        env = {**OTLP, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
        super().__init__(folder, env)
        self.receiver = receiver
        self.lists = folder / "lists"
        self.lists.mkdir()
        self._running: list[subprocess.Popen[str]] = []

    @property
    def journal(self) -> Path:
        """Where the journals are."""
        return self.folder / "state" / "journal"

    @property
    def said(self) -> Lists:
        """What programs have said so far."""
        return Lists(self.lists)

    def begin(
        self,
        program: str,
        *words: str,
        env: dict[str, str | None] | None = None,
        prefix: Sequence[str] = (),
        instrument: Sequence[str] = (INSTRUMENT,),
    ) -> subprocess.Popen[str]:
        """Start a program of these tests.

        Args:
            program: its file.
            words: its arguments.
            env: what is other in its environment; ``None`` takes a variable away.
            prefix: what is run before all else.
            instrument: what starts otel_dify; nothing where the program does.
        """
        begun = subprocess.Popen(
            [*prefix, *instrument, sys.executable, str(PROGRAMS / program), *words],
            cwd=PROGRAMS,
            env=self.environment(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._running.append(begun)
        return begun

    def producer(
        self,
        name: str,
        units: int,
        how: str = "plain",
        end: str = "exit",
        **more: Any,
    ) -> subprocess.Popen[str]:
        """Start a program that records units."""
        return self.begin(
            "producer.py", str(self.lists / f"{name}.list"), str(units), how, end, **more
        )

    def has_said(self, what: str, number: int = 1) -> bool:
        """Wait until programs have said something so often."""
        return eventually(lambda: len(self.said[what]) >= number, DEADLINE)

    def settles(self, *what: str) -> bool:
        """Have a process live until all that was said has come, what others left included.

        Args:
            what: as for ``arrives``.
        """
        before = len(self.said["done"])
        program = self.producer("last", 1, end="wait")
        came = self.has_said("done", before + 1) and self.arrives(*what)
        ended(program)
        return came

    def arrives(self, *what: str) -> bool:
        """Wait until all that was said has come to the receiver.

        Args:
            what: ``ended`` operations where nothing is given; ``begun`` ones are ended by others.
        """
        said = self.said
        ids = set().union(*(said[one] for one in what or ("ended",)))
        lines = set(said["line"])

        def has() -> bool:
            # All of it may be much to look at.
            counts = self.receiver.counts()
            if counts["spans"] < len(ids) or counts["lines"] < len(lines):
                return False
            state = self.receiver.state()
            return ids <= set(state["spans"]) and lines <= set(state["lines"])

        return eventually(has, DEADLINE)

    def stop_all(self) -> None:
        """Kill what still runs."""
        for one in self._running:
            if one.poll() is None:
                one.kill()
            one.communicate()


def ended(program: subprocess.Popen[str], within_s: float = DEADLINE) -> str:
    """Wait until a program has ended, and well; returns what it has written to its terminal."""
    out, err = program.communicate(timeout=within_s)
    assert program.returncode == 0, err
    return out + err


def duplicates(state: dict[str, Any]) -> int:
    """Count the spans and lines that came more than once."""
    counts: Counter[str] = Counter(state["spans"])
    counts.update(state["lines"])
    return counts.total() - len(counts)


def total(state: dict[str, Any], metric: str, **labels: str) -> float:
    """Add up a metric over all processes and series that have some labels."""
    found = 0.0
    for key, value in state["points"].items():
        _, name, known = json.loads(key)
        if name == metric and labels.items() <= dict(known).items():
            found += value
    return found


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Yield a receiver."""
    with Receiver() as made:
        yield made


@pytest.fixture
def rig(tmp_path: Path, receiver: Receiver) -> Iterator[Rig]:
    """Yield what runs programs against a receiver; those still running are killed."""
    made = Rig(tmp_path, receiver)
    yield made
    made.stop_all()
    made.stop()


def mounted(size: str, command: Sequence[str], at: Path) -> list[str]:
    """Return a command that has a small file system of its own somewhere, and nobody else has.

    Args:
        size: how large it is, as ``mount`` reads it; with ``,ro`` behind it can only be read.
        command: what is run.
        at: where it lies.
    """
    at.mkdir(parents=True, exist_ok=True)
    return [
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        f'mount -t tmpfs -o size={size} none "{at}" && exec "$@"',
        "sh",
        *command,
    ]
