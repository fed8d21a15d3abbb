"""``otel-dify doctor`` as an operator runs it, on processes that live and on what dead ones left."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from otel_dify.cli.doctor.checks import CHECKS
from tests.process.conftest import BIN, DEADLINE, INSTRUMENT, Programs, eventually
from tests.process.test_draining import KILLED, kill_some, nowhere
from tests.unit.sending.receiver import Receiver, response

DOCTOR = (str(BIN / "otel-dify"), "doctor")
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
OTLP: dict[str, str | None] = {
    "OTEL_TRACES_EXPORTER": None,
    "OTEL_METRICS_EXPORTER": None,
    "OTEL_LOGS_EXPORTER": None,
}
# A program of Dify's, by its name and by where it works.
GUNICORN = """
import sys, time
if "record" in sys.argv:
    from otel_dify import observe
    with observe("work"):
        pass
print("ready", flush=True)
time.sleep(600)
"""


def doctor(
    programs: Programs, *options: str, env: dict[str, str | None] | None = None
) -> subprocess.CompletedProcess[str]:
    return programs.run(*options, prefix=DOCTOR, env={**OTLP, **(env or {})})


def findings(told: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """Return what it wrote as JSON, by what it is about."""
    assert told.stderr == ""
    return {finding["about"]: finding for finding in json.loads(told.stdout)["findings"]}


@pytest.fixture
def dify(programs: Programs) -> Path:
    """Make a folder of Dify's code, with a program of its in it."""
    folder = programs.folder / "api"
    folder.mkdir()
    (folder / "dify_app.py").touch()
    (folder / "pyproject.toml").write_text('[project]\nversion = "1.14.2"\n')
    (folder / "gunicorn").write_text(GUNICORN)
    return folder


@contextmanager
def running(
    programs: Programs, dify: Path, prefix: Sequence[str], *arguments: str, **env: str
) -> Iterator[int]:
    """Run the program until the block ends; yield its number."""
    with subprocess.Popen(
        [*prefix, sys.executable, "gunicorn", *arguments],
        cwd=dify,
        env=programs.environment({**OTLP, ENDPOINT: nowhere(), **env}),
        stdout=subprocess.PIPE,
        text=True,
    ) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline() == "ready\n"
            yield started.pid
        finally:
            started.kill()
            started.wait(DEADLINE)


def of_process(programs: Programs, pid: int) -> tuple[str, str]:
    """Return what is told of a process, other than of its environment."""
    told = json.loads(doctor(programs, "--json", "--only", "processes", "--pid", f"{pid}").stdout)
    [finding] = [
        each
        for each in told["findings"]
        if f"(pid {pid})" in each["what"] and not each["about"].endswith(".environment")
    ]
    return finding["severity"], finding["what"]


def test_a_process_that_records(programs: Programs, dify: Path) -> None:
    with running(programs, dify, (INSTRUMENT,), "record", OTEL_PYTHON_DISTRO="otel_dify") as pid:
        assert of_process(programs, pid) == ("ok", f"api (pid {pid}) records")


def test_a_process_that_has_recorded_nothing_yet(programs: Programs, dify: Path) -> None:
    with running(programs, dify, (INSTRUMENT,), OTEL_PYTHON_DISTRO="otel_dify") as pid:
        severity, what = of_process(programs, pid)
    assert severity == "note"
    assert "has recorded nothing yet" in what


def test_a_process_that_was_started_without_it(programs: Programs, dify: Path) -> None:
    with running(programs, dify, ()) as pid:
        severity, what = of_process(programs, pid)
    assert severity == "problem"
    assert "was started without otel_dify" in what


def test_a_process_that_is_switched_off(programs: Programs, dify: Path) -> None:
    with running(programs, dify, (INSTRUMENT,), OTEL_SDK_DISABLED="true") as pid:
        severity, what = of_process(programs, pid)
    assert severity == "problem"
    assert "OTEL_SDK_DISABLED=true" in what


def test_the_environment_of_a_process_is_examined_where_it_is_named(
    programs: Programs, dify: Path
) -> None:
    with running(programs, dify, (), OTEL_DIFY_QUERY_SPAN_MS="7") as pid:
        options = ("--json", "--only", "settings", "--only", "versions", "--pid", f"{pid}")
        told = findings(doctor(programs, *options))
        other = json.loads(doctor(programs, "--json", "--only", "processes").stdout)
    assert "from 7 ms on" in told["settings.queries"]["what"]
    assert f"Dify 1.14.2 in {dify}" in told["versions.dify"]["what"]
    hints = [each["do"] for each in other["findings"] if f"(pid {pid}) has" in each["what"]]
    assert hints == [f"Run this with its environment: otel-dify doctor --pid {pid}"]


