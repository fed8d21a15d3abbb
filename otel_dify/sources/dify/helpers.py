"""What Dify asks models besides running apps: names, questions, prompts, code; and moderation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from otel_dify import table as t
from otel_dify.operations.operation import Operation
from otel_dify.sources.calls import Arguments, Call, attach_calls, plain

_GENERATOR = "core.llm_generator.llm_generator"
_OF_WORKFLOWS = "core.workflow.generator.runner"
# Where a check is made, if the app asks for one: its callers are called for every message.
_MODERATION = "core.moderation.factory"
_FACTORY = "ModerationFactory.moderation_for"
WATCHES = (_GENERATOR, _OF_WORKFLOWS, _MODERATION)

# Function to its operation type, as Dify Enterprise's data dictionary has it where it does.
_FUNCTIONS = {
    "generate_conversation_name": "generate_name",
    "generate_suggested_questions_after_answer": "suggested_question",
    "generate_rule_config": "rule_generate",
    "generate_code": "code_generate",
    "generate_structured_output": "structured_output",
    "instruction_modify_legacy": "instruction_modify",
    "instruction_modify_workflow": "instruction_modify",
    "generate_qa_document": "qa_document",
}


def attach(module: ModuleType) -> None:
    """Attach to one of the modules that it watches."""
    if module.__name__ == _GENERATOR:
        attach_calls(
            module,
            *(
                Call(f"LLMGenerator.{name}", t.GENERATION, _generation(kind), _generated)
                for name, kind in _FUNCTIONS.items()
            ),
        )
    elif module.__name__ == _OF_WORKFLOWS:
        function = "WorkflowGenerator.generate_workflow_graph"
        describe = _generation("workflow_generate")
        attach_calls(module, Call(function, t.GENERATION, describe, _generated))
    else:
        attach_calls(
            module,
            *(
                Call(f"{_FACTORY}_{kind}s", t.MODERATION, _moderation(kind), _moderated)
                for kind in ("input", "output")
            ),
        )


def _generation(kind: str) -> Callable[[Arguments], Mapping[t.Attribute, object]]:
    def describe(given: Arguments) -> Mapping[t.Attribute, object]:
        return {
            t.OPERATION_TYPE: kind,
            t.TENANT_ID: given.get("tenant_id"),
            t.APP_ID: given.get("app_id"),
            t.CONVERSATION_ID: given.get("conversation_id"),
            t.GENERATION_INPUT: given.get("query") or given.get("instruction"),
        }

    return describe


def _generated(operation: Operation, result: Any, _given: Arguments) -> None:
    """Take the result; these functions return their errors instead of raising them."""
    operation.set(t.GENERATION_OUTPUT, result)
    error = result.get("error") if isinstance(result, Mapping) else None
    if error:
        operation.fail(str(error), "GenerationError")


def _moderation(kind: str) -> Callable[[Arguments], Mapping[t.Attribute, object]]:
    def describe(given: Arguments) -> Mapping[t.Attribute, object]:
        # What Dify's factory has made: for keywords, a model or an API.
        moderation = getattr(given["self"], "_ModerationFactory__extension_instance", None)
        return {
            t.MODERATION_TYPE: kind,
            t.MODERATION_PROVIDER: getattr(moderation, "name", None),
            t.TENANT_ID: getattr(moderation, "tenant_id", None),
            t.APP_ID: getattr(moderation, "app_id", None),
            t.MODERATION_QUERY: given.get("query") or given.get("inputs") or given.get("text"),
        }

    return describe


def _moderated(operation: Operation, result: Any, _given: Arguments) -> None:
    """Take the verdict; flagged input that gets a fixed answer is raised only later, by Dify."""
    operation.set(t.MODERATION_FLAGGED, bool(result.flagged))
    if result.flagged:
        operation.set(t.MODERATION_ACTION, plain(result.action))
