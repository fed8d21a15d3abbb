"""Known content: what a text repeats of it is taken out, however it is written there."""

from __future__ import annotations

import json
from functools import partial
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_dify.cleaning.content_texts import LIMIT
from otel_dify.cleaning.known_content import LEAST, MOST, PLACEHOLDER, KnownContent, without

QUERY = "Why is my \"salary\" so l\u00f6w, \u4f60\u597d\u5417?\nIt was 'higher' in 2024."


def knowing(*contents: object) -> KnownContent:
    """Make what knows some contents."""
    known = KnownContent()
    for content in contents:
        known.remember(content)
    return known


@pytest.mark.parametrize(
    "written",
    [
        QUERY,
        repr(QUERY),
        ascii(QUERY),
        json.dumps(QUERY),
        json.dumps(QUERY, ensure_ascii=False),
        json.dumps(json.dumps({"query": QUERY})),
        repr(QUERY.encode()),
        quote(QUERY),
        quote_plus(QUERY),
        QUERY.replace("\n", "\n    | "),
    ],
)
def test_content_is_found_however_it_is_quoted_escaped_encoded_or_wrapped(written: str) -> None:
    text = f"Cannot read {written}: broken"
    left = knowing({"inputs": {"query": QUERY}}).without(text)
    assert "salary" not in left
    assert "2024" not in left
    assert left.startswith("Cannot read ")
    assert left.endswith(": broken")
    assert PLACEHOLDER in left


def test_a_part_of_content_that_is_long_enough_is_found() -> None:
    known = knowing("The quarterly numbers of Contoso are confidential until Friday")
    assert (
        known.without("Failed to embed query text 'The quarterly numbers of Contoso are con...'")
        == f"Failed to embed query text '{PLACEHOLDER}...'"
    )


def test_a_part_of_content_that_is_short_stays() -> None:
    known = knowing("Please tell me whether the node has failed in the end")
    text = "The node has failed"
    assert known.without(text) == text


def test_eight_characters_of_a_script_without_spaces_are_enough() -> None:
    known = knowing("请告诉我明天上海的天气怎么样")
    assert known.without("error: 明天上海的天气怎么样 (400)") == f"error: {PLACEHOLDER} (400)"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Paris", PLACEHOLDER),
        ("extra error: Paris", f"extra error: {PLACEHOLDER}"),
        ('{"city": "Paris", "n": 3}', f'{{"city": "{PLACEHOLDER}", "n": 3}}'),
        (r"{\"city\": \"Paris\"}", rf"{{\"city\": \"{PLACEHOLDER}\"}}"),
        ("Paris Hilton was here", "Paris Hilton was here"),
        ("Region of Paris-Nord is down", "Region of Paris-Nord is down"),
    ],
)
def test_short_content_is_taken_out_only_where_all_of_it_stands_alone(text: str, left: str) -> None:
    assert knowing({"city": "Paris"}).without(text) == left


def test_a_yes_is_not_taken_out() -> None:
    assert knowing("yes").without("answer: 'yes'") == "answer: 'yes'"


def test_names_and_ids_beside_content_are_none() -> None:
    run = "0b0f4c1e-9d55-4ff4-9a3f-52b3d1cb1a6f"
    known = knowing(
        {
            "sys.workflow_run_id": run,
            "model_provider": "langgenius/openai/openai",
            "model": {"provider": "langgenius/openai/openai", "name": "gpt-4o-mini"},
            "error_message": "InvokeRateLimitError: too many requests",
            "text": f"run {run} has a long text about something else",
        }
    )
    for text in (
        f"Run {run} failed",
        "Provider langgenius/openai/openai answered 429",
        "no such model: 'gpt-4o-mini'",
        "InvokeRateLimitError: too many requests",
    ):
        assert known.without(text) == text


@pytest.mark.parametrize("said", ["Head of accounting at Contoso", "上海分公司的财务总监张三"])
def test_what_is_written_in_an_input_with_the_name_of_a_name_is_content(said: str) -> None:
    assert knowing({"position": said}).without(f"no such: {said}") == f"no such: {PLACEHOLDER}"


