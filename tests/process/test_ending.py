"""The end of a process: what still goes on is waited for, and nothing begins anew after it."""

from __future__ import annotations

import pytest

from tests.process.conftest import INJECTED, Programs

# A thread that is told of the end only by the hook that Python calls before it joins threads.
TRAILING = """
    import threading
    import otel_dify
    ending = threading.Event()

    def run():
        with otel_dify.observe("trailing"):
            begun.set()
            ending.wait()

    begun = threading.Event()
    threading.Thread(target=run).start()
    begun.wait()
    # Called before what was registered earlier.
    threading._register_atexit(ending.set)
"""
# A thread that goes on after the end, and tells of it.
AFTER = """
    import logging, threading
    import otel_dify
    logging.basicConfig(force=True, level=logging.INFO)

    def run():
        begun.set()
        threading.main_thread().join()
        logging.getLogger("program").info("still here")
        with otel_dify.observe("after the end"):
            pass

    begun = threading.Event()
    with otel_dify.observe("before the end"):
        threading.Thread(target=run).start()
        begun.wait()
"""


@pytest.mark.parametrize("way", ["command", "PYTHONPATH"])
def test_what_a_thread_does_at_the_end_is_told(programs: Programs, way: str) -> None:
    run(programs, TRAILING, way)
    assert [span.name for span in programs.told.spans] == ["trailing"]


@pytest.mark.parametrize("way", ["command", "PYTHONPATH"])
def test_nothing_is_begun_after_the_end(programs: Programs, way: str) -> None:
    """A second pipeline would have nobody to end it, and fail where executors have ended."""
    said = run(programs, AFTER, way)
    assert [span.name for span in programs.told.spans] == ["before the end"]
    assert "still here" in said
    assert "otel_dify.pipeline" not in said


def run(programs: Programs, script: str, way: str) -> str:
    """Run a script under OpenTelemetry's command, or injected beside the stock distro."""
    if way == "command":
        told = programs.script(script)
    else:
        env = {"OTEL_PYTHON_DISTRO": "distro", "PYTHONPATH": INJECTED}
        told = programs.script(script, env=env, prefix=())
    assert told.returncode == 0, told.stderr
    return told.stdout + told.stderr
