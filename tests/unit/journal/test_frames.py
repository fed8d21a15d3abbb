"""Frames: whatever happens to a file, what is whole in it is read."""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_dify.export.journal import frames as frames_module
from otel_dify.export.journal.batch import Reader
from otel_dify.export.journal.frames import HEADER, MARK, Sort, frame, frames
from otel_dify.export.journal.segment import SIZE, START, Segment
from tests.unit.journal.journals import RESOURCE, SCOPES, names, of_scopes, record

payloads = st.lists(
    st.binary(max_size=60) | st.just(MARK * 20) | st.just(frame(Sort.RECORD, 1, b"inside")[4:]),
    min_size=1,
    max_size=12,
)


def view_of(content: bytes, size: int = 8_192) -> mmap.mmap:
    """Map bytes, with zeros behind them."""
    view = mmap.mmap(-1, size)
    view[: len(content)] = content
    return view


def read_all(view: mmap.mmap, until: int | None = None) -> tuple[list[bytes], int]:
    """Return the payloads of all whole frames, and how many parts are damaged."""
    found = list(frames(view, 0, len(view) if until is None else until))
    whole = [payload for sort, _, payload, _ in found if sort != Sort.DAMAGED]
    return whole, len(found) - len(whole)


def laid_out(content: list[bytes]) -> tuple[bytes, list[tuple[int, int]]]:
    """Lay out payloads as frames; returns where each begins and ends as well."""
    whole, spans = b"", []
    for payload in content:
        begins = len(whole)
        whole += frame(Sort.RECORD, 7, payload)
        spans.append((begins, len(whole)))
    return whole, spans


@given(payloads)
def test_frames_are_read_as_they_were_written(content: list[bytes]) -> None:
    whole, _ = laid_out(content)
    assert read_all(view_of(whole)) == (content, 0)
    assert read_all(view_of(whole), len(whole)) == (content, 0)


@given(payloads, st.data())
def test_what_lies_before_and_behind_a_damaged_part_is_read(
    content: list[bytes], data: st.DataObject
) -> None:
    """Bytes are flipped, or a range is zeros as after a power cut; only what it touches is lost."""
    whole, spans = laid_out(content)
    begins = data.draw(st.integers(0, len(whole) - 1))
    ends = data.draw(st.integers(begins + 1, len(whole)))
    damaged = bytearray(whole)
    if data.draw(st.booleans()):
        damaged[begins:ends] = bytes(ends - begins)
    else:
        damaged[begins:ends] = bytes(byte ^ 0xA5 for byte in damaged[begins:ends])
    touched = [damaged[first:last] != whole[first:last] for first, last in spans]
    kept = [payload for payload, gone in zip(content, touched, strict=True) if not gone]
    read, parts = read_all(view_of(bytes(damaged)))
    # A whole frame that lies in what is left of a payload is one more.
    assert [payload for payload in read if payload != b"inside"] == kept
    if any(touched) and not touched[-1]:
        assert parts >= 1
    assert parts <= sum(touched)


@given(payloads, st.data())
def test_of_what_was_cut_off_all_whole_frames_are_read(
    content: list[bytes], data: st.DataObject
) -> None:
    whole, spans = laid_out(content)
    cut = data.draw(st.integers(0, len(whole)))
    view = view_of(whole[:cut], len(whole))
    kept = [
        payload
        for payload, (begins, ends) in zip(content, spans, strict=True)
        if view[begins:ends] == whole[begins:ends]
    ]
    read, parts = read_all(view)
    assert read[: len(kept)] == kept
    assert set(read[len(kept) :]) <= {b"inside"}
    assert parts <= 1


def looks_like_headers(length: int) -> bytes:
    """Return what is a header at every step, of a frame that would be as long as it may be."""
    return (MARK + bytes([Sort.RECORD, 0, 1, 0, 0, 0]) + length.to_bytes(4, "little")) * (
        SIZE // 2 // 12
    )


def test_a_damaged_record_costs_a_few_times_what_the_segment_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Users write what is in records: what looks like headers must not be summed up each time."""
    summed = 0
    crc32: Callable[..., int] = zlib.crc32

    def counting(content: bytes, *so_far: int) -> int:
        nonlocal summed
        summed += len(content)
        return crc32(content, *so_far)

    hostile = frame(Sort.RECORD, 1, looks_like_headers(SIZE // 3))
    view = view_of(b"\0" * HEADER + hostile[HEADER:], SIZE)
    monkeypatch.setattr(frames_module, "crc32", counting)
    read, _ = read_all(view)
    assert read == []
    assert summed <= 20 * SIZE


def test_a_frame_of_a_later_version_is_passed_over(tmp_path: Path) -> None:
    segment = Segment.make(tmp_path / "traces-1.segment", 1)
    for sort, payload in ((Sort.RECORD, record("a")), (200, b"new"), (Sort.RECORD, record("b"))):
        content = frame(sort, 0, payload)
        segment.view[segment.written : segment.written + len(content)] = content
        segment.written += len(content)
    reader = Reader(Segment.left(tmp_path / "traces-1.segment"), 10)
    assert names(reader.next()) == ["a", "b"]
    assert reader.damaged == 0


@pytest.mark.parametrize("gone", [Sort.RESOURCE, Sort.SCOPE])
def test_records_outlive_what_describes_them(tmp_path: Path, gone: Sort) -> None:
    """Without their resource or scope they are still worth having."""
    path = tmp_path / "traces-1.segment"
    segment = Segment.make(path, 1)
    for sort, payload in (
        (Sort.RESOURCE, RESOURCE),
        (Sort.SCOPE, SCOPES[0]),
        (Sort.RECORD, record("a")),
    ):
        at = segment.written
        assert segment.append(sort, 0, payload)
        if sort is gone:
            segment.view[at] ^= 0xFF
    reader = Reader(Segment.left(path), 10)
    assert of_scopes(reader.next()) == [("" if gone is Sort.SCOPE else "one", "a")]
    assert reader.damaged == 1


def test_a_damaged_header_of_a_segment_costs_none_of_its_records(tmp_path: Path) -> None:
    path = tmp_path / "traces-1.segment"
    segment = Segment.make(path, 1)
    segment.append(Sort.RECORD, 0, record("a"))
    segment.view[:START] = b"\xa5" * START
    assert names(Reader(Segment.left(path), 10).next()) == ["a"]


@pytest.mark.parametrize("size", [0, START - 1])
def test_a_process_killed_while_it_makes_a_segment_leaves_none(tmp_path: Path, size: int) -> None:
    path = tmp_path / "traces-1.segment"
    path.write_bytes(bytes(size))
    with pytest.raises(ValueError, match="too short"):
        Segment.left(path)


def test_a_process_killed_before_it_has_written_leaves_nothing_to_send(tmp_path: Path) -> None:
    path = tmp_path / "traces-1.segment"
    path.write_bytes(bytes(SIZE))
    reader = Reader(Segment.left(path), 10)
    assert reader.next() is None
    assert reader.damaged == 0
