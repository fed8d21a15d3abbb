"""Messages of chat, completion, agent and chatflow apps, and what Dify enqueues for streams.

A message is made by the app's runner, in a thread of its own; what it publishes to the queue of
the request tells when the first token came, how it ended and why it failed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from otel_dify import table as t
from otel_dify.guard import guarded, never_raises
from otel_dify.operations.current import current, here
from otel_dify.operations.operation import Operation
from otel_dify.sources.calls import Arguments, Call, attach_calls, plain
from otel_dify.sources.carry import in_context
from otel_dify.sources.dify import activity, apps, requests
from otel_dify.sources.hooks import hook

_RUNNERS = {
    "core.app.apps.chat.app_runner": "ChatAppRunner.run",
    "core.app.apps.completion.app_runner": "CompletionAppRunner.run",
    "core.app.apps.agent_chat.app_runner": "AgentChatAppRunner.run",
    "core.app.apps.advanced_chat.app_runner": "AdvancedChatAppRunner.run",
}
_GENERATORS = {
    "core.app.apps.workflow.app_generator": "WorkflowAppGenerator.generate",
    "core.app.apps.advanced_chat.app_generator": "AdvancedChatAppGenerator.generate",
    "core.app.apps.chat.app_generator": "ChatAppGenerator.generate",
    "core.app.apps.completion.app_generator": "CompletionAppGenerator.generate",
    "core.app.apps.agent_chat.app_generator": "AgentChatAppGenerator.generate",
}
_AGENTS = {
    "core.agent.fc_agent_runner": ("FunctionCallAgentRunner.run", "function_call"),
    "core.agent.cot_agent_runner": ("CotAgentRunner.run", "cot"),
}
_QUEUE = "core.app.apps.base_app_queue_manager"
_SERVICE = "services.app_generate_service"
_THOUGHTS = "core.agent.base_agent_runner"

WATCHES = (*_RUNNERS, *_GENERATORS, *_AGENTS, _QUEUE, _SERVICE, _THOUGHTS)

_FIRST_TOKEN = frozenset({"QueueLLMChunkEvent", "QueueTextChunkEvent", "QueueAgentMessageEvent"})
# Event to the type of the failure; empty: that of its exception.
_ERRORS = {"QueueErrorEvent": "", "QueueWorkflowFailedEvent": "WorkflowError"}
_PAUSE = "QueueWorkflowPausedEvent"
_END = "QueueMessageEndEvent"
_TELLING = frozenset({*_FIRST_TOKEN, *_ERRORS, _PAUSE, _END})


def attach(module: ModuleType) -> None:
    """Attach to one of the modules that it watches."""
    name = module.__name__
    if name in _RUNNERS:
        attach_calls(module, Call(_RUNNERS[name], t.MESSAGE, _describe, _answered))
    elif name in _GENERATORS:
        apps.attach()
        hook(module, _GENERATORS[name], _on_generate, "names of apps are not known")
    elif name in _AGENTS:
        function, strategy = _AGENTS[name]
        attach_calls(module, Call(function, t.AGENT, lambda given: _agent(given, strategy)))
    elif name == _QUEUE:
        activity.attach()
        lost = "time to first token and failures of messages are not seen"
        hook(module, "AppQueueManager.publish", _on_publish, lost)
    elif name == _THOUGHTS:
        lost = "rounds of agents are not counted"
        hook(module, "BaseAgentRunner.create_agent_thought", _on_thought, lost)
    else:
        lost = "requests whose run a worker runs do not have name and mode of their app"
        hook(module, "AppGenerateService.generate", _on_request, lost)
        enqueue = "AppGenerateService._build_streaming_task_on_subscribe"
        hook(module, enqueue, _on_enqueue, "a streamed run may be a trace of its own")


def _on_generate(wrapped: Callable[..., Any], _generator: Any, args: Any, kwargs: Any) -> Any:
    """Learn what something is generated for: the app, and what its caller named."""
    with guarded("otel_dify.sources.dify.messages generate"):
        apps.learn(kwargs.get("app_model") or args[0], kwargs.get("workflow"))
        requests.take(kwargs.get("args") or {})
    return wrapped(*args, **kwargs)


def _on_request(wrapped: Callable[..., Any], _service: Any, args: Any, kwargs: Any) -> Any:
    with guarded("otel_dify.sources.dify.messages request"):
        names = ("app_model", "user", "args", "invoke_from")
        _requested(dict(zip(names, args, strict=False)) | kwargs)
    return wrapped(*args, **kwargs)


def _requested(given: Mapping[str, Any]) -> None:
    """Tell the request whose app it is for: what runs it may be another process."""
    app, request = given["app_model"], current()
    apps.learn(app)
    if request is not None:
        known = apps.app_of(app.id)
        request.set(t.TENANT_ID, known.tenant)
        request.set(t.APP_ID, app.id)
        request.set(t.APP_NAME, known.name)
        request.set(t.APP_MODE, known.mode)
        request.set(t.INVOKE_FROM, plain(given.get("invoke_from")))
        user = given.get("user")
        if user is not None:
            # Not by `getattr`: of a row it could ask the database.
            request.set(t.USER_ID, vars(user).get("id"))


def _describe(given: Arguments) -> Mapping[t.Attribute, object]:
    """Collect what a message is, from a runner's arguments or from the runner itself."""
    runner = given["self"]

    def find(name: str) -> Any:
        return given.get(name, getattr(runner, name, None))

    entity, message, conversation = (
        find(name) for name in ("application_generate_entity", "message", "conversation")
    )
    config = entity.app_config
    model = getattr(entity, "model_conf", None)
    activity.see(config.app_id, getattr(conversation, "id", None), entity.user_id)
    return {
        t.TENANT_ID: config.tenant_id,
        t.APP_ID: config.app_id,
        t.APP_NAME: apps.app_of(config.app_id).name,
        t.APP_MODE: plain(config.app_mode),
        t.INVOKE_FROM: plain(entity.invoke_from),
        t.USER_ID: entity.user_id,
        t.CONVERSATION_ID: getattr(conversation, "id", None),
        t.MESSAGE_ID: getattr(message, "id", None),
        t.OPERATION_TYPE: "message",
        t.STREAM: bool(entity.stream),
        t.DIFY_PROVIDER: getattr(model, "provider", None),
        t.REQUEST_MODEL: getattr(model, "model", None),
        t.SESSION_ID: (entity.extras or {}).get("trace_session_id"),
        t.MESSAGE_INPUTS: {"inputs": entity.inputs, "query": getattr(entity, "query", None)},
    }