def test_a_process_that_there_is_not_is_a_wrong_call(programs: Programs) -> None:
    told = doctor(programs, "--pid", "4194304")
    assert told.returncode == 2
    assert "there is no process 4194304" in told.stderr


def test_what_killed_processes_have_left_is_counted(programs: Programs) -> None:
    kill_some(programs, KILLED)
    told = findings(doctor(programs, "--json", "--only", "journal"))
    assert told["journal.left"]["severity"] == "note"
    assert re.match(r"\d+ log records and \d+ spans of processes", told["journal.left"]["what"])
    assert "otel-dify drain" in told["journal.left"]["do"]
    # Looking takes nothing away.
    again = findings(doctor(programs, "--json", "--only", "journal"))
    assert again["journal.left"] == told["journal.left"]


def test_what_running_processes_have_is_not_called_left(programs: Programs, dify: Path) -> None:
    with running(programs, dify, (INSTRUMENT,), "record", OTEL_PYTHON_DISTRO="otel_dify"):

        def waits() -> bool:
            told = findings(doctor(programs, "--json", "--only", "journal"))
            assert "journal.left" not in told
            return "of running processes wait" in told["journal.waiting"]["what"]

        assert eventually(waits)


def test_a_collector_that_is_there_ends_with_0_and_one_that_is_not_with_1(
    programs: Programs,
) -> None:
    with Receiver() as receiver:
        well = doctor(programs, "--only", "collector", env={ENDPOINT: receiver.url})
    ill = doctor(programs, "--only", "collector", env={ENDPOINT: receiver.url})
    assert (well.returncode, ill.returncode) == (0, 1)
    assert "All is well, as far as could be looked at" in well.stdout
    assert "problem  Nothing listens at localhost" in ill.stdout
    assert "1 problem: begin with the first one" in ill.stdout
    assert well.stderr + ill.stderr == ""


def test_warnings_alone_are_no_failure(programs: Programs) -> None:
    told = doctor(programs, "--only", "settings", env={"OTEL_DIFY_X": "1"})
    assert told.returncode == 0
    assert "No problem, and 1 warning" in told.stdout


def test_a_check_that_there_is_not_is_a_wrong_call(programs: Programs) -> None:
    told = doctor(programs, "--only", "everything")
    assert told.returncode == 2
    assert "'everything' is not one of" in told.stderr


def test_the_command_line_names_every_check(programs: Programs) -> None:
    told = " ".join(doctor(programs, "--help").stdout.split())
    assert ", ".join(check.name for check in CHECKS) in told


def test_as_json_it_says_all_that_it_says_to_a_person(programs: Programs, dify: Path) -> None:
    env: dict[str, str | None] = {ENDPOINT: nowhere(), "PYTHONPATH": str(dify)}
    told = doctor(programs, "--json", "--wait", "0", env=env)
    assert told.returncode == 1
    written = json.loads(told.stdout)
    assert {"version", "host", "time", "counts", "findings"} == written.keys()
    counted = dict.fromkeys(("ok", "note", "warning", "problem"), 0)
    for finding in written["findings"]:
        counted[finding["severity"]] += 1
        assert {"about", "severity", "what", "do"} == finding.keys()
    assert counted == written["counts"]
    begun = {finding["about"].partition(".")[0] for finding in written["findings"]}
    assert begun == {check.name for check in CHECKS}


def test_no_secret_is_shown(programs: Programs) -> None:
    with Receiver(response(403, b"no")) as receiver:
        env: dict[str, str | None] = {
            ENDPOINT: receiver.url.replace("//", "//user:geheim1@"),
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20geheim2,broken geheim3",
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "geheim4:geheim5@nowhere",
            "JAEGER_URL": "http://user:geheim6@127.0.0.1:9",
        }
        told = [doctor(programs, *options, env=env) for options in ((), ("--json",))]
    for each in told:
        assert each.returncode == 1
        assert "geheim" not in each.stdout + each.stderr


def test_it_writes_into_nothing_of_difys(programs: Programs, dify: Path) -> None:
    """No state, no journal, no compiled module, no telemetry."""
    (dify / "core").mkdir()
    (dify / "core" / "indexing_runner.py").touch()
    before = sorted(path.relative_to(programs.folder) for path in programs.folder.rglob("*"))
    doctor(programs, env={ENDPOINT: nowhere(), "PYTHONPATH": str(dify)})
    after = sorted(path.relative_to(programs.folder) for path in programs.folder.rglob("*"))
    assert after == before
