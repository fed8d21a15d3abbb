"""Folders and disks that fail: records are in memory meanwhile, and that is said."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.faults.conftest import Rig, duplicates, ended, mounted, total
from tests.process.conftest import eventually

UNITS = 300


def test_on_a_disk_that_is_full_what_does_not_fit_is_in_memory(rig: Rig) -> None:
    """Two megabytes for six; nothing is lost as long as the process lives, and it says so once."""
    rig.receiver.answer("503")
    program = rig.producer(
        "first",
        5_000,
        end="wait",
        prefix=mounted("2m", [], rig.folder / "state"),
    )
    assert rig.has_said("done")
    rig.receiver.answer("ok")
    said = ended(program)
    assert said.count("cannot be written (No space left on device)") in {1, 2}
    assert "Traceback" not in said
    assert rig.arrives()
    state = rig.receiver.state()
    assert set(state["spans"]) == set(rig.said["ended"])
    assert duplicates(state) == 0
    assert total(state, "otel_dify.export.lost") == 0


def test_where_nothing_can_be_written_all_is_in_memory(rig: Rig) -> None:
    said = ended(rig.producer("first", UNITS, prefix=mounted("1m,ro", [], rig.folder / "state")))
    assert said.count("Read-only file system") >= 1
    assert "Traceback" not in said
    assert rig.arrives()
    assert duplicates(rig.receiver.state()) == 0


def test_with_no_folder_at_all_all_is_in_memory(rig: Rig) -> None:
    """Nothing is said: it is what was asked for."""
    env = {"OTEL_DIFY_JOURNAL_DIR": "none"}
    assert ended(rig.producer("first", UNITS, env=env)) == ""
    assert rig.arrives()
    assert not rig.journal.exists()


def go_on(program: subprocess.Popen[str]) -> None:
    """Have a program that waits for a line do another step."""
    assert program.stdin is not None
    program.stdin.write("\n")
    program.stdin.flush()


@pytest.mark.parametrize("end", ["exit", "killed"])
def test_a_folder_that_is_removed_under_a_process_is_made_again(rig: Rig, end: str) -> None:
    """What it records from then on outlives it."""
    program = rig.begin("stepping.py", str(rig.lists / "first.list"))
    assert rig.has_said("done", 1)
    assert rig.arrives()
    shutil.rmtree(rig.journal)
    rig.receiver.answer("503")
    # What is seen of it is seen with the next batch that is sent.
    for step in range(2, 40):
        go_on(program)
        assert rig.has_said("done", step)
        if eventually(lambda: any(rig.journal.rglob("*.segment")), 1):
            break
    assert any(rig.journal.rglob("*.segment"))
    go_on(program)
    assert rig.has_said("done", step + 1)
    last = rig.said["ended"][-2:]
    rig.receiver.answer("ok")
    if end == "exit":
        ended(program)
    else:
        program.kill()
        program.communicate()
    if end == "exit":
        assert rig.settles()
    else:
        ended(rig.producer("second", 1))
        assert eventually(lambda: set(last) <= set(rig.receiver.state()["spans"]))


def test_clocks_that_jump_make_nothing_old_and_nothing_twice(rig: Rig) -> None:
    ended(rig.begin("jumping.py", str(rig.lists / "first.list")))
    assert rig.settles()
    state = rig.receiver.state()
    assert duplicates(state) == 0
    assert total(state, "otel_dify.export.lost") == 0
    assert total(state, "dify.requests.total") == len(state["spans"])
