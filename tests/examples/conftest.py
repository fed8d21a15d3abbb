"""What the tests of the examples share: a model server, and a way to run an app in this process.

They run on whichever graphon is installed, so that the environments of other versions can run the
same modules.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

# The examples are no installed package; `pytest` alone does not know where the repository is.
sys.path.insert(0, str(Path(__file__).parents[2]))

from examples.host.apps import App, load_app
from examples.host.engine import Run
from examples.host.provider import OpenAIRuntime
from examples.model_server import ModelServer, Provider


@dataclass
class Outcome:
    """What graphon told of a run.

    Attributes:
        end: the class name of the last event.
        outputs: of the run; none where it failed.
        error: of the run.
        nodes: (node, how it ended), in the order in which they ended.
        events: class names of all events with the node's id, in order.
        tokens: those of all nodes but containers, whose usage is that of the nodes inside.
    """

    end: str = ""
    outputs: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    nodes: list[tuple[str, str]] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)
    tokens: int = 0

    def see(self, event: Any) -> None:
        """Add one event."""
        name = type(event).__name__
        self.events.append((name, getattr(event, "node_id", "")))
        if name.startswith("GraphRun"):
            self.end, self.error = name, getattr(event, "error", None)
            self.outputs = getattr(event, "outputs", {})
        ends = {
            "NodeRunSucceededEvent": "succeeded",
            "NodeRunFailedEvent": "failed",
            "NodeRunExceptionEvent": "exception",
        }
        if name in ends:
            self.nodes.append((event.node_id, ends[name]))
            if event.node_type not in ("iteration", "loop"):
                self.tokens += event.node_run_result.llm_usage.total_tokens


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """Yield a model server in this process, its counts at zero."""
    with ModelServer(Provider(ttft=0, chunk=0)) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


@pytest.fixture
def models(server: ModelServer) -> Iterator[OpenAIRuntime]:
    """Yield a model runtime that calls the model server."""
    runtime = OpenAIRuntime(f"{server.url}/v1", "sk-example")
    yield runtime
    runtime.close()


@pytest.fixture
def run_app(
    server: ModelServer, models: OpenAIRuntime, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """Return what runs an app, given by name or as an App, and says how it went."""
    monkeypatch.setenv("SERVICE_URL", server.url)

    def run(app: str | App, **inputs: str) -> Outcome:
        outcome = Outcome()
        loaded = load_app(app) if isinstance(app, str) else app
        for event in Run(loaded, inputs, "tester", models).events():
            outcome.see(event)
        return outcome

    return run
