"""Cells: what was counted is in the file, whatever becomes of the process or the file."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import INVALID_SPAN_CONTEXT
from opentelemetry.util.types import AnyValue

from otel_dify import guard
from otel_dify import table as t
from otel_dify.export.encoding.request import encode_resource
from otel_dify.export.encoding.values import key_value
from otel_dify.process import process
from otel_dify.resource import Slot, left_cells
from otel_dify.signals.cells import (
    CHUNK,
    FORGET_S,
    HEADER,
    Cells,
    MappedCells,
    note_sent,
    read,
    resource_of,
)
from otel_dify.signals.points import OwnStore
from otel_dify.signals.series import Counter, Exemplars, Histogram
from tests.unit.children import Forked, in_child

COUNTERS = [one for one in t.INSTRUMENTS if one.kind == "counter"]
HISTOGRAMS = [one for one in t.INSTRUMENTS if one.kind == "histogram"]
RESOURCE = b"whose they are"


def store_in(path: Path) -> OwnStore:
    """Return the store of a process that has a slot."""
    return OwnStore(Exemplars(), MappedCells(path, RESOURCE))


def comes_to(store: OwnStore) -> dict[tuple[object, ...], tuple[float, ...]]:
    """Return what every series has come to: its start, and its numbers."""
    found = {}
    for metric in store.collect():
        for point in metric.data.data_points:
            one: Any = point
            key = (metric.name, *sorted((one.attributes or {}).items()))
            numbers = (
                (one.value,)
                if hasattr(one, "value")
                else (one.count, one.sum, one.min, one.max, *one.bucket_counts)
            )
            found[key] = (one.start_time_unix_nano, *numbers)
    return found


def add(store: OwnStore, instrument: t.Instrument, amount: float, **labels: object) -> None:
    """Add to a series."""
    known: Any = labels
    store.series(instrument, known).record(amount, INVALID_SPAN_CONTEXT, 1)


def full(*_: object) -> None:
    """Do what the system does where the disk is full."""
    raise OSError(28, "No space left on device")


class Slots(RuleBasedStateMachine):
    """Processes that take the same slot one after the other, against a store in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "worker-0.cells"
        self.starts: dict[tuple[object, ...], float] = {}

    @initialize()
    def begin(self) -> None:
        """Begin the first process."""
        self.store = store_in(self.path)
        self.model = OwnStore(Exemplars(), Cells())

    @rule(
        which=st.integers(0, len(COUNTERS) - 1),
        label=st.integers(0, 300),
        amount=st.integers(0, 2**40) | st.floats(0, 1e6),
    )
    def count(self, which: int, label: int, amount: float) -> None:
        """Add to a counter."""
        self.add(COUNTERS[which], label, amount)

    @rule(
        which=st.integers(0, len(HISTOGRAMS) - 1),
        label=st.integers(0, 300),
        amount=st.floats(0, 1e6),
    )
    def measure(self, which: int, label: int, amount: float) -> None:
        """Add to a histogram."""
        self.add(HISTOGRAMS[which], label, amount)

    def add(self, instrument: t.Instrument, label: int, amount: float) -> None:
        """Add to a series of both."""
        for store in (self.store, self.model):
            add(store, instrument, amount, app_id=f"app {label}", on=label % 2 == 0)

    @rule()
    def many(self) -> None:
        """Begin so many series that there are several chunks."""
        for label in range(400):
            self.add(HISTOGRAMS[0], label, 1)

    @rule()
    def die(self) -> None:
        """Be killed; another process takes the slot."""
        self.store = store_in(self.path)

    @invariant()
    def all_is_there(self) -> None:
        """It has come to what the model has, since the same time; only zeros may be gone."""
        if not hasattr(self, "store"):
            return
        ours, model = comes_to(self.store), comes_to(self.model)
        assert set(ours) <= set(model)
        for key, (_, *numbers) in model.items():
            if key in ours:
                assert list(ours[key][1:]) == numbers
                if any(numbers):
                    assert self.starts.setdefault(key, ours[key][0]) == ours[key][0]
            else:
                assert not any(numbers)

    def teardown(self) -> None:
        """Remove the files."""
        self.folder.cleanup()


