"""Any program of the SDK with our exporters, by the standard variables and the stock distro."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.conftest import Rig, ended
from tests.process.conftest import eventually

STOCK = {
    "OTEL_PYTHON_DISTRO": "distro",
    "OTEL_PYTHON_CONFIGURATOR": "configurator",
    "OTEL_TRACES_EXPORTER": "otel_dify",
    "OTEL_METRICS_EXPORTER": "otel_dify",
    "OTEL_LOGS_EXPORTER": "otel_dify",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED": "true",
}


def stock(rig: Rig) -> dict[str, str | None]:
    """Return the environment of a program that has nothing of ours but the exporters."""
    return {**STOCK, "OTEL_DIFY_JOURNAL_DIR": str(rig.folder / "journals")}


def names(rig: Rig) -> list[str]:
    """Return the names of the spans that have come."""
    return sorted(name for name, *_ in rig.receiver.state()["ends"].values())


def journaled(rig: Rig, signal: str, text: bytes) -> bool:
    """Return whether a record with a text is in a journal: the SDK's batches end where they will."""
    segments = (rig.folder / "journals").rglob(f"{signal}-*.segment")
    return any(text in segment.read_bytes() for segment in segments)


def own_lines(state: dict[str, Any]) -> dict[str, int]:
    """Return the lines that the program has written, and not OpenTelemetry's loader."""
    return {line: number for line, number in state["lines"].items() if line.startswith("in ")}


def test_all_three_signals_of_it_arrive(rig: Rig) -> None:
    ended(rig.begin("plain.py", str(rig.lists / "first.list"), "", env=stock(rig)))
    state = rig.receiver.state()
    assert names(rig) == ["before", "parent"]
    assert own_lines(state) == {"in before": 1, "in parent": 1}
    assert any("program.count" in key for key in state["points"])
    assert not any((rig.folder / "journals").rglob("*.segment"))


@pytest.mark.parametrize("ends", ["exit", "_exit"])
def test_forked_children_send_their_own_and_leave_their_parents(rig: Rig, ends: str) -> None:
    """A child that ends runs the SDK's exit handlers, with what its parent has in its hands."""
    ended(rig.begin("plain.py", str(rig.lists / "first.list"), ends, env=stock(rig)))
    expected = ["before", *["child"] * 3, "parent"]
    if ends == "_exit":
        # What was in the SDK's own queue is gone with its process.
        assert eventually(lambda: {"before", "parent"} <= set(names(rig)))
    else:
        assert eventually(lambda: names(rig) == expected), names(rig)
    assert own_lines(rig.receiver.state())["in parent"] == 1
    assert set(rig.receiver.state()["spans"].values()) == {1}


def test_what_the_exporter_was_given_outlives_the_process(rig: Rig) -> None:
    """It was killed with the Collector away; the next program of its sort sends it."""
    rig.receiver.answer("503")
    program = rig.begin("plain.py", str(rig.lists / "first.list"), "wait", env=stock(rig))
    assert rig.has_said("done")
    assert eventually(lambda: journaled(rig, "traces", b"parent"))
    assert eventually(lambda: journaled(rig, "logs", b"in parent"))
    program.kill()
    program.communicate()
    rig.receiver.answer("ok")
    ended(rig.begin("plain.py", str(rig.lists / "second.list"), "", env=stock(rig)))
    assert eventually(lambda: names(rig) == ["before", "before", "parent", "parent"])
    assert own_lines(rig.receiver.state()) == {"in before": 2, "in parent": 2}
