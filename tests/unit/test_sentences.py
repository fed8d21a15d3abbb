"""The sentences of log events: each reads as one, whatever became of the operation."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from otel_dify import table as t
from otel_dify.operations.current import start
from tests.recording import Recording

type Known = Mapping[t.Attribute, object]

_SAID: tuple[tuple[t.Kind, Known, str, str], ...] = (
    (
        t.REQUEST,
        {t.HTTP_METHOD: "POST", t.URL_PATH: "/v1/workflows/run", t.HTTP_STATUS: 200},
        "",
        "POST /v1/workflows/run answered 200 in # s",
    ),
    (
        t.REQUEST,
        {t.HTTP_METHOD: "GET", t.URL_PATH: "/v1/apps", t.HTTP_STATUS: 500},
        "no more",
        "GET /v1/apps answered 500 in # s: no more",
    ),
    (
        t.REQUEST,
        {t.HTTP_METHOD: "GET", t.URL_PATH: "/v1/apps"},
        "no more",
        "GET /v1/apps failed in # s: no more",
    ),
    (t.RUN, {t.RUN_ID: "r"}, "", "run r succeeded in # s"),
    (t.RUN, {t.RUN_ID: "r"}, "no more", "run r failed in # s: no more"),
    (t.RUN, {t.RUN_ID: "r", t.RUN_STATUS: "paused"}, "", "run r paused after # s"),
    (t.RUN, {t.RUN_ID: "r", t.RUN_STATUS: "stopped"}, "", "run r was stopped after # s"),
    (
        t.RUN,
        {t.RUN_ID: "r", t.RUN_STATUS: "partial-succeeded"},
        "",
        "run r partly succeeded in # s",
    ),
    (
        t.NODE,
        {t.NODE_TITLE: "Enrich", t.NODE_TYPE: "http-request", t.NODE_STATUS: "exception"},
        "HTTP 503",
        "node Enrich (http-request) recovered from a failure in # s: HTTP 503",
    ),
    (t.TASK, {t.TASK_NAME: "mail", t.TASK_STATE: "SUCCESS"}, "", "task mail succeeded in # s"),
    (
        t.TASK,
        {t.TASK_NAME: "mail", t.TASK_STATE: "FAILURE"},
        "no more",
        "task mail failed in # s: no more",
    ),
    (
        t.MODEL_CALL,
        {t.OPERATION_NAME: "chat", t.REQUEST_MODEL: "gpt-4o"},
        "",
        "call of model gpt-4o (chat) succeeded in # s",
    ),
    (
        t.GENERATION,
        {t.OPERATION_TYPE: "generate_name"},
        "",
        "generation (generate_name) succeeded in # s",
    ),
    (
        t.INDEXING,
        {t.INDEXING_PHASE: "split", t.DOCUMENT_ID: "d"},
        "",
        "indexing (split) of document d succeeded in # s",
    ),
    (t.APP_UPDATED, {t.APP_ID: "a", t.APP_NAME: "A"}, "", "app A (a) was changed"),
    (
        t.WORKFLOW_PUBLISHED,
        {t.APP_ID: "a", t.APP_NAME: "A", t.WORKFLOW_VERSION: "2026-11-24"},
        "",
        "workflow of app A (a) was published as version 2026-11-24",
    ),
    (t.CONVERSATION_CREATED, {t.CONVERSATION_ID: "c"}, "", "conversation c began"),
    (
        t.FEEDBACK,
        {t.MESSAGE_ID: "m", t.FEEDBACK_RATING: "like"},
        "",
        "feedback (like) on message m was received",
    ),
    (
        t.FEEDBACK,
        {t.MESSAGE_ID: "m", t.FEEDBACK_RATING: "like"},
        "no such message",
        "feedback (like) on message m failed in # s: no such message",
    ),
    (t.INDEXING_ERROR, {t.DOCUMENT_ID: "d"}, "", "document d could not be indexed"),
)


@pytest.mark.parametrize(("kind", "known", "failure", "said"), _SAID)
def test_an_event_reads_as_a_sentence(
    recorded: Recording, kind: t.Kind, known: Known, failure: str, said: str
) -> None:
    operation = start(kind, known)
    if failure:
        operation.fail(failure, "Trouble")
    operation.end()
    assert re.sub(r"\d+\.\d+", "#", recorded.event(kind.event).body) == said


@pytest.mark.parametrize(
    "kind", [kind for kind in t.KINDS if kind.event], ids=lambda kind: kind.name
)
def test_every_kind_says_what_became_of_it(recorded: Recording, kind: t.Kind) -> None:
    """Without knowing anything else: nothing is said twice, and no pattern is left unfilled."""
    start(kind).end()
    failed = start(kind)
    failed.fail("no more", "Trouble")
    failed.end()

    well, ill = (record.body for record in recorded.told if record.event_name == kind.event)
    assert "{" not in well + ill
    assert ill.endswith(" s: no more")
    assert " succeeded failed" not in ill
    assert len(re.findall("succeeded|failed", well)) <= 1
    assert len(re.findall("succeeded|failed", ill)) == 1
