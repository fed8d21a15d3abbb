"""Content: kept only where it was asked for, and never with a secret in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from otel_dify import guard
from otel_dify import table as t
from otel_dify.cleaning.content import LIMIT, as_text
from otel_dify.operations.current import start
from otel_dify.operations.operation import Operation
from otel_dify.settings import CAPTURE_MODES
from tests.recording import recording

PROMPT = "gen_ai.input.messages"
KEPT = {
    "no_content": (False, False),
    "span_only": (True, False),
    "event_only": (False, True),
    "span_and_event": (True, True),
}


def test_every_mode_has_its_case_here() -> None:
    assert set(KEPT) == set(CAPTURE_MODES)


@pytest.mark.parametrize("mode", CAPTURE_MODES)
def test_content_is_where_the_mode_wants_it_and_a_reference_everywhere_else(mode: str) -> None:
    with recording(mode) as recorded:
        run = start(t.RUN, {t.RUN_ID: "run-1"})
        call = start(t.MODEL_CALL, {t.OPERATION_NAME: "chat"}, parent=run.context)
        call.set(t.INPUT_MESSAGES, [{"role": "user", "content": "Who am I?"}])
        call.end()
        run.end()
    in_span, in_event = KEPT[mode]
    content, reference = '[{"role": "user", "content": "Who am I?"}]', "ref:workflow_run_id=run-1"
    event = recorded.event("gen_ai.client.inference.operation.details")
    assert recorded.attributes("chat")[PROMPT] == (content if in_span else reference)
    assert event.attributes[PROMPT] == (content if in_event else reference)


@pytest.mark.parametrize("mode", CAPTURE_MODES)
def test_an_operation_without_content_has_no_reference_either(mode: str) -> None:
    with recording(mode) as recorded:
        start(t.MODEL_CALL, {t.OPERATION_NAME: "chat"}).end()
    assert PROMPT not in recorded.attributes("chat")


@pytest.mark.parametrize(
    ("known", "reference"),
    [
        ({}, "ref:none"),
        ({t.CONVERSATION_ID: "c"}, "ref:conversation_id=c"),
        ({t.CONVERSATION_ID: "c", t.RUN_ID: "r"}, "ref:workflow_run_id=r"),
        ({t.MESSAGE_ID: "m", t.RUN_ID: "r"}, "ref:message_id=m"),
        ({t.NODE_EXECUTION_ID: "n", t.MESSAGE_ID: "m", t.RUN_ID: "r"}, "ref:node_execution_id=n"),
    ],
)
def test_a_reference_names_the_narrowest_thing_to_look_up(
    known: dict[t.Attribute, str], reference: str
) -> None:
    with recording() as recorded:
        operation = start(t.MODEL_CALL, {t.OPERATION_NAME: "chat", **known})
        operation.set(t.INPUT_MESSAGES, "hello")
        operation.end()
    assert recorded.attributes("chat")[PROMPT] == reference


@pytest.mark.parametrize("mode", ["no_content", "event_only"])
def test_content_that_nobody_wants_is_not_even_collected(mode: str) -> None:
    """A source gives a function where collecting costs something."""
    asked: list[str] = []

    def collect() -> str:
        asked.append("asked")
        return "inputs"

    with recording(mode):
        operation = start(t.RUN)
        operation.set(t.RUN_INPUTS, collect)
        operation.end()
    assert asked == ([] if mode == "no_content" else ["asked"])


class Model(BaseModel):
    """As engine and model runtime pass them around."""

    name: str
    api_key: str
    more: Any = None


@dataclass
class Plain:
    """What a tool of somebody's own may return."""

    password: str


SECRET = "S3CRET"  # noqa: S105 - the one that must not be found


@pytest.mark.parametrize(
    "value",
    [
        {"api_key": SECRET},
        f"api_key={SECRET}",
        json.dumps({"x": [{"api_key": SECRET}]}),
        Model(name="n", api_key=SECRET),
        [Model(name="n", api_key="k", more={"token": SECRET})],
        Plain(SECRET),
        [Plain(SECRET)],
        {"deep": {1, Plain(SECRET).password == SECRET, f"token: {SECRET}"}},
        lambda: {"secret": SECRET},
        ValueError(f"password={SECRET}"),
        {"authorization": {"config": {"value": SECRET}}},
    ],
    ids=repr,
)
def test_secrets_are_masked_in_whatever_content_is_made_of(value: object) -> None:
    assert SECRET not in as_text(value)


keys = st.one_of(st.text(), st.integers(), st.none(), st.tuples(st.integers()), st.binary())
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.datetimes(),
    st.decimals(),
    st.uuids(),
    st.just(object()),
)
anything = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner), st.dictionaries(keys, inner), st.builds(lambda one: (one,), inner)
    ),
)


@given(anything)
def test_any_value_becomes_text_that_can_be_sent(value: object) -> None:
    as_text(value).encode("utf-8")


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(alphabet="abc é中😀\"'\\\n")),
        lambda inner: st.one_of(
            st.lists(inner), st.dictionaries(st.text(alphabet="abc"), inner, max_size=3)
        ),
        max_leaves=8,
    ).filter(lambda value: not isinstance(value, str))
)
def test_content_without_secrets_is_readable_as_json(value: object) -> None:
    assert json.loads(as_text(value)) == value


def test_long_content_is_cut_and_says_how_long_it_was() -> None:
    text = as_text("x" * (LIMIT + 5))
    assert text == "x" * LIMIT + f"… ({LIMIT + 5} characters)"


def test_a_lone_surrogate_does_not_stop_the_batch_it_is_sent_with() -> None:
    """JSON that Dify is sent may have one (half an emoji), and protobuf refuses it."""
    with recording("span_and_event") as recorded:
        operation: Operation = start(t.RUN, {t.APP_NAME: "half \ud83d"})
        operation.set(t.RUN_INPUTS, {"query": "half \ud83d"})
        operation.fail("half \ud83d")
        operation.end()
    [span] = recorded.spans
    event = recorded.event("dify.workflow.run")
    texts = [span.name, span.status.description, event.body]
    for value in [*texts, *dict(span.attributes or {}).values(), *event.attributes.values()]:
        str(value).encode("utf-8")


def test_content_that_cannot_be_collected_does_not_cost_the_operation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The span ends, the run is counted, the event is there; only the content is not."""

    def broken() -> object:
        raise ValueError("no inputs here")

    circle: list[object] = []
    circle.append(circle)
    with recording("span_and_event") as recorded:
        operation = start(t.RUN, {t.APP_NAME: "app"})
        operation.set(t.RUN_INPUTS, broken)
        operation.set(t.RUN_OUTPUTS, circle)
        operation.end()
        assert sum(guard.caught().values()) == 2
        guard.caught().clear()
    attributes = recorded.attributes("invoke_workflow app")
    assert attributes["dify.workflow.inputs"].startswith("unavailable")
    assert attributes["dify.workflow.outputs"].startswith("unavailable")
    assert recorded.event("dify.workflow.run").attributes["dify.workflow.status"] == "succeeded"
    assert recorded.total("dify.requests.total", type="workflow") == 1
    assert "otel_dify.cleaning.content" in caplog.text
