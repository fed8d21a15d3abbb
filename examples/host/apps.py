"""The apps: what a DSL file of Dify's says."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from graphon.enums import BuiltinNodeTypes

APPS = Path(__file__).parent.parent / "apps"


@dataclass(frozen=True)
class App:
    """An app as its DSL file describes it.

    Attributes:
        name: the file's name without the ending; `app-<name>` is its API key.
        graph: nodes and edges, as graphon takes them.
        environment: the workflow's environment variables, by name.
    """

    name: str
    graph: Mapping[str, Any]
    environment: Mapping[str, Any]

    @property
    def app_id(self) -> str:
        """The app's id, the same on every machine."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"examples/{self.name}"))

    @property
    def workflow_id(self) -> str:
        """The id of the app's workflow."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"examples/{self.name}/workflow"))

    @property
    def start(self) -> Mapping[str, Any]:
        """The start node."""
        nodes = self.graph["nodes"]
        return next(n for n in nodes if n["data"]["type"] == BuiltinNodeTypes.START)

    def missing(self, inputs: Mapping[str, Any]) -> list[str]:
        """Return the required inputs that are not there."""
        variables = self.start["data"]["variables"]
        return [v["variable"] for v in variables if v["required"] and not inputs.get(v["variable"])]


def load_app(name: str, folder: Path = APPS) -> App:
    """Read an app's DSL.

    An environment variable of the workflow that this process has too takes the process's value:
    what is edited by hand after an import into Dify.

    Raises:
        LookupError: there is no such app, or it is no workflow.
    """
    known = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if name not in known:
        raise LookupError(f"no app {name!r}; there are {', '.join(known)}")
    dsl = yaml.safe_load(known[name].read_text(encoding="utf-8"))
    if dsl.get("kind") != "app" or dsl["app"]["mode"] != "workflow":
        raise LookupError(f"{name} is no workflow app: this host runs nothing else")
    variables = dsl["workflow"].get("environment_variables") or []
    return App(
        name=name,
        graph=dsl["workflow"]["graph"],
        environment={v["name"]: os.environ.get(v["name"], v["value"]) for v in variables},
    )
