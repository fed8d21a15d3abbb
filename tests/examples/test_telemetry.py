"""What otel_dify sees of the example apps: the whole tree, every token, and the ids on its events.

The same on graphon 0.6 and on the newest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from inline_snapshot import snapshot

from examples.model_server import ModelServer
from otel_dify import table as t
from otel_dify.sources import registry
from tests.recording import Recording, by_item

for _source in ("dify_graphon", "dify_models", "dify_tools"):
    registry.attach(_source)

type RunApp = Callable[..., Any]

SHOWN = (t.NODE_STATUS, t.RUN_STATUS, t.INDEX, t.INPUT_TOKENS, t.OUTPUT_TOKENS, t.ERROR_TYPE)


def test_triage_is_one_tree_with_every_node_and_call(run_app: RunApp, recorded: Recording) -> None:
    run_app("support_triage", question="I was charged twice", customer="Ada")
    assert recorded.tree(*SHOWN) == snapshot("""\
invoke_workflow support_triage {workflow.status=succeeded}
  start Start {node.status=succeeded}
  question-classifier Classify the question {node.status=succeeded}
    chat gpt-4o-mini {usage.input_tokens=670, usage.output_tokens=31}
  template-transform Write up the case {node.status=succeeded}
  if-else Needs a ticket? {node.status=succeeded}
  http-request Open a ticket {node.status=succeeded}
  llm Draft the answer {node.status=succeeded}
    chat gpt-4o-mini {usage.input_tokens=64, usage.output_tokens=26}
  end End {node.status=succeeded}\
""")


def test_items_and_passes_hold_their_own_nodes_and_calls(
    run_app: RunApp, recorded: Recording
) -> None:
    run_app("research_batch", topic="solar output in the evening")
    assert recorded.tree(*SHOWN, order=by_item) == snapshot("""\
invoke_workflow research_batch {workflow.status=succeeded}
  end End {node.status=succeeded}
  iteration For each source {node.status=succeeded}
    iteration item {node.index=0}
      llm Summarise the source {node.status=succeeded, node.index=0}
        chat gpt-4o-mini {usage.input_tokens=43, usage.output_tokens=37}
      template-transform Write the brief {node.status=succeeded, node.index=0}
    iteration item {node.index=1}
      llm Summarise the source {node.status=succeeded, node.index=1}
        chat gpt-4o-mini {usage.input_tokens=43, usage.output_tokens=37}
      template-transform Write the brief {node.status=succeeded, node.index=1}
    iteration item {node.index=2}
      llm Summarise the source {node.status=succeeded, node.index=2}
        chat gpt-4o-mini {usage.input_tokens=44, usage.output_tokens=37}
      template-transform Write the brief {node.status=succeeded, node.index=2}
  loop Refine the report {node.status=succeeded}
    loop pass {node.index=0}
      assigner Keep it {node.status=succeeded, node.index=0}
      llm Write the next version {node.status=succeeded, node.index=0}
        chat o4-mini {usage.input_tokens=149, usage.output_tokens=55}
    loop pass {node.index=1}
      assigner Keep it {node.status=succeeded, node.index=1}
      llm Write the next version {node.status=succeeded, node.index=1}
        chat o4-mini {usage.input_tokens=156, usage.output_tokens=55}
  start Start {node.status=succeeded}
  template-transform Collect the notes {node.status=succeeded}
  tool Search the knowledge base {node.status=succeeded}
    execute_tool search
      embeddings text-embedding-3-small {usage.input_tokens=7}
      embeddings text-embedding-3-small {usage.input_tokens=110}
      rerank rerank-v3.5\
""")


def test_retries_recovery_and_failure_are_told_apart(run_app: RunApp, recorded: Recording) -> None:
    run_app("flaky_enrichment", customer="Ada", summary_request="AUTHFAIL")
    assert recorded.tree(*SHOWN) == snapshot("""\
invoke_workflow flaky_enrichment [ERROR] {workflow.status=failed, error.type=InvokeAuthorizationError}
  start Start {node.status=succeeded}
  http-request Fetch the profile {node.status=succeeded} !retry
  http-request Enrich the profile {node.status=exception} !recovered
  template-transform Without enrichment {node.status=succeeded}
  variable-aggregator Merge {node.status=succeeded}
  llm Score {node.status=succeeded}
    chat gpt-4o-mini {usage.input_tokens=32, usage.output_tokens=26}
  llm Summarise [ERROR] {node.status=failed, error.type=InvokeAuthorizationError}
    chat gpt-4o [ERROR] {error.type=InvokeAuthorizationError}\
""")


def test_tokens_are_those_that_the_model_server_counted(
    run_app: RunApp, recorded: Recording, server: ModelServer
) -> None:
    run_app("support_triage", question="I was charged twice", customer="Ada")
    run_app("research_batch", topic="solar output in the evening")
    run_app("flaky_enrichment", customer="Ada")
    stats = server.provider.stats()
    for operation in ("chat", "embeddings"):
        assert stats[operation]
        for model, counted in stats[operation].items():
            for token in ("input", "output"):
                told = recorded.total(
                    "gen_ai.client.token.usage",
                    gen_ai__operation__name=operation,
                    gen_ai__request__model=model,
                    gen_ai__token__type=token,
                )
                assert told == counted.get(f"{token}_tokens", 0), (operation, model, token)


def test_every_event_carries_the_ids_of_its_span_and_the_run(
    run_app: RunApp, recorded: Recording
) -> None:
    run_app("research_batch", topic="solar output in the evening")
    spans = {span.context.span_id: span for span in recorded.spans}
    [run] = {span.attributes.get(t.RUN_ID.key) for span in spans.values() if span.attributes}
    assert {record.event_name for record in recorded.events} == {
        "dify.workflow.run",
        "dify.node.execution",
        "dify.tool.execution",
        "gen_ai.client.inference.operation.details",
    }
    for record in recorded.events:
        span = spans[record.span_id]
        assert record.trace_id == span.context.trace_id
        assert record.attributes[t.RUN_ID.key] == run