def test_a_message_of_a_failure_stays_when_a_node_hands_it_on_and_what_it_quotes_does_not() -> None:
    known = knowing("Tell me the secret recipe of the house")
    message = "[openai] content filter refused: Tell me the secret recipe of the house"
    known.mention(message)
    known.remember({"text": f"failed: {message}"})
    assert known.without(message) == f"[openai] content filter refused: {PLACEHOLDER}"


def test_what_only_a_function_can_tell_is_asked_for_when_a_text_is_compared() -> None:
    asked = []

    def answer(parts: list[str]) -> str:
        asked.append(1)
        return "".join(parts)

    parts: list[str] = []
    known = knowing(partial(answer, parts))
    parts += ["The answer that came ", "in two parts"]
    assert not asked
    assert known.without("no JSON: The answer that came in two parts") == f"no JSON: {PLACEHOLDER}"


def test_a_function_that_raises_costs_its_own_content_only() -> None:
    def broken() -> Any:
        raise ValueError

    known = knowing(broken, "what else there is to be known")
    assert known.without("what else there is to be known!") == f"{PLACEHOLDER}!"


def test_of_a_large_value_beginning_and_end_are_known_and_it_is_not_kept_alive() -> None:
    words = " ".join(f"word{number}" for number in range(400_000))
    known = knowing([{"content": words}])
    held = known._waiting[0]
    assert isinstance(held, tuple)
    assert sum(map(len, held)) <= LIMIT + 1
    assert known.without(f"begins {words[:100]}") == f"begins {PLACEHOLDER}"
    assert known.without(f"ends {words[-100:]}").startswith("ends ")
    assert words[-60:] not in known.without(f"ends {words[-100:]}")


def test_what_is_known_of_a_tree_stays_bounded() -> None:
    known = KnownContent()
    for number in range(60):
        known.remember(" ".join(f"{number} of {word}" for word in range(2_000)))
        known.without("x")
    assert known._size <= 6 * LIMIT
    assert len(known._at) <= 6 * LIMIT


def test_what_came_first_and_what_came_last_is_known_of_a_tree() -> None:
    known = knowing({"query": "the question that it all began with", "city": "Paris"})
    for number in range(40):
        known.remember(" ".join(f"{number} of {word}" for word in range(2_000)))
        known.without("x")
    known.remember("the answer that came in the end")
    assert known.without("the question that it all began with") == PLACEHOLDER
    assert known.without("the answer that came in the end") == PLACEHOLDER
    assert known.without("city: Paris") == f"city: {PLACEHOLDER}"


def test_of_a_long_text_no_more_is_compared_than_is_sent() -> None:
    known = knowing("the first of the two contents")
    left = known.without("the first of the two contents, and then " + "x" * 1_000_000)
    assert left.startswith(f"{PLACEHOLDER}, and then xxx")
    assert len(left) <= MOST + 64


@pytest.mark.parametrize("part", ["\\", "'", "%", "\\u", '\\"', "%2", ": ", "aaaaaaaa ", "\ud800"])
def test_hostile_texts_and_contents_are_compared(part: str) -> None:
    known = knowing(part * 20_000, {"a": part * 30})
    assert len(known.without(part * 20_000)) <= MOST + 64


def test_several_contents_and_places_are_all_found() -> None:
    known = knowing("the first of the two contents", {"b": ["the second of the two contents"]})
    text = "1) the first of the two contents 2) the second of the two contents 3) none"
    assert known.without(text) == f"1) {PLACEHOLDER} 2) {PLACEHOLDER} 3) none"
    assert without(text, [known, KnownContent()]) == known.without(text)


_TEXT = st.text(st.characters(codec="utf-8"), max_size=60)


@given(_TEXT, st.from_regex(r"\A[a-z]{4,9}( [a-z]{4,9}){3,8}\Z"), _TEXT)
def test_words_of_content_never_survive(before: str, content: str, after: str) -> None:
    known = knowing(content)
    assert content not in known.without(f"{before} {content} {after}")


@given(st.text(st.characters(codec="utf-8"), max_size=200), _TEXT)
def test_a_text_that_shares_too_little_is_left_as_it_is(text: str, other: str) -> None:
    if len(text) < LEAST // 2 and text.strip() != other.strip():
        known = knowing(other + " " * 70)
        assert known.without(text) == text
