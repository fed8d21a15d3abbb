"""Reading what a test has left behind."""

from __future__ import annotations

from pathlib import Path

from otel_dify.cli.otlp_json import read
from otel_dify.cli.traces import Trace, group


def traces_in(folder: Path, app: str = "") -> list[Trace]:
    """Read the traces of runs in a folder of OTLP JSON lines, perhaps of one app."""
    found = (trace for trace in group(read(folder).spans) if trace.runs)
    return [trace for trace in found if app in {"", trace.title}]
