"""Recovery: what a killed process had begun is ended once, by whoever comes first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span
from opentelemetry.sdk.metrics.export import NumberDataPoint

from otel_dify import guard
from otel_dify import table as t
from otel_dify.export.delivery import lost
from otel_dify.export.encoding.logs import LogEncoder
from otel_dify.export.encoding.spans import SpanEncoder
from otel_dify.export.journal.frames import Sort, frames
from otel_dify.export.journal.journal import Journal
from otel_dify.export.journal.opened import FILE, Opened, end
from otel_dify.export.journal.place import Home, adopt
from otel_dify.export.journal.segment import START, Segment
from otel_dify.export.outlets import JournalLogs, JournalSpans
from otel_dify.operations.current import start
from otel_dify.recording import SCOPE, Signals
from otel_dify.records.recovery import begun_of
from otel_dify.recovery import Recovery
from otel_dify.settings import Settings
from otel_dify.signals.cells import Cells
from otel_dify.signals.events import EventWriter
from otel_dify.signals.points import OwnStore, PointWriter
from otel_dify.signals.series import Exemplars
from otel_dify.signals.spans import SpanWriter
from tests.recording import recording_by
from tests.unit.journal.journals import NO_LIMIT, home_in, reasons


class Victim:
    """What a process records with its journal, before it is killed."""

    def __init__(self, root: Path) -> None:
        self.home: Home = home_in(root)
        traces = Journal("traces", self.home, NO_LIMIT, 64)
        logs = Journal("logs", self.home, NO_LIMIT, 64)
        self.store = OwnStore(Exemplars(), Cells())
        self.signals = Signals(
            mock.Mock(attributes={}),
            Settings({}),
            self.store,
            JournalSpans(SpanEncoder(), traces, SCOPE, lambda: None),
            lambda scope: JournalLogs(LogEncoder(), logs, scope, lambda: None),
            opened=Opened(self.home),
        )
        self.recorder = self.signals.recorder


class Adopter:
    """What a process does that comes upon the place of a dead one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = OwnStore(Exemplars(), Cells())
        self.recover = Recovery(PointWriter(self.store, owner_labels=True), (128, None))

    def look(self) -> Path:
        """Recover the one place there is, and return it."""
        [place] = adopt(self.root)
        try:
            self.recover(place)
        finally:
            place.leave()
        return place.path

    def counted(self) -> dict[str, float]:
        """Return the terminated operations that it has counted, by type."""
        found: dict[str, float] = {}
        for metric in self.store.collect():
            for point in metric.data.data_points:
                labels = dict(point.attributes or {})
                if metric.name == t.REQUESTS.name:
                    assert labels["status"] == "terminated"
                    assert isinstance(point, NumberDataPoint)
                    found[f"{labels['type']}"] = point.value
        return found


@pytest.fixture(autouse=True)
def nothing_lost_yet() -> Iterator[None]:
    """Let each test count what it loses; none of our hooks may fail."""
    lost().clear()
    guard.caught().clear()
    yield
    assert not guard.caught()
    lost().clear()


def killed(root: Path) -> dict[str, int]:
    """Leave the place of a process that was killed in a node of a run; returns their span ids."""
    victim = Victim(root)
    with recording_by(victim):
        request = start(t.REQUEST, {t.HTTP_METHOD: "POST", t.HTTP_ROUTE: "/run"})
        run = start(
            t.RUN, {t.APP_NAME: "app", t.APP_ID: "a", t.RUN_ID: "r"}, parent=request.context
        )
        with run.active():
            start(t.NODE, {t.NODE_ID: "before", t.NODE_TYPE: "code"}).end()
            node = start(t.NODE, {t.NODE_ID: "in", t.NODE_TYPE: "llm", t.NODE_TITLE: "Answer"})
    victim.home.leave()
    _kept.append((request, run, node))
    return {
        name: operation.span_context.span_id
        for name, operation in (("request", request), ("run", run), ("node", node))
    }


_kept: list[Any] = []


def in_segments(folder: Path, signal: str) -> Iterator[bytes]:
    """Yield the records of a signal in a place."""
    for path in sorted(folder.glob(f"{signal}-*")):
        try:
            segment = Segment.left(path)
        except ValueError:
            continue
        for sort, _, payload, _ in frames(segment.view, START, segment.written):
            if sort == Sort.RECORD:
                yield payload


def spans(folder: Path) -> list[Span]:
    """Return the spans in a place."""
    return [
        span for one in in_segments(folder, "traces") for span in ScopeSpans.FromString(one).spans
    ]


def attributes(span: Span) -> dict[str, str]:
    """Return the attributes of a span that are text."""
    return {one.key: one.value.string_value for one in span.attributes}


