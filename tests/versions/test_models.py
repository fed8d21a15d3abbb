"""Calls of models: each counted once, however its answer is consumed."""

from __future__ import annotations

import gc
import io
import logging
import threading
from typing import Any

import pytest
from inline_snapshot import snapshot

from otel_dify import table as t
from tests.recording import Recording
from tests.versions.fakes import (
    LLM_DATA,
    MODEL_DATA,
    PROVIDER,
    Models,
    RateLimited,
    ask,
    llm_extra,
    model,
)
from tests.versions.fakes import classifier_extra as classifier
from tests.versions.graphs import Shape, Template, run

SHOWN = (t.STREAM, t.INPUT_TOKENS, t.OUTPUT_TOKENS, t.FINISH_REASONS, t.ERROR_TYPE)


def assert_counted_as(recorded: Recording, models: Models) -> None:
    """Compare the tokens counted with those that the runtime told of."""
    counted = [
        recorded.total("gen_ai.client.token.usage", gen_ai__token__type=kind)
        for kind in ("input", "output")
    ]
    assert counted == [models.input_tokens, models.output_tokens]


@pytest.fixture(autouse=True)
def _no_context_is_lost(caplog: pytest.LogCaptureFixture) -> Any:
    with caplog.at_level(logging.DEBUG, logger="opentelemetry"):
        yield
    assert "Failed to detach context" not in caplog.text


def test_a_call_without_streaming(recorded: Recording) -> None:
    models = Models()

    result = ask(models, stream=False)

    assert result.message.content == "fine"
    assert recorded.tree(*SHOWN) == snapshot(
        "chat gpt-4o {usage.input_tokens=7, usage.output_tokens=3}"
    )
    assert_counted_as(recorded, models)
    known = recorded.attributes("chat gpt-4o")
    assert {key: value for key, value in known.items() if key.startswith(("gen_ai", "dify"))} == (
        snapshot(
            {
                "gen_ai.operation.name": "chat",
                "dify.model.provider": "langgenius/openai/openai",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.request.temperature": 0.5,
                "gen_ai.request.max_tokens": 64,
                "dify.model.input.count": 1,
                "gen_ai.response.model": "gpt-4o",
                "gen_ai.usage.input_tokens": 7,
                "gen_ai.usage.output_tokens": 3,
                "gen_ai.usage.cost": 0.01,
                "gen_ai.usage.cost.currency": "USD",
                "gen_ai.input.messages": "ref:none",
                "gen_ai.output.messages": "ref:none",
            }
        )
    )


def test_a_streamed_call_ends_with_its_last_chunk(recorded: Recording) -> None:
    models = Models()

    chunks = ask(models)
    assert recorded.spans == []
    answer = [chunk.delta.message.content for chunk in chunks]

    assert answer == ["f", "i", "n", "e", ""]
    assert recorded.tree(*SHOWN) == snapshot(
        "chat gpt-4o {request.stream=True, usage.input_tokens=7, usage.output_tokens=3, response.finish_reasons=('stop',)}"
    )
    assert_counted_as(recorded, models)
    assert recorded.counts("gen_ai.client.operation.time_to_first_chunk", "error.type") == {None: 1}


def test_a_stream_consumed_later_and_on_another_thread_is_counted_once(
    recorded: Recording,
) -> None:
    models = Models()
    chunks = ask(models)
    reader = threading.Thread(target=lambda: list(chunks))
    reader.start()
    reader.join()

    assert list(chunks) == []
    assert recorded.tree(*SHOWN) == snapshot(
        "chat gpt-4o {request.stream=True, usage.input_tokens=7, usage.output_tokens=3, response.finish_reasons=('stop',)}"
    )
    assert_counted_as(recorded, models)


def test_a_stream_consumed_in_part_ends_when_it_is_closed(recorded: Recording) -> None:
    models = Models()
    chunks = ask(models)
    next(chunks)
    chunks.close()

    assert recorded.tree(*SHOWN) == snapshot("chat gpt-4o {request.stream=True}")
    assert_counted_as(recorded, models)