TestSlots = Slots.TestCase
TestSlots.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, report_multiple_bugs=False
)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_damaged_file_costs_what_is_damaged(data: st.DataObject) -> None:
    """Bytes are flipped anywhere: the next process begins, and what is whole is as it was."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "worker-0.cells"
        store = store_in(path)
        for label in range(20):
            add(store, COUNTERS[label % 2], label + 1, n=label)
        expected = comes_to(store)
        content = bytearray(path.read_bytes())
        entries = [entry.description for entry in read(path)]
        used = content.rindex(entries[-1]) + len(entries[-1])
        at = data.draw(st.integers(0, 16) | st.integers(HEADER, used))
        for place in range(at, min(at + data.draw(st.integers(1, 64)), used)):
            content[place] ^= data.draw(st.sampled_from([0xA5, 0xFF, 0x01]))
        path.write_bytes(content)
        found = comes_to(store_in(path))
        assert set(found) <= set(expected)
        # Numbers have no checksum: each is written for itself.
        assert sum(expected[key] != numbers for key, numbers in found.items()) <= 2


@pytest.mark.parametrize("size", [0, 10, HEADER - 1, HEADER, HEADER + 17, HEADER + CHUNK - 1])
def test_of_a_file_that_was_cut_off_whole_chunks_are_read(tmp_path: Path, size: int) -> None:
    path = tmp_path / "worker-0.cells"
    add(store_in(path), COUNTERS[0], 5)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:size])
    again = store_in(path)
    assert comes_to(again) == {}
    add(again, COUNTERS[0], 2)
    assert [numbers[1:] for numbers in comes_to(store_in(path)).values()] == [(2,)]


def test_a_histogram_with_other_buckets_begins_anew(tmp_path: Path) -> None:
    """Of a version that had others: numbers would be in the wrong places."""
    path = tmp_path / "worker-0.cells"
    add(store_in(path), HISTOGRAMS[0], 1, n=1)
    [entry] = read(path)
    bounds = f"{HISTOGRAMS[0].buckets[0]},".encode()
    other = entry.description.replace(bounds, b"1e-9,", 1)
    assert other != entry.description
    path.unlink()
    MappedCells(path, RESOURCE).allocate(other, list(entry.cells))
    assert comes_to(store_in(path)) == {}


@pytest.mark.parametrize(
    "description",
    [
        b"",
        b"no json",
        b"[]",
        b'["name"]',
        b'{"a": 1}',
        b"[1,2,3,4]",
        f'["{COUNTERS[0].name}",[],"x",3]'.encode(),
        f'["{COUNTERS[0].name}",[],5,[["a",[]]]]'.encode(),
    ],
)
def test_a_description_that_nobody_understands_is_left_out(
    tmp_path: Path, description: bytes
) -> None:
    path = tmp_path / "worker-0.cells"
    MappedCells(path, RESOURCE).allocate(description, [1.0])
    assert comes_to(store_in(path)) == {}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1.0])
def test_numbers_that_cannot_be_are_left_out(tmp_path: Path, number: float) -> None:
    """They would fail every collection, or go back."""
    path = tmp_path / "worker-0.cells"
    add(store_in(path), COUNTERS[0], number)
    add(store_in(path), COUNTERS[0], 1, n="other")
    assert [numbers[1:] for numbers in comes_to(store_in(path)).values()] == [(1,)]


def test_what_nothing_was_added_to_for_long_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "worker-0.cells"
    add(store_in(path), COUNTERS[0], 1)
    assert len(MappedCells(path, RESOURCE, now=time.time() + FORGET_S - 60).entries) == 1
    assert MappedCells(path, RESOURCE, now=time.time() + FORGET_S + 60).entries == []


def test_a_full_disk_costs_what_comes_then_and_nothing_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Series that are begun then are counted in memory, and that is said."""
    monkeypatch.setattr(process.kept(guard.Failures), "said", set())
    path = tmp_path / "worker-0.cells"
    store = store_in(path)
    add(store, COUNTERS[0], 1, n="before")
    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        for label in range(1_000):
            add(store, COUNTERS[0], 1, n=label)
    # A handler of log records has a lock of its own, and ours is held here.
    assert caplog.records == []
    guard.say_noted()
    assert len(caplog.records) == 1
    assert len(comes_to(store)) == 1_001
    add(store, COUNTERS[0], 1, n="later")
    kept = comes_to(store_in(path))
    assert 100 < len(kept) < 1_001
    assert {("n", "before"), ("n", "later")} < {label for _, label in kept}


def test_where_no_file_can_be_made_the_old_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "worker-0.cells"
    add(store_in(path), COUNTERS[0], 7)
    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        with pytest.raises(OSError, match="No space"):
            store_in(path)
    assert [numbers[1:] for numbers in comes_to(store_in(path)).values()] == [(7,)]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("owner", "step"), [(MappedCells, "allocate"), (Path, "rename")])
