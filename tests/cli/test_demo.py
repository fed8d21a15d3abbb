"""`make demo`, as a newcomer sees it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from collector.native.layout import HOST, Layout, Ports
from collector.native.programs import Program
from examples.demo import backends

ROOT = Path(__file__).parents[2]
NODES = {
    "support_triage": [
        *("start Start", "question-classifier Classify the question"),
        *("template-transform Write up the case", "if-else Needs a ticket?"),
        *("http-request Open a ticket", "llm Draft the answer", "end End"),
    ],
    "research_batch": [
        *("start Start", "tool Search the knowledge base", "iteration For each source"),
        *("iteration item 0", "template-transform Write the brief", "llm Summarise the source"),
        *("iteration item 2", "template-transform Collect the notes", "loop Refine the report"),
        *("loop pass 0", "llm Write the next version", "assigner Keep it", "loop pass 1"),
        "end End",
    ],
    "flaky_enrichment": [
        *("start Start", "http-request Fetch the profile", "http-request Enrich the profile"),
        *("template-transform Without enrichment", "variable-aggregator Merge", "llm Score"),
        "llm Summarise",
    ],
}


def demo(folder: Path, stack: str) -> dict[str, str]:
    """Run it; returns what it printed, by heading."""
    command = [sys.executable, "-m", "examples.demo", "--stack", stack, "--folder", str(folder)]
    environ = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    shown = subprocess.run(
        command,
        cwd=ROOT,
        env={**environ, "COLUMNS": "150", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    parts = re.split(r"━━ (.*) ━━\n", shown)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@contextmanager
def taken(port: int) -> Iterator[None]:
    """Listen on a port, where nobody else does."""
    with ExitStack() as held:
        with suppress(OSError):
            held.enter_context(socket.create_server((HOST, port)))
        yield


def waterfalls_are_whole(shown: dict[str, str]) -> None:
    """Every node of every app is there, in order, in one tree below the request's span."""
    for app, nodes in NODES.items():
        _, _, below = shown[app].partition("Where the time went")
        _, _, below = below.partition("\n\n")
        lines = below.splitlines()
        tree = [line for line in lines if re.search(r"[█░▏▎▍▌▋▊▉] .* (ms|s)\b", line)]
        assert tree[0].startswith("[1] POST /v1/workflows/run")
        assert all(line[0] in "│├└ " for line in tree[1:])
        names = [re.split(r"  +[█░▏▎▍▌▋▊▉]", line.lstrip("│├└─ "))[0].rstrip() for line in tree]
        places = [names.index(node) for node in nodes]
        assert places == sorted(places)


def test_embedded_shows_waterfalls_metrics_and_logs_from_files(tmp_path: Path) -> None:
    shown = demo(tmp_path / "demo", "embedded")
    waterfalls_are_whole(shown)
    assert "[2] process " in shown["research_batch"]
    failed = shown["flaky_enrichment"]
    assert "✗ InvokeServerUnavailableError: 500 from the model provider" in failed
    assert "◆ retry" in failed
    assert re.search(r"dify\.errors\.total .*\+1", failed)
    assert re.search(r"ERROR +dify\.workflow\.run +run \S+ failed in", failed)


@pytest.mark.timeout(600)
def test_native_shows_what_jaeger_prometheus_and_loki_answer(tmp_path: Path) -> None:
    """On free ports where a usual one is taken.

    The demo itself compares Prometheus' answers with what happened, and fails otherwise.
    """
    with taken(Ports().otlp_http):
        shown = demo(tmp_path / "demo", "native")
    assert "status=failed" in shown["Prometheus"]
    waterfalls_are_whole(shown)
    assert re.search(r"counted \d+ input and \d+ output tokens: the same", shown["Prometheus"])
    trace = re.search(r"^trace  (\w{32})", shown["flaky_enrichment"], re.MULTILINE)
    assert trace is not None
    assert f'trace_id="{trace[1]}"' in shown["Loki"]
    assert re.search(r"ERROR .* run \S+ failed in", shown["Loki"])


def test_native_looks_at_the_ports_when_everything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Building may take most of an hour: what was free before it need not be so after it."""
    with ExitStack() as meanwhile:

        def build(program: Program) -> Path:
            meanwhile.enter_context(taken(Ports().otlp_http))
            return tmp_path / program.name

        @contextmanager
        def start(layout: Layout) -> Iterator[None]:
            started.append(layout)
            yield

        started: list[Layout] = []
        monkeypatch.setattr(backends, "ensure", build)
        monkeypatch.setattr(backends, "Stack", start)
        with ExitStack() as exits:
            assert backends._native(exits, tmp_path).ports.taken() == []
        assert len(started) == 1
