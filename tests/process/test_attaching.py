"""Attaching from outside and from code, beside the stock distro, in part, and not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.process.conftest import INJECTED, Programs

# A request that logs, makes an HTTP call to nowhere and a query; and a liveness probe.
PROGRAM = """
    import logging
    import flask, httpx, sqlalchemy
    logging.basicConfig(force=True, level=logging.INFO)
    app = flask.Flask("program")
    database = sqlalchemy.create_engine("sqlite://")

    @app.get("/work")
    def work():
        logging.getLogger("program").info("working")
        with database.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT 1"))
        try:
            with httpx.Client() as client:
                client.get("http://127.0.0.1:1/")
        except httpx.ConnectError:
            pass
        return "done"

    @app.get("/health")
    def health():
        return "alive"

    assert app.test_client().get("/health").text == "alive"
    print(app.test_client().get("/work").text)
"""


def check_that_all_is_told_once(programs: Programs) -> None:
    """Check the spans of the program: each once, ours, in one tree."""
    spans = {span.name: span for span in programs.told.spans}
    assert len(spans) == len(programs.told.spans)
    assert set(spans) == {"GET /work", "GET"}
    assert spans["GET"].parent_id == spans["GET /work"].span_id
    assert spans["GET /work"].number("dify.db.query.count") == 1
    assert [log.span_id for log in programs.logs("program")] == [spans["GET /work"].span_id]
    assert programs.counted("http.server.request.duration") == 1
    assert programs.counted("http.client.request.duration") == 1


@pytest.mark.parametrize("distro", [None, "otel_dify", "distro"])
@pytest.mark.parametrize("way", ["command", "PYTHONPATH"])
def test_all_is_told_once_whichever_distro_was_met_first(
    programs: Programs, way: str, distro: str | None
) -> None:
    """Dify's image has the stock distro, which starts exporters and instruments what it finds."""
    env = {"OTEL_PYTHON_DISTRO": distro}
    if way == "command":
        told = programs.script(PROGRAM, env=env)
    else:
        told = programs.script(PROGRAM, env={**env, "PYTHONPATH": INJECTED}, prefix=())
    assert told.stdout == "done\n"
    # Upstream's line about the configurator that it met second, before anything of ours is loaded.
    spare = ("INFO:", "Configuration of ")
    assert not [line for line in told.stderr.splitlines() if not line.startswith(spare)]
    check_that_all_is_told_once(programs)


@pytest.mark.parametrize("first", [True, False])
def test_it_can_be_started_from_code(programs: Programs, first: bool) -> None:
    """Before the libraries to watch are imported, and after."""
    source = PROGRAM.replace("import logging\n", "import logging\n    # start\n", 1)
    call = "import otel_dify; otel_dify.configure()"
    if first:
        source = source.replace("# start", call)
    else:
        source = source.replace("app = flask", f"{call}\n    app = flask")
    told = programs.script(source, prefix=())
    assert told.stdout == "done\n"
    check_that_all_is_told_once(programs)


def test_a_second_start_changes_nothing(programs: Programs) -> None:
    call = "import otel_dify; otel_dify.configure(); otel_dify.configure()"
    told = programs.script(PROGRAM.replace("import logging\n", f"import logging\n    {call}\n", 1))
    assert told.stdout == "done\n"
    check_that_all_is_told_once(programs)


# Tells what has been wrapped, started and imported.
LOOKS = """
    import logging, sys, threading
    import flask, httpx, redis, sqlalchemy
    from celery import Celery
    from sqlalchemy.engine.default import DefaultDialect
    from wrapt import FunctionWrapper, BoundFunctionWrapper
    wrapped = (FunctionWrapper, BoundFunctionWrapper)
    found = []
    for owner in (logging.Logger, flask.Flask, httpx.Client, httpx.HTTPTransport, redis.Redis,
                  sqlalchemy, sqlalchemy.pool.Pool, DefaultDialect, Celery):
        found += [f"{owner.__name__}.{name}" for name, value in vars(owner).items()
                  if isinstance(value, wrapped) or hasattr(value, "__wrapped__")]
    found += [thread.name for thread in threading.enumerate() if thread.name != "MainThread"]
    found += [name for name in sys.modules if name.startswith("opentelemetry.sdk")
              and not name.startswith("opentelemetry.sdk.environment_variables")
              and name != "opentelemetry.sdk"]
    found += [name for name in sys.modules if name.startswith("opentelemetry.exporter")]
    print(found)
"""


def test_switched_off_leaves_nothing_attached(programs: Programs) -> None:
    """No wrapped function, no thread, no part of the SDK that would not be there without us."""
    # redis-py imports the metrics SDK itself.
    bare = programs.script(LOOKS, prefix=())
    off = programs.script(LOOKS, env={"OTEL_SDK_DISABLED": "true"})
    on = programs.script(LOOKS)
    sdk = "'opentelemetry.sdk.trace"
    assert sdk not in off.stdout
    assert "Logger.callHandlers" not in off.stdout
    assert "Logger.callHandlers" in on.stdout
    assert set(_names(off.stdout)) <= {*_names(bare.stdout), *_imported_by_the_loader(programs)}
    assert off.stderr == ""
    assert not programs.telemetry_folder.exists() or not programs.told.spans


