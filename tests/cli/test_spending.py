"""Time is told by what Dify waited for, as the product's own recorders saw it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from otel_dify import table as t
from otel_dify.cli.analysis import analyse, queries_of
from otel_dify.cli.critical_path import critical_path
from otel_dify.cli.kinds import kind_of
from otel_dify.cli.spending import Where, where_of
from otel_dify.operations.current import start
from tests.cli.conftest import Ran
from tests.cli.reading import traces_in
from tests.cli.recorded import traces_of
from tests.recording import Recording

NODE = {t.NODE_TYPE: "llm", t.NODE_TITLE: "Draft", t.NODE_ID: "1"}
CHAT = {t.OPERATION_NAME: "chat", t.REQUEST_MODEL: "gpt-4o"}
TOOL = {t.TOOL_NAME: "search", t.OPERATION_NAME: "execute_tool"}
DAEMON = {t.HTTP_METHOD: "POST", t.PEER: "plugin-daemon", t.URL_TEMPLATE: "/plugin/dispatch"}
SANDBOX = {t.HTTP_METHOD: "POST", t.PEER: "sandbox", t.URL_TEMPLATE: "/v1/sandbox/run"}
VECTORS = {t.HTTP_METHOD: "POST", t.PEER: "weaviate", t.URL_TEMPLATE: "/v1/graphql"}
ELSEWHERE = {t.HTTP_METHOD: "GET"}
QUERY = {t.DB_SYSTEM: "postgresql", t.DB_OPERATION: "SELECT", t.DB_NAMESPACE: "dify"}


@contextmanager
def inside(*kinds: tuple[t.Kind, dict[t.Attribute, Any]]) -> Iterator[None]:
    """Have operations around a block, the outermost first."""
    if not kinds:
        yield
        return
    (kind, known), *others = kinds
    operation = start(kind, known)
    with operation.active(), inside(*others):
        yield
    operation.end()


@pytest.mark.parametrize(
    ("where", "kinds"),
    [
        (Where.DIFY, [(t.NODE, NODE)]),
        (Where.MODEL, [(t.NODE, NODE), (t.MODEL_CALL, CHAT)]),
        (Where.MODEL, [(t.NODE, NODE), (t.MODEL_CALL, CHAT), (t.HTTP_CALL, DAEMON)]),
        (Where.TOOLS, [(t.NODE, NODE), (t.TOOL_CALL, TOOL), (t.HTTP_CALL, DAEMON)]),
        (Where.PLUGIN, [(t.NODE, NODE), (t.HTTP_CALL, DAEMON)]),
        (Where.SANDBOX, [(t.NODE, NODE), (t.HTTP_CALL, SANDBOX)]),
        (Where.KNOWLEDGE, [(t.NODE, NODE), (t.RETRIEVAL, {t.RETRIEVAL_SOURCE: "dataset"})]),
        (Where.KNOWLEDGE, [(t.RETRIEVAL, {t.RETRIEVAL_SOURCE: "x"}), (t.HTTP_CALL, VECTORS)]),
        (Where.SERVICES, [(t.NODE, NODE), (t.HTTP_CALL, ELSEWHERE)]),
        (Where.DIFY, [(t.TOOL_CALL, TOOL), (t.RUN, {t.APP_NAME: "as a tool"})]),
        (Where.MODEL, [(t.MODEL_CALL, CHAT), (t.CUSTOM, {t.CUSTOM_NAME: "mine"})]),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(k.name for k, _ in value),
)
def test_the_innermost_operation_that_says_so_tells_what_time_is_spent_in(
    recorded: Recording, where: Where, kinds: list[tuple[t.Kind, dict[t.Attribute, Any]]]
) -> None:
    with inside(*kinds):
        pass
    [trace] = traces_of(recorded)
    found = where_of(trace.spans[-1], critical_path(trace).parents)
    assert found[0] is where


def test_a_slow_query_is_of_the_database(recorded: Recording) -> None:
    with inside((t.NODE, NODE)):
        query = start(t.QUERY, QUERY)
        query.fail(ConnectionError("gone"))
        query.end()
    [trace] = traces_of(recorded)
    assert where_of(trace.spans[-1], critical_path(trace).parents)[0] is Where.DATABASE


@pytest.mark.parametrize("kind", t.KINDS, ids=lambda kind: kind.name)
def test_every_kind_of_the_table_is_told_from_its_span(recorded: Recording, kind: t.Kind) -> None:
    known = {a: "x" for a in (*kind.attributes, t.APP_NAME, t.APP_MODE) if a.type == "string"}
    with inside((t.NODE, NODE)):  # queries have no spans where there is none above
        operation = start(kind, dict(known))
        operation.fail(RuntimeError("no fast one folds"))
        operation.end()
    [trace] = traces_of(recorded)
    told = kind_of(trace.spans[-1])
    assert told is not None
    assert told is kind or (kind is t.DRAFT_NODE and told is t.NODE)


def test_folded_queries_of_an_operation_are_of_the_database(ran: Ran) -> None:
    for trace in traces_in(ran.files, "research_batch"):
        found = analyse(trace)
        database = next(one for one in found.spent if one.where is Where.DATABASE)
        # A slow one, on a busy machine, has a span and is not folded.
        folded_ns = sum(ns for name, ns in database.most if name.startswith("queries of "))
        assert 0 < folded_ns <= found.queries.seconds * 1e9
        assert found.queries.number == sum(n for n, _ in found.queries.systems.values())
        assert found.queries.systems.keys() == {"sqlite", "redis"}
        assert queries_of(()).number == 0


def test_a_streamed_run_waits_in_the_queue_and_for_models(ran: Ran) -> None:
    [trace, _] = traces_in(ran.files, "research_batch")
    spent = {one.where: one for one in analyse(trace).spent}
    assert {Where.QUEUE, Where.MODEL, Where.TOOLS, Where.DIFY} <= spent.keys()
    assert {name.split()[0] for name, _ in spent[Where.MODEL].most} == {
        *("chat", "embeddings", "rerank"),
    }
    [(queue, waited_ns)] = spent[Where.QUEUE].most
    assert queue == "workflow_based_app_execution"
    [send] = [span for span in trace.spans if kind_of(span) is t.SEND]
    [task] = [span for span in trace.spans if kind_of(span) is t.TASK]
    # Celery's message is stamped before the span begins that sends it.
    sent_ns = max(task.start_ns - task.number(t.QUEUE_WAIT.key) * 1e9, send.start_ns)
    assert waited_ns == pytest.approx(task.start_ns - sent_ns, abs=1000)


def test_what_failed_is_named_with_its_place_and_what_the_run_survived_is_not_taken_for_it(
    ran: Ran,
) -> None:
    [trace, _] = traces_in(ran.files, "flaky_enrichment")
    ended, survived = analyse(trace).failures
    assert (ended.span.name, ended.recovered) == ("llm Summarise", False)
    assert ended.place == ("invoke_workflow flaky_enrichment",)
    assert ended.why.startswith("InvokeServerUnavailableError: 500 from the model provider")
    assert (survived.span.name, survived.recovered) == ("http-request Enrich the profile", True)


def test_the_innermost_failed_node_is_named_and_the_items_it_lies_in(recorded: Recording) -> None:
    iteration = {t.NODE_TYPE: "iteration", t.NODE_TITLE: "Each", t.NODE_ID: "2"}
    kinds: list[tuple[t.Kind, dict[t.Attribute, Any]]] = [
        (t.RUN, {t.APP_NAME: "app"}),
        (t.NODE, iteration),
        (t.ITEM, {t.INDEX: 3}),
        (t.NODE, NODE),
    ]
    _fail(kinds, lambda: None)
    [trace] = traces_of(recorded)
    [failure] = analyse(trace).failures
    assert failure.span.name == "llm Draft"
    assert failure.place == ("invoke_workflow app", "iteration Each", "iteration item 3")
    assert failure.why == "RuntimeError: it broke"


def _fail(
    kinds: list[tuple[t.Kind, dict[t.Attribute, Any]]], innermost: Callable[[], None]
) -> None:
    if not kinds:
        innermost()
        return
    (kind, known), *others = kinds
    operation = start(kind, known)
    with operation.active():
        _fail(others, innermost)
    operation.fail(RuntimeError("it broke"))
    operation.end()
