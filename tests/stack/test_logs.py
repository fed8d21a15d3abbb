"""What operators of Dify search logs by is in Loki, and in files for those who have none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collector.native.query import wait_until
from tests.stack.observed_fixtures import Observed

LOGGED = '{service_name="dify-api"} | log_logger="services.dataset_service"'
ANSWERED = '{service_name="dify-api"} | dify_event_name="dify.http.request"'
FAILED = f'{ANSWERED} | error_type!=""'
CALLED = '{service_name="dify-api"} | dify_event_name="gen_ai.client.inference.operation.details"'
RAN = '{service_name="dify-api"} | dify_event_name="dify.workflow.run"'
# A field that people search by, the records that have it, and what it is called in Loki.
FIELDS = [
    ("level", LOGGED, "severity_text"),
    ("logger", LOGGED, "log_logger"),
    ("module", LOGGED, "code_file_path"),
    ("function", LOGGED, "code_function_name"),
    ("line", LOGGED, "code_line_number"),
    ("exception", LOGGED, "exception_type"),
    ("stack_trace", LOGGED, "exception_stacktrace"),
    ("error_type", FAILED, "error_type"),
    ("error_message", FAILED, "dify_error_message"),
    ("method", ANSWERED, "http_request_method"),
    ("endpoint", ANSWERED, "http_route"),
    ("path", ANSWERED, "url_path"),
    ("response_status", ANSWERED, "http_response_status_code"),
    ("response_time", ANSWERED, "dify_elapsed_time"),
    ("app_id", RAN, "dify_app_id"),
    ("tenant_id", RAN, "dify_tenant_id"),
    ("workflow_id", RAN, "dify_workflow_id"),
    ("execution_id", RAN, "dify_workflow_run_id"),
    ("status", RAN, "dify_workflow_status"),
    ("token_usage", RAN, "dify_usage_total_tokens"),
    ("provider", CALLED, "dify_model_provider"),
    ("model", CALLED, "gen_ai_request_model"),
    ("request_type", CALLED, "gen_ai_operation_name"),
    ("prompt_tokens", CALLED, "gen_ai_usage_input_tokens"),
    ("completion_tokens", CALLED, "gen_ai_usage_output_tokens"),
    ("cost", CALLED, "gen_ai_usage_cost"),
]


@pytest.mark.parametrize(("field", "records", "label"), FIELDS, ids=[f for f, _, _ in FIELDS])
def test_a_field_can_be_searched_by(
    observed: Observed, field: str, records: str, label: str
) -> None:
    logql = f'{records} | {label}!=""'
    lines = wait_until(lambda: observed.loki.query_range(logql), what=f"record with {field}")
    assert lines[0].labels[label]


def records(observed: Observed, name: str) -> list[dict[str, Any]]:
    """The log records of a file."""
    path = observed.folder / "logs" / f"{name}.json"
    lines = path.read_text().splitlines() if path.exists() else []
    return [
        record
        for line in lines
        for of_resource in json.loads(line)["resourceLogs"]
        for of_scope in of_resource["scopeLogs"]
        for record in of_scope["logRecords"]
    ]


def test_files_hold_all_the_errors_and_the_access(observed: Observed) -> None:
    everything = wait_until(lambda: records(observed, "app"), what="app.json")
    errors = wait_until(lambda: records(observed, "error"), what="error.json")
    access = wait_until(lambda: records(observed, "access"), what="access.json")
    assert {record["severityNumber"] >= 17 for record in errors} == {True}
    assert all(" answered " in record["body"]["stringValue"] for record in access)
    assert len(everything) > len(errors)
    assert len(everything) > len(access)
