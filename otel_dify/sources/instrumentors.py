"""Our sources as instrumentors: the entry points that every OpenTelemetry loader loads.

With our distro they only name sources that can be switched off. Where the loader chose another
distro, the first of them takes over: it starts otel_dify and attaches all sources. Where an
operator names another configurator, they do nothing.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any, ClassVar

from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined] # untyped
    BaseInstrumentor,
)

from otel_dify import startup
from otel_dify.guard import guarded
from otel_dify.sources import registry
from otel_dify.takeover import forget_the_others_protocol, is_another_chosen, take_over


class _Source(BaseInstrumentor):  # type: ignore[misc] # upstream is untyped
    """Attaches the sources of one name."""

    name: ClassVar[str]

    def instrumentation_dependencies(self) -> Collection[str]:
        """A source waits for what it watches; nothing need be installed."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        del kwargs
        if is_another_chosen(os.environ):
            return
        with guarded("otel_dify.sources.instrumentors protocol"):
            forget_the_others_protocol(os.environ)
        if startup.set_up():
            take_over(os.environ)
            registry.attach(self.name)

    def _uninstrument(self, **kwargs: Any) -> None:
        """Hooks stay: a process that is to run without them is started without them."""


class Graphon(_Source):
    """The graphon engine: runs, nodes, iteration items and loop passes."""

    name = "dify_graphon"


class Models(_Source):
    """The model runtimes: every call of a model."""

    name = "dify_models"


class Messages(_Source):
    """Messages, agents, and what Dify enqueues for streams."""

    name = "dify_messages"


class Pauses(_Source):
    """Runs that wait for a person, linked to what goes on with them."""

    name = "dify_pauses"


class Requests(_Source):
    """What a caller of Dify names: its trace and its session."""

    name = "dify_requests"


class Steps(_Source):
    """Nodes tried out in the editor."""

    name = "dify_steps"


class Retrieval(_Source):
    """Retrieval from data sets."""

    name = "dify_retrieval"


class Helpers(_Source):
    """What Dify asks models besides running apps, and moderation."""

    name = "dify_helpers"


class Lifecycle(_Source):
    """What becomes of apps, data sets, answers and annotations."""

    name = "dify_lifecycle"


class Indexing(_Source):
    """Indexing of documents."""

    name = "dify_indexing"


class Outside(_Source):
    """Files, mail and triggers."""

    name = "dify_outside"


class Threads(_Source):
    """Context across the threads that Dify starts."""

    name = "dify_threads"


class Tools(_Source):
    """Calls of tools."""

    name = "dify_tools"
