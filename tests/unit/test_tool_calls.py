"""Calls of tools by agents, on the shapes of ``Tool.invoke`` that versions of Dify have."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from otel_dify import table as t
from otel_dify.sources.dify import tools
from tests.recording import recording

IDENTITY = SimpleNamespace(name="get_weather", provider="weather")


class _Tool:
    """What every version of the base class has."""

    entity = SimpleNamespace(identity=IDENTITY)
    runtime = SimpleNamespace(tenant_id="tenant-1")

    def tool_provider_type(self) -> str:
        return "plugin"


def of_1_14() -> tuple[Any, tuple[Any, ...]]:
    """Make the class of Dify 1.13 and 1.14, and the arguments before those that all have."""

    class Tool(_Tool):
        def invoke(
            self,
            user_id: str,
            tool_parameters: dict[str, Any],
            conversation_id: str | None = None,
            app_id: str | None = None,
            message_id: str | None = None,
        ) -> Iterator[Any]:
            del user_id, conversation_id, app_id, message_id
            yield from tool_parameters

    return Tool, ()


def of_1_16() -> tuple[Any, tuple[Any, ...]]:
    """Make the class of Dify 1.16, which is given a session of the database."""

    class Tool(_Tool):
        def invoke(  # noqa: PLR0917 - as Dify has it
            self,
            session: object,
            user_id: str,
            tool_parameters: dict[str, Any],
            conversation_id: str | None = None,
            app_id: str | None = None,
            message_id: str | None = None,
        ) -> Iterator[Any]:
            del session, user_id, conversation_id, app_id, message_id
            yield from tool_parameters

    return Tool, (object(),)


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize("version", [of_1_14, of_1_16])
def test_a_call_has_its_arguments_whatever_their_order(version: Any, by_name: bool) -> None:
    module = ModuleType("core.tools.__base.tool")
    tool, before = version()
    vars(module)["Tool"] = tool
    tools.attach(module)
    asked = ("user-1", {"city": "Oslo"}, "talk-1", "app-1", "message-1")
    names = ("user_id", "tool_parameters", "conversation_id", "app_id", "message_id")

    with recording("span_only") as recorded:
        told = dict(zip(names, asked, strict=True))
        result = tool().invoke(*before, **told) if by_name else tool().invoke(*before, *asked)
        assert list(result) == ["city"]

    [span] = recorded.spans
    known = dict(span.attributes or {})
    assert span.name == "execute_tool get_weather"
    assert (known[t.APP_ID.key], known[t.MESSAGE_ID.key]) == ("app-1", "message-1")
    assert known[t.TOOL_INPUTS.key] == '{"city": "Oslo"}'
