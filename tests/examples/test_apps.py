"""Each app runs on the installed graphon to the outcome that its inputs ask for."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from examples.host.apps import APPS, App, load_app
from examples.host.provider import OpenAIRuntime
from examples.host.tools import KNOWLEDGE, KnowledgeTool
from examples.model_server import ModelServer

type RunApp = Callable[..., Any]


def chat_tokens(server: ModelServer) -> int:
    """Return the tokens of all chat calls, as the server counted them."""
    return sum(
        counts.get("input_tokens", 0) + counts.get("output_tokens", 0)
        for counts in server.provider.stats().get("chat", {}).values()
    )


def succeeded(*nodes: str) -> list[tuple[str, str]]:
    """Return the nodes, each with the outcome `succeeded`."""
    return [(node, "succeeded") for node in nodes]


def test_a_billing_question_gets_a_ticket_and_an_answer(run_app: RunApp) -> None:
    outcome = run_app("support_triage", question="I was charged twice", customer="Ada")
    assert outcome.end == "GraphRunSucceededEvent"
    nodes = ("start", "classify", "case", "needs_ticket", "ticket", "answer", "end")
    assert outcome.nodes == succeeded(*nodes)
    assert outcome.outputs["topic"] == "Billing: invoices, payments, charges"
    assert "Ada" in outcome.outputs["ticket"]
    assert "I was charged twice" in outcome.outputs["answer"]


@pytest.mark.parametrize(
    ("question", "topic"),
    [
        ("The inverter shows an error", "Technical: errors, outages, inverter"),
        ("Do you like music?", "Anything else"),
    ],
)
def test_other_questions_get_an_answer_only(run_app: RunApp, question: str, topic: str) -> None:
    outcome = run_app("support_triage", question=question)
    assert outcome.nodes == succeeded("start", "classify", "case", "needs_ticket", "answer", "end")
    assert outcome.outputs["topic"] == topic
    assert outcome.outputs["ticket"] is None


@pytest.mark.parametrize("parallel", [False, True])
def test_every_source_is_summarised_and_the_loop_stops_when_final(
    run_app: RunApp, parallel: bool
) -> None:
    app = load_app("research_batch")
    graph = copy.deepcopy(dict(app.graph))
    next(n for n in graph["nodes"] if n["id"] == "each")["data"]["is_parallel"] = parallel
    outcome = run_app(replace(app, graph=graph), topic="solar output in the evening")
    assert outcome.end == "GraphRunSucceededEvent"
    ended = [node for node, status in outcome.nodes if status == "succeeded"]
    assert len(ended) == len(outcome.nodes)
    assert ended.count("brief") == ended.count("summarise") == 3
    # The loop may run five times; the report is final after the second.
    assert ended.count("write") == ended.count("keep") == 2
    assert outcome.outputs["report"] == "FINAL report after round 2."
    assert outcome.outputs["rounds"] == 3
    titles = outcome.outputs["sources"].split(", ")
    notes = outcome.outputs["notes"].splitlines()
    assert [title in note for title, note in zip(titles, notes, strict=True)] == [True] * 3


def test_a_retry_and_a_fail_branch_recover(run_app: RunApp) -> None:
    outcome = run_app("flaky_enrichment", customer="Ada", enrichment_status="503")
    assert outcome.end == "GraphRunPartialSucceededEvent"
    assert outcome.events.count(("NodeRunRetryEvent", "profile")) == 1
    assert ("profile", "succeeded") in outcome.nodes
    assert ("enrich", "exception") in outcome.nodes
    assert outcome.outputs["profile"] == ("Ada: not enriched (Request failed with status code 503)")


def test_the_success_branch_is_taken_where_nothing_fails(run_app: RunApp) -> None:
    outcome = run_app("flaky_enrichment", customer="Ada", enrichment_status="200")
    assert ("enriched", "succeeded") in outcome.nodes
    assert "plain" not in dict(outcome.nodes)


def test_a_default_value_stands_in_for_a_model_that_refuses(run_app: RunApp) -> None:
    outcome = run_app("flaky_enrichment", customer="Ada", score_request="RATELIMIT")
    assert outcome.end == "GraphRunPartialSucceededEvent"
    assert ("score", "exception") in outcome.nodes
    assert outcome.outputs["score"] == "not scored"


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("AUTHFAIL", "Incorrect model credentials"),
        ("RATELIMIT", "429 from the model provider"),
        ("SERVERERROR", "500 from the model provider"),
        ("BREAKSTREAM", "RemoteProtocolError"),
    ],
)
def test_a_failure_without_recovery_fails_the_run(run_app: RunApp, word: str, says: str) -> None:
    outcome = run_app("flaky_enrichment", customer="Ada", summary_request=word)
    assert outcome.end == "GraphRunFailedEvent"
    assert outcome.nodes[-1] == ("summary", "failed")
    assert says in outcome.error


def test_tokens_of_the_nodes_are_those_that_the_server_counted(
    run_app: RunApp, server: ModelServer
) -> None:
    tokens = 0
    for name, inputs in (
        ("support_triage", {"question": "I was charged twice"}),
        ("research_batch", {"topic": "solar output"}),
        ("flaky_enrichment", {"customer": "Ada", "score_request": "RATELIMIT"}),
        ("flaky_enrichment", {"customer": "Ada", "summary_request": "BREAKSTREAM"}),
    ):
        tokens += run_app(name, **inputs).tokens
    assert tokens == chat_tokens(server) > 0


def test_a_search_embeds_query_and_documents_and_reranks_once(
    run_app: RunApp, server: ModelServer
) -> None:
    run_app("research_batch", topic="solar output")
    stats = server.provider.stats()
    assert stats["embeddings"]["text-embedding-3-small"]["requests"] == 2
    assert stats["rerank"]["rerank-v3.5"]["requests"] == 1


def test_a_document_can_be_found_by_its_words(models: OpenAIRuntime) -> None:
    tool = KnowledgeTool(models)
    first = next(tool.invoke(tool_parameters={"query": "espresso bar degrees", "top_n": "1"}))
    assert first.message is not None
    assert first.message.model_dump()["json_object"]["text"] == KNOWLEDGE["Espresso"]


def test_every_app_file_is_a_dify_workflow_with_the_variables_the_host_sets() -> None:
    names = sorted(path.stem for path in APPS.glob("*.yaml"))
    assert names == ["flaky_enrichment", "research_batch", "support_triage"]
    for name in names:
        assert list(load_app(name).environment) == ["SERVICE_URL"]


def test_an_unknown_app_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(LookupError, match="no app 'poem'; there are flaky_enrichment"):
        load_app("poem")


def test_an_unknown_node_type_is_refused(run_app: RunApp) -> None:
    app = load_app("support_triage")
    graph = copy.deepcopy(dict(app.graph))
    graph["nodes"][1]["data"]["type"] = "knowledge-retrieval"
    with pytest.raises(ValueError, match="this example host has no node type knowledge-retrieval"):
        run_app(App("other", graph, app.environment), question="?")
