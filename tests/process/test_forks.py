"""Processes and their pipelines: a child makes its own, and one that cannot be made costs a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.process.conftest import Programs

FORKS = """
    import json, logging, os, sys, threading, warnings
    # Python's, about any process that has a thread.
    warnings.simplefilter("ignore", DeprecationWarning)
    from otel_dify import observe

    def work(name):
        with observe(name):
            logging.getLogger("program").warning(name)

    def tell(where):
        ours = [thread.name for thread in threading.enumerate()
                if thread.name.startswith(("otel_dify", "Otel"))]
        print(json.dumps([where, sorted(ours), len(os.listdir("/proc/self/task"))]), flush=True)

    tell("parent before")
    work("parent")
    tell("parent after")
    child = os.fork()
    if child == 0:
        tell("child before")
        work("child")
        tell("child after")
        work("child again")
        tell("child later")
        sys.exit()
    os.waitpid(child, 0)
    work("parent again")
    tell("parent later")
"""


def test_a_forked_child_has_one_set_of_threads_from_its_first_record_on(
    programs: Programs,
) -> None:
    told = programs.script(FORKS)
    assert told.returncode == 0, told.stderr
    found: dict[str, Any] = {}
    for line in told.stdout.splitlines():
        where, ours, number = json.loads(line)
        found[where] = (ours, number)
    one_set = ["otel_dify-logs", "otel_dify-metrics", "otel_dify-traces"]
    assert found["parent before"] == ([], 1)
    assert found["parent after"] == (one_set, 4)
    # Not even a native thread that Python knows nothing of.
    assert found["child before"] == ([], 1)
    assert found["child after"] == (one_set, 4)
    assert found["child later"] == (one_set, 4)
    assert found["parent later"] == (one_set, 4)


def test_a_forked_child_tells_its_own_under_its_own_id(programs: Programs) -> None:
    told = programs.script(FORKS)
    assert told.returncode == 0, told.stderr
    spans = {span.name: span.process for span in programs.told.spans}
    assert sorted(span.name for span in programs.told.spans) == sorted(spans)
    assert spans["parent"] == spans["parent again"]
    assert spans["child"] == spans["child again"]
    assert spans["child"].instance != spans["parent"].instance
    logs = {log.body: log.process for log in programs.logs("program")}
    assert logs == spans
    assert len(programs.logs("program")) == len(logs)
    assert programs.counted("dify.custom.duration", name="parent") == 1
    assert programs.counted("dify.custom.duration", name="child") == 1
    assert programs.counted("dify.custom.duration") == 4


LATE = {"OTEL_BLRP_SCHEDULE_DELAY": "600000", "OTEL_BSP_SCHEDULE_DELAY": "600000"}
"""Nothing is sent, and no file opened, before the end."""


def slots(programs: Programs) -> list[Path]:
    """Return the lock files that programs have made."""
    return list((programs.folder / "state").glob("*.slot"))


def test_a_setting_that_the_sdk_would_refuse_makes_one_pipeline_and_not_one_a_record(
    programs: Programs,
) -> None:
    told = programs.script(
        """
        import logging, os
        log = logging.getLogger("program")
        log.warning("0")
        before = len(os.listdir("/proc/self/fd"))
        for number in range(1, 50):
            log.warning("%d", number)
        print(len(os.listdir("/proc/self/fd")) - before)
        """,
        env={"OTEL_METRICS_EXEMPLAR_FILTER": "bogus", **LATE},
    )
    assert told.stdout == "0\n"
    [line] = [line for line in told.stderr.splitlines() if not line.isdecimal()]
    assert line.startswith("OTEL_METRICS_EXEMPLAR_FILTER='bogus' cannot be used")
    assert len(slots(programs)) == 1
    assert [log.body for log in programs.logs("program")] == [str(n) for n in range(50)]


BREAKS = """
    import logging, os, threading
    import otel_dify.pipeline
    from otel_dify import observe
    from otel_dify.process import process
    whole, tries = otel_dify.pipeline.Pipeline, []

    class Broken(whole):
        def __init__(self, *args):
            tries.append(1)
            if WHEN == "after":
                super().__init__(*args)
            raise OSError("no room")

    otel_dify.pipeline.Pipeline = Broken
    log = logging.getLogger("program")
    log.warning("0")
    descriptors = len(os.listdir("/proc/self/fd"))
    for number in range(1, 50):
        log.warning("%d", number)
    for number in range(50):
        with observe("work") as operation:
            operation.set_attribute("number", number)
            log.debug("%d", number)
    print(len(tries), process.state.name, len(os.listdir("/proc/self/fd")) - descriptors)
    child = os.fork()
    if child == 0:
        with observe("work"):
            log.warning("50")
        os._exit(len(tries))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_pipeline_that_cannot_be_made_is_tried_once_and_costs_one_line(
    programs: Programs, when: str
) -> None:
    """Whether it fails at once or when it holds what pipelines hold; a child tries no more."""
    source = BREAKS.replace("WHEN", repr(when))
    told = programs.script(
        "\n    import warnings; warnings.simplefilter('ignore', DeprecationWarning)" + source,
        env=LATE,
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout == "1 BROKEN 0\n1\n"
    lines = told.stderr.splitlines()
    assert [line for line in lines if line.isdecimal()] == [str(number) for number in range(51)]
    said = [line for line in lines if line.startswith("otel_dify")]
    assert len(said) == 1
    assert said[0].startswith("otel_dify.process failed (OSError: no room). Dify goes on without")
    assert told.stderr.count("Traceback") == 1
    assert len(slots(programs)) <= 1


def test_spans_that_others_make_before_the_first_operation_are_kept(programs: Programs) -> None:
    """The SDK is asked for a tracer once, and not for each span."""
    told = programs.script(
        """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider

        asked, get_tracer = [], TracerProvider.get_tracer

        def noting(self, *args, **kwargs):
            asked.append(args[0])
            return get_tracer(self, *args, **kwargs)

        TracerProvider.get_tracer = noting
        tracer = trace.get_tracer("x")
        for number in range(3):
            with tracer.start_as_current_span(f"own {number}") as span:
                span.set_attribute("number", number)
        print(asked)
        """
    )
    assert (told.stdout, told.stderr) == ("['x']\n", "")
    spans = programs.told.spans
    assert sorted(span.name for span in spans) == ["own 0", "own 1", "own 2"]
    assert [programs.spans(f"own {n}")[0].number("number") for n in range(3)] == [0, 1, 2]