def test_what_was_open_has_one_span_one_event_and_one_count(tmp_path: Path) -> None:
    ids = killed(tmp_path)
    adopter = Adopter(tmp_path)
    folder = adopter.look()
    found = spans(folder)
    assert len(found) == 4
    by_id = {int.from_bytes(span.span_id): span for span in found}
    assert set(ids.values()) < set(by_id)
    run, node = by_id[ids["run"]], by_id[ids["node"]]
    assert int.from_bytes(node.parent_span_id) == ids["run"]
    assert int.from_bytes(run.parent_span_id) == ids["request"]
    for span in (run, node):
        assert span.status.code == span.status.STATUS_CODE_ERROR
        assert attributes(span)[t.ERROR_TYPE.key] == "process_terminated"
        assert span.end_time_unix_nano >= span.start_time_unix_nano
    assert run.name == "invoke_workflow app"
    assert attributes(run)[t.RUN_STATUS.key] == "terminated"
    assert attributes(node)[t.NODE_TITLE.key] == "Answer"
    assert adopter.counted() == {"workflow": 1, "node": 1}
    events = [
        log.event_name
        for one in in_segments(folder, "logs")
        for log in ScopeLogs.FromString(one).log_records
    ]
    assert events.count("dify.workflow.run") == 1
    assert events.count("dify.node.execution") == 2


def test_nothing_is_ended_twice(tmp_path: Path) -> None:
    """Whoever looks again, however often, and in whatever process."""
    killed(tmp_path)
    adopter = Adopter(tmp_path)
    adopter.look()
    again = Adopter(tmp_path)
    folder = again.look()
    assert len(spans(folder)) == 4
    assert again.counted() == {}


@pytest.mark.parametrize("at", range(12))
def test_who_is_killed_while_it_recovers_leaves_the_rest_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Killed at each step in turn: one span each; of counts at most the one it was at is missing."""
    ids = killed(tmp_path)
    steps = 0

    class Killed(BaseException):
        """Nothing of ours catches this."""

    def step(do: Any) -> Any:
        def done(*args: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps > at:
                raise Killed
            return do(*args)

        return done

    first = Adopter(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(SpanWriter, "write", step(SpanWriter.write))
        patched.setattr(EventWriter, "ended", step(EventWriter.ended))
        patched.setattr(PointWriter, "write", step(PointWriter.write))
        patched.setattr("otel_dify.recovery.end", step(end))
        with suppress(Killed):
            first.look()
    second = Adopter(tmp_path)
    folder = second.look()
    found = [int.from_bytes(span.span_id) for span in spans(folder)]
    assert sorted(found) == sorted(set(found))
    assert set(ids.values()) < set(found)
    counts = Counter(first.counted()) + Counter(second.counted())
    assert counts <= Counter({"workflow": 1, "node": 1})
    assert counts.total() >= 1


def test_who_was_killed_as_it_made_a_segment_is_in_nobodys_way(tmp_path: Path) -> None:
    ids = killed(tmp_path)
    [folder] = tmp_path.iterdir()
    for name in ("traces-90000000", "logs-90000000"):
        (folder / f"{name}.segment").touch()
    Adopter(tmp_path).look()
    found = {int.from_bytes(span.span_id) for span in spans(folder)}
    assert set(ids.values()) < found
    assert reasons() == {}


def test_what_ended_just_before_the_kill_is_ended_by_itself(tmp_path: Path) -> None:
    """Its span is in the journal, and its note was not taken away any more."""
    victim = Victim(tmp_path)
    with recording_by(victim), mock.patch.object(Opened, "remove"):
        start(t.RUN, {t.APP_NAME: "app"}).end()
    victim.home.leave()
    adopter = Adopter(tmp_path)
    folder = adopter.look()
    assert [attributes(span)[t.RUN_STATUS.key] for span in spans(folder)] == ["succeeded"]
    assert adopter.counted() == {}


def test_what_is_of_another_version_is_left_out(tmp_path: Path) -> None:
    victim = Victim(tmp_path)
    with recording_by(victim):
        run = start(t.RUN, {t.APP_NAME: "app"})
    opened = victim.recorder._opened
    assert opened is not None
    opened.add(begun_of(run, run.span_context)._replace(kind="of a later version", span_id=9))
    victim.home.leave()
    adopter = Adopter(tmp_path)
    folder = adopter.look()
    assert [span.name for span in spans(folder)] == ["invoke_workflow app"]
    assert not any((folder / FILE).read_bytes()[at : at + 4] != bytes(4) for at in (0, 2_048))


def test_a_full_disk_is_no_reason_to_count_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = killed(tmp_path)
    adopter = Adopter(tmp_path)

    def full(*_: object) -> Segment:
        raise OSError(28, "No space left on device")

    made = Segment.make

    def make(path: Path | None, *args: Any) -> Segment:
        return full() if path is not None else made(path, *args)

    monkeypatch.setattr(Segment, "make", make)
    folder = adopter.look()
    assert len(spans(folder)) == 1
    assert adopter.counted() == {"workflow": 1, "node": 1}
    assert reasons() == {"ended": len(ids)}


def test_one_forked_does_not_record_what_its_parent_had_begun(tmp_path: Path) -> None:
    """Its operations end in the parent: one span, one count, whatever the child does."""
    victim = Victim(tmp_path)
    with recording_by(victim):
        run = start(t.RUN, {t.APP_NAME: "app"})
        victim.recorder.forget()
        victim.store.forget()
        run.end()
    victim.home.leave()
    assert list(victim.store.collect()) == []
    [place] = adopt(tmp_path)
    assert spans(place.path) == []
    place.leave()
