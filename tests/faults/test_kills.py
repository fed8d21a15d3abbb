"""Processes that are killed at any instant lose nothing of what they had recorded."""

from __future__ import annotations

from tests.faults.conftest import Rig, duplicates, ended, total

KILLS = 200


def test_two_hundred_kills_at_random_instants_lose_nothing(rig: Rig) -> None:
    """Each process is in the middle of one step when it is killed, which is done or not.

    - An operation may be in the journal or noted as begun, and not in its process's list.
    - One that is in its journal may not be counted yet; where it was, it is not ended again.
    - A line may be in the journal and not in the list.
    """
    ended(rig.begin("nursery.py", str(rig.lists), str(KILLS), "7"), 200)
    # Whoever comes next takes over what is left, and what was counted.
    assert rig.settles("begun", "ended")
    state, said = rig.receiver.state(), rig.said
    begun, done = set(said["begun"]), set(said["ended"])
    spans, lines = set(state["spans"]), set(state["lines"])
    assert len(begun) > 50 * KILLS
    # Lost: none. What was begun has a span, and what was said to be done is not called terminated.
    assert begun <= spans
    assert set(said["line"]) <= lines
    terminated = set(state["terminated"])
    assert not terminated & done
    # In flight: one step for each kill.
    assert len(spans - begun) <= KILLS
    assert spans - begun <= terminated
    assert len(lines - set(said["line"])) <= KILLS
    assert KILLS / 2 < len(terminated) <= 2 * KILLS
    # Whatever comes twice was sent by a process that was killed before it could note the answer.
    # One in a hundred on a machine that has time; processes of a busy one live for a request or two.
    assert duplicates(state) < 0.03 * (len(spans) + len(lines))
    assert abs(total(state, "dify.requests.total") - len(spans)) <= KILLS
    # What a process was writing as it was killed.
    assert total(state, "otel_dify.export.lost") <= KILLS
    assert total(state, "otel_dify.hook.failures") == 0
