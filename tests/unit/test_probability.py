"""Thresholds are those of OpenTelemetry's specification, and what is not valid is as if absent.

The figures are those of "TraceState: Probability Sampling" and "TraceState Handling".
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import TraceState

from otel_dify.sampling.probability import (
    NEVER,
    Sampled,
    adjusted_count,
    decode,
    encode,
    probability_of,
    randomness_of,
    read,
    threshold_of,
    written,
)

# 1-in-N, thresholds at 3, 4 and 5 digits, and what one stands for at 4.
TABLE = {
    1: ("0", "0", "0", 1.0),
    2: ("8", "8", "8", 2.0),
    3: ("aab", "aaab", "aaaab", 3.00004577706569),
    4: ("c", "c", "c", 4.0),
    5: ("ccd", "cccd", "ccccd", 5.0000762951094835),
    8: ("e", "e", "e", 8.0),
    10: ("e66", "e666", "e6666", 9.99938968568813),
    16: ("f", "f", "f", 16.0),
    100: ("fd71", "fd70a", "fd70a4", 99.99771123402633),
    1_000: ("ffbe7", "ffbe77", "ffbe76d", 1000.012874769029),
    10_000: ("fff972", "fff9724", "fff97247", 9999.830725674266),
    100_000: ("ffff584", "ffff583a", "ffff583a5", 99999.238556461),
    1_000_000: ("ffffef4", "ffffef39", "ffffef391", 999992.38556461),
}
thresholds = st.integers(0, NEVER - 1)


@pytest.mark.parametrize(("one_in", "figures"), TABLE.items())
def test_thresholds_and_counts_are_those_of_the_specifications_table(
    one_in: int, figures: tuple[str, str, str, float]
) -> None:
    *texts, count = figures
    assert [encode(threshold_of(1 / one_in, digits)) for digits in (3, 4, 5)] == texts
    assert adjusted_count(threshold_of(1 / one_in)) == pytest.approx(count, rel=1e-12)


def test_the_examples_of_the_specifications_text() -> None:
    assert decode("c") == 0xC0000000000000
    assert probability_of(0xC0000000000000) == 0.25
    assert decode("0") == 0
    assert adjusted_count(0) == 1
    state = TraceState([("ot", "rv:6e6d1a75832a2f")])
    assert read(state) == Sampled(randomness=0x6E6D1A75832A2F)
    assert randomness_of(0x4BF92F3577B34DA6A36E6D1A75832A2F) == 0x6E6D1A75832A2F


@given(thresholds)
def test_a_threshold_is_read_as_it_was_written(threshold: int) -> None:
    text = encode(threshold)
    assert decode(text) == threshold
    assert text == "0" or not text.endswith("0")
    assert len(text) <= 14


@given(st.text(alphabet="0123456789abcdefABCDEF:-+_ x", max_size=16))
def test_only_up_to_14_lower_case_digits_are_a_threshold(text: str) -> None:
    valid = 1 <= len(text) <= 14 and set(text) <= set("0123456789abcdef")
    assert (decode(text) is not None) == valid


@given(st.floats(1e-9, 1))
def test_a_probability_is_kept_to_the_precision_that_is_recommended(probability: float) -> None:
    """Four digits, those that mean something: a part in 4096 of it at worst."""
    assert probability_of(threshold_of(probability)) == pytest.approx(probability, rel=2**-12)


@given(st.floats(0, 1), st.floats(0, 1), thresholds)
def test_what_is_kept_at_a_rate_is_kept_at_every_higher_one(
    one: float, other: float, randomness: int
) -> None:
    low, high = sorted((one, other))
    assert threshold_of(high) <= threshold_of(low)
    if randomness >= threshold_of(low):
        assert randomness >= threshold_of(high)


def test_a_rate_of_nothing_keeps_nothing_and_one_of_everything_all() -> None:
    assert threshold_of(0) > NEVER - 1
    assert threshold_of(1) == 0
    assert decode(encode(NEVER)) == NEVER - 1


sampled = st.builds(
    Sampled,
    st.none() | thresholds,
    st.none() | thresholds,
    st.lists(st.from_regex(r"[a-su][0-9a-z]{0,3}:[0-9a-z.]{1,5}", fullmatch=True), max_size=3)
    .filter(lambda members: not any(one.startswith("rv:") for one in members))
    .map(tuple),
)
others = st.dictionaries(
    st.sampled_from(["vendor", "rojo", "congo"]), st.sampled_from(["x", "t61rcWkgMzE"]), max_size=3
)


@given(sampled, others)
def test_an_entry_is_read_as_it_was_written_and_those_of_others_stay(
    entry: Sampled, entries: dict[str, str]
) -> None:
    before = TraceState(list(entries.items()))
    after = written(before, entry)
    header = after.to_header()
    assert read(TraceState.from_header([header] if header else [])) == entry
    assert {key: value for key, value in after.items() if key != "ot"} == entries


@given(st.text(alphabet="thrv:;0123456789abcdefg", max_size=40))
def test_no_entry_fails(text: str) -> None:
    found = read(TraceState([("ot", text)]))
    assert found.threshold is None or 0 <= found.threshold < NEVER
    assert found.randomness is None or 0 <= found.randomness < NEVER
