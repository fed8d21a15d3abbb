"""``otel-dify logs``: each format is read, each count is right, and memory does not grow."""

from __future__ import annotations

import gzip
import json
import math
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from otel_dify.cli.logs import analysis as analysis_module
from otel_dify.cli.logs.analysis import Analysis, Durations
from otel_dify.cli.logs.command import logs
from otel_dify.cli.logs.entry import Entry, level_of
from otel_dify.cli.logs.reading import LONGEST, Reading
from otel_dify.cli.main import main
from tests.cli.viewing import DATA

TEXT = """\
api-1  | 2026-11-24 10:00:00.250 ERROR [Dummy-7] [app_service.py:88] {trace} - run 4711 failed
api-1  | Traceback (most recent call last):
api-1  |   File "/app/api/services/app_service.py", line 88, in run
api-1  |     raise InvokeRateLimitError("slow down")
api-1  | graphon.model_runtime.errors.invoke.InvokeRateLimitError: slow down
api-1  | 2026-11-24 10:00:01.000 INFO [Dummy-7] [app_service.py:90]  - goes on
api-1  | [2026-11-24 10:00:02 +0000] [7] [CRITICAL] WORKER TIMEOUT (pid:8)
"""
TRACE = "0af7651916cd43dd8448eb211c80319c"


def answered(route: str, status: int, took_s: float, **more: Any) -> str:
    """Write an answered request as the Collector's file has it."""
    record = {
        "timestamp": "2026-11-24T10:00:00.000Z",
        "level": "ERROR" if status >= 500 else "INFO",
        "service": "dify-api",
        "event": "dify.http.request",
        "message": f"POST {route} answered {status}",
        "method": "POST",
        "endpoint": route,
        "response_status": status,
        "response_time": took_s,
        "trace_id": TRACE,
    }
    return json.dumps(record | more)


def read(path: Path) -> list[Entry]:
    return list(Reading(path).entries())