def test_a_stream_dropped_in_part_ends_when_it_is_collected(recorded: Recording) -> None:
    chunks = ask(Models())
    next(chunks)
    del chunks
    gc.collect()

    assert len(recorded.spans) == 1


def test_a_stream_that_nobody_consumes_ends_when_it_is_dropped(recorded: Recording) -> None:
    models = Models()
    chunks = ask(models)
    del chunks
    gc.collect()

    assert recorded.tree(*SHOWN) == snapshot("chat gpt-4o {request.stream=True}")
    assert_counted_as(recorded, models)


def test_a_stream_that_fails_midway_is_an_error(recorded: Recording) -> None:
    models = Models(fail_at=2)

    chunks = ask(models)
    assert next(chunks).delta.message.content == "f"
    assert next(chunks).delta.message.content == "i"
    with pytest.raises(RateLimited, match="slow down"):
        next(chunks)

    assert recorded.tree(*SHOWN) == snapshot(
        "chat gpt-4o [ERROR] {request.stream=True, error.type=InvokeRateLimitError}"
    )
    assert_counted_as(recorded, models)


def test_a_call_that_fails_raises_what_it_raised(recorded: Recording) -> None:
    with pytest.raises(RateLimited, match="slow down"):
        ask(Models(fail_at=0), stream=False)

    assert recorded.tree(*SHOWN, t.ERROR_MESSAGE) == snapshot(
        "chat gpt-4o [ERROR] {error.type=InvokeRateLimitError, error.message=slow down}"
    )
    labels = [dict(point) for point in recorded.points("gen_ai.client.operation.duration")]
    assert [point["error.type"] for point in labels] == ["InvokeRateLimitError"]


def test_every_kind_of_model_is_seen(recorded: Recording) -> None:
    models = Models()
    given: dict[str, Any] = {"model": "m", "credentials": {}}

    model("text_embedding", models).invoke(**given, texts=["a", "b"])
    model("rerank", models).invoke(**given, query="q", docs=["a", "b", "c"])
    model("rerank", models).invoke_multimodal_rerank(**given, query={}, docs=[{}])
    model("moderation", models).invoke("m", {}, "nice words")
    model("speech2text", models).invoke(**given, file=io.BytesIO(b"sound"))
    spoken = model("tts", models).invoke(**given, content_text="hi", voice="v")

    assert b"".join(spoken) == b"fine"
    assert recorded.tree(t.INPUT_COUNT, t.INPUT_TOKENS, t.STREAM, t.CALL_PRICE) == snapshot("""\
embeddings m {model.input.count=2, usage.input_tokens=10, usage.cost=0.01}
rerank m {model.input.count=3}
rerank m {model.input.count=1}
moderation m
speech_to_text m
text_to_speech m {request.stream=True}\
""")
    assert_counted_as(recorded, models)
    durations = recorded.counts("gen_ai.client.operation.duration", "gen_ai.operation.name")
    assert durations == snapshot(
        {"embeddings": 1, "rerank": 2, "moderation": 1, "speech_to_text": 1, "text_to_speech": 1}
    )
    assert models.calls == sum(durations.values())


def test_a_bad_call_fails_as_without_telemetry(recorded: Recording) -> None:
    with pytest.raises(TypeError, match="missing"):
        model("rerank", Models()).invoke("m", {})

    assert [span.status.status_code.name for span in recorded.spans] == ["ERROR"]


def test_an_llm_node_holds_its_call_and_adds_up_its_tokens(recorded: Recording) -> None:
    models = Models()
    shape = Shape().start().node("llm", "llm", **LLM_DATA).end(text=("llm", "text"))
    shape.chain("start", "llm", "end").extra["llm"] = llm_extra(models)

    ended = run(shape)

    assert ended.outputs == {"text": "fine"}
    assert recorded.tree(t.TOTAL_TOKENS, t.INPUT_TOKENS, t.TOTAL_PRICE) == snapshot("""\
invoke_workflow {usage.total_tokens=10, usage.total_price=0.01}
  start start
  llm llm {usage.total_tokens=10, usage.total_price=0.01}
    chat gpt-4o {usage.input_tokens=7}
  end end\
""")
    known = recorded.attributes("llm llm")
    assert (known["dify.model.provider"], known["gen_ai.request.model"]) == (PROVIDER, "gpt-4o")
    assert_counted_as(recorded, models)
    assert recorded.total("dify.tokens.total", operation_type="workflow") == 10
    assert recorded.total("dify.tokens.total", operation_type="node_execution") == 10


