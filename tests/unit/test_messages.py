"""Messages of apps: how they end, as Dify's runners and queues tell it."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from otel_dify import table as t
from otel_dify.sources.dify import messages
from tests.recording import Recording

ENTITY = SimpleNamespace(
    app_config=SimpleNamespace(tenant_id="tenant-1", app_id="app-1", app_mode="chat"),
    user_id="user-1",
    invoke_from="service-api",
    stream=True,
    extras={},
    inputs={},
    query="How are you?",
)


class GenerateTaskStoppedError(Exception):
    """What Dify raises in a run that its user has stopped."""


class QueueStopEvent:
    """What ends a message that no model has to answer, too (``stopped_by=INPUT_MODERATION``)."""


class QueueErrorEvent:
    """What a run that failed tells its queue."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def module(name: str, thing: type) -> ModuleType:
    """Stand for a module of Dify, watched."""
    made = ModuleType(name)
    setattr(made, thing.__name__, thing)
    messages.attach(made)
    return made


@pytest.fixture
def answer() -> Callable[[Callable[[Callable[[object], None]], None]], None]:
    """Return what runs a message: it is given what publishes to the queue of the request."""

    class AppQueueManager:
        def publish(self, event: object, pub_from: object) -> None:
            """Hand an event to whoever waits for the answer."""

    class ChatAppRunner:
        def run(self, application_generate_entity: Any, work: Any) -> None:
            """Answer a message."""
            del application_generate_entity
            work(lambda event: AppQueueManager().publish(event, "APPLICATION_MANAGER"))

    queue = module("core.app.apps.base_app_queue_manager", AppQueueManager)
    runner = module("core.app.apps.chat.app_runner", ChatAppRunner)
    del queue
    return lambda work: runner.ChatAppRunner().run(application_generate_entity=ENTITY, work=work)


def ends(recorded: Recording) -> tuple[str, object, object]:
    """Tell how the one message ended: status of its span, its own status, its error."""
    span = recorded.span("message chat")
    known = dict(span.attributes or {})
    return (
        span.status.status_code.name,
        known.get(t.MESSAGE_STATUS.key),
        known.get(t.ERROR_TYPE.key),
    )


def test_a_message_that_its_user_stops_has_not_failed(recorded: Recording, answer: Any) -> None:
    def stopped(_publish: Any) -> None:
        raise GenerateTaskStoppedError

    with pytest.raises(GenerateTaskStoppedError):
        answer(stopped)
    assert ends(recorded) == ("UNSET", "stopped", None)
    assert recorded.total("dify.requests.total", type="message", status="stopped") == 1
    assert recorded.points("dify.errors.total") == {}


def test_an_answer_of_an_annotation_or_of_moderation_is_an_answer(
    recorded: Recording, answer: Any
) -> None:
    answer(lambda publish: publish(QueueStopEvent()))
    assert ends(recorded) == ("UNSET", "succeeded", None)


def test_a_message_fails_with_what_its_queue_is_told(recorded: Recording, answer: Any) -> None:
    answer(lambda publish: publish(QueueErrorEvent(TimeoutError("too slow"))))
    assert ends(recorded) == ("ERROR", "failed", "TimeoutError")
    assert recorded.total("dify.errors.total", type="message", error_category="timeout") == 1
