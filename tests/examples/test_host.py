"""The host's processes: the API, the Celery worker, the rows, and how they start and end."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from celery import Celery
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from examples.host import db
from examples.host.tasks import RETENTION_QUEUE, clean_workflow_runlogs_precise
from examples.host.up import ROOT, Host, HostError

BILLING = {"question": "I was charged twice", "customer": "Ada"}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Yield a host that has started: Flask's own server, prefork workers."""
    with Host(tmp_path_factory.mktemp("host")) as started:
        yield started


def eventually(condition: Callable[[], bool], seconds: float = 60) -> bool:
    """Return whether a condition comes true before the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def row(host: Host, run_id: str) -> dict[str, Any]:
    """Return a run and its nodes as the API shows them."""
    found: dict[str, Any] = httpx.get(f"{host.url}/v1/workflows/run/{run_id}").json()
    return found


def counted_tokens(host: Host) -> int:
    """Return the tokens of all chat calls so far, as the model server counted them."""
    chat = host.model_stats().get("chat", {}).values()
    return sum(c.get("input_tokens", 0) + c.get("output_tokens", 0) for c in chat)


@pytest.mark.parametrize("stream", [False, True])
def test_a_run_is_answered_kept_and_counted(host: Host, stream: bool) -> None:
    before = counted_tokens(host)
    result = host.run_app("support_triage", BILLING, stream=stream)
    data = result["data"]
    assert data["status"] == "succeeded"
    assert data["total_tokens"] == counted_tokens(host) - before > 0
    kept = row(host, result["workflow_run_id"])
    assert (kept["status"], kept["total_tokens"]) == ("succeeded", data["total_tokens"])
    assert [(node["index"], node["node_id"], node["status"]) for node in kept["nodes"]] == [
        (index + 1, node, "succeeded")
        for index, node in enumerate(
            ("start", "classify", "case", "needs_ticket", "ticket", "answer", "end")
        )
    ]


def test_a_stream_tells_of_every_step_in_order(host: Host) -> None:
    events = host.run_app("support_triage", BILLING, stream=True)["events"]
    names = [event["event"] for event in events]
    assert (names[0], names[-1]) == ("workflow_started", "workflow_finished")
    assert names.count("node_started") == names.count("node_finished") == 7
    chunks = [e["data"]["text"] for e in events if e["event"] == "text_chunk"]
    assert "".join(chunks) == events[-1]["data"]["outputs"]["answer"]


def test_nodes_inside_containers_are_kept_too(host: Host) -> None:
    result = host.run_app("research_batch", {"topic": "solar output"}, stream=True)
    nodes = [node["node_id"] for node in row(host, result["workflow_run_id"])["nodes"]]
    assert (nodes.count("summarise"), nodes.count("write")) == (3, 2)
    names = [event["event"] for event in result["events"]]
    assert (names.count("iteration_next"), names.count("loop_next")) == (3, 1)


def test_a_failed_run_is_told_and_kept_with_its_error(host: Host) -> None:
    inputs = {"customer": "Ada", "summary_request": "AUTHFAIL"}
    result = host.run_app("flaky_enrichment", inputs, stream=True)
    assert result["data"]["status"] == "failed"
    assert "Incorrect model credentials" in result["data"]["error"]
    kept = row(host, result["workflow_run_id"])
    assert kept["error"] == result["data"]["error"]
    assert kept["nodes"][-1]["status"] == "failed"
    assert [e["data"]["node_id"] for e in result["events"] if e["event"] == "node_retry"] == [
        "profile"
    ]


@pytest.mark.parametrize(
    ("app", "inputs", "says"),
    [
        ("poem", {}, "401 .* no app 'poem'"),
        ("support_triage", {}, "400 .* question is required in input form"),
    ],
)
def test_a_bad_request_is_refused(host: Host, app: str, inputs: dict[str, str], says: str) -> None:
    with pytest.raises(HostError, match=says.replace(" .* ", "(.|\n)*")):
        host.run_app(app, inputs)


def test_an_unknown_run_is_not_found(host: Host) -> None:
    assert httpx.get(f"{host.url}/v1/workflows/run/none").status_code == 404


def test_the_clean_up_task_deletes_old_runs_only(host: Host) -> None:
    young = host.run_app("support_triage", BILLING)["workflow_run_id"]
    owner = {"tenant_id": "t", "app_id": "a", "workflow_id": "w", "created_by": "u"}
    old = db.WorkflowRun(id="old", inputs="{}", created_at=db.now() - timedelta(days=31), **owner)
    engine = create_engine(host.database_url)
    with Session(engine) as session, session.begin():
        session.add(old)
    engine.dispose()
    assert "error" in row(host, "old")
    with closing(Celery(broker=host.redis_url)) as celery:
        celery.send_task(clean_workflow_runlogs_precise.name, queue=RETENTION_QUEUE)
    assert eventually(lambda: row(host, "old").get("code") == "not_found")
    assert row(host, young)["status"] == "succeeded"


@pytest.mark.parametrize(("web", "pool"), [("gevent", "gevent"), ("gthread", "threads")])
def test_other_servers_and_pools_run_apps_too(tmp_path: Path, web: str, pool: str) -> None:
    with Host(tmp_path, web=web, pool=pool) as host:
        for stream in (False, True):
            result = host.run_app("research_batch", {"topic": "solar output"}, stream=stream)
            assert result["data"]["status"] == "succeeded"


def test_a_part_that_does_not_start_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    prefix = ["sh", "-c", "echo 'no telemetry today'; exit 3"]
    with pytest.raises(HostError, match="web ended with 3:\nno telemetry today"):
        Host(tmp_path, prefix=prefix).__enter__()


def test_without_redis_the_operator_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="install it"):
        Host(tmp_path / "host").__enter__()


def test_all_processes_end_when_the_one_that_started_them_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "examples.host.up", "--folder", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        # The last line is printed when all of it serves.
        assert any(line.startswith("Ctrl-C") for line in starter.stdout)
        children = psutil.Process(starter.pid).children(recursive=True)
        starter.send_signal(signal.SIGKILL)
        starter.wait()
    assert len(children) >= 4
    assert eventually(lambda: not any(child.is_running() for child in children))
