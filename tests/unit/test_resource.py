"""Who is speaking: a name for each process that no other has, and that its successor takes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_dify import guard, resource
from otel_dify.process import process
from otel_dify.resource import Slot
from otel_dify.settings import Settings, host_name
from tests.unit.children import Forked, in_child


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each test hear what is said once in the life of a process."""
    monkeypatch.setattr(process.kept(guard.Failures), "said", set())
    return iter(())


def number_in_child(folder: Path, role: str = "worker") -> Forked:
    """Have a child take a number, and hold it."""
    kept: list[Slot] = []

    def take() -> str:
        kept.append(Slot(folder, role))
        return str(kept[0].number)

    return Forked(take)


def test_two_processes_have_two_numbers_and_a_dead_ones_is_taken_again(tmp_path: Path) -> None:
    first, second = number_in_child(tmp_path), number_in_child(tmp_path)
    third = None
    try:
        assert (first.result, second.result) == ("0", "1")
        first.end()
        third = number_in_child(tmp_path)
        assert third.result == "0"
    finally:
        second.end()
        if third is not None:
            third.end()


def test_each_role_has_numbers_of_its_own(tmp_path: Path) -> None:
    slots = [Slot(tmp_path, "api"), Slot(tmp_path, "worker"), Slot(tmp_path, "api")]
    assert [slot.number for slot in slots] == [0, 0, 1]
    for slot in slots:
        slot.close()


def test_a_forked_child_lets_go_of_its_parents_number_and_takes_its_own(tmp_path: Path) -> None:
    """Were its copy of the lock left open, the number would stay taken after the parent's death."""
    parents = Slot(tmp_path, "worker")

    def child() -> str:
        parents.close()
        own = Slot(tmp_path, "worker")
        return f"{parents.held} {own.number}"

    forked = Forked(child)
    try:
        assert forked.result == "False 1"
        assert parents.held
        parents.close()
        # The child lives: had it kept its copy, 0 would still be taken.
        assert Slot(tmp_path, "worker").number == 0
    finally:
        forked.end()


def test_a_child_that_closes_its_copy_does_not_free_the_number(tmp_path: Path) -> None:
    parents = Slot(tmp_path, "worker")

    def child() -> str:
        parents.close()
        return str(Slot(tmp_path, "worker").number)

    assert in_child(child) == "1"
    assert Slot(tmp_path, "worker").number == 1
    parents.close()


def test_the_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    Slot(tmp_path / "state", "api").close()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "state" / "api-0.slot").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("role", ["../../tmp/x", "a/b", "my script", "..", "\0"])
def test_a_role_is_no_path(tmp_path: Path, role: str) -> None:
    """The role of an unknown program is its name, whatever that is."""
    folder = tmp_path / "state"
    slot = Slot(folder, role)
    assert slot.number == 0
    assert slot.held
    assert [path.parent for path in tmp_path.rglob("*.slot")] == [folder]
    slot.close()


def test_where_all_numbers_are_taken_the_process_id_serves(tmp_path: Path) -> None:
    one = Slot(tmp_path, "queue-reader", limit=1)
    other = Slot(tmp_path, "queue-reader", limit=1)
    assert (one.held, other.held) == (True, False)
    assert other.number == os.getpid()
    one.close()


def test_a_folder_that_cannot_be_written_costs_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("")
    for _ in range(2):
        slot = Slot(occupied / "state", "api")
        assert slot.number == os.getpid()
        assert not slot.held
    [record] = caplog.records
    assert record.getMessage().startswith(f"OTEL_DIFY_STATE_PATH={occupied / 'state'} cannot be")
    assert "Set it to a folder that Dify may write to" in record.getMessage()


def built(tmp_path: Path, environ: dict[str, str], role: str = "api") -> dict[str, object]:
    """Build a resource; return its attributes."""
    slot = Slot(tmp_path, role)
    made = resource.build(Settings(environ), slot, role, environ)
    slot.close()
    return dict(made.attributes)


def test_a_process_is_told_from_its_command_where_nothing_is_set(tmp_path: Path) -> None:
    attributes = built(tmp_path, {})
    assert attributes["service.name"] == "dify-api"
    assert attributes["service.namespace"] == "dify"
    assert attributes["service.instance.id"] == f"{host_name()}:api:0"
    assert attributes["deployment.environment.name"] == "production"
    assert attributes["process.pid"] == os.getpid()
    assert attributes["telemetry.distro.name"] == "otel_dify"


def test_what_the_operator_says_goes_first_except_for_the_instance(tmp_path: Path) -> None:
    """Two processes must not share one instance, and both have the same environment."""
    attributes = built(
        tmp_path,
        {
            "OTEL_RESOURCE_ATTRIBUTES": "service.name=a,team=b%20c , service.instance.id=d,"
            "deployment.environment.name=staging,,=x,y",
            "OTEL_SERVICE_NAME": "e",
            "DEPLOY_ENV": "PRODUCTION",
        },
    )
    assert attributes["service.name"] == "e"
    assert attributes["team"] == "b c"
    assert attributes["deployment.environment.name"] == "staging"
    assert attributes["service.instance.id"] == f"{host_name()}:api:0"


def test_the_environment_that_is_given_is_the_one_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=from-os-environ")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "from-os-environ")
    attributes = built(tmp_path, {"OTEL_RESOURCE_ATTRIBUTES": "team=given"})
    assert attributes["team"] == "given"
    assert attributes["service.name"] == "dify-api"
