"""Cells instead of characters, and numbers for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_dify.cli.text import cells, clock, duration, fit, number, plain, price, wrap

TEXT = st.text().map(plain)


@given(TEXT, st.integers(1, 60))
def test_fit_always_takes_exactly_its_width(text: str, width: int) -> None:
    assert cells(fit(text, width)) == width


@given(TEXT, st.integers(2, 60))
def test_wrap_keeps_to_its_width_and_loses_nothing_but_spaces(text: str, width: int) -> None:
    lines = wrap(text, width)
    assert all(cells(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


@given(st.text())
def test_plain_leaves_no_control_character(text: str) -> None:
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in plain(text))


def test_wide_characters_take_two_cells() -> None:
    assert fit("客服工单", 6) == "客服… "
    assert fit("客服", 6) == "客服  "


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0.00 ms"),
        (420_000, "0.42 ms"),
        (1_250_000, "1.2 ms"),
        (205_400_000, "205 ms"),
        (999_400_000, "999 ms"),
        (1_932_000_000, "1.93 s"),
        (59_990_000_000, "59.99 s"),
        (183_000_000_000, "3 min 03 s"),
    ],
)
def test_durations_read_in_three_digits_or_so(ns: int, text: str) -> None:
    assert duration(ns) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0.0000492, "0.0000492 USD"), (0.0, "0 USD"), (12.3456, "12.35 USD"), (0.5, "0.5 USD")],
)
def test_prices_are_never_exponential(amount: float, text: str) -> None:
    assert price(amount, "USD") == text


@pytest.mark.parametrize(
    ("value", "text"), [(17.0, "17"), (0.00626754, "0.006268"), (float("nan"), "nan")]
)
def test_numbers_have_no_needless_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_clock_is_utc_to_the_millisecond() -> None:
    assert clock(1_763_850_000_004_999_999, date=True) == "2025-11-22 22:20:00.004"
