"""No secret that an operation carries is in any signal, wherever it was set."""

from __future__ import annotations

import logging

import pytest

import otel_dify
from otel_dify import table as t
from otel_dify.operations.current import start
from otel_dify.sources.logging import attributes_of
from tests.recording import Recording

SECRET = "hunter2-hunter2"  # noqa: S105 - of nobody


def in_an_error() -> None:
    """Fail with a message that Dify repeats in an attribute of its own."""
    operation = start(t.RUN, {t.RUN_ID: "run-1"})
    operation.set(t.RUN_ERROR, f"the provider said: api_key={SECRET} is not known")
    operation.fail(ValueError(f"api_key={SECRET} is not known"))
    operation.end()


def on_the_way() -> None:
    """Note a retry."""
    operation = start(t.RUN, {t.RUN_ID: "run-1"})
    operation.happened("retry", {t.ERROR_MESSAGE: f'{{"password": "{SECRET}"}}'})
    operation.end()


def in_an_address() -> None:
    """Call a target that wants a password."""
    start(t.HTTP_CALL, {t.URL_FULL: f"http://user:{SECRET}@target/path"}).end()


def in_a_label() -> None:
    """Call a model with a strange name: it is a label of metrics and in the span's name."""
    start(t.MODEL_CALL, {t.OPERATION_NAME: "chat", t.REQUEST_MODEL: f"m?token={SECRET}"}).end()


def in_what_others_observe() -> None:
    """Set attributes by any name."""
    with otel_dify.observe("lookup", attributes={"crm.api_key": SECRET}) as observed:
        observed.set_attribute("headers", [f"Authorization: Bearer {SECRET}"])


def in_what_is_inherited() -> None:
    """Be called by a user with a strange name."""
    operation = start(t.RUN, {t.USER_ID: f"token={SECRET}"})
    record = logging.makeLogRecord({"msg": "hello"})
    assert SECRET not in str(attributes_of(record, operation.context, content=False))
    start(t.HTTP_CALL, parent=operation.context).end()
    operation.end()


@pytest.mark.parametrize(
    "happens",
    [
        in_an_error,
        on_the_way,
        in_an_address,
        in_a_label,
        in_what_others_observe,
        in_what_is_inherited,
    ],
)
def test_no_secret_is_in_any_signal(recorded: Recording, happens: object) -> None:
    assert callable(happens)
    happens()

    signals = [
        f"{span.name} {dict(span.attributes or {})} {span.status.description}"
        f"{[dict(event.attributes or {}) for event in span.events]}"
        for span in recorded.spans
    ]
    signals += [f"{record.body} {dict(record.attributes)}" for record in recorded.told]
    for metric in ("gen_ai.client.operation.duration", "dify.errors.total"):
        signals.append(str(recorded.points(metric)))
    assert "***" in "".join(signals)
    assert SECRET not in "".join(signals)
