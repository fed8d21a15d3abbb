"""Any program of the SDK with our exporters, by the standard variables and the stock distro."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from tests.faults.conftest import Rig, duplicates, ended
from tests.process.conftest import eventually

OURS = ",".join(
    one.name for one in entry_points(group="opentelemetry_instrumentor") if "dify" in one.name
)
STOCK = {
    "OTEL_PYTHON_DISTRO": "distro",
    "OTEL_PYTHON_CONFIGURATOR": "configurator",
    "OTEL_TRACES_EXPORTER": "otel_dify",
    "OTEL_METRICS_EXPORTER": "otel_dify",
    "OTEL_LOGS_EXPORTER": "otel_dify",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED": "true",
    # Nothing of Dify is there to be watched.
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": OURS,
}


def stock(rig: Rig) -> dict[str, str | None]:
    """Return the environment of a program that has nothing of ours but the exporters."""
    return {**STOCK, "OTEL_DIFY_JOURNAL_DIR": str(rig.folder / "journals")}


def names(rig: Rig) -> list[str]:
    """Return the names of the spans that have come."""
    return sorted(name for name, *_ in rig.receiver.state()["ends"].values())


def test_all_three_signals_of_it_arrive(rig: Rig) -> None:
    ended(rig.begin("plain.py", str(rig.lists / "first.list"), "", env=stock(rig)))
    state = rig.receiver.state()
    assert names(rig) == ["before", "parent"]
    assert state["lines"] == {"in before": 1, "in parent": 1}
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
    state = rig.receiver.state()
    assert duplicates(state) == 0


def test_what_the_exporter_was_given_outlives_the_process(rig: Rig) -> None:
    """It was killed with the Collector away; the next program of its sort sends it."""
    rig.receiver.answer("503")
    program = rig.begin("plain.py", str(rig.lists / "first.list"), "wait", env=stock(rig))
    assert rig.has_said("done")
    assert eventually(lambda: any((rig.folder / "journals").rglob("traces-*.segment")))
    assert eventually(lambda: any((rig.folder / "journals").rglob("logs-*.segment")))
    program.kill()
    program.communicate()
    rig.receiver.answer("ok")
    ended(rig.begin("plain.py", str(rig.lists / "second.list"), "", env=stock(rig)))
    assert eventually(lambda: names(rig) == ["before", "before", "parent", "parent"])
    assert rig.receiver.state()["lines"] == {"in before": 2, "in parent": 2}


def test_beside_our_sources_its_spans_arrive_once(rig: Rig) -> None:
    """They take over what the stock distro has set up, whatever it exports by."""
    env = {**stock(rig), "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": None}
    ended(rig.begin("plain.py", str(rig.lists / "first.list"), "", env=env))
    assert names(rig) == ["before", "parent"]
    assert duplicates(rig.receiver.state()) == 0
