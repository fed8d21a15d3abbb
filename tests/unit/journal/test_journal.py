"""The journal of a process: modes, memory, folders that go, damage, re-entrance, forks."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from otel_dify import guard
from otel_dify.export.delivery import lost
from otel_dify.export.journal.frames import Sort
from otel_dify.export.journal.journal import IN_MEMORY
from otel_dify.export.journal.segment import SIZE, START, Segment
from otel_dify.process import process
from tests.unit.children import in_child
from tests.unit.journal.journals import (
    SCOPES,
    drained,
    home_in,
    journal_in,
    names,
    of_scopes,
    reasons,
    record,
)


@pytest.fixture(autouse=True)
def nothing_lost_yet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each test count what it loses, and hear what is said once."""
    monkeypatch.setattr(process.kept(guard.Failures), "said", set())
    lost().clear()
    yield
    lost().clear()


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return a list whose one item says whether the disk is full."""
    full = [False]
    allocate = os.posix_fallocate

    def allocating(descriptor: int, at: int, size: int) -> None:
        if full[0]:
            raise OSError(28, "No space left on device")
        allocate(descriptor, at, size)

    monkeypatch.setattr(os, "posix_fallocate", allocating)
    return full


def test_nobody_else_can_read_what_is_in_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        journal_in(home_in(tmp_path / "root")).append(0, record("a"))
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "root").rglob("*")}
    [folder] = (tmp_path / "root").iterdir()
    assert (tmp_path / "root").stat().st_mode & 0o777 == 0o700
    assert modes == {
        folder.name: 0o700,
        "lock": 0o600,
        "resource": 0o600,
        "traces-00000001.segment": 0o600,
    }


def test_records_keep_their_scopes(tmp_path: Path) -> None:
    journal = journal_in(home_in(tmp_path), size=10)
    for scope, name in ((0, "a"), (2, "b"), (0, "c")):
        journal.append(scope, record(name))
    assert of_scopes(journal.take()) == [("one", "a"), ("one", "c"), ("three", "b")]


def test_a_scope_that_just_fits_stops_nothing(tmp_path: Path) -> None:
    """Of a scope and its first record only the scope may have room at the end of a segment."""
    journal = journal_in(home_in(tmp_path))
    journal.append(0, record("a"))
    segment = journal._segments[0]
    # Room for the description of a scope, and not for a record behind it.
    left = 16 + len(SCOPES[1]) + 20
    at = segment.written
    segment.append(Sort.RECORD, 0, record("x" * (SIZE - at - left - 30)))
    assert 16 + len(SCOPES[1]) < SIZE - segment.written < 16 + len(SCOPES[1]) + 50
    journal.append(1, record("y" * 60))
    assert [name[:1] for name in drained(journal)] == ["a", "x", "y"]
    journal.append(0, record("b"))
    assert drained(journal) == ["b"]


def test_segments_are_used_again(tmp_path: Path) -> None:
    journal = journal_in(home_in(tmp_path))
    for round_ in range(20):
        journal.append(0, record(f"{round_}" + "x" * (SIZE * 6 // 10)))
        assert len(drained(journal)) == 1
    assert len(list(tmp_path.rglob("*.segment"))) == 1
    assert reasons() == {}


def test_a_record_may_be_larger_than_a_segment(tmp_path: Path) -> None:
    journal = journal_in(home_in(tmp_path), most_bytes=2 * SIZE)
    journal.append(0, record("a"))
    journal.append(0, record("x" * 3 * SIZE))
    journal.append(0, record("b"))
    # It alone is more than there may be: what came before it goes, and so does it.
    assert drained(journal) == ["b"]
    assert reasons() == {"full": 2}


def test_what_was_written_long_ago_goes_and_what_comes_into_a_quiet_process_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that has little to say writes to the same segment for days."""
    now = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    journal = journal_in(home_in(tmp_path))
    journal.append(0, record("sent"))
    assert drained(journal) == ["sent"]
    now[0] += 100 * 3_600
    journal.append(0, record("just now"))
    journal.expire(72 * 3_600)
    assert reasons() == {}
    now[0] += 73 * 3_600
    journal.append(0, record("new"))
    journal.expire(72 * 3_600)
    assert drained(journal) == ["new"]
    assert reasons() == {"old": 1}


def test_a_clock_that_is_set_makes_nothing_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = journal_in(home_in(tmp_path))
    journal.append(0, record("a"))
    monkeypatch.setattr(time, "time_ns", lambda: 2**62)
    journal.expire(1)
    journal.append(0, record("b"))
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    journal.expire(1)
    assert drained(journal) == ["a", "b"]