def _answered(message: Operation, _result: Any, _given: Arguments) -> None:
    """Tell who serves a message how it ended, where no event has."""
    ended = "failed" if message.failed else "succeeded"
    message.tell(t.MESSAGE_STATUS, message.get(t.MESSAGE_STATUS) or ended)


def _agent(given: Arguments, strategy: str) -> Mapping[t.Attribute, object]:
    runner = given["self"]
    return {
        t.OPERATION_NAME: "invoke_agent",
        t.AGENT_STRATEGY: strategy,
        t.REQUEST_MODEL: runner.model_config.model,
        t.DIFY_PROVIDER: runner.model_config.provider,
        t.AGENT_QUERY: given.get("query"),
    }


def _around(kind: t.Kind) -> Operation | None:
    """Return the operation of a kind that this thread works on."""
    here = current()
    return None if here is None else here.enclosing(kind)


def _on_publish(wrapped: Callable[..., Any], _manager: Any, args: Any, kwargs: Any) -> Any:
    with guarded("otel_dify.sources.dify.messages publish"):
        _see(args[0] if args else kwargs["event"])
    return wrapped(*args, **kwargs)


def _see(event: Any) -> None:
    """Take what an event to the queue of a request tells about the message."""
    name = type(event).__name__
    if name not in _TELLING or (message := _around(t.MESSAGE)) is None:
        return
    if name in _FIRST_TOKEN:
        if message.get(t.MESSAGE_FIRST_TOKEN) is None:
            seconds = (time.time_ns() - message.start_ns) / 1e9
            message.set(t.MESSAGE_FIRST_TOKEN, seconds)
    elif name in _ERRORS:
        message.fail(event.error, _ERRORS[name])
        message.set(t.MESSAGE_ERROR, str(event.error))
        message.tell(t.MESSAGE_STATUS, "failed")
    elif name == _PAUSE:
        message.set(t.MESSAGE_STATUS, "paused")
        message.tell(t.MESSAGE_STATUS, "paused")
    elif not message.failed:
        # Now: the request may be answered before the runner returns.
        message.tell(t.MESSAGE_STATUS, "succeeded")


def _on_thought(wrapped: Callable[..., Any], _runner: Any, args: Any, kwargs: Any) -> Any:
    thought = wrapped(*args, **kwargs)
    _thought(thought)
    return thought


@never_raises("otel_dify.sources.dify.messages thought")
def _thought(thought: object) -> None:
    """Note a round of an agent, by the id of its row in ``message_agent_thoughts``."""
    operation = _around(t.AGENT)
    if operation is not None:
        rounds = operation.get(t.AGENT_ROUNDS)
        count = rounds + 1 if isinstance(rounds, int) else 1
        operation.set(t.AGENT_ROUNDS, count)
        operation.happened("agent.thought", {t.AGENT_THOUGHT_ID: thought, t.AGENT_ROUNDS: count})


def _on_enqueue(wrapped: Callable[..., Any], _service: Any, args: Any, kwargs: Any) -> Any:
    """Enqueue a streamed run in the context of its request.

    Dify sends the task from a callback of the subscription or from a timer, wherever that runs.
    """
    with guarded("otel_dify.sources.dify.messages enqueue"):
        send = args[0] if args else kwargs["start_task"]
        args, kwargs = (in_context(send, here()),), {}
    return wrapped(*args, **kwargs)
