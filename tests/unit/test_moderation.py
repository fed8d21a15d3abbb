"""Checks of what users ask and models answer: one for each that an app has asked for."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from otel_dify import table as t
from otel_dify.sources.dify import helpers
from tests.recording import Recording


@pytest.fixture
def factory() -> Any:
    """Stand for Dify's factory of moderations, with one that flags a word."""

    class ModerationFactory:
        def __init__(self) -> None:
            self.__extension_instance = SimpleNamespace(
                name="keywords", app_id="app-1", tenant_id="tenant-1"
            )

        def moderation_for_inputs(self, inputs: dict[str, str], query: str = "") -> Any:
            del inputs
            return SimpleNamespace(flagged="word" in query, action="direct_output")

        def moderation_for_outputs(self, text: str) -> Any:
            raise ConnectionError(text)

    module = ModuleType("core.moderation.factory")
    module.ModerationFactory = ModerationFactory  # type: ignore[attr-defined] # a module made here
    helpers.attach(module)
    return ModerationFactory()


def test_a_flagged_question_is_a_verdict_and_no_failure(recorded: Recording, factory: Any) -> None:
    """Dify raises ``ModerationError`` to answer it; that comes later and elsewhere."""
    factory.moderation_for_inputs({}, "a word")
    factory.moderation_for_inputs({}, query="fine")

    verdicts = recorded.tree(t.MODERATION_FLAGGED, t.MODERATION_ACTION)
    assert verdicts.splitlines() == [
        "moderation input {moderation.flagged=True, moderation.action=direct_output}",
        "moderation input {moderation.flagged=False}",
    ]
    total = "dify.requests.total"
    assert recorded.total(total, type="moderation", flagged=True, app_id="app-1") == 1
    assert recorded.total(total, type="moderation", flagged=False, tenant_id="tenant-1") == 1


def test_a_check_that_cannot_be_made_has_failed(recorded: Recording, factory: Any) -> None:
    with pytest.raises(ConnectionError):
        factory.moderation_for_outputs("an answer")
    assert recorded.attributes("moderation output")["error.type"] == "ConnectionError"
