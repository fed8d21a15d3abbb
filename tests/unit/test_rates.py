"""The rates: which rule holds for a trace, and which may while not all of it is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_dify.sampling.probability import threshold_of
from otel_dify.sampling.rates import Rates, parse

RULES = parse(
    "source=debugger|explore: 1; env=staging app=a: 0.75; app=A|b: 10%; source=web-app: 0; 50%"
)


@pytest.mark.parametrize(
    ("app", "source", "rate"),
    [
        ("a", "debugger", 1),
        ("x", "Explore", 1),
        ("a", "web-app", 0.1),
        ("A", "", 0.1),
        ("b", "service-api", 0.1),
        ("x", "web-app", 0),
        ("", "", 0.5),
        ("x", "service-api", 0.5),
    ],
)
def test_the_first_rule_that_fits_counts(app: str, source: str, rate: float) -> None:
    assert Rates(RULES, "production", 1).threshold(app, source) == threshold_of(rate)


def test_a_rule_of_an_environment_is_for_its_processes_alone() -> None:
    assert Rates(RULES, "Staging", 1).threshold("a", "") == threshold_of(0.75)
    assert Rates(RULES, "staging2", 1).threshold("a", "") == threshold_of(0.1)


def test_what_no_rule_fits_has_the_rate_of_the_sampler() -> None:
    assert Rates(parse("app=a: 1%"), "", 0.25).threshold("b", "") == threshold_of(0.25)
    assert Rates((), "", 1).all_kept
    assert not Rates(parse("1"), "", 1).all_kept
    assert not Rates((), "", 0.5).all_kept


def test_what_is_not_known_yet_leaves_open_what_it_may_decide() -> None:
    rates = Rates(RULES, "production", 1)
    assert rates.possible("a", None) == (threshold_of(1), threshold_of(0.1))
    assert rates.possible(None, "debugger") == (threshold_of(1),)
    assert rates.possible(None, "service-api") == (threshold_of(0.1), threshold_of(0.5))


known = st.sampled_from(["a", "b", "x", "debugger", "web-app", ""])


@given(known, known, st.booleans(), st.booleans())
def test_what_holds_in_the_end_was_possible_before(
    app: str, source: str, app_known: bool, source_known: bool
) -> None:
    rates = Rates(RULES, "production", 1)
    possible = rates.possible(app if app_known else None, source if source_known else None)
    assert rates.threshold(app, source) in possible
