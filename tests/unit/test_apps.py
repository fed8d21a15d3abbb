"""What ids of apps and workflows mean: the info metric, and the release of Dify."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from otel_dify import resource
from otel_dify import table as t
from otel_dify.process import process
from otel_dify.release import release_of_dify
from otel_dify.resource import Slot
from otel_dify.settings import Settings
from otel_dify.signals.gauges import Readers
from otel_dify.sources.dify import apps, lifecycle
from tests.recording import Recording


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each test begin without apps."""
    for sort in (apps.Apps, Readers):
        monkeypatch.setitem(process._kept, sort, sort())
    return iter(())


def app(identity: str = "app-1", name: str = "Report writer") -> Any:
    """Make a row of an app."""
    return SimpleNamespace(id=identity, name=name, mode="workflow", tenant_id="tenant-1")


def workflow(identity: str, version: str) -> Any:
    """Make a row of a workflow."""
    return SimpleNamespace(id=identity, version=version)


def test_the_info_metric_says_what_ids_mean() -> None:
    apps.learn(app(), workflow("w-1", "2026-11-01"))
    apps.learn(app(name="Report writer, new"), workflow("w-2", "2026-11-24"))
    apps.learn(app("app-2", ""))
    of_one = {"tenant_id": "tenant-1", "app_id": "app-1", "app_name": "Report writer, new"}
    assert list(apps.read()) == [
        (
            1,
            {
                **of_one,
                "app_mode": "workflow",
                "workflow_id": "w-1",
                "workflow_version": "2026-11-01",
            },
        ),
        (
            1,
            {
                **of_one,
                "app_mode": "workflow",
                "workflow_id": "w-2",
                "workflow_version": "2026-11-24",
            },
        ),
        (
            1,
            {
                "tenant_id": "tenant-1",
                "app_id": "app-2",
                "app_name": "app-2",
                "app_mode": "workflow",
            },
        ),
    ]
    assert apps.version_of("w-2") == "2026-11-24"
    assert apps.version_of("w-3") == ""


def test_an_app_has_few_workflows_and_a_process_few_apps_in_the_info_metric() -> None:
    for number in range(apps.VERSIONS * 3):
        apps.learn(app(), workflow(f"w-{number}", str(number)))
    versions = [labels["workflow_version"] for _, labels in apps.read()]
    assert versions == [str(number) for number in range(apps.VERSIONS * 2, apps.VERSIONS * 3)]
    for number in range(apps.SHOWN + 5):
        apps.learn(app(f"many-{number}"))
    apps.learn(app())
    shown = {labels["app_id"] for _, labels in apps.read()}
    assert len(shown) == apps.SHOWN
    assert "app-1" in shown
    assert "many-0" not in shown


def test_secrets_in_names_are_masked() -> None:
    apps.learn(app(name="Writer api_key=S3CRET"))
    [(_, labels)] = apps.read()
    assert "S3CRET" not in labels["app_name"]


@pytest.mark.parametrize("labels", ["true", "false"])
def test_metrics_that_are_to_know_no_apps_have_no_info_of_them(
    monkeypatch: pytest.MonkeyPatch, labels: str
) -> None:
    monkeypatch.setenv("OTEL_DIFY_METRIC_TENANT_LABELS", labels)
    apps.attach()
    provided = t.APP_INFO.name in process.kept(Readers).known
    assert provided is (labels == "true")


def test_a_published_workflow_and_a_changed_app_are_told_of(recorded: Recording) -> None:
    blinker = pytest.importorskip("blinker")
    module = ModuleType("events.app_event")
    names = (
        *("app_was_created", "app_was_updated", "app_was_deleted"),
        *("app_model_config_was_updated", "app_published_workflow_was_updated"),
    )
    for name in names:
        setattr(module, name, blinker.Signal())
    lifecycle.attach(module)
    published: Any = module.app_published_workflow_was_updated
    published.send(app(), published_workflow=workflow("w-2", "2026-11-24"))
    changed: Any = module.app_model_config_was_updated
    changed.send(app(), app_model_config=object())

    told = [(record.event_name, record.body) for record in recorded.told]
    assert told == [
        (
            "dify.workflow.published",
            "workflow of app Report writer (app-1) was published as version 2026-11-24",
        ),
        ("dify.app.updated", "app Report writer (app-1) was changed"),
    ]
    assert recorded.told[0].attributes[t.WORKFLOW_ID.key] == "w-2"


def test_the_version_of_the_service_is_that_of_dify(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dify_app.py").write_text("")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "dify-api"\nversion = "1.14.2"\n')
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "pyproject.toml").write_text('[project]\nversion = "9"\n')
    assert release_of_dify([str(elsewhere), "/no/such/folder", str(tmp_path)]) == "1.14.2"

    def version() -> object:
        made = resource.build(Settings({}), Slot(tmp_path, "api"), "api", {})
        return made.attributes.get("service.version")

    assert version() is None
    monkeypatch.syspath_prepend(str(tmp_path))
    assert version() == "1.14.2"


@pytest.mark.parametrize("text", ["", "not toml =", "[project]\n", "project = 1\n"])
def test_a_release_that_cannot_be_read_is_not_known(tmp_path: Path, text: str) -> None:
    (tmp_path / "dify_app.py").write_text("")
    (tmp_path / "pyproject.toml").write_text(text)
    assert release_of_dify([str(tmp_path)]) == ""
