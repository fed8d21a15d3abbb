"""``otel-dify run``: what it starts is what the overlay starts, and is left alone after that."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from otel_dify.cli.run import CHOSEN
from otel_dify.settings import SETTINGS
from tests.process.conftest import APPS, BIN, DEADLINE, INSTRUMENT, Programs

RUN = (str(BIN / "otel-dify"), "run")
OVERLAY = Path(__file__).parents[2] / "docker-compose.otel.yml"
SHOW = "import json, os; print(json.dumps(dict(os.environ)))"
# What only the containers have: where the copy of the package is, the Collector's name in their
# network, and the volume that journals are on.
OF_THE_CONTAINERS = {"PYTHONPATH", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_DIFY_JOURNAL_DIR"}
# No setting of ours, and what the resource says without it.
IMPLIED = {"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=production"}


def overlay() -> dict[str, str]:
    """Return what the overlay sets where nobody has set anything."""
    environment = yaml.safe_load(OVERLAY.read_text())["x-instrumented"]["environment"]
    return {name: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value) for name, value in environment.items()}


def test_the_program_gets_the_environment_that_opentelemetry_instrument_gives(
    programs: Programs,
) -> None:
    ours = programs.run(sys.executable, "-c", SHOW, prefix=(*RUN, "--"))
    stock = programs.run(sys.executable, "-c", SHOW, prefix=(INSTRUMENT,), env=dict(CHOSEN))
    assert ours.stderr == ""
    assert json.loads(ours.stdout) == json.loads(stock.stdout)


def test_what_the_overlay_sets_is_set_or_the_default_anyway() -> None:
    known = {setting.name: setting for setting in SETTINGS}
    differing = {}
    for name, value in overlay().items():
        if name in OF_THE_CONTAINERS or IMPLIED.get(name) == value or CHOSEN.get(name) == value:
            continue
        setting = known.get(name)
        if value and (setting is None or setting.parse(value) != setting.default):
            differing[name] = value
    assert differing == {}


def test_what_is_printed_is_what_the_program_gets(programs: Programs) -> None:
    printed = programs.run("--print", "--", "true", prefix=RUN)
    exported = dict(
        shlex.split(line)[1].split("=", 1)
        for line in printed.stdout.splitlines()
        if line.startswith("export ")
    )
    got = json.loads(programs.run(sys.executable, "-c", SHOW, prefix=RUN).stdout)
    assert exported.items() <= got.items()
    assert {*CHOSEN, "PYTHONPATH", "OTEL_DIFY_STATE_PATH"} <= exported.keys()
    assert printed.stdout.splitlines()[-1] == "exec true"


def test_nothing_is_started_where_it_is_printed(programs: Programs) -> None:
    touched = programs.folder / "touched"
    programs.run("--print", "--", "touch", str(touched), prefix=RUN)
    assert not touched.exists()


def test_no_secret_is_printed(programs: Programs) -> None:
    env = {
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20geheim1,x-tenant=geheim2",
        "OTEL_EXPORTER_OTLP_LOGS_HEADERS": "geheim3",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://user:geheim4@collector:4318?key=geheim5",
        "OTEL_RESOURCE_ATTRIBUTES": "team=a,api_key=geheim6",
        "OTEL_SOME_TOKEN": "geheim7",
    }
    command = (
        *("celery", "--broker", "redis://:geheim8@redis/0", "--password", "geheim9"),
        *("--token=geheim10", "-e", "SECRET_KEY=geheim11"),
    )
    told = programs.run("--print", "--", *command, prefix=RUN, env=env)
    assert told.returncode == 0
    assert "geheim" not in told.stdout + told.stderr
    for shown in ("authorization=***,x-tenant=***", "***@collector:4318", "team=a", "celery"):
        assert shown in told.stdout


def test_it_records(programs: Programs) -> None:
    told = programs.script(
        "from otel_dify import observe\nwith observe('work'):\n    pass\n", prefix=(*RUN, "--")
    )
    assert told.returncode == 0, told.stderr
    assert [span.name for span in programs.told.spans] == ["work"]


def test_the_exit_code_is_the_programs(programs: Programs) -> None:
    assert programs.run("sh", "-c", "exit 7", prefix=RUN).returncode == 7


def test_options_of_the_program_need_no_dashes_before_it(programs: Programs) -> None:
    told = programs.run("sh", "-c", "echo $0", "--print", prefix=RUN)
    assert told.stdout == "--print\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_signals_reach_the_program_itself(programs: Programs, number: signal.Signals) -> None:
    """Signals that nobody ignores: what runs in the background may inherit that of others."""
    with subprocess.Popen(
        [*RUN, "--", "sh", "-c", "echo $$; exec sleep 600"],
        cwd=APPS,
        env=programs.environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as started:
        assert started.stdout is not None
        # It has taken the place of the process that was started: no other is in between.
        assert int(started.stdout.readline()) == started.pid
        os.kill(started.pid, number)
        try:
            assert started.wait(DEADLINE) == -number
        finally:
            started.kill()


def test_a_program_that_writes_into_a_closed_pipe_ends_as_ever(programs: Programs) -> None:
    """Python ignores SIGPIPE, and what it becomes would inherit that."""
    told = programs.run("bash", "-c", "yes | head -1; echo ${PIPESTATUS[0]}", prefix=RUN)
    assert told.stdout.split() == ["y", str(128 + signal.SIGPIPE)]


def test_a_command_that_is_not_there_is_named(programs: Programs) -> None:
    told = programs.run("no-such-program", prefix=RUN)
    assert (told.returncode, told.stdout) == (127, "")
    assert told.stderr == "Error: no-such-program: no such command on PATH\n"


def test_a_file_that_is_no_program_is_named(programs: Programs) -> None:
    path = programs.folder / "text"
    path.write_text("no program")
    path.chmod(0o755)
    told = programs.run(str(path), prefix=RUN)
    assert told.returncode == 126
    assert told.stderr == f"Error: {path}: Exec format error\n"


def test_without_a_command_it_says_how_it_is_used(programs: Programs) -> None:
    told = programs.run(prefix=RUN)
    assert told.returncode == 2
    assert "Missing argument 'COMMAND...'" in told.stderr
