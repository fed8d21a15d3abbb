"""What export costs, against OpenTelemetry's own exporters in the same run: ``make bench``.

Every variant of a case (``benchmarks.export_cases``) runs in a child process of its own and sends
to a receiver in another, which takes everything; children take turns (``benchmarks.rounds``).

    python -m benchmarks.exporting [--rounds 4] [--case "spans 15" ...] [--results FILE]
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import rounds
from benchmarks.collecting import collecting
from benchmarks.export_report import report
from benchmarks.receiver import receiving
from benchmarks.rounds import Round
from collector.native.layout import Ports

ROOT = Path(__file__).parent.parent
_EACH = ("stock", "ours", "ours-sdk")
VARIANTS: dict[str, tuple[str, ...]] = {
    "spans 0": _EACH,
    "spans 15": (*_EACH, "ours-zstd"),
    "spans 40": _EACH,
    "spans 15 new": _EACH,
    "logs": _EACH,
    "metrics 1k": _EACH,
    "metrics 10k": _EACH,
    "collector": ("stock", "ours"),
    # Reported together.
    "memory": ("stock", "ours"),
    "memory, nobody there": ("stock", "ours"),
    "journal": ("mapped", "written", "whole"),
    "backlog": ("ours",),
}
_CHILD_SECONDS = 300
# Loops make more than a process of Dify does: what is dropped would not be measured. Memory is
# measured with the queue that there is by default.
_QUEUES = {"OTEL_BSP_MAX_QUEUE_SIZE": "262144", "OTEL_BLRP_MAX_QUEUE_SIZE": "262144"}


def _environment(case: str, variant: str, url: str, state: Path) -> dict[str, str]:
    clean = {name: text for name, text in os.environ.items() if not name.startswith("OTEL_")}
    return (
        clean
        | ({} if case.startswith("memory") else _QUEUES)
        | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_DIFY_STATE_PATH": str(state),
            # A loop makes more than a sender sends meanwhile.
            "OTEL_DIFY_JOURNAL_SIZE": "1024",
            "PYTHONHASHSEED": "0",
            "PYTHONPATH": str(ROOT),
        }
        | ({"OTEL_EXPORTER_OTLP_COMPRESSION": "zstd"} if variant == "ours-zstd" else {})
    )


def run_child(case: str, variant: str) -> dict[str, Any]:
    """Measure a variant of a case in a process of its own, and tell what has arrived of it."""
    state = Path(tempfile.mkdtemp(prefix="otel_dify-bench-"))
    try:
        if case == "collector":
            with collecting() as collector:
                return _child(case, variant, _environment(case, variant, collector.url, state))
        if case == "memory, nobody there":
            url = f"http://127.0.0.1:{Ports.free().otlp_http}"
            return _child("memory", variant, _environment(case, variant, url, state))
        with receiving() as received:
            found = _child(case, variant, _environment(case, variant, received.url, state))
        return found | {"received": received.counted}
    finally:
        shutil.rmtree(state, ignore_errors=True)


def _child(case: str, variant: str, environ: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.export_cases", case, variant.removesuffix("-zstd")],
        env=environ,
        check=True,
        stdout=subprocess.PIPE,
        # Where nobody is there, exporters say so.
        stderr=subprocess.DEVNULL if case == "memory" else None,
        text=True,
        timeout=_CHILD_SECONDS,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(order: Sequence[tuple[str, str]], number: int) -> list[Round]:
    """Run children, round by round."""
    return rounds.run(order, number, run_child)


if __name__ == "__main__":
    rounds.main(
        "export",
        module="benchmarks.exporting",
        doc=__doc__,
        variants=VARIANTS,
        measure=measure,
        report=report,
        default=4,
    )
