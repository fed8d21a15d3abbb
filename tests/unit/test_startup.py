"""Start-up: which of Dify's processes this is, and whether gevent has still to patch it."""

from __future__ import annotations

import sys
from importlib.metadata import requires

import pytest
from packaging.requirements import Requirement

from otel_dify import guard, startup
from otel_dify.patching import gevent_pending
from otel_dify.process import State, process
from otel_dify.settings import SETTINGS
from otel_dify.startup import NEEDED, program_of, role_of

PYTHON = "/opt/venv/bin/python3.12"


@pytest.mark.parametrize(
    ("command", "role"),
    [
        ([PYTHON, "/opt/venv/bin/gunicorn", "--bind", "127.0.0.1:5001", "app:app"], "api"),
        ([PYTHON, "-m", "gunicorn", "app:app"], "api"),
        ([PYTHON, "/opt/venv/bin/flask", "run", "--host", "127.0.0.1"], "api"),
        ([PYTHON, "-m", "flask", "run"], "api"),
        ([PYTHON, "/opt/venv/bin/celery", "-A", "celery_entrypoint.celery", "worker"], "worker"),
        (
            [PYTHON, "-X", "dev", "-W", "error", "-u", "-m", "celery", "-A", "app", "worker"],
            "worker",
        ),
        ([PYTHON, "/opt/venv/bin/celery", "-A", "app.celery", "beat"], "beat"),
        ([PYTHON, "/app/api/manage.py", "upgrade"], "manage"),
        ([PYTHON, "/opt/lib/python3.12/site-packages/celery/__main__.py", "worker"], "worker"),
        ([PYTHON, "-c", "print(1)"], "-c"),
        ([PYTHON], "python"),
        ([PYTHON, "-I"], "python"),
    ],
)
def test_a_role_is_told_from_the_command_line(command: list[str], role: str) -> None:
    assert role_of(program_of(command)) == role


@pytest.mark.parametrize(
    ("command", "environment", "pending"),
    [
        (["gunicorn", "-k", "gevent", "app:app"], "", True),
        (["gunicorn", "--worker-class", "geventwebsocket.gunicorn.workers.X", "app:app"], "", True),
        (["gunicorn", "app:app"], "--worker-class gevent", True),
        (["gunicorn", "-k", "gthread", "app:app"], "", False),
        (["celery", "-A", "app", "worker", "-P", "gevent"], "", True),
        (["celery", "-A", "app", "worker", "--pool=gevent"], "", True),
        (["celery", "-A", "app", "worker", "-P", "prefork"], "", False),
        (["flask", "run"], "", False),
        (["/home/gevent-fan/bin/flask", "run"], "", False),
        (["python", "/app/test_gevent.py"], "", False),
    ],
)
def test_gevent_is_pending_where_the_command_asks_for_it(
    command: list[str], environment: str, pending: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "orig_argv", [PYTHON, *command])
    monkeypatch.setenv("GUNICORN_CMD_ARGS", environment)
    monkeypatch.delitem(sys.modules, "gevent.monkey", raising=False)
    assert gevent_pending() is pending


def test_every_variable_of_ours_is_an_option_of_the_command() -> None:
    """``opentelemetry-instrument`` reads the names from our module and offers them."""
    from otel_dify import environment_variables

    ours = {setting.name for setting in SETTINGS if not setting.standard}
    assert ours == {name for name in vars(environment_variables) if name.startswith("OTEL_DIFY_")}


@pytest.mark.parametrize(
    ("installed", "usable"),
    [("1.28.0", False), ("1.9", False), ("1.39.1", False), ("1.40.0", True), ("2.0rc1", True)],
)
def test_an_opentelemetry_that_is_too_old_is_told_of_and_not_used(
    installed: str,
    usable: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Dify 1.13.3 has 1.28."""
    monkeypatch.setattr(process.kept(guard.Failures), "said", set())
    monkeypatch.setattr(startup, "version", lambda _name: installed)
    monkeypatch.setattr(process, "state", State.OFF)
    if not usable:
        assert not startup.set_up({}, ["gunicorn"])
        assert not startup.set_up({}, ["gunicorn"])
        [record] = caplog.records
        assert f"needs OpenTelemetry 1.40 or later and this Dify has {installed}" in (
            record.getMessage()
        )
    else:
        assert startup._is_new_enough(installed)
        assert not caplog.records


def test_the_opentelemetry_that_is_needed_is_the_one_that_the_package_asks_for() -> None:
    asked = [Requirement(line) for line in requires("otel-dify") or ()]
    [sdk] = [one for one in asked if one.name == "opentelemetry-sdk"]
    assert f"{NEEDED[0]}.{NEEDED[1]}.0" in sdk.specifier
    assert f"{NEEDED[0]}.{NEEDED[1] - 1}.99" not in sdk.specifier
