"""What attaches: the sources are tried in a process of their own, on what is installed there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from otel_dify.cli.doctor import attaching
from otel_dify.cli.doctor.examined import Examined
from otel_dify.cli.doctor.finding import Finding, Severity
from otel_dify.sources.registry import SOURCES

DISABLED = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
TOOL = "class Tool:\n    def invoke(self): ...\n"


def tried(dify: Path | None = None, **environ: str) -> dict[str, Finding]:
    known = {"PATH": os.environ["PATH"], **environ}
    return {finding.about: finding for finding in attaching.check(Examined(known, dify))}


def dify(folder: Path, **modules: str) -> Path:
    """Make a folder with modules of Dify's; dots of their names are written as two underscores."""
    (folder / "dify_app.py").touch()
    for name, source in modules.items():
        path = folder.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return folder


def test_outside_of_dify_the_engine_and_the_libraries_are_tried() -> None:
    told = tried()
    for name in ("dify_graphon", "dify_models", "flask", "celery", "sqlalchemy", "redis", "httpx"):
        assert told[f"sources.{name}"].severity is Severity.OK
    assert told["sources.dify"].severity is Severity.NOTE
    # What is Dify's own is not told of one by one.
    assert "sources.dify_messages" not in told


def test_what_is_absent_of_dify_is_a_problem_for_each_source_of_it(tmp_path: Path) -> None:
    told = tried(dify(tmp_path))
    assert told.keys() == {f"sources.{source.name}" for source in SOURCES}
    finding = told["sources.dify_indexing"]
    assert finding.severity is Severity.PROBLEM
    assert "for want of core.indexing_runner" in finding.what


def test_a_module_that_is_as_it_is_known_is_attached_to(tmp_path: Path) -> None:
    told = tried(
        dify(
            tmp_path,
            core__workflow__workflow_entry="class WorkflowEntry:\n"
            "    @staticmethod\n    def _traced_node_run(): ...\n",
            services__workflow_service="class WorkflowService:\n"
            "    def run_draft_workflow_node(self): ...\n",
        )
    )
    assert told["sources.dify_steps"].severity is Severity.OK
    assert told["sources.dify_steps"].what == "dify_steps attaches to 2 modules"


def test_a_version_that_lacks_a_function_is_named_with_what_is_lost(tmp_path: Path) -> None:
    told = tried(
        dify(
            tmp_path,
            core__workflow__workflow_entry="class WorkflowEntry: ...\n",
            services__workflow_service="class WorkflowService:\n"
            "    def run_draft_workflow_node(self): ...\n",
        )
    )
    finding = told["sources.dify_steps"]
    assert finding.severity is Severity.WARNING
    assert "WorkflowEntry._traced_node_run is not there in this version of Dify" in finding.what
    assert "nodes that are tried out in the editor are not seen" in finding.what


def test_a_module_that_cannot_be_imported_is_named_with_the_reason(tmp_path: Path) -> None:
    told = tried(dify(tmp_path, core__indexing_runner="raise RuntimeError('no database')\n"))
    finding = told["sources.dify_indexing"]
    assert finding.severity is Severity.PROBLEM
    assert "core.indexing_runner cannot be imported (RuntimeError: no database)" in finding.what


def test_modules_that_print_log_or_exit_change_nothing(tmp_path: Path) -> None:
    told = tried(
        dify(
            tmp_path,
            app_factory="import logging\nprint('noise')\nlogging.error('noise')\n",
            core__indexing_runner="import sys\nsys.exit(3)\n",
        )
    )
    assert "(SystemExit: 3)" in told["sources.dify_indexing"].what
    assert told["sources.redis"].severity is Severity.OK


@pytest.mark.parametrize(
    ("name", "value", "off"),
    [
        (DISABLED, "redis, dify_models", {"redis", "dify_models"}),
        (DISABLED, "*", {source.name for source in SOURCES}),
        ("OTEL_SDK_DISABLED", "true", {source.name for source in SOURCES}),
    ],
)
def test_what_is_switched_off_is_told_with_the_variable(
    tmp_path: Path, name: str, value: str, off: set[str]
) -> None:
    told = tried(dify(tmp_path), **{name: value})
    noted = {about for about, each in told.items() if "is switched off by" in each.what}
    assert noted == {f"sources.{source}" for source in off}
    assert all(name in told[about].what for about in noted)


def test_a_program_that_does_not_end_well_is_a_problem(tmp_path: Path) -> None:
    told = tried(dify(tmp_path, app_factory="import os\nos._exit(9)\n"))
    assert told.keys() == {"sources"}
    assert told["sources"].severity is Severity.PROBLEM
    assert "it ended with 9" in told["sources"].what
