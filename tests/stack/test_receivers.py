"""What an agent asks and reads by itself: a real Redis, and files; with the token and the queue on."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.native.layout import HOST, Ports
from collector.native.programs import COLLECTOR_FOLDER
from collector.native.query import wait_until
from tests.stack.tier import ARCHIVE, Tier

DROP_INS = COLLECTOR_FOLDER / "drop-ins"
AGENT = (
    COLLECTOR_FOLDER / "otelcol.yaml",
    DROP_INS / "redaction.yaml",
    COLLECTOR_FOLDER / "tiers" / "token.yaml",
    COLLECTOR_FOLDER / "tiers" / "agent.yaml",
)
# A gateway that is not there: what is read goes into a file beside.
BESIDE = ARCHIVE.replace("traces: ", "logs/read_files: ").replace("metrics: ", "metrics/redis: ")
SECRET = "sk-" + "a1B2" * 10
TOKENS = {"OTELCOL_TOKEN": "shown", "OTELCOL_GATEWAY_TOKEN": "shown-too"}


@pytest.fixture
def redis() -> Iterator[int]:
    """Run a Redis that asks for a password; its port."""
    program = shutil.which("redis-server")
    assert program is not None
    port = Ports.free().loki
    command = (program, "--port", str(port), "--bind", HOST, "--save", "", "--requirepass", "known")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        yield port
        process.terminate()


def agent(folder: Path, **environ: str) -> Tier:
    archive = folder / "archive.yaml"
    archive.write_text(BESIDE)
    files = (*AGENT, DROP_INS / "redis.yaml", DROP_INS / "read-files.yaml", archive)
    return Tier(folder / "agent", files, {**TOKENS, **environ})


def written(tier: Tier) -> str:
    return tier.archive.read_text() if tier.archive.exists() else ""


def test_redis_is_asked_with_its_password(tmp_path: Path, redis: int) -> None:
    asked = {
        "OTELCOL_REDIS_ENDPOINT": f"{HOST}:{redis}",
        "OTELCOL_REDIS_PASSWORD": "known",
        "OTELCOL_REDIS_INTERVAL": "1s",
    }
    tier = agent(tmp_path, **asked)
    try:
        tier.start()
        wait_until(lambda: "redis.memory.used" in written(tier), timeout=60, what="metric of Redis")
        assert '"service.name","value":{"stringValue":"redis"}' in written(tier)
    finally:
        tier.stop()


def test_lines_of_files_come_once_and_masked_over_a_restart_of_the_agent(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    nginx, sandbox = logs / "nginx.access.log", logs / "sandbox.log"
    told = [secrets.token_hex(8) for _ in range(3)]
    nginx.write_text(f"{told[0]}\n")
    sandbox.write_text(f"{told[1]} {SECRET}\n")
    reading = {"OTELCOL_READ_FILES": f"{logs}/*.log", "OTELCOL_READ_FROM": "beginning"}
    tier = agent(tmp_path, **reading)
    try:
        tier.start()
        wait_until(
            lambda: all(one in written(tier) for one in told[:2]), timeout=60, what="both lines"
        )
        tier.stop()
        with nginx.open("a") as file:
            file.write(f"{told[2]}\n")
        tier.start()
        wait_until(lambda: told[2] in written(tier), timeout=60, what="line from meanwhile")
    finally:
        tier.stop()
    text = written(tier)
    assert [text.count(one) for one in told] == [1, 1, 1]
    assert SECRET not in text
    for name in ("nginx", "sandbox"):
        assert f'"service.name","value":{{"stringValue":"{name}"}}' in text