def told(*arguments: object) -> Any:
    """Run the command and return its JSON."""
    result = CliRunner().invoke(main, ["logs", "--json", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def file(folder: Path, *lines: str, name: str = "app.json") -> Path:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_the_text_that_dify_and_gunicorn_write(tmp_path: Path) -> None:
    path = tmp_path / "api.log"
    path.write_text(TEXT.format(trace=TRACE))
    failed, going, killed = read(path)
    assert (failed.level, failed.source, failed.message) == (
        *("ERROR", "app_service.py:88", "run 4711 failed"),
    )
    assert (failed.error_type, failed.trace_id) == ("InvokeRateLimitError", TRACE)
    assert failed.seconds == 1_795_514_400.25
    assert (going.level, going.error_type, going.trace_id) == ("INFO", "", "")
    assert (killed.level, killed.source) == ("ERROR", "gunicorn")


def test_the_json_that_dify_writes(tmp_path: Path) -> None:
    record = {
        "ts": "2026-11-24T10:00:00.250Z",
        "severity": "ERROR",
        "service": "dify/api",
        "caller": "app_service.py:88",
        "message": "run failed",
        "trace_id": TRACE,
        "stack_trace": "Traceback (most recent call last):\n  File x\nValueError: no\n",
    }
    [entry] = read(file(tmp_path, json.dumps(record)))
    assert (entry.level, entry.service, entry.error_type) == ("ERROR", "dify/api", "ValueError")
    assert entry.seconds == 1_795_514_400.25


def test_otlp_json_lines() -> None:
    """Those that the viewer's tests have."""
    entries = read(DATA / "support" / "logs-node1-api-0.jsonl")
    assert [(entry.level, entry.service) for entry in entries][:2] == [
        *(("INFO", "dify-api"), ("DEBUG", "dify-api")),
    ]
    # What is there besides log records is passed over, and is no fault.
    reading = Reading(DATA / "support" / "traces-node1-api-0.jsonl")
    assert (list(reading.entries()), reading.unreadable) == ([], 0)


def test_a_compressed_file_and_standard_input(tmp_path: Path) -> None:
    lines = (answered("/v1/a", 200, 0.1), answered("/v1/a", 500, 0.1))
    packed = tmp_path / "app.json.gz"
    packed.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert told(packed)["entries"] == 2
    result = CliRunner().invoke(main, ["logs", "--json", "-"], input="\n".join(lines))
    assert json.loads(result.stdout)["entries"] == 2


def test_what_cannot_be_read_is_counted_and_said(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        *("gRPC patched with gevent.", "{half a", '{"a": 1}', "[]"),
        answered("/v1/a", 200, 0.1),
    )
    result = CliRunner().invoke(main, ["logs", str(path)])
    assert result.exit_code == 0
    assert f"{path}: 4 line(s) are of no format that is known" in result.stderr
    assert "the first is line 1" in result.stderr
    assert told(path)["unreadable"] == {str(path): 4}


def test_a_file_that_is_no_gzip_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    path = file(tmp_path, "text", name="app.json.gz")
    result = CliRunner().invoke(main, ["logs", str(path)])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {path} cannot be read to its end")


def test_a_file_that_there_is_not_is_a_wrong_call() -> None:
    assert CliRunner().invoke(logs, ["/no/such/file"]).exit_code == 2


def test_a_line_that_is_too_long_is_left_out_and_the_next_is_read(tmp_path: Path) -> None:
    long = json.dumps({"level": "INFO", "message": "x" * (3 * LONGEST)})
    path = file(tmp_path, long, answered("/v1/a", 200, 0.1))
    reading = Reading(path)
    assert [entry.request for entry in reading.entries()] == ["POST /v1/a"]
    assert (reading.unreadable, reading.first) == (1, 1)


def test_requests_are_counted_by_route_and_status(tmp_path: Path) -> None:
    lines = [answered("/v1/a", status, 0.1) for status in (200, 200, 404, 500, 503)]
    lines += [answered("/v1/b", 200, 7.0), answered("/v1/b", 200, 3.0, trace_id="b" * 32)]
    found = told(file(tmp_path, *lines), "--slow", "3")
    assert {each["request"]: each["statuses"] for each in found["requests"]} == {
        "POST /v1/a": {"2xx": 2, "4xx": 1, "5xx": 2},
        "POST /v1/b": {"2xx": 2},
    }
    assert found["slow"] == 2
    assert [(each["took_s"], each["trace_id"]) for each in found["slowest"]] == [
        *((7.0, TRACE), (3.0, "b" * 32)),
    ]


def test_what_went_wrong_is_told_rather_than_what_it_happened_to(tmp_path: Path) -> None:
    lines = [
        answered(route, 500, 0.1, error_type="KeyError", error_message="no such app")
        for route in ("/v1/a", "/v1/b")
    ]
    [error] = told(file(tmp_path, *lines))["errors"]
    assert (error["message"], error["count"]) == ("no such app", 2)


def test_errors_are_told_apart_by_type_and_fingerprint(tmp_path: Path) -> None:
    def failed(kind: str, message: str, **more: str) -> str:
        return json.dumps({"level": "ERROR", "error_type": kind, "message": message} | more)

    found = told(
        file(
            tmp_path,
            # One error: its numbers and what is quoted differ.
            *(failed("ValueError", f"run {number} of 'app {number}' failed") for number in (1, 2)),
            failed("ValueError", "another one"),
            failed("KeyError", "run 3 of 'app 3' failed"),
            # Another message, and the same fingerprint, from who knows better.
            failed("KeyError", "one", **{"dify.error.fingerprint": "f" * 16}),
            failed("KeyError", "two", **{"dify.error.fingerprint": "f" * 16}),
            json.dumps({"level": "INFO", "message": "no error", "error_type": "ValueError"}),
        )
    )
    assert sorted((each["type"], each["count"]) for each in found["errors"]) == [
        *(("KeyError", 1), ("KeyError", 2), ("ValueError", 1), ("ValueError", 2)),
    ]
    assert found["errors"][0]["message"] == "run 1 of 'app 1' failed"


def test_to_a_person_it_says_the_same_in_tables(tmp_path: Path) -> None:
    lines = [answered("/v1/a", 200, 0.1) for _ in range(9)]
    lines.append(answered("/v1/a", 500, 4.2, error_type="TimeoutError", message="no\x1b[2Janswer"))
    result = CliRunner().invoke(main, ["logs", str(file(tmp_path, *lines))])
    assert result.exit_code == 0
    text = result.stdout
    assert "10 entries: 1 ERROR, 0 WARNING, 9 INFO, 0 DEBUG" in text
    assert "2026-11-24 10:00:00.000 to 2026-11-24 10:00:00.000 UTC" in text
    assert "TimeoutError: no [2Janswer" in text
    assert "\x1b" not in text
    assert "Slow requests: 1 took 2 s or longer" in text
    row = next(line for line in text.splitlines() if line.endswith("POST /v1/a"))
    assert row.split()[:3] == ["10", "0", "1"]
    assert "4.20 s" in row


@given(st.lists(st.floats(min_value=0.001, max_value=3600), min_size=1))
def test_a_quantile_is_right_to_two_per_cent(seconds: list[float]) -> None:
    durations = Durations()
    for each in seconds:
        durations.add(each)
    for share in (0.5, 0.95, 0.99):
        exact = sorted(seconds)[math.ceil(share * len(seconds)) - 1]
        assert durations.quantile(share) == pytest.approx(exact, rel=0.02)
    assert durations.longest_s == max(seconds)


def test_more_kinds_than_are_told_apart_are_counted_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(analysis_module, "KINDS", 3)
    found = Analysis(slow_s=1.0, most=2)
    for number in range(5):
        found.add(Entry(level="ERROR", error_type=f"E{number}", request=f"GET /{number}"))
    assert (len(found.errors), found.further_errors) == (3, 2)
    assert (len(found.requests), found.further_requests) == (3, 2)


@pytest.mark.parametrize(
    ("text", "number", "level"),
    [("warn", 0, "WARNING"), ("", 17, "ERROR"), ("?", 13, "WARNING"), ("", 0, "INFO")],
)
def test_levels(text: str, number: int, level: str) -> None:
    assert level_of(text, number) == level


def test_a_file_that_is_larger_than_the_memory_it_may_have(tmp_path: Path) -> None:
    """300 MB, compressed and read with less: every line another error, route and trace."""
    path = tmp_path / "app.json.gz"

    def lines() -> Iterator[str]:
        for number in range(60_000):
            yield answered(
                f"/v1/{number}",
                500,
                number / 1000,
                message="x" * 5_000,
                error_type=f"E{number}",
                trace_id=f"{number:032x}",
            )

    with gzip.open(path, "wt", compresslevel=1) as packed:
        packed.writelines(f"{line}\n" for line in lines())
    program = textwrap.dedent("""
        import resource, sys
        from otel_dify.cli.main import main
        limit = 250 * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        main(["logs", "--json", sys.argv[1]])
    """)
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["entries"] == 60_000
    assert len(found["errors"]) == len(found["requests"]) == analysis_module.KINDS
    assert found["further_errors"] == found["further_requests"] == 50_000
    assert found["slowest"][0]["trace_id"] == f"{9_999:032x}"
