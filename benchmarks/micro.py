"""CPU of single parts, against OpenTelemetry's own part in the same run: ``make bench``.

Every variant of a case (``benchmarks.cases``) runs in a child process of its own, so that nothing
that another has attached is there. Children take turns, and every other round goes backwards, so
that a machine that gets slower or faster is the same for all. What a variant adds is its CPU less
that of ``bare`` in the same round, in microseconds an item; the medians over the rounds are shown.

    python -m benchmarks.micro [--rounds 6] [--case sql ...] [--results FILE]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import discard, rounds
from benchmarks.micro_report import report
from benchmarks.rounds import Round

ROOT = Path(__file__).parent.parent
VARIANTS = {
    "sql": ("bare", "stock", "ours", "stock-discard", "ours-discard"),
    "redis stub": ("bare", "stock", "ours", "stock-discard", "ours-discard"),
    "redis": ("bare", "stock", "ours", "stock-discard", "ours-discard"),
    "log": ("bare", "stock-discard", "ours-discard"),
    "engine": ("bare", "ours-discard"),
    "observe": ("bare", "ours"),
}
_SIGNALS = ("TRACES", "METRICS", "LOGS")
# Loops make more than a process of Dify does: what is dropped would not be measured.
_QUEUES = {"OTEL_BSP_MAX_QUEUE_SIZE": "65536", "OTEL_BLRP_MAX_QUEUE_SIZE": "65536"}
_CHILD_SECONDS = 300
_REDIS_SECONDS = 10


def run_child(case: str, variant: str, environ: dict[str, str]) -> dict[str, Any]:
    """Measure a variant of a case in a process of its own."""
    exporter = "discard" if variant.endswith("-discard") else "none"
    settings = {f"OTEL_{signal}_EXPORTER": exporter for signal in _SIGNALS}
    if case == "observe":
        settings["OTEL_SDK_DISABLED"] = "true"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cases", case, variant],
        env=environ | settings,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=_CHILD_SECONDS,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def environment() -> Iterator[dict[str, str]]:
    """Give the children's environment: a Redis to ask, exporters to find, nothing of the caller's.

    The Redis listens on a socket in a temporary folder and ends with the benchmark.
    """
    with tempfile.TemporaryDirectory(prefix="otel_dify-bench-") as name:
        folder = Path(name)
        discard.install(folder / "exporters")
        socket = folder / "redis.sock"
        server = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + _REDIS_SECONDS
            while not socket.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            clean = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
            yield (
                clean
                | _QUEUES
                | {
                    "BENCH_REDIS_SOCKET": str(socket),
                    "OTEL_DIFY_STATE_PATH": str(folder / "state"),
                    # The order of sets must not differ between the children.
                    "PYTHONHASHSEED": "0",
                    "PYTHONPATH": os.pathsep.join([str(folder / "exporters"), str(ROOT)]),
                }
            )
        finally:
            server.terminate()
            server.wait()


def measure(order: Sequence[tuple[str, str]], number: int) -> list[Round]:
    """Run children, round by round."""
    with environment() as environ:
        return rounds.run(order, number, lambda case, variant: run_child(case, variant, environ))


if __name__ == "__main__":
    rounds.main(
        "micro",
        module="benchmarks.micro",
        doc=__doc__,
        variants=VARIANTS,
        measure=measure,
        report=report,
        default=6,
    )