def test_who_is_killed_while_it_takes_over_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, step: str
) -> None:
    path = tmp_path / "worker-0.cells"
    store = store_in(path)
    for label in range(5):
        add(store, COUNTERS[0], 1, n=label)

    def taking_over() -> None:
        monkeypatch.setattr(owner, step, lambda *_: os._exit(0))
        store_in(path)

    child = os.fork()
    if child == 0:
        taking_over()
    assert os.waitpid(child, 0)[1] == 0
    assert len(comes_to(store_in(path))) == 5


def test_a_sibling_sends_what_is_left_once_and_not_what_is_in_use(tmp_path: Path) -> None:
    slot = Slot(tmp_path, "worker")
    assert slot.cells is not None
    add(store_in(slot.cells), COUNTERS[0], 3)
    assert list(left_cells(tmp_path)) == []
    slot.close()
    [path] = left_cells(tmp_path)
    assert resource_of(path) == RESOURCE
    note_sent(path)
    assert resource_of(path) is None
    # Whoever takes the slot has them again, and has sent nothing yet.
    assert [numbers[1:] for numbers in comes_to(store_in(path)).values()] == [(3,)]
    assert resource_of(path) == RESOURCE


def test_while_a_sibling_looks_at_a_slot_nobody_takes_it(tmp_path: Path) -> None:
    """It would go on with numbers that are being sent."""
    slot = Slot(tmp_path, "worker")
    assert slot.cells is not None
    store_in(slot.cells)
    slot.close()
    looking: Any = left_cells(tmp_path)
    next(looking)
    assert Slot(tmp_path, "worker").number == 1
    looking.close()
    assert Slot(tmp_path, "worker").number == 0


def test_processes_that_take_slots_and_die_lose_no_count(tmp_path: Path) -> None:
    """Several at once, round after round: all files together have come to what all have counted."""

    def work() -> str:
        slot = Slot(tmp_path, "worker")
        assert slot.cells is not None
        store = store_in(slot.cells)
        for _ in range(50):
            add(store, COUNTERS[0], 1)
        return f"{slot.number}"

    numbers = set()
    for _ in range(6):
        children = [Forked(work) for _ in range(4)]
        numbers |= {child.result for child in children}
        for child in children:
            child.end()
    assert numbers == {"0", "1", "2", "3"}
    found = [comes_to(store_in(path)) for path in tmp_path.glob("*.cells")]
    assert sum(one[1] for values in found for one in values.values()) == 6 * 4 * 50


def test_a_forked_child_adds_nothing_to_its_parents_numbers(tmp_path: Path) -> None:
    store = store_in(tmp_path / "worker-0.cells")
    made: list[Counter | Histogram] = []
    for instrument in (COUNTERS[0], HISTOGRAMS[0]):
        series = store.series(instrument, {})
        assert isinstance(series, Counter | Histogram)
        made.append(series)
    for series in made:
        series.record(1, INVALID_SPAN_CONTEXT, 1)
    before = comes_to(store)

    def child() -> str:
        store.forget()
        for series in made:
            series.record(1, INVALID_SPAN_CONTEXT, 1)
        return ""

    in_child(child)
    assert comes_to(store) == before


def test_a_resource_that_is_too_long_for_the_file_is_kept_to_oneself(tmp_path: Path) -> None:
    """A sibling cannot say whose the numbers are, and sends nothing; the next process goes on."""
    path = tmp_path / "worker-0.cells"
    MappedCells(path, b"x" * HEADER).allocate(b"a", [1.0])
    assert resource_of(path) is None
    assert len(MappedCells(path, RESOURCE).entries) == 1


@pytest.mark.parametrize(
    ("host", "version", "gone_on"), [("a", "1", 1), ("b", "1", 0), ("a", "2", 0)]
)
def test_numbers_are_gone_on_with_under_the_same_identity_only(
    tmp_path: Path, host: str, version: str, gone_on: int
) -> None:
    """A series with other labels that began with them would count them twice."""
    path = tmp_path / "worker-0.cells"
    known: dict[str, AnyValue] = {
        "service.instance.id": f"{host}:worker:0",
        "service.version": version,
    }
    before: dict[str, AnyValue] = {
        "service.instance.id": "a:worker:0",
        "service.version": "1",
        "process.pid": 1,
    }
    MappedCells(path, encode_resource(Resource(before))).allocate(b"a", [1.0])
    identity = [key_value(name, value) or b"" for name, value in known.items()]
    now = MappedCells(path, encode_resource(Resource(known)), identity)
    assert len(now.entries) == gone_on