def test_a_failed_llm_node_names_the_error_of_its_call(recorded: Recording) -> None:
    shape = Shape().start().node("llm", "llm", **LLM_DATA).end()
    shape.chain("start", "llm", "end").extra["llm"] = llm_extra(Models(fail_at=0))

    run(shape)

    assert recorded.tree(t.ERROR_TYPE, t.ERROR_MESSAGE) == snapshot("""\
invoke_workflow [ERROR] {error.type=InvokeRateLimitError, error.message=slow down}
  start start
  llm llm [ERROR] {error.type=InvokeRateLimitError, error.message=slow down}
    chat gpt-4o [ERROR] {error.type=InvokeRateLimitError, error.message=slow down}\
""")


def test_a_question_classifier_holds_its_call(recorded: Recording) -> None:
    answer = '```json\n{"category_id": "b", "category_name": "B"}\n```'
    models = Models(answer)
    shape = Shape().start()
    shape.node(
        "which",
        "question-classifier",
        query_variable_selector=["start", "query"],
        model=MODEL_DATA,
        classes=[{"id": "a", "name": "A"}, {"id": "b", "name": "B"}],
    )
    shape.end("end-a").end("end-b").chain("start", "which")
    shape.edge("which", "end-a", "a").edge("which", "end-b", "b")
    shape.extra["question-classifier"] = classifier(models, Template())

    run(shape, {"query": "why?"})

    assert recorded.tree(t.TOTAL_TOKENS) == snapshot("""\
invoke_workflow {usage.total_tokens=10}
  start start
  question-classifier which {usage.total_tokens=10}
    chat gpt-4o
  end end-b\
""")
    assert_counted_as(recorded, models)


def test_models_in_parallel_items_lie_below_their_items_and_are_counted_once(
    recorded: Recording,
) -> None:
    models = Models()
    shape = Shape().start()
    shape.iteration(
        "each",
        ("start", "items"),
        output_selector=["llm", "text"],
        is_parallel=True,
        parallel_nums=4,
    )
    shape.node("llm", "llm", inside="each", **LLM_DATA).end()
    shape.chain("start", "each", "end").chain("each-start", "llm")
    shape.extra["llm"] = llm_extra(models)

    run(shape, {"items": list("abcdefgh")})

    assert models.calls == 8
    assert_counted_as(recorded, models)
    by_id = {span.context.span_id: span for span in recorded.spans}
    calls = [span for span in recorded.spans if span.name == "chat gpt-4o"]
    indexes = set()
    for call in calls:
        node = by_id[call.parent.span_id if call.parent else 0]
        item = by_id[node.parent.span_id if node.parent else 0]
        assert (node.name, item.name) == ("llm llm", "iteration item")
        indexes.add(dict(item.attributes or {})["dify.node.index"])
    assert indexes == set(range(8))
    assert recorded.attributes("invoke_workflow")["dify.usage.total_tokens"] == 80


def test_tokens_of_failed_attempts_are_counted_too(recorded: Recording) -> None:
    """A retried node has paid for its failures: with its model, and in the sums of the engine."""
    models = Models()
    attempts: list[int] = []

    def think(node: Any) -> Any:
        spent = ask(models, stream=False).usage
        attempts.append(1)
        failed = len(attempts) < 3
        result = type(node).failed if failed else type(node).succeeded
        return result(llm_usage=spent)

    retry = {"max_retries": 3, "retry_interval": 1, "retry_enabled": True}
    shape = Shape().start().script("think", think, retry_config=retry).end()
    shape.chain("start", "think", "end")

    ended = run(shape)

    assert models.calls == 3
    assert_counted_as(recorded, models)
    told_by_engine = ended.tokens
    assert told_by_engine == 30
    assert recorded.total("dify.tokens.total", operation_type="workflow") == told_by_engine
    assert recorded.total("dify.tokens.total", operation_type="node_execution") == told_by_engine
