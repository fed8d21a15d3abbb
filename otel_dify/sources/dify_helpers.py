"""What Dify asks models besides running apps: names, questions, prompts, code; and moderation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from otel_dify.operations import attributes as a
from otel_dify.operations.kinds_of_apps import GENERATION, MODERATION
from otel_dify.operations.operation import Operation
from otel_dify.sources.calls import Arguments, Call, attach_calls

_GENERATOR = "core.llm_generator.llm_generator"
_INPUT = "core.moderation.input_moderation"
_OUTPUT = "core.moderation.output_moderation"
WATCHES = (_GENERATOR, _INPUT, _OUTPUT)

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
                Call(f"LLMGenerator.{name}", GENERATION, _generation(kind), _generated)
                for name, kind in _FUNCTIONS.items()
            ),
        )
    elif module.__name__ == _INPUT:
        attach_calls(module, Call("InputModeration.check", MODERATION, _input, _checked))
    else:
        attach_calls(module, Call("OutputModeration.moderation", MODERATION, _output, _moderated))


def _generation(kind: str) -> Callable[[Arguments], Mapping[a.Attribute, object]]:
    def describe(given: Arguments) -> Mapping[a.Attribute, object]:
        return {
            a.OPERATION_TYPE: kind,
            a.TENANT_ID: given.get("tenant_id"),
            a.APP_ID: given.get("app_id"),
            a.CONVERSATION_ID: given.get("conversation_id"),
            a.GENERATION_INPUT: given.get("query") or given.get("instruction"),
        }

    return describe


def _generated(operation: Operation, result: Any, _given: Arguments) -> None:
    """Take the result; these functions return their errors instead of raising them."""
    operation.set(a.GENERATION_OUTPUT, result)
    error = result.get("error") if isinstance(result, Mapping) else None
    if error:
        operation.fail(str(error), "GenerationError")


def _input(given: Arguments) -> Mapping[a.Attribute, object]:
    return {
        a.MODERATION_TYPE: "input",
        a.TENANT_ID: given.get("tenant_id"),
        a.APP_ID: given.get("app_id"),
        a.MESSAGE_ID: given.get("message_id"),
        a.MODERATION_QUERY: given.get("query"),
    }


def _checked(operation: Operation, result: Any, _given: Arguments) -> None:
    operation.set(a.MODERATION_FLAGGED, bool(result[0]))


def _output(given: Arguments) -> Mapping[a.Attribute, object]:
    return {
        a.MODERATION_TYPE: "output",
        a.TENANT_ID: given.get("tenant_id"),
        a.APP_ID: given.get("app_id"),
        a.MODERATION_QUERY: given.get("moderation_buffer"),
    }


def _moderated(operation: Operation, result: Any, _given: Arguments) -> None:
    flagged = result is not None and bool(result.flagged)
    operation.set(a.MODERATION_FLAGGED, flagged)
    if flagged:
        operation.set(a.MODERATION_ACTION, getattr(result.action, "value", result.action))
