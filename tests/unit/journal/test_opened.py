"""Opened: what a process has begun is there for others, and what has ended is not."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_dify.export.journal.opened import AT_ONCE, FILE, SLOT, Begun, Opened, begun, end
from tests.unit.journal.journals import home_in


def one(number: int, **changed: Any) -> Begun:
    """Make an operation."""
    made = Begun("run", 1, number, 1, "", 0, 0, False, 5, "", {"dify.app_id": "app"})
    return made._replace(**changed)


def noted(root: Path) -> list[int]:
    """Return the span ids that are noted in the one folder with such a file."""
    [path] = root.rglob(FILE)
    return sorted(found.span_id for _, found in begun(path.parent))


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """Return the operations of a process in the test's folder."""
    return Opened(home_in(tmp_path))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(ends=st.lists(st.booleans(), min_size=1, max_size=200))
def test_what_has_not_ended_is_noted(
    tmp_path_factory: pytest.TempPathFactory, ends: list[bool]
) -> None:
    """However many there are: the file grows, and slots are used again."""
    root = tmp_path_factory.mktemp("root")
    made = Opened(home_in(root))
    left: dict[int, int] = {}
    for number, ended in enumerate(ends, 1):
        slot = made.add(one(number))
        assert slot is not None
        left[number] = slot
        if ended:
            made.remove(left.pop(min(left)))
    assert noted(root) == sorted(left)
    assert made.any() == bool(left)
    [path] = root.rglob(FILE)
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_was_said_comes_back(opened: Opened, tmp_path: Path) -> None:
    whole = one(
        7, state="ot=th:8", above_id=3, above_remote=True, attributes={"a": 1, "b": ("x", "\udce4")}
    )
    opened.add(whole)
    [path] = tmp_path.rglob(FILE)
    assert [found for _, found in begun(path.parent)] == [whole]


@pytest.mark.parametrize(
    ("changed", "left"),
    [
        (
            {"attributes": {"long": "x" * 3_000, "dify.workflow_run_id": "r"}},
            {"dify.workflow_run_id": "r"},
        ),
        ({"attributes": {f"{n}": f"{n:090d}" for n in range(100)}}, {}),
        ({"state": "a=" + "x" * 3_000}, {}),
        ({"span_name": "x" * 3_000}, {}),
        ({"attributes": {"of no plain type": object()}}, {}),
    ],
)
def test_what_does_not_fit_is_noted_with_less_and_harms_no_neighbour(
    opened: Opened, tmp_path: Path, changed: dict[str, Any], left: dict[str, str]
) -> None:
    """Who calls Dify chooses the trace state; it may be longer than a slot."""
    before, after = opened.add(one(1)), None
    opened.add(one(2, **changed))
    after = opened.add(one(3))
    assert None not in {before, after}
    [path] = tmp_path.rglob(FILE)
    found = {one.span_id: one for _, one in begun(path.parent)}
    assert sorted(found) == [1, 2, 3]
    assert found[2].attributes == left
    assert found[1].attributes == found[3].attributes == {"dify.app_id": "app"}


def test_there_is_an_end_to_it(opened: Opened, tmp_path: Path) -> None:
    slots = [opened.add(one(number)) for number in range(1, AT_ONCE + 2)]
    assert slots.count(None) == 1
    [path] = tmp_path.rglob(FILE)
    assert path.stat().st_size == AT_ONCE * SLOT


def test_in_memory_nothing_is_noted() -> None:
    opened = Opened(home_in(None))
    assert opened.add(one(1)) is None
    assert not opened.any()


def test_where_there_was_no_file_it_is_tried_again(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, full = [0.0], [True]
    allocate = os.posix_fallocate

    def allocating(descriptor: int, at: int, size: int) -> None:
        if full[0]:
            raise OSError(28, "No space left on device")
        allocate(descriptor, at, size)

    monkeypatch.setattr(os, "posix_fallocate", allocating)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    assert opened.add(one(1)) is None
    full[0] = False
    # Not for every operation: there may be thousands a second.
    assert opened.add(one(2)) is None
    now[0] += 60
    assert opened.add(one(3)) is not None
    assert noted(tmp_path) == [3]


def test_it_moves_with_the_home_when_its_folder_was_removed(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    opened = Opened(home)
    slots = [opened.add(one(number)) for number in (1, 2)]
    [folder] = tmp_path.iterdir()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    # The journal makes another.
    home.path()
    opened.add(one(3))
    assert noted(tmp_path) == [1, 2, 3]
    assert slots[0] is not None
    opened.remove(slots[0])
    assert noted(tmp_path) == [2, 3]


def test_slots_of_threads_are_theirs(tmp_path: Path) -> None:
    """While one thread makes the file grow, others end what they have begun."""
    opened = Opened(home_in(tmp_path))

    def work(thread: int) -> None:
        slots = []
        for number in range(1, 200):
            slots.append(opened.add(one(thread * 1_000 + number)))
            if number % 3 == 0:
                slot = slots.pop(0)
                assert slot is not None
                opened.remove(slot)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [thread * 1_000 + number for thread in range(6) for number in range(67, 200)]
    assert noted(tmp_path) == expected


def garbage() -> Iterator[bytes]:
    """Yield what a file may have become."""
    yield b""
    yield b"x" * (SLOT - 1)
    yield bytes(SLOT)
    yield b"\xff" * 3 * SLOT


@pytest.mark.parametrize("content", list(garbage()))
def test_of_a_damaged_file_nothing_is_believed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert list(begun(tmp_path)) == []


def test_who_ends_one_in_its_place_notes_it(opened: Opened, tmp_path: Path) -> None:
    for number in (1, 2):
        opened.add(one(number))
    [path] = tmp_path.rglob(FILE)
    for slot, found in begun(path.parent):
        if found.span_id == 1:
            end(path.parent, slot)
    assert noted(tmp_path) == [2]
