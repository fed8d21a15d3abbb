"""Journals are read, whoever writes to them, and are what they were."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from otel_dify.cli.journals import read
from otel_dify.cli.otlp_json import read as read_files
from otel_dify.cli.records import Span
from otel_dify.cli.traces import group, of_run
from otel_dify.export.journal.place import SEGMENT, adopt, lives
from tests.cli.conftest import Ran
from tests.cli.viewing import view

_RUNNING = """
import sys
import otel_dify
from otel_dify import table as t
from otel_dify.operations.current import start

otel_dify.configure()
known = {t.RUN_ID: "3f2c8a54-0c1d-4a5e-9d53-1f6f2f3f7a10", t.APP_NAME: "Support"}
run = start(t.RUN, known)
with run.active():
    done = start(t.NODE, {t.NODE_TYPE: "start", t.NODE_TITLE: "Start", t.NODE_ID: "1"})
    done.end()
    node = start(t.NODE, {t.NODE_TYPE: "llm", t.NODE_TITLE: "Draft", t.NODE_ID: "2"})
    print("running", flush=True)
    sys.stdin.read()
"""


def comparable(spans: list[Span]) -> list[Span]:
    """Put the spans of runs in order of their ids."""
    runs = [span for trace in group(spans) if trace.runs for span in trace.spans]
    return sorted(runs, key=lambda span: span.span_id)


def state_of(folder: Path) -> dict[str, tuple[str, int, int]]:
    """Say of every file of a folder what is in it and when it was changed."""
    return {
        str(path): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
            path.stat().st_ino,
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("of", ["living", "dead"])
def test_a_run_in_a_journal_is_the_run_in_the_files(ran: Ran, of: str) -> None:
    told = read(getattr(ran, of))
    assert told.problems == []
    assert comparable(told.spans) == comparable(read_files(ran.files).spans)


def test_log_records_are_there_too(ran: Ran) -> None:
    run = ran.runs["flaky_enrichment"][0]
    from_files = view("--run", run, "--logs", ran.files).stdout
    assert "ERROR  dify.workflow.run" in from_files
    assert view("--run", run, "--logs", ran.dead).stdout == from_files


@pytest.mark.parametrize("inner", ["", "journal", "journal/dify"])
def test_it_may_be_named_by_any_folder_around_it(ran: Ran, inner: str) -> None:
    assert len(read(ran.dead / inner).spans) == len(read(ran.dead).spans) > 0


def test_without_files_the_journals_of_this_machine_are_read(ran: Ran, tmp_path: Path) -> None:
    environ = {
        "OTEL_DIFY_FILE_PATH": str(tmp_path / "nothing"),
        "OTEL_DIFY_STATE_PATH": str(ran.dead),
    }
    assert view("latest", environ=environ).stdout == view("latest", ran.files).stdout


def test_a_process_that_runs_is_read_and_does_not_notice(tmp_path: Path) -> None:
    """What it has not ended is there without an end; its files and its lock are as they were."""
    environ = {
        "OTEL_DIFY_STATE_PATH": str(tmp_path),
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_BSP_SCHEDULE_DELAY": "600000",
        "OTEL_METRICS_EXPORTER": "none",
        "PATH": "/usr/bin:/bin",
    }
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", _RUNNING],
        cwd=root,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        before = state_of(tmp_path)
        shown = view("3f2c8a54", tmp_path).stdout
        assert state_of(tmp_path) == before
        [place] = (path.parent for path in tmp_path.rglob("opened"))
        assert lives(place)
        assert not list(adopt(place.parent))
        process.kill()
    assert "       not ended in " in shown
    lines = {line.lstrip("└├─│ ").split("  ")[0]: line for line in shown.splitlines()}
    assert "not ended" in lines["[1] invoke_workflow Support"]
    assert "not ended" in lines["llm Draft"]
    assert "not ended" not in lines["start Start"]


def test_a_segment_that_was_torn_costs_its_last_record_and_is_told(
    ran: Ran, tmp_path: Path
) -> None:
    torn = shutil.copytree(ran.dead, tmp_path / "torn")
    segment = max(torn.rglob(f"traces-*{SEGMENT}"), key=lambda path: path.stat().st_size)
    content = segment.read_bytes().rstrip(b"\0")
    segment.write_bytes(content[:-5])
    told = read(torn)
    assert len(told.spans) == len(read(ran.dead).spans) - 1
    assert len(told.problems) == 1
    assert str(segment.parent) in told.problems[0]


def test_what_vanishes_while_it_is_read_is_not_there(ran: Ran, tmp_path: Path) -> None:
    """A sender deletes segments and folders as they are delivered."""
    left = shutil.copytree(ran.dead, tmp_path / "left")
    [place, *_] = sorted(path.parent for path in left.rglob(f"traces-*{SEGMENT}"))
    shutil.rmtree(place)
    place.mkdir()
    (place / f"traces-1{SEGMENT}").symlink_to(tmp_path / "gone")
    read(left)


def test_runs_of_dead_processes_are_found_by_id(ran: Ran) -> None:
    run = ran.runs["research_batch"][0]
    [trace] = of_run(group(read(ran.dead).spans), run)
    assert len(trace.processes) == 2