def _names(text: str) -> list[str]:
    return [name.strip(" '\n[]") for name in text.split(",")]


def _imported_by_the_loader(programs: Programs) -> list[str]:
    """What the loader of OpenTelemetry imports by itself, with nothing to load."""
    env = {"OTEL_PYTHON_DISTRO": "none of them", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*"}
    env |= {"OTEL_PYTHON_CONFIGURATOR": "none of them"}
    return _names(programs.script(LOOKS, env=env).stdout)


@pytest.mark.parametrize(
    ("off", "missing"),
    [
        ("flask", "GET /work"),
        ("httpx", "GET"),
        ("flask, httpx", "both"),
        ("*", "both"),
    ],
)
def test_sources_are_switched_off_one_by_one(programs: Programs, off: str, missing: str) -> None:
    told = programs.script(PROGRAM, env={"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": off})
    assert told.stdout == "done\n"
    left = {"GET /work", "GET"} - ({"GET /work", "GET"} if missing == "both" else {missing})
    assert {span.name for span in programs.told.spans} == left
    assert len(programs.logs("program")) == 1


@pytest.mark.parametrize("way", ["command", "configure"])
def test_a_misspelt_source_is_warned_of_once(programs: Programs, way: str) -> None:
    env = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "dify_graphon,sqlalchmy, , nothing_like_it"}
    env |= {"PYTHONPATH": str(Path(__file__).parents[2])}
    if way == "configure":
        call = "import logging\n    import otel_dify; otel_dify.configure()\n"
        told = programs.script(PROGRAM.replace("import logging\n", call, 1), env=env, prefix=())
    else:
        told = programs.script(PROGRAM, env=env)
    assert told.stdout == "done\n"
    lines = [line for line in told.stderr.splitlines() if "switches nothing off" in line]
    assert len(lines) == 2
    assert "'nothing_like_it'" in lines[0]
    assert "Did you mean" not in lines[0]
    assert "'sqlalchmy'" in lines[1]
    assert "Did you mean sqlalchemy?" in lines[1]


@pytest.mark.parametrize("way", ["command", "configure"])
def test_queries_are_switched_off_from_outside_and_from_code(programs: Programs, way: str) -> None:
    env = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "sqlalchemy,redis"}
    if way == "command":
        programs.script(PROGRAM, env=env)
    else:
        call = "import logging\n    import otel_dify; otel_dify.configure()\n"
        programs.script(PROGRAM.replace("import logging\n", call, 1), env=env, prefix=())
    [request] = programs.spans("GET /work")
    assert request.number("dify.db.query.count") == 0


def test_a_dify_that_lacks_modules_is_told_of_in_one_line(programs: Programs) -> None:
    """It is told when Dify makes its app, and what is there is watched."""
    (programs.folder / "app_factory.py").touch()
    (programs.folder / "services").mkdir()
    told = programs.script(PROGRAM.replace("import logging\n", "import app_factory, logging\n", 1))
    assert told.stdout == "done\n"
    [line] = [line for line in told.stderr.splitlines() if not line.startswith("INFO:")]
    assert line.startswith("This version of Dify lacks modules that otel_dify attaches to")
    assert "services.message_service (dify_lifecycle)" in line
    check_that_all_is_told_once(programs)


def test_what_a_program_returns_is_what_it_returned_without_us(programs: Programs) -> None:
    told = programs.script("import sys; print('out'); sys.exit(7)")
    assert (told.returncode, told.stdout, told.stderr) == (7, "out\n", "")
    told = programs.script("raise SystemExit('no')")
    assert (told.returncode, told.stderr) == (1, "no\n")


def test_the_last_words_of_a_program_that_fails_are_told(programs: Programs) -> None:
    told = programs.script(
        """
        import logging
        from otel_dify import observe
        with observe("work"):
            logging.getLogger("program").error("it will not work")
            raise LookupError("no")
        """
    )
    assert told.returncode == 1
    [span] = programs.spans("work")
    assert span.text("error.type") == "LookupError"
    assert [log.span_id for log in programs.logs("program")] == [span.span_id]


def test_a_forked_child_is_an_instance_of_its_own(programs: Programs) -> None:
    told = programs.script(
        """
        import os, sys, warnings
        from otel_dify import observe
        # Python's, about any process that has a thread.
        warnings.simplefilter("ignore", DeprecationWarning)
        with observe("parent"):
            pass
        child = os.fork()
        with observe("child" if child == 0 else "parent again"):
            pass
        if child == 0:
            sys.exit()
        os.waitpid(child, 0)
        """
    )
    assert told.stderr == ""
    spans = {span.name: span.process for span in programs.told.spans}
    assert len(programs.told.spans) == 3
    assert spans["parent"] == spans["parent again"]
    assert spans["child"].instance != spans["parent"].instance
    assert spans["child"].pid != spans["parent"].pid
    assert programs.counted("dify.custom.duration") == 3
