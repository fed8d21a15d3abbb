"""Names, modes and tenants of apps by their ids, and versions of workflows by theirs.

They are learned wherever Dify has them in its hands: runs, messages and conversations know only
ids, and asking the database would be a query of ours. What is known is the info metric
``dify.app.info``, which names are joined from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from otel_dify import table as t
from otel_dify.cleaning.text import clean
from otel_dify.process import process
from otel_dify.settings import METRIC_TENANT_LABELS, Settings
from otel_dify.signals.gauges import provide

LIMIT = 10_000
"""Apps remembered; beyond it those seen longest ago are forgotten. The same for workflows."""
SHOWN = 500
"""Apps of the info metric: those seen last."""
VERSIONS = 4
"""Workflows of an app in the info metric: those seen last."""
DRAFT = "draft"
"""Version of the workflow that somebody edits."""


class App(NamedTuple):
    """What is known of an app; empty where it is not."""

    name: str = ""
    mode: str = ""
    tenant: str = ""


class Apps:
    """The apps and workflows that this process has seen.

    Attributes:
        known: apps by their ids, in the order in which they were seen last.
        versions: versions of workflows by their ids.
        workflows: ids of an app's workflows, in the order in which they were seen last.
    """

    def __init__(self) -> None:
        self.known: dict[str, App] = {}
        self.versions: dict[str, str] = {}
        self.workflows: dict[str, dict[str, None]] = {}


def learn(app: object, workflow: object = None) -> None:
    """Take note of an app, by its row, and of the workflow that it runs, by that one's."""
    found = (getattr(app, name, None) for name in ("name", "mode", "tenant_id"))
    identity = str(getattr(app, "id", ""))
    kept = process.kept(Apps)
    kept.known.pop(identity, None)
    kept.known[identity] = App(*(str(getattr(value, "value", value) or "") for value in found))
    if len(kept.known) > LIMIT:
        oldest = next(iter(kept.known))
        kept.known.pop(oldest, None)
        kept.workflows.pop(oldest, None)
    version = getattr(workflow, "version", None)
    if version:
        _learn_version(kept, identity, str(getattr(workflow, "id", "")), str(version))


def _learn_version(kept: Apps, app: str, workflow: str, version: str) -> None:
    kept.versions[workflow] = version
    if len(kept.versions) > LIMIT:
        kept.versions.pop(next(iter(kept.versions)), None)
    own = kept.workflows.setdefault(app, {})
    own.pop(workflow, None)
    own[workflow] = None
    if len(own) > VERSIONS:
        own.pop(next(iter(own)), None)


def app_of(identity: object) -> App:
    """Return what is known of an app."""
    return process.kept(Apps).known.get(str(identity), App())


def version_of(workflow: object) -> str:
    """Return the version of a workflow; empty where it is not known."""
    return process.kept(Apps).versions.get(str(workflow), "")


def attach() -> None:
    """Provide the info metric, unless metrics are to know no apps."""
    if Settings()[METRIC_TENANT_LABELS]:
        provide(t.APP_INFO, read)


def read() -> Iterable[tuple[float, dict[str, str]]]:
    """Read the info metric: 1 for each app and workflow."""
    kept = process.kept(Apps)
    return [
        (1, labels)
        for identity, app in list(kept.known.items())[-SHOWN:]
        for labels in _labels(kept, identity, app)
    ]


def _labels(kept: Apps, identity: str, app: App) -> Iterator[dict[str, str]]:
    name = clean(app.name, t.APP_NAME.text) or identity
    known = {
        "tenant_id": app.tenant,
        "app_id": identity,
        "app_name": name,
        "app_mode": app.mode,
    }
    workflows = list(kept.workflows.get(identity, ()))
    if not workflows:
        yield known
    for workflow in workflows:
        version = kept.versions.get(workflow, "")
        yield known | {"workflow_id": workflow, "workflow_version": version}
