"""Calls of tools by tool nodes."""

from __future__ import annotations

from inline_snapshot import snapshot

from otel_dify import table as t
from tests.recording import Recording, recording
from tests.versions.fakes import TOOL_DATA, Tools, tool_extra
from tests.versions.graphs import Ended, Shape, run

SHOWN = (t.TOOL_NAME, t.TOOL_TYPE, t.TOOL_PROVIDER, t.TOOL_STATUS, t.ERROR_TYPE, t.ERROR_MESSAGE)


def forecast(tools: Tools) -> Ended:
    shape = Shape().start().node("tool", "tool", **TOOL_DATA).end(text=("tool", "text"))
    shape.chain("start", "tool", "end").extra["tool"] = tool_extra(tools)
    return run(shape)


def test_a_tool_node_holds_its_call_until_the_last_message(recorded: Recording) -> None:
    ended = forecast(Tools("sun", "ny"))

    assert ended.outputs == {"text": "sunny"}
    assert recorded.tree(*SHOWN) == snapshot("""\
invoke_workflow
  start start
  tool tool {tool.name=forecast}
    execute_tool forecast {tool.name=forecast, tool.provider_type=builtin, tool.provider=weather, tool.status=succeeded}
  end end\
""")
    assert recorded.total("dify.requests.total", type="tool", status="succeeded") == 1
    assert recorded.counts("dify.tool.duration", "tool_name") == {"forecast": 1}


def test_a_tool_that_fails_at_once(recorded: Recording) -> None:
    forecast(Tools(fails="no weather"))

    assert recorded.tree(*SHOWN) == snapshot("""\
invoke_workflow [ERROR] {error.type=ToolNodeError, error.message=Failed to invoke tool: no weather}
  start start
  tool tool [ERROR] {tool.name=forecast, error.type=ToolNodeError, error.message=Failed to invoke tool: no weather}
    execute_tool forecast [ERROR] {tool.name=forecast, tool.provider_type=builtin, tool.provider=weather, tool.status=failed, error.type=ToolNodeError, error.message=no weather}\
""")
    assert recorded.total("dify.errors.total", type="tool") == 1


def test_a_tool_that_fails_between_two_messages(recorded: Recording) -> None:
    forecast(Tools("sun", fails="lost the rest", late=True))

    assert recorded.tree(*SHOWN) == snapshot("""\
invoke_workflow [ERROR] {error.type=ToolNodeError, error.message=lost the rest}
  start start
  tool tool [ERROR] {tool.name=forecast, error.type=ToolNodeError, error.message=lost the rest}
    execute_tool forecast [ERROR] {tool.name=forecast, tool.provider_type=builtin, tool.provider=weather, tool.status=failed, error.type=ToolNodeError, error.message=lost the rest}\
""")
    assert recorded.total("dify.requests.total", type="tool", status="failed") == 1


def test_arguments_and_messages_are_content() -> None:
    with recording("span_and_event") as recorded:
        forecast(Tools("sun", "ny"))

    known = recorded.attributes("execute_tool forecast")
    assert known["gen_ai.tool.call.arguments"] == '{"city": "Oslo"}'
    assert known["gen_ai.tool.call.result"] == '["sun", "ny"]'
