"""Whatever the Collector does: what a process has recorded comes to it, and a process ends in time."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator

import pytest

from examples.host.children import free_port
from tests.faults.conftest import Rig, duplicates, ended, total
from tests.process.conftest import INSTRUMENT, eventually

UNITS = 300
IN_TIME_S = 9.0
"""Docker kills a container that has not ended after ten seconds, and Python itself takes a while
to start and end here."""

WEATHER = ("503", "429", "502", "504", "cut", "noise", "garbled", "401", "404", "408")
"""What says nothing against a request; what does is in unit tests."""


def test_after_answers_of_every_sort_everything_arrives_once(rig: Rig) -> None:
    """Each process meets another one, ends well, and leaves what it could not deliver to the next."""
    for answer in WEATHER:
        rig.receiver.answer(answer)
        ended(rig.producer("all", UNITS // 3))
    rig.receiver.answer("ok")
    assert rig.settles()
    state = rig.receiver.state()
    assert set(state["spans"]) == set(rig.said["ended"])
    assert duplicates(state) == 0


def test_in_changing_weather_nothing_is_lost(rig: Rig) -> None:
    """Now this, now that, with good moments between, while one process goes on."""
    chance = random.Random(5)  # noqa: S311 - chooses the weather
    # A denied access is tried again after a minute.
    bad = ["slow", *(one for one in WEATHER if one not in {"401", "404"})]
    rig.receiver.answer(*chance.choices([*bad, *["ok"] * len(bad)], k=30), "ok")
    program = rig.producer("first", 10 * UNITS, end="wait")
    assert rig.has_said("done")
    rig.receiver.answer("ok")
    ended(program)
    assert rig.settles()
    assert duplicates(rig.receiver.state()) == 0


def test_an_answer_that_is_lost_costs_a_batch_that_comes_twice(rig: Rig) -> None:
    """Nobody can know then; it is counted here, and nothing else comes twice."""
    rig.receiver.answer("lost", "lost", "lost", "ok")
    ended(rig.producer("first", UNITS))
    assert rig.settles()
    state = rig.receiver.state()
    assert 0 < duplicates(state) <= 1_024


def test_a_record_that_is_refused_is_left_out_and_said_to_be(rig: Rig) -> None:
    """The spans around it arrive."""
    rig.receiver.answer("poison:bad apple")
    program = rig.begin("poisoned.py", str(rig.lists / "poisoned.list"))
    assert rig.has_said("done")
    assert rig.arrives()
    assert eventually(
        lambda: (
            total(rig.receiver.state(), "otel_dify.export.lost", signal="traces", reason="refused")
            == 1
        )
    )
    _, said = program.communicate(timeout=60)
    assert "refuses some of the traces (HTTP 400 Bad Request (no))" in said
    assert set(rig.receiver.state()["spans"]) == set(rig.said["ended"])


def test_what_the_limit_drops_is_what_is_said_to_be_dropped(rig: Rig) -> None:
    """A Collector that is away for long: the newest records are there when it comes back."""
    rig.receiver.answer("503")
    program = rig.producer("first", 6_000, end="wait", env={"OTEL_DIFY_JOURNAL_SIZE": "2"})
    assert rig.has_said("done")
    rig.receiver.answer("ok")
    lost = {"traces": 0.0, "logs": 0.0}

    def is_said() -> bool:
        state = rig.receiver.state()
        for signal in lost:
            lost[signal] = total(state, "otel_dify.export.lost", signal=signal, reason="full")
        return all(lost.values())

    # Metrics are sent again before spans and lines, whose next attempt may be far.
    assert eventually(is_said)
    ended(program)
    said = rig.said
    ended(rig.producer("second", 1))
    assert eventually(lambda: rig.said["ended"][-1] in rig.receiver.state()["spans"])
    state = rig.receiver.state()
    gone = set(said["ended"]) - set(state["spans"])
    assert len(gone) == lost["traces"]
    # The oldest of them, but for the segment of which a request was under way just then.
    order = said["ended"]
    last = max(at for at, one in enumerate(order) if one in gone)
    kept = [at for at, one in enumerate(order[:last]) if one not in gone]
    assert not kept or kept[-1] - kept[0] + 1 == len(kept) < len(order) // 2
    # There is an event for each operation as well.
    lines, events = set(state["lines"]) & set(said["line"]), set(state["events"])
    mine = [one for one in events if one.partition(" ")[2] in set(said["ended"])]
    assert 3 * 6_000 - len(lines) - len(mine) == lost["logs"]
    assert duplicates(state) == 0


@pytest.fixture
def black_hole() -> Iterator[str]:
    """Yield the address of what takes connections and never answers."""
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(64)
        yield f"http://127.0.0.1:{hole.getsockname()[1]}"


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("where", ["refused", "black hole"])
def test_without_a_collector_a_process_ends_in_time_and_the_next_sends_all(
    rig: Rig, black_hole: str, where: str, protocol: str
) -> None:
    address = black_hole if where == "black hole" else f"http://127.0.0.1:{free_port()}"
    away = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    began = time.monotonic()
    program = rig.producer("first", UNITS, end="wait", env=away)
    assert rig.has_said("done")
    took = time.monotonic() - began
    ended(program, took + IN_TIME_S)
    assert rig.settles()
    assert duplicates(rig.receiver.state()) == 0


def test_a_process_that_is_told_to_end_while_it_sends_loses_nothing(rig: Rig) -> None:
    """A receiver that never answers has the request; whoever comes next sends it."""
    rig.receiver.answer("late")
    program = rig.producer("first", UNITS, end="wait")
    assert rig.has_said("done")
    program.terminate()
    program.communicate(timeout=IN_TIME_S)
    rig.receiver.answer("ok")
    assert rig.settles()
    assert duplicates(rig.receiver.state()) == 0


@pytest.mark.parametrize("end", ["exit", "_exit"])
@pytest.mark.parametrize("how", ["threads", "asyncio", "gevent", "late gevent"])
def test_however_a_program_works_and_ends_all_of_it_arrives(rig: Rig, how: str, end: str) -> None:
    instrument = () if how == "gevent" else (INSTRUMENT,)
    ended(rig.producer("first", UNITS, how, end, instrument=instrument))
    assert rig.settles()
    state = rig.receiver.state()
    assert set(state["spans"]) == set(rig.said["ended"])
    assert total(state, "dify.requests.total") == len(state["spans"])
    # One that ends at once may be hearing that a batch has arrived: that comes once more.
    times = {*state["spans"].values(), *state["lines"].values()}
    assert times <= ({1} if end == "exit" else {1, 2})
