"""What operators of Dify search logs by is in Loki, and in files for those who have none."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from collector.native.query import wait_until
from otel_dify.cli.main import main
from tests.stack.observed_fixtures import Observed

REFERENCE: dict[str, list[str]] = yaml.safe_load(
    (Path(__file__).parent / "reference-queries.yaml").read_text()
)["logs"]
LOGGED = '{service_name="dify-api"} | log_logger="services.dataset_service"'
ANSWERED = '{service_name="dify-api"} | dify_event_name="dify.http.request"'
FAILED = f'{ANSWERED} | error_type!=""'
CALLED = '{service_name="dify-api"} | dify_event_name="gen_ai.client.inference.operation.details"'
RAN = '{service_name="dify-api"} | dify_event_name="dify.workflow.run"'
NODE = '{service_name="dify-api"} | dify_event_name="dify.node.execution"'
# Fields that people search by, by name: the records that have it, and what it is called in Loki.
FIELDS = {
    "level": (LOGGED, "severity_text"),
    "logger": (LOGGED, "log_logger"),
    "module": (LOGGED, "code_file_path"),
    "function": (LOGGED, "code_function_name"),
    "line": (LOGGED, "code_line_number"),
    "exception": (LOGGED, "exception_type"),
    "stack_trace": (LOGGED, "exception_stacktrace"),
    "error_type": (FAILED, "error_type"),
    "error_message": (FAILED, "dify_error_message"),
    "error_id": (FAILED, "dify_error_id"),
    "request_id": (ANSWERED, "dify_request_id"),
    "user_id": (RAN, "user_id"),
    "method": (ANSWERED, "http_request_method"),
    "endpoint": (ANSWERED, "http_route"),
    "path": (ANSWERED, "url_path"),
    "ip_address": (ANSWERED, "client_address"),
    "user_agent": (ANSWERED, "user_agent_original"),
    "request_size": (ANSWERED, "http_request_body_size"),
    "response_status": (ANSWERED, "http_response_status_code"),
    "response_time": (ANSWERED, "dify_elapsed_time"),
    "app_id": (RAN, "dify_app_id"),
    "tenant_id": (RAN, "dify_tenant_id"),
    "workflow_id": (RAN, "dify_workflow_id"),
    "execution_id": (RAN, "dify_workflow_run_id"),
    "status": (RAN, "dify_workflow_status"),
    "duration": (RAN, "dify_elapsed_time"),
    "token_usage": (RAN, "dify_usage_total_tokens"),
    "node_count": (RAN, "dify_workflow_node_count"),
    "node_id": (NODE, "dify_node_id"),
    "node_type": (NODE, "dify_node_type"),
    "provider": (CALLED, "dify_model_provider"),
    "model": (CALLED, "gen_ai_request_model"),
    "request_type": (CALLED, "gen_ai_operation_name"),
    "prompt_tokens": (CALLED, "gen_ai_usage_input_tokens"),
    "completion_tokens": (CALLED, "gen_ai_usage_output_tokens"),
    "cost": (CALLED, "gen_ai_usage_cost"),
}
# Of every record of Loki: its time and its line. The sum of two fields: asked for as such.
OF_LOKI = {"timestamp", "message", "total_tokens"}
EVENTS = {
    "workflow_start": "dify.workflow.started",
    "workflow_end": "dify.workflow.run",
    "workflow_failed": 'dify.workflow.run" | dify_workflow_status="failed',
    "node_start": "dify.node.started",
    "node_complete": "dify.node.execution",
}


def test_every_field_of_the_reference_is_looked_for() -> None:
    asked = {name for group in ("fields", "request", "model_call") for name in REFERENCE[group]}
    assert asked <= FIELDS.keys() | OF_LOKI
    assert set(REFERENCE["workflow"]) == EVENTS.keys()


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_can_be_searched_by(observed: Observed, field: str) -> None:
    records, label = FIELDS[field]
    logql = f'{records} | {label}!=""'
    lines = wait_until(lambda: observed.loki.query_range(logql), what=f"record with {field}")
    assert lines[0].labels[label]


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_can_be_searched_by(observed: Observed, event: str) -> None:
    logql = f'{{service_name="dify-api"}} | dify_event_name="{EVENTS[event]}"'
    assert wait_until(lambda: observed.loki.query_range(logql), what=event)


def lines_of(observed: Observed, pattern: str) -> list[dict[str, Any]]:
    """The log records in the files of a name, complete lines only."""
    return [
        json.loads(line)
        for path in sorted((observed.folder / "logs").glob(pattern))
        for line in path.read_text().splitlines(keepends=True)
        if line.endswith("\n")
    ]


def test_files_hold_the_fields_that_people_search_by(observed: Observed) -> None:
    def missing() -> set[str]:
        written = {name for record in lines_of(observed, "app-*.json") for name in record}
        return (FIELDS.keys() | OF_LOKI) - written

    assert wait_until(missing, lambda names: not names, what="fields in app.json") == set()
    for record in lines_of(observed, "app-*.json"):
        assert not [value for value in record.values() if isinstance(value, dict)]


def test_files_tell_runs_and_nodes_by_the_events_that_people_know(observed: Observed) -> None:
    def missing() -> set[str]:
        return EVENTS.keys() - {r.get("event") for r in lines_of(observed, "app-*.json")}

    assert wait_until(missing, lambda names: not names, what="events in app.json") == set()


def test_there_is_a_file_a_day_and_one_of_errors_only_and_one_of_answers(
    observed: Observed,
) -> None:
    everything = wait_until(lambda: lines_of(observed, "app-*.json"), what="app.json")
    errors = wait_until(lambda: lines_of(observed, "error.json"), what="error.json")
    access = wait_until(lambda: lines_of(observed, "access-*.json"), what="access.json")
    assert {record["level"] for record in errors} == {"ERROR"}
    assert all(" answered " in record["message"] for record in access)
    assert {record["response_status"] for record in access} == {200, 404, 500}
    assert len(everything) > len(errors)
    assert len(everything) > len(access)
    days = [path.name for path in (observed.folder / "logs").iterdir() if path.name != "error.json"]
    assert all(re.fullmatch(r"(app|access)-\d{4}-\d\d-\d\d\.json", name) for name in days)


def test_the_command_reads_what_the_collector_wrote(observed: Observed) -> None:
    """Its counts are those of the lines."""
    everything = wait_until(lambda: lines_of(observed, "app-*.json"), what="app.json")
    [path] = (observed.folder / "logs").glob("app-*.json")
    copy = observed.folder / "app-copy.json"
    # The Collector goes on writing.
    copy.write_text("".join(f"{json.dumps(record)}\n" for record in everything))
    assert path.exists()
    told = CliRunner().invoke(main, ["logs", "--json", str(copy)])
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found["unreadable"] == {str(copy): 0}
    assert found["entries"] == len(everything)
    errors = [record for record in everything if record["level"] == "ERROR"]
    assert sum(each["count"] for each in found["errors"]) == len(errors)
    answers = [record for record in everything if record.get("event") == "dify.http.request"]
    counted: Counter[str] = Counter()
    for each in found["requests"]:
        counted.update(each["statuses"])
    assert counted == Counter(f"{record['response_status'] // 100}xx" for record in answers)
    longest = max(each["longest_s"] for each in found["requests"])
    assert longest == max(record["response_time"] for record in answers)