def test_on_a_full_disk_records_are_in_memory_until_there_is_room(
    tmp_path: Path, no_room: list[bool], caplog: pytest.LogCaptureFixture
) -> None:
    no_room[0] = True
    journal = journal_in(home_in(tmp_path))
    for number in range(3):
        journal.append(0, record(f"{number}" + "x" * (SIZE * 6 // 10)))
    assert list(tmp_path.rglob("*.segment")) == []
    assert caplog.records == []
    guard.say_noted()
    [said] = caplog.records
    assert "No space left on device" in said.getMessage()
    no_room[0] = False
    for number in range(3, 5):
        journal.append(0, record(f"{number}" + "x" * (SIZE * 6 // 10)))
    assert len(list(tmp_path.rglob("*.segment"))) == 2
    assert [name[0] for name in drained(journal)] == ["0", "1", "2", "3", "4"]
    assert journal.close()
    assert reasons() == {}


def test_memory_is_bounded_and_what_is_in_it_at_the_end_is_counted() -> None:
    journal = journal_in(home_in(None), size=1_000)
    for number in range(2 * IN_MEMORY):
        journal.append(0, record(f"{number}" + "x" * (SIZE * 6 // 10)))
    assert journal.bytes == IN_MEMORY * SIZE
    assert reasons() == {"full": IN_MEMORY}
    journal.close()
    assert reasons() == {"full": IN_MEMORY, "ended": IN_MEMORY}


def test_no_handler_of_log_records_runs_while_records_are_written(
    tmp_path: Path, no_room: list[bool]
) -> None:
    """A handler has a lock of its own, and may record something: two threads would wait for ever."""
    no_room[0] = True
    journal = journal_in(home_in(tmp_path))
    owned: list[bool] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            del record
            owned.append(process.counting._is_owned())  # type: ignore[attr-defined] # typeshed: not yet

    handler = Handler()
    guard.logger.addHandler(handler)
    try:
        journal.append(0, record("a"))
        guard.say_noted()
    finally:
        guard.logger.removeHandler(handler)
    assert owned == [False]


def test_a_folder_that_was_removed_is_made_anew(tmp_path: Path) -> None:
    journal = journal_in(home_in(tmp_path))
    journal.append(0, record("a"))
    [folder] = tmp_path.iterdir()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    # What is in the file that is gone can still be sent, by this process.
    assert drained(journal) == ["a"]
    journal.append(0, record("b"))
    assert len(list(tmp_path.rglob("*.segment"))) == 1
    assert drained(journal) == ["b"]


@pytest.mark.parametrize("how", ["flipped", "zeros"])
def test_what_somebody_else_damages_is_counted_and_stops_nothing(tmp_path: Path, how: str) -> None:
    journal = journal_in(home_in(tmp_path), size=10)
    journal.append(0, record("a"))
    journal.append(0, record("b"))
    segment = journal._segments[0]
    middle = segment.written - START
    segment.view[START : START + middle] = (
        bytes(middle)
        if how == "zeros"
        else bytes(byte ^ 0xA5 for byte in segment.view[START : START + middle])
    )
    assert drained(journal) == []
    assert reasons() == {"damaged": 2}
    journal.append(0, record("c"))
    assert drained(journal) == ["c"]


def test_a_signal_handler_may_write_in_the_middle_of_a_write(tmp_path: Path) -> None:
    """Many signals, wherever they come: all records are there, each once, and whole."""
    journal = journal_in(home_in(tmp_path), size=100)
    interrupted: list[str] = []

    def handler(_: int, __: FrameType | None) -> None:
        name = f"handler {len(interrupted)}"
        interrupted.append(name)
        journal.append(len(interrupted) % 3, record(name))

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
    written: list[str] = []
    try:
        while len(interrupted) < 200:
            written.append(f"{len(written)}")
            journal.append(len(written) % 3, record(written[-1]))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert sorted(drained(journal)) == sorted(written + interrupted)


def test_a_write_that_is_interrupted_in_the_middle_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = journal_in(home_in(tmp_path), size=100)
    append = Segment.append

    def interrupting(segment: Segment, *args: Any) -> bool:
        if args[2] == record("outer"):
            journal.append(1, record("inner"))
        return append(segment, *args)

    monkeypatch.setattr(Segment, "append", interrupting)
    journal.append(0, record("outer"))
    assert drained(journal) == ["outer", "inner"]


def test_threads_and_who_sends_get_on(tmp_path: Path) -> None:
    journal = journal_in(home_in(tmp_path), size=50)
    ended = threading.Event()
    found: list[str] = []

    def send() -> None:
        while not ended.is_set():
            found.extend(drained(journal))
        found.extend(drained(journal))

    def write(thread: int) -> None:
        for number in range(500):
            journal.append(number % 3, record(f"{thread}-{number}" + "x" * 1_000))

    sender = threading.Thread(target=send)
    sender.start()
    writers = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    ended.set()
    sender.join()
    # Records of one scope are together in a batch; within a scope they are in order.
    for writer in range(4):
        for scope in range(3):
            numbers = [
                int(name.rstrip("x").partition("-")[2]) for name in found if name[0] == f"{writer}"
            ]
            own = [number for number in numbers if number % 3 == scope]
            assert own == list(range(scope, 500, 3))


def test_a_forked_child_writes_nothing_into_its_parents_files(tmp_path: Path) -> None:
    journal = journal_in(home_in(tmp_path))
    journal.append(0, record("parent"))

    def child() -> str:
        journal.forget()
        journal.append(0, record("child"))
        return f"{journal.waiting}"

    assert in_child(child) == "0"
    journal.append(0, record("parent too"))
    assert drained(journal) == ["parent", "parent too"]


def test_batches_are_bounded_by_number_and_by_bytes(tmp_path: Path) -> None:
    journal = journal_in(home_in(tmp_path), size=4)
    for number in range(6):
        journal.append(0, record(f"{number}"))
    batch = journal.take()
    assert names(batch) == ["0", "1", "2", "3"]
    drained(journal)
    for number in range(3):
        journal.append(0, record(f"{number}" + "x" * 300_000))
    assert [name[0] for name in names(journal.take())] == ["0"]
