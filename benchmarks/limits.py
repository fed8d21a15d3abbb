"""What a very large run costs, with limits and without: ``python -m benchmarks.limits``.

An iteration of 10,000 items, a loop of 1,000 passes, a text of 50 MB from node to node (content
on) and 100,000 log lines in one run, on the real engine: without telemetry, with it as it is by
default, and with it without limits. Every variant runs in a process of its own
(``benchmarks.limits_cases``) and sends to a receiver in another.

    [BENCH_ITEMS=10000] python -m benchmarks.limits [--rounds 1] [--case prompt ...]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import results, rounds
from benchmarks.limits_cases import CASES
from benchmarks.receiver import receiving
from benchmarks.rounds import Round

ROOT = Path(__file__).parent.parent
VARIANTS = dict.fromkeys(CASES, ("off", "ours", "ours-unlimited"))
_CHILD_SECONDS = 900
_UNLIMITED = {"OTEL_DIFY_RUN_SPANS": "0", "OTEL_DIFY_RUN_LOGS": "0"}
_CONTENT = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_AND_EVENT"}


def run_child(case: str, variant: str) -> dict[str, Any]:
    """Measure a variant of a case, and count what it has sent."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    with tempfile.TemporaryDirectory(prefix="otel_dify-bench-") as folder, receiving() as received:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.limits_cases", case, variant],
            env=clean
            | {
                "OTEL_EXPORTER_OTLP_ENDPOINT": received.url,
                "OTEL_DIFY_STATE_PATH": folder,
                "PYTHONPATH": str(ROOT),
            }
            | (_CONTENT if case == "prompt" else {})
            | (_UNLIMITED if variant == "ours-unlimited" else {}),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=_CHILD_SECONDS,
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found | received.counted


def measure(order: Sequence[tuple[str, str]], number: int) -> list[Round]:
    """Run children, round by round."""
    return rounds.run(order, number, run_child)


def report(found: list[Round]) -> str:
    """Lay out the table: medians over the rounds."""

    def middle(case: str, variant: str, key: str) -> float:
        return float(statistics.median(one[case, variant][key] for one in found))

    rows = []
    for case in dict.fromkeys(case for case, _ in found[0]):
        for variant in VARIANTS[case][1:]:
            ratio = {
                key: middle(case, variant, key) / middle(case, "off", key)
                for key in ("wall_s", "cpu_s")
            }
            rows.append(
                (
                    f"{case}{', no limits' if variant != 'ours' else ''}",
                    f"{ratio['wall_s']:.2f}",
                    f"{ratio['cpu_s']:.2f}",
                    f"{middle(case, variant, 'mb') - middle(case, 'off', 'mb'):+.0f}",
                    f"{middle(case, variant, 'records'):,.0f}",
                    f"{middle(case, variant, 'bytes') / 1e6:.2f}",
                    f"{middle(case, 'off', 'wall_s'):.1f}",
                )
            )
    head = ("run", "time", "CPU", "MB at most", "records", "MB sent", "seconds without")
    return "\n\n".join(
        [
            "## limits",
            "Very large runs with all three signals, against the same run without telemetry: time "
            "and CPU as ratios, memory as what is resident more. Records are spans, log records "
            f"and metrics; bytes are compressed. Medians of {len(found)} rounds. "
            + results.measured_on(results.versions()),
            results.table(head, rows),
        ]
    )


if __name__ == "__main__":
    rounds.main(
        "limits",
        module="benchmarks.limits",
        doc=__doc__,
        variants=VARIANTS,
        measure=measure,
        report=report,
        default=1,
    )
