"""What the operator chooses: data of persons, patterns of his own, ids of users as hashes."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from otel_dify import table as t
from otel_dify.cleaning.text import choose, clean, clean_attribute
from otel_dify.guard import Failures
from otel_dify.operations.current import start
from otel_dify.process import process
from otel_dify.settings import Settings
from tests.recording import recording

PERSONS = (
    "card 4111111111111111, id 11010519491231002X, phone 13812345678, mail ada@example.com, "
    "from 203.0.113.7 and 2001:db8::17"
)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    choose(Settings({}))


def test_data_of_persons_is_masked_but_for_addresses_of_machines() -> None:
    assert clean(PERSONS) == (
        "card ***, id ***, phone ***, mail ***, from 203.0.113.7 and 2001:db8::17"
    )


@pytest.mark.parametrize(
    ("chosen", "left"),
    [
        ("none", PERSONS),
        ("email", PERSONS.replace("ada@example.com", "***")),
        ("ip", PERSONS.replace("203.0.113.7", "***").replace("2001:db8::17", "***")),
        ("phone,card", PERSONS.replace("4111111111111111", "***").replace("13812345678", "***")),
        ("chinese_id", PERSONS.replace("11010519491231002X", "***")),
    ],
)
def test_the_operator_says_which(chosen: str, left: str) -> None:
    choose(Settings({"OTEL_DIFY_MASK": chosen}))
    assert clean(PERSONS) == left
    assert clean("key app-" + "A1b2" * 6) == "key ***"


@pytest.mark.parametrize(
    "text", ["version 1.2.3.4.5", "127.0.0.1", "0.0.0.0:5001", "::1", "12:30:45", "std::x"]
)
def test_what_is_no_address_of_a_machine_stays(text: str) -> None:
    choose(Settings({"OTEL_DIFY_MASK": "ip"}))
    assert clean(text) == text


def test_patterns_of_the_operators_are_masked_everywhere() -> None:
    environment = {"OTEL_DIFY_MASK_PATTERNS": r"ACME-\d{6} customer\s[A-Z]\w{2,9}"}
    with recording("span_and_event", **environment) as recorded:
        run = start(t.RUN, {t.APP_NAME: "ACME-123456"})
        run.fail(ValueError("customer Lovelace has no ACME-654321"))
        start(t.NODE, {t.NODE_INPUTS: {"who": "customer Ada"}}, parent=run.context).end()
        run.end()
        signals = str([dict(span.attributes or {}) for span in recorded.spans])
        signals += str([record.body for record in recorded.told])
    assert "*** has no ***" in signals
    assert "ACME-" not in signals
    assert "customer" not in signals


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("(", "missing )"),
        (r"(a+)+$", "repeats a group"),
        (r"(?:x|xx)*y", "repeats a group"),
        (r"(\w+\s?){3,}", "repeats a group"),
        (r".*a.*b.*c", "repetitions without an end"),
        (r"x*", "even nothing"),
    ],
)
def test_a_bad_pattern_costs_itself_and_is_said_once(
    bad: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    process.kept(Failures).said.clear()
    for _ in range(2):
        choose(Settings({"OTEL_DIFY_MASK_PATTERNS": rf"{bad} GOOD-\d+"}))
    assert clean("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa! GOOD-1") == (
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa! ***"
    )
    [line] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert repr(bad) in line.getMessage()
    assert why in line.getMessage()


def test_a_slow_pattern_is_left_out_from_then_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    process.kept(Failures).said.clear()
    monkeypatch.setattr("otel_dify.cleaning.patterns.SLOW_NS", -1)
    choose(Settings({"OTEL_DIFY_MASK_PATTERNS": "SLOW"}))
    assert clean("one SLOW text") == "one *** text"
    assert clean("another SLOW text") == "another SLOW text"
    assert len([one for one in caplog.records if "'SLOW'" in one.getMessage()]) == 1


def test_ids_of_users_are_hashed_under_a_salt() -> None:
    seen = set()
    for salt in ("grain", "rock"):
        with recording("span_and_event", OTEL_DIFY_USER_ID_SALT=salt) as recorded:
            run = start(t.RUN, {t.USER_ID: "ada"})
            start(
                t.NODE,
                {t.NODE_INPUTS: {"sys.user_id": "ada", "query": "hello"}},
                parent=run.context,
            ).end()
            # The worker is told what the API has hashed already.
            again = start(t.RUN, {t.USER_ID: run.get(t.USER_ID)})
            assert again.get(t.USER_ID) == run.get(t.USER_ID)
            again.end()
            run.end()
            assert clean_attribute("enduser.id", "ada") == run.get(t.USER_ID)
            signals = str([dict(span.attributes or {}) for span in recorded.spans])
            signals += str([dict(record.attributes) for record in recorded.told])
        assert "ada" not in signals
        assert "hello" in signals
        seen.add(run.get(t.USER_ID))
    assert len(seen) == 2


def test_ids_of_users_are_sent_as_they_are_without_a_salt() -> None:
    with recording() as recorded:
        start(t.RUN, {t.USER_ID: "5c1d2f3a-9b0e-4c7d-8a6f-0123456789ab"}).end()
        [span] = recorded.spans
    assert dict(span.attributes or {})["user.id"] == "5c1d2f3a-9b0e-4c7d-8a6f-0123456789ab"
