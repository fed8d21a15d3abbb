"""What ``otel-dify view`` prints, to the character.

The expected texts in ``data/expected`` were looked over by a person; after a wanted change of the
layout, the test's own command line (with ``COLUMNS`` set) writes them anew.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest
from wcwidth import wcswidth

from tests.cli.viewing import DATA, expected, view

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Ran

RUN = "3f2c8a54-0c1d-4a5e-9d53-1f6f2f3f7a10"
TRACE = "5b8efff798038103d269b633813fc60c"


def test_a_failed_run_of_two_processes_with_its_metrics_and_logs() -> None:
    result = view(DATA / "support", "--last", "--metrics", "--logs", width=130)
    assert result.stdout == expected("support")


def test_broken_and_hostile_data_is_shown_and_what_is_unreadable_is_said() -> None:
    """A missing parent, a circle, an open span, terminal codes in a name, a half-written line."""
    result = view(DATA / "hostile.jsonl", "--last", width=100)
    assert result.stdout == expected("hostile")
    assert result.stderr == (
        f"{DATA / 'hostile.jsonl'}: 2 line(s) are not OTLP JSON and are left out, "
        "the first is line 6\n"
    )


def test_without_a_selection_the_runs_are_listed() -> None:
    assert view(DATA / "support", width=120).stdout == expected("list")


def test_all_lists_the_traces_without_a_run_too() -> None:
    assert "GET /health" not in view(DATA / "support").stdout
    assert "GET /health" in view(DATA / "support", "--all").stdout


@pytest.mark.parametrize(
    "option", [("--run", RUN), ("--run", RUN[:6]), ("--trace", TRACE), ("--trace", TRACE.upper())]
)
def test_run_id_and_trace_id_find_the_same_trace(option: tuple[str, str]) -> None:
    assert view(DATA / "support", *option).stdout == view(DATA / "support", "--last").stdout


def test_one_file_may_hold_all_signals_as_the_collector_writes_them(tmp_path: Path) -> None:
    parts = sorted((DATA / "support").iterdir())
    one = tmp_path / "telemetry.json"
    one.write_text("".join(p.read_text(encoding="utf-8") for p in parts), encoding="utf-8")
    options = ("--last", "--metrics", "--logs")
    assert view(one, *options).stdout == view(DATA / "support", *options).stdout


def test_a_resumed_run_shows_every_trace_of_it(tmp_path: Path) -> None:
    folder = shutil.copytree(DATA / "support", tmp_path / "telemetry")
    first = (folder / "traces-node1-worker-0.jsonl").read_text(encoding="utf-8")
    later = first.replace(TRACE, "1" * 32).replace('"176385000', '"176385360')
    (folder / "traces-node2-worker-0.jsonl").write_text(later, encoding="utf-8")
    output = view(folder, "--run", RUN).stdout
    assert output.index(f"trace  {TRACE}") < output.index(f"trace  {'1' * 32}")


def test_the_folder_defaults_to_the_exporters() -> None:
    folder = str(DATA / "support")
    assert (
        view("--last", environ={"OTEL_DIFY_FILE_PATH": folder}).stdout
        == view(folder, "--last").stdout
    )


def test_failed_spans_are_red_and_others_are_not() -> None:
    output = view(DATA / "support", "--last", width=160, environ={"FORCE_COLOR": "1"}).stdout
    red = click.style("|", fg="red").split("|")[0]
    bars = [line for line in output.splitlines() if "█" in line]
    failed = [line.removeprefix(red).strip("│├└─ ") for line in bars if line.startswith(red)]
    assert [name.split("  ")[0] for name in failed] == [
        "invoke_workflow Support triage",
        "http-request Notify the on-call desk",
        "POST",
    ]
    assert len(bars) > len(failed)


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"NO_COLOR": "", "FORCE_COLOR": "1"}, True),
    ],
)
def test_colour_follows_no_color_then_force_color_then_the_terminal(
    environ: dict[str, str], coloured: bool
) -> None:
    output = view(DATA / "support", "--last", environ=environ).stdout
    assert ("\x1b[" in output) is coloured


@pytest.mark.parametrize("width", [80, 100, 140, 200])
def test_no_line_of_the_waterfall_is_wider_than_the_terminal(width: int) -> None:
    for source in ("support", "hostile.jsonl"):
        for line in view(DATA / source, "--last", width=width).stdout.splitlines():
            assert wcswidth(line) <= width, line


def test_a_folder_that_is_not_there_says_which_variable_names_it(tmp_path: Path) -> None:
    result = view(tmp_path / "nowhere")
    assert result.exit_code == 1
    assert "OTEL_DIFY_FILE_PATH" in result.stderr


def test_a_folder_without_spans_says_what_to_check(tmp_path: Path) -> None:
    result = view(tmp_path)
    assert result.exit_code == 1
    assert "OTEL_TRACES_EXPORTER=otlp_file" in result.stderr


def test_an_unknown_run_says_how_to_list_what_there_is() -> None:
    result = view(DATA / "support", "--run", "nothing")
    assert result.exit_code == 1
    assert "run nothing is not among the 2 traces here" in result.stderr


def test_selections_exclude_each_other() -> None:
    assert view(DATA / "support", "--last", "--trace", TRACE).exit_code == 2


def test_it_runs_as_a_module_where_its_script_is_not_installed() -> None:
    """In Dify's containers the package is a folder on PYTHONPATH."""
    shown = subprocess.run(
        [sys.executable, "-m", "otel_dify.cli", "view", DATA / "support"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "120"},
    )
    assert shown.stdout == expected("list")


