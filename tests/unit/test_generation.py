"""What Dify asks models besides running apps: it returns its failures instead of raising them."""

from __future__ import annotations

from types import ModuleType

import pytest

from otel_dify import table as t
from otel_dify.operations.current import start
from otel_dify.sources.dify import helpers
from tests.recording import Recording


class RateLimitError(Exception):
    """What a model fails with."""


@pytest.mark.parametrize(
    ("error", "error_type"),
    [
        ("Failed to generate rule config. Error: slow down", "RateLimitError"),
        ("Could not find a valid JSON object", "GenerationError"),
    ],
)
def test_a_generation_fails_with_what_its_model_failed_with(
    recorded: Recording, error: str, error_type: str
) -> None:
    class LLMGenerator:
        @classmethod
        def generate_rule_config(cls, tenant_id: str) -> dict[str, str]:
            del tenant_id
            call = start(t.MODEL_CALL)
            call.fail(RateLimitError("slow down"))
            call.end()
            return {"error": error}

    module = ModuleType("core.llm_generator.llm_generator")
    module.LLMGenerator = LLMGenerator  # type: ignore[attr-defined] # a module made here
    helpers.attach(module)
    LLMGenerator.generate_rule_config("tenant-1")

    assert recorded.attributes("generate rule_generate")["error.type"] == error_type
