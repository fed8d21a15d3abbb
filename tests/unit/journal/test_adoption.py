"""Adoption: what dead processes leave is taken over, once, and within limits."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_dify.export.adoption import Adoption
from otel_dify.export.delivery import lost
from otel_dify.export.journal.backlog import Backlog
from otel_dify.export.journal.journal import Journal
from otel_dify.export.journal.place import Home, Place, adopt
from otel_dify.export.journal.segment import SIZE
from tests.unit.children import Forked
from tests.unit.journal.journals import (
    NO_LIMIT,
    RESOURCE,
    drained,
    home_in,
    journal_in,
    names,
    reasons,
    record,
)

AGES_S = 1e9


@pytest.fixture(autouse=True)
def nothing_lost_yet() -> Iterator[None]:
    """Let each test count what it loses."""
    lost().clear()
    yield
    lost().clear()


def dead(root: Path, *written: str, signal: str = "traces") -> Path:
    """Leave the place of a process that has written records and died; returns it."""
    home = home_in(root)
    journal = Journal(signal, home, NO_LIMIT, 4)
    scope = journal.scope(b"")
    for name in written:
        journal.append(scope, record(name))
    home.leave()
    folder = max(root.iterdir(), key=lambda path: path.stat().st_ctime_ns)
    assert written == () or list(folder.glob(f"{signal}-*"))
    return folder


def open_files() -> int:
    """Count the files that this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def adopter(root: Path, home: Home | None = None, *signals: str) -> tuple[Adoption, Backlog]:
    """Return what adopts, and the spans that it has adopted."""
    backlogs = {one: Backlog(one, 4) for one in signals or ("traces",)}
    adoption = Adoption(root, home or home_in(root), backlogs, lambda _: None)
    return adoption, next(iter(backlogs.values()))


def test_what_the_dead_leave_is_sent_and_their_folders_go(tmp_path: Path) -> None:
    first, second = dead(tmp_path, "a", "b"), dead(tmp_path, "c")
    adoption, backlog = adopter(tmp_path)
    adoption.look()
    assert not first.exists()
    assert not second.exists()
    assert drained(backlog) == ["a", "b", "c"]
    assert list(tmp_path.rglob("*.segment")) == []
    adoption.look()
    assert drained(backlog) == []


def test_what_the_living_have_is_left_alone(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    journal_in(home).append(0, record("a"))
    adoption, backlog = adopter(tmp_path)
    adoption.look()
    assert drained(backlog) == []


def test_the_next_goes_on_where_one_died(tmp_path: Path) -> None:
    """What was acknowledged is not sent again, whoever has sent it."""
    dead(tmp_path, *"abcdefgh")
    home = home_in(tmp_path)
    adoption, backlog = adopter(tmp_path, home)
    adoption.look()
    batch = backlog.take()
    assert batch is not None
    assert names(batch) == list("abcd")
    backlog.acknowledge(batch)
    home.leave()
    adoption, backlog = adopter(tmp_path)
    adoption.look()
    assert drained(backlog) == list("efgh")


def test_adopting_holds_no_file_open(tmp_path: Path) -> None:
    """There may be thousands of dead processes, and Dify needs the descriptors."""
    for number in range(40):
        dead(tmp_path, f"{number}")
    adoption, backlog = adopter(tmp_path)
    gc.collect()
    before = open_files()
    adoption.look()
    # Its own place, which it did not have before.
    assert open_files() <= before + 1
    assert len(drained(backlog)) == 40


def test_what_was_little_written_to_takes_little_room(tmp_path: Path) -> None:
    """Processes that live for a moment must not fill the limit with nothing."""
    for number in range(10):
        dead(tmp_path, f"{number}")
    adoption, backlog = adopter(tmp_path)
    adoption.look()
    assert backlog.bytes < SIZE // 10
    backlog.hold_to(SIZE, AGES_S)
    assert len(drained(backlog)) == 10
    assert reasons() == {}


def test_beyond_the_limit_the_oldest_go_and_are_counted(tmp_path: Path) -> None:
    for number in range(4):
        dead(tmp_path, f"{number}" + "x" * 600_000, f"{number}" + "y")
    adoption, backlog = adopter(tmp_path)
    adoption.look()
    batch = backlog.take()
    assert batch is not None
    backlog.acknowledge(batch)
    backlog.hold_to(1_300_000, AGES_S)
    # Of the first one record was sent.
    assert reasons() == {"full": 1 + 2}
    assert [name[0] for name in drained(backlog)] == ["2", "2", "3", "3"]


def test_what_is_too_old_goes_and_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead(tmp_path, "old", "old too")
    adoption, backlog = adopter(tmp_path)
    adoption.look()
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 4_200 * 10**9)
    backlog.hold_to(NO_LIMIT, 3_600)
    assert drained(backlog) == []
    assert reasons() == {"old": 2}


