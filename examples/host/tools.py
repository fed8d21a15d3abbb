"""The one tool of the host: a search in a small knowledge base.

It embeds the query and the documents, takes the nearest, and lets a rerank model order them, so
that a tool node calls models as Dify's retrieval does.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from graphon.model_runtime.entities.llm_entities import LLMUsage
from graphon.model_runtime.entities.text_embedding_entities import EmbeddingInputType
from graphon.model_runtime.errors.invoke import InvokeError
from graphon.nodes.tool.exc import ToolNodeError
from graphon.nodes.tool_runtime_entities import (
    ToolRuntimeHandle,
    ToolRuntimeMessage,
    ToolRuntimeParameter,
)

from examples.host.models import ModelInstance

if TYPE_CHECKING:
    from graphon.nodes.tool.entities import ToolNodeData

EMBEDDING_MODEL = "text-embedding-3-small"
RERANK_MODEL = "rerank-v3.5"
_CANDIDATES = 4

KNOWLEDGE = {
    "Solar panels": "A solar panel turns light into direct current; output falls as it warms.",
    "Wind turbines": "Wind turbines need steady wind; output grows with the cube of its speed.",
    "Batteries": "Batteries store energy for the evening, when solar output falls to nothing.",
    "Heat pumps": "A heat pump moves three units of heat for each unit of energy it takes.",
    "Transformers": "A transformer changes voltage; its losses warm the oil around the core.",
    "Espresso": "Espresso wants nine bar, ninety-three degrees and about twenty-five seconds.",
}


class KnowledgeTool:
    """graphon's tool runtime, with the tool `search` of the provider `knowledge_base`.

    Args:
        runtime: who calls the models.
    """

    def __init__(self, runtime: Any) -> None:
        self._embedding = ModelInstance(runtime, EMBEDDING_MODEL)
        self._rerank = ModelInstance(runtime, RERANK_MODEL)

    def get_runtime(self, *, node_data: ToolNodeData, **kwargs: Any) -> ToolRuntimeHandle:
        """Return a handle for the tool. Raises a ToolNodeError for any other tool."""
        del kwargs
        if (node_data.provider_name, node_data.tool_name) != ("knowledge_base", "search"):
            raise ToolNodeError(f"no tool {node_data.provider_name}/{node_data.tool_name}")
        return ToolRuntimeHandle(raw=node_data.tool_name)

    def get_runtime_parameters(
        self, *, tool_runtime: ToolRuntimeHandle
    ) -> Sequence[ToolRuntimeParameter]:
        """Return the parameters: what is asked, and how many documents are wanted."""
        del tool_runtime
        return [ToolRuntimeParameter("query", required=True), ToolRuntimeParameter("top_n")]

    def invoke(
        self, *, tool_parameters: Mapping[str, Any], **kwargs: Any
    ) -> Generator[ToolRuntimeMessage, None, None]:
        """Yield one JSON message a document (title, text, score) and a text one with the titles.

        Raises:
            ToolNodeError: a model could not be called.
        """
        del kwargs
        try:
            found = self._search(str(tool_parameters["query"]), int(tool_parameters["top_n"]))
        except InvokeError as error:
            raise ToolNodeError(str(error)) from error
        for document in found:
            yield ToolRuntimeMessage(
                type=ToolRuntimeMessage.MessageType.JSON,
                message=ToolRuntimeMessage.JsonMessage(json_object=document),
            )
        titles = ", ".join(document["title"] for document in found)
        yield ToolRuntimeMessage(message=ToolRuntimeMessage.TextMessage(text=titles))

    def _search(self, query: str, top_n: int) -> list[dict[str, Any]]:
        titles, texts = list(KNOWLEDGE), list(KNOWLEDGE.values())
        wanted = self._embedding.invoke_text_embedding([query], EmbeddingInputType.QUERY)
        known = self._embedding.invoke_text_embedding(texts)
        (target,) = wanted.embeddings
        nearness = [
            sum(a * b for a, b in zip(target, vector, strict=True)) for vector in known.embeddings
        ]
        nearest = sorted(range(len(texts)), key=lambda i: -nearness[i])[:_CANDIDATES]
        ranked = self._rerank.invoke_rerank(query, [texts[i] for i in nearest], top_n)
        return [
            {"title": titles[nearest[doc.index]], "text": doc.text, "score": doc.score}
            for doc in ranked.docs
        ]

    def get_usage(self, *, tool_runtime: ToolRuntimeHandle) -> LLMUsage:
        """Return nothing: Dify counts no tokens of models that a tool calls."""
        del tool_runtime
        return LLMUsage.empty_usage()

    def build_file_reference(self, *, mapping: Mapping[str, Any]) -> NoReturn:
        """Refuse: the host keeps no files."""
        raise ToolNodeError(f"this example host keeps no files: {sorted(mapping)}")
