"""The table of kinds is whole: what a row names exists, and nothing is named twice."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import pytest

from otel_dify import table as t
from otel_dify.signals.points import views
from otel_dify.table.instrument import Amount, Recording

FIELD = re.compile(r"\{([^}]*)\}")
TABLE = set(t.ATTRIBUTES)
BY_KEY = {attribute.key: attribute for attribute in TABLE}
NAMES = {kind.name for kind in t.KINDS}
RECORDINGS = [(kind, recording) for kind in t.KINDS for recording in kind.recordings]

each_kind = pytest.mark.parametrize("kind", t.KINDS, ids=lambda kind: kind.name)
each_recording = pytest.mark.parametrize(
    ("kind", "recording"), RECORDINGS, ids=lambda it: getattr(it, "name", it.__class__.__name__)
)
each_instrument = pytest.mark.parametrize("instrument", t.INSTRUMENTS, ids=lambda it: it.name)


def carried(kind: t.Kind) -> set[t.Attribute]:
    """What an operation of a kind may have set."""
    return {*kind.attributes, *t.FAILED, *(one for one in TABLE if one.inherit)}


def test_names_are_unique() -> None:
    for names in (
        [kind.name for kind in t.KINDS],
        [attribute.key for attribute in t.ATTRIBUTES],
        [instrument.name for instrument in t.INSTRUMENTS],
    ):
        assert not [name for name, times in Counter(names).items() if times > 1]


def test_events_tell_the_kind_they_are_of() -> None:
    events = Counter(name for kind in t.KINDS for name in (kind.event, kind.start_event) if name)
    assert set(events.values()) == {1}


@each_kind
def test_attributes_of_a_kind_are_in_the_table_and_named_once(kind: t.Kind) -> None:
    assert {*kind.attributes, *t.FAILED} <= TABLE
    assert len(set(kind.attributes)) == len(kind.attributes)
    assert not [attribute for attribute in kind.attributes if attribute.inherit]


@each_kind
def test_what_a_name_or_a_sentence_is_filled_with_is_an_attribute_of_the_kind(kind: t.Kind) -> None:
    texts = (kind.span_name, kind.subject, kind.done, kind.failed)
    fields = {field for text in texts for field in FIELD.findall(text)}
    assert fields <= {attribute.key for attribute in carried(kind)}
    assert not [field for field in fields if BY_KEY[field].content]


@each_kind
def test_the_outcome_of_a_kind_is_one_of_its_attributes(kind: t.Kind) -> None:
    if kind.status is not None:
        assert kind.status in kind.attributes


@each_kind
def test_a_kind_nests_under_kinds_that_there_are(kind: t.Kind) -> None:
    assert kind.below
    assert set(kind.below) <= NAMES


@each_kind
def test_a_kind_is_documented_and_an_event_has_a_subject(kind: t.Kind) -> None:
    assert kind.doc.endswith(".")
    assert bool(kind.event) == bool(kind.subject)
    assert kind.event or not kind.start_event


def test_queries_are_counted_where_they_nest() -> None:
    """What is folded leaves count and time on the operation above, which the dictionary says."""
    counted = [kind for kind in t.KINDS if kind.folded]
    assert [kind.name for kind in counted] == ["query"]
    for folded in counted:
        assert folded.folds
        for kind in t.KINDS:
            if kind.name in folded.below:
                assert set(folded.folded) <= set(kind.attributes), kind.name


@each_recording
def test_labels_are_unique_and_taken_from_attributes_of_the_kind(
    kind: t.Kind, recording: Recording
) -> None:
    names = [*(name for name, _ in recording.labels), *(name for name, _ in recording.constants)]
    assert len(set(names)) == len(names)
    assert {attribute for _, attribute in recording.labels} <= carried(kind)


@each_recording
def test_labels_hold_neither_content_nor_users_nor_ids_of_one_run(
    kind: t.Kind, recording: Recording
) -> None:
    """Each value of a label is a time series; and users are nobody's business."""
    del kind
    unbounded = {
        t.USER_ID,
        t.SESSION_ID,
        t.RUN_ID,
        t.MESSAGE_ID,
        t.CONVERSATION_ID,
        t.NODE_EXECUTION_ID,
        t.REQUEST_ID,
        t.EXTERNAL_TRACE_ID,
        t.ERROR_ID,
        t.ERROR_MESSAGE,
        t.ERROR_FINGERPRINT,
        t.URL_PATH,
        t.URL_FULL,
        t.DB_STATEMENT,
        t.MESSAGE_UID,
    }
    labels = {attribute for _, attribute in recording.labels}
    assert not labels & unbounded
    assert not [attribute for attribute in labels if attribute.content]


@each_recording
def test_what_is_recorded_is_a_number_of_the_kind(kind: t.Kind, recording: Recording) -> None:
    assert recording.instrument in t.INSTRUMENTS
    assert recording.instrument.kind in {"counter", "histogram"}
    if not isinstance(recording.amount, Amount):
        assert recording.amount in carried(kind)
        assert recording.amount.type in {"int", "double"}
    if recording.amount is Amount.DURATION:
        assert recording.instrument.unit == "s"


def test_all_who_record_on_an_instrument_tell_themselves_apart() -> None:
    """Two kinds on one instrument differ in a constant label, or their sums would mix."""
    by_instrument: dict[str, list[tuple[str, Recording]]] = {}
    for kind, recording in RECORDINGS:
        by_instrument.setdefault(recording.instrument.name, []).append((kind.name, recording))
    for name in ("dify.requests.total", "dify.errors.total", "dify.tokens.total"):
        constants = {recording.constants for _, recording in by_instrument[name]}
        rows = {recording for _, recording in by_instrument[name]}
        assert len(constants) == len(rows), name


def test_every_counter_and_histogram_is_recorded_on() -> None:
    recorded = {recording.instrument for _, recording in RECORDINGS}
    by_sending = {t.SPANS_EXPORTED, t.LOGS_EXPORTED, t.EXPORT_DURATION, t.EXPORTED_BYTES}
    by_sending.add(t.ITEMS_LOST)
    assert recorded | by_sending == {one for one in t.INSTRUMENTS if one.kind != "gauge"}


@each_instrument
def test_buckets_ascend_and_only_histograms_have_them(instrument: t.Instrument) -> None:
    assert bool(instrument.buckets) == (instrument.kind == "histogram")
    assert all(low < high for low, high in pairwise(instrument.buckets))
    assert instrument.doc
    assert instrument.unit


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("dify.workflow.duration", (0.1, 0.5, 1, 2.5, 5, 10, 30, 60)),
        ("http.server.request.duration", (0.1, 0.5, 1, 2, 5, 10)),
        ("gen_ai.client.operation.duration", (0.5, 1, 2, 5, 10, 30)),
    ],
)
def test_dashboards_of_operators_find_the_buckets_that_they_ask_for(
    name: str, asked: tuple[float, ...]
) -> None:
    """The Collector can rename and copy a histogram, it cannot invent a bucket."""
    [instrument] = [one for one in t.INSTRUMENTS if one.name == name]
    assert set(asked) <= set(instrument.buckets)
    assert instrument.buckets[-1] > asked[-1]


def test_every_histogram_has_a_view() -> None:
    assert len(views()) == len([one for one in t.INSTRUMENTS if one.kind == "histogram"])


@pytest.mark.parametrize("attribute", t.ATTRIBUTES, ids=lambda it: it.key)
def test_content_is_never_inherited(attribute: t.Attribute) -> None:
    assert attribute.doc
    assert not (attribute.content and attribute.inherit)