def test_what_nobody_here_sends_is_left_to_others(tmp_path: Path) -> None:
    folder = dead(tmp_path, "a line", signal="logs")
    adoption, backlog = adopter(tmp_path)
    adoption.look()
    assert drained(backlog) == []
    assert folder.exists()
    adoption, backlog = adopter(tmp_path, None, "logs")
    adoption.look()
    assert drained(backlog) == ["a line"]
    assert not folder.exists()


def test_each_signal_of_a_place_goes_its_own_way(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    for one in ("traces", "logs"):
        journal = Journal(one, home, NO_LIMIT, 4)
        journal.append(journal.scope(b""), record(one))
    home.leave()
    backlogs = {one: Backlog(one, 4) for one in ("traces", "logs")}
    own = home_in(tmp_path)
    Adoption(tmp_path, own, backlogs, lambda _: None).look()
    assert drained(backlogs["traces"]) == ["traces"]
    own.leave()
    adoption, backlog = adopter(tmp_path, None, "logs")
    adoption.look()
    assert drained(backlog) == ["logs"]


@pytest.mark.parametrize("content", [b"", b"short", bytes(SIZE)])
def test_a_segment_with_nothing_in_it_is_gone_for_good(tmp_path: Path, content: bytes) -> None:
    """Its process was killed before it had written anything: nothing is damaged."""
    folder = dead(tmp_path, "a")
    (folder / "traces-00000002.segment").write_bytes(content)
    adoption, backlog = adopter(tmp_path)
    adoption.look()
    assert drained(backlog) == ["a"]
    assert not folder.exists()
    assert reasons() == {}


def test_a_torn_record_is_counted_once(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    journal = journal_in(home)
    journal.append(0, record("a"))
    journal.append(0, record("torn"))
    segment = journal._segments[0]
    segment.view[segment.written - 3 : segment.written] = bytes(3)
    home.leave()
    adoption, backlog = adopter(tmp_path)
    adoption.look()
    assert drained(backlog) == ["a"]
    assert reasons() == {"damaged": 1}


def test_a_process_that_was_killed_as_it_made_its_folder_leaves_none(tmp_path: Path) -> None:
    making = tmp_path / ".test-1-aa"
    making.mkdir()
    (making / "lock").touch()
    assert list(adopt(tmp_path)) == []
    assert making.exists()
    os.utime(making, (0, 0))
    assert list(adopt(tmp_path)) == []
    assert not making.exists()


def test_on_a_full_disk_what_is_left_is_sent_from_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nobody could: what fills the disk may be just that."""
    first, second = sorted([dead(tmp_path, "a"), dead(tmp_path, "b")])

    def full(*_: object) -> Place:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Place, "make", full)
        adoption, backlog = adopter(tmp_path)
        adoption.look()
        assert len(drained(backlog)) == 1
        assert first.exists()
        adoption.look()
        assert not first.exists()
        assert len(drained(backlog)) == 1
    adoption.look()
    assert not second.exists()


def test_a_child_does_not_keep_what_its_parent_had(tmp_path: Path) -> None:
    """The parent's locks go with the parent, whatever children it has."""
    said, says = os.pipe()
    waits, lets_go = os.pipe()
    parent = os.fork()
    if parent == 0:
        held = Place.make(tmp_path, "test", RESOURCE)
        if os.fork() == 0:
            # Both have forked, and this one has let go.
            os.write(says, b"x")
            os.close(lets_go)
            os.read(waits, 1)
            os._exit(0)
        os.read(waits, 1)
        held.leave()
        os._exit(0)
    os.read(said, 1)
    assert list(adopt(tmp_path)) == []
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    # The parent's child still waits for its pipe to be closed.
    [place] = adopt(tmp_path)
    place.delete()
    for end in (said, says, waits, lets_go):
        os.close(end)


def test_of_several_that_look_at_once_one_adopts(tmp_path: Path) -> None:
    for number in range(10):
        dead(tmp_path, f"{number}")

    def look() -> str:
        adoption, backlog = adopter(tmp_path)
        adoption.look()
        found = drained(backlog)
        return ",".join(found)

    children = [Forked(look) for _ in range(4)]
    for child in children:
        child.end()
    found = [name for child in children if child.result for name in child.result.split(",")]
    assert sorted(found) == [f"{number}" for number in range(10)]


def test_a_folder_that_is_gone_is_no_reason_to_stop(tmp_path: Path) -> None:
    adoption, backlog = adopter(tmp_path / "nowhere")
    adoption.look()
    dead(tmp_path, "a")
    home = home_in(tmp_path)
    adoption, backlog = adopter(tmp_path, home)
    adoption.look()
    shutil.rmtree(tmp_path)
    assert drained(backlog) == []
    # How many were in it nobody knows any more.
    assert reasons() == {"damaged": 1}