def test_fixtures_are_one_json_document_a_line() -> None:
    """The file exporter's format: a fixture that breaks it by accident would test nothing."""
    for file in (DATA / "support").iterdir():
        for line in file.read_text(encoding="utf-8").splitlines():
            assert len(json.loads(line)) == 1


@pytest.mark.parametrize("app", ["support_triage", "research_batch", "flaky_enrichment"])
@pytest.mark.parametrize("width", [80, 120])
def test_a_real_run_fits_the_terminal_with_its_log_lines(ran: Ran, app: str, width: int) -> None:
    shown = view(ran.runs[app][0], ran.files, "--logs", "--metrics", width=width)
    assert shown.exit_code == 0
    tree, _, _ = shown.stdout.partition("Metrics that moved meanwhile")
    for line in tree.splitlines():
        assert wcswidth(line) <= width, line


def test_what_failed_stands_above_the_tree(ran: Ran) -> None:
    lines = view(ran.runs["flaky_enrichment"][0], ran.files).stdout.splitlines()
    assert lines[1].startswith("✗ llm Summarise failed: InvokeServerUnavailableError: 500")
    assert any(line == "    in invoke_workflow flaky_enrichment" for line in lines[:6])


def test_log_lines_stand_below_the_span_they_were_written_in(ran: Ran) -> None:
    lines = view(ran.runs["flaky_enrichment"][0], ran.files, "--logs").stdout.splitlines()
    [node] = [n for n, line in enumerate(lines) if "└─ llm Summarise" in line]
    below = "\n".join(lines[node : node + 8])
    assert "≡" in below
    assert "ERROR  dify.node.execution  node Summarise (llm) failed" in below


def test_json_says_of_a_run_what_the_terminal_does(ran: Ran) -> None:
    [found] = json.loads(view(ran.runs["research_batch"][0], ran.files, "--logs", "--json").stdout)
    assert found["run_ids"] == [ran.runs["research_batch"][0]]
    assert found["status"] == "succeeded"
    assert found["tokens"] == {"input": 546, "output": 220}
    path = found["critical_path"]
    assert sum(one["duration_ns"] for one in path["stretches"]) == path["duration_ns"]
    assert sum(one["ns"] for one in path["spent"]) == path["duration_ns"]
    assert sum(one["share"] for one in path["spent"]) == pytest.approx(1)
    waiting = sum(one["duration_ns"] for one in path["stretches"] if one["waiting"])
    own = sum(span["critical_ns"] for span in found["spans"])
    assert own + waiting == path["duration_ns"]
    spans = {span["span_id"] for span in found["spans"]}
    assert all(span["parent_id"] in {*spans, None} for span in found["spans"])
    assert {log["source"] for log in found["logs"]} >= {"dify.workflow.run", "dify.http.request"}


def test_json_of_all_is_the_latest_runs(ran: Ran) -> None:
    found = json.loads(view(ran.files, "--json").stdout)
    assert [run for one in found for run in one["run_ids"]] == [
        run for pair in zip(*ran.runs.values(), strict=True) for run in pair
    ]


def test_a_page_is_of_one_run(ran: Ran, tmp_path: Path) -> None:
    shown = view(ran.files, "--html", tmp_path / "page.html")
    assert shown.exit_code == 2
    assert "--html is of one run" in shown.stderr


def test_numbers_that_json_has_not_are_text(tmp_path: Path) -> None:
    lines = (DATA / "support" / "traces-node1-worker-0.jsonl").read_text(encoding="utf-8")
    worse = tmp_path / "worse.jsonl"
    worse.write_text(lines.replace('"doubleValue":0.0115', '"doubleValue":"Infinity"'), "utf-8")
    assert worse.read_text(encoding="utf-8") != lines
    shown = view("latest", worse, "--json")
    assert shown.exit_code == 0, shown.stderr
    json.loads(shown.stdout, parse_constant=pytest.fail)
