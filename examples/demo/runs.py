"""What the demo runs, whatever becomes of the telemetry: the host, and three runs on it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from examples.host.up import Host
from otel_dify import table as t
from otel_dify.cli.traces import Trace

ROOT = Path(__file__).parents[2]
# How long what was sent may take to be seen; it takes a second or two.
PATIENCE_SECONDS = 60.0
WIDTH = shutil.get_terminal_size((120, 24)).columns


@dataclass(frozen=True)
class Example:
    """A run to look at: app, inputs, whether it is streamed, and what there is to see."""

    app: str
    inputs: Mapping[str, str]
    stream: bool
    about: str


EXAMPLES = (
    Example(
        "support_triage",
        {"question": "I was charged twice for the same invoice.", "customer": "Ada"},
        stream=False,
        about="a blocking request, run in the API's process",
    ),
    Example(
        "research_batch",
        {"topic": "renewable energy"},
        stream=True,
        about="a streaming request, run by a Celery worker; iteration and loop",
    ),
    Example(
        "flaky_enrichment",
        {"customer": "acme", "summary_request": "Summarise this customer. SERVERERROR"},
        stream=False,
        about="a retry that helps, a fail branch that recovers, a model failure that does not",
    ),
)


def say(*lines: str) -> None:
    """Print for a person, in colour where `otel-dify view` would."""
    coloured = bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()
    click.echo("\n".join(lines), color=coloured and not os.environ.get("NO_COLOR"))


def title(text: str) -> str:
    """Make a line that sets off what follows."""
    return click.style(f"\n━━ {text} ━━", bold=True, fg="cyan")


def start_host(folder: Path, **settings: str) -> Host:
    """Make the host, whose web process and worker start under `opentelemetry-instrument`.

    Args:
        folder: for logs, the database, and what processes agree on.
        settings: environment variables on top of the demo's own, which send often.
    """
    say(f"Starting redis, a model server, the API and a Celery worker; logs: {folder / 'host'}")
    env = {
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        "OTEL_BLRP_SCHEDULE_DELAY": "500",
        "OTEL_DIFY_STATE_PATH": str(folder / "state"),
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=demo",
        **settings,
    }
    prefix = [str(Path(sys.executable).parent / "opentelemetry-instrument")]
    return Host(folder / "host", prefix=prefix, env=env)


def run(host: Host, example: Example) -> tuple[str, str]:
    """Run an example, say so, and return the workflow run's id and how it ended."""
    say(title(example.app), f"   {example.about}")
    answer = host.run_app(example.app, example.inputs, stream=example.stream)
    return answer["workflow_run_id"], answer["data"]["status"]


def whole(trace: Trace) -> bool:
    """Tell whether nothing of a trace is missing: one root, every parent, and the run itself.

    Of a streamed run the API's half has a root and no stray, and knows of the run what its last
    event says: only the run itself has counted its nodes.
    """
    rows = list(trace.rows())
    roots = [row for row in rows if not row.span.parent_id]
    ran = any(t.NODE_COUNT.key in row.span.attributes for row in rows)
    return ran and len(roots) == 1 and not any(row.stray for row in rows)


def wait_if(keep: bool, host: Host) -> None:
    """Stay up until interrupted, if asked to, so that more runs can be made and looked at."""
    if not keep:
        return
    say(
        title("Running until Ctrl-C"),
        f"   curl -N {host.url}/v1/workflows/run -H 'Content-Type: application/json' \\",
        "     -H 'Authorization: Bearer app-support_triage' \\",
        '     -d \'{"inputs": {"question": "Hello?"}, "user": "me", '
        '"response_mode": "streaming"}\'',
    )
    signal.pause()
