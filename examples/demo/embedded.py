"""The demo without any backend: OTLP JSON files, and `otel-dify view`'s reading of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from collector.native.query import wait_until
from examples.demo.runs import (
    EXAMPLES,
    PATIENCE_SECONDS,
    WIDTH,
    run,
    say,
    start_host,
    title,
    wait_if,
    whole,
)
from otel_dify import table as t
from otel_dify.cli.otlp_json import read
from otel_dify.cli.records import Process, Telemetry
from otel_dify.cli.report import report
from otel_dify.cli.traces import group, logs_of, of_run

_SIGNALS = ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER")


def embedded(folder: Path, *, keep: bool) -> None:
    """Write files, and show the waterfall of each run, metrics and logs of the last.

    Args:
        folder: for all that the demo writes.
        keep: whether to stay up until interrupted.
    """
    telemetry_folder = folder / "telemetry"
    to_files = dict.fromkeys(_SIGNALS, "otlp_file")
    with start_host(folder, **to_files, OTEL_DIFY_FILE_PATH=str(telemetry_folder)) as host:
        for example in EXAMPLES:
            run_id, _ = run(host, example)
            telemetry = wait_until(
                lambda: read(telemetry_folder) if telemetry_folder.exists() else Telemetry(),
                _complete(run_id),
                timeout=PATIENCE_SECONDS,
                what=f"complete telemetry of run {run_id} in {telemetry_folder}",
            )
            traces = of_run(group(telemetry.spans), run_id)
            last = example is EXAMPLES[-1]
            logs = logs_of(traces, telemetry.logs) if last else ()
            say("", *report(telemetry, traces, WIDTH, metrics=last, logs=logs))
        say(
            title("Look again"),
            f"   .venv/bin/otel-dify view {telemetry_folder}",
            f"   .venv/bin/otel-dify view {telemetry_folder} --run {run_id} --metrics --logs",
            "   make demo STACK=native   # the same in real Jaeger, Prometheus and Loki",
        )
        wait_if(keep, host)


def _complete(run_id: str) -> Callable[[Telemetry], bool]:
    """Make what tells whether traces, metrics and logs of a run have all been written."""

    def told(telemetry: Telemetry) -> bool:
        traces = of_run(group(telemetry.spans), run_id)
        ended = {
            log.attributes.get(t.RUN_ID.key) for log in telemetry.logs if log.source == t.RUN.event
        }
        exported: dict[Process, int] = {}
        for point in telemetry.points:
            exported[point.process] = max(point.at_ns, exported.get(point.process, 0))
        return (
            run_id in ended
            and len(traces) == 1
            and whole(traces[0])
            and all(exported.get(p, 0) >= traces[0].end_ns for p in traces[0].processes)
        )

    return told
