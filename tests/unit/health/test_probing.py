"""Layers are asked over real sockets, side by side, in bounded time, and tell no secret."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.host.children import free_port
from otel_dify.cli.doctor.examined import Examined
from otel_dify.cli.health import machine, services
from otel_dify.cli.health.layer import Seen, Status, Told, degraded, healthy, unhealthy, whole
from otel_dify.cli.health.layers import BASIC, LAYERS
from otel_dify.cli.health.probing import Layer, Probes
from otel_dify.cli.health.secrets import without_secrets
from otel_dify.cli.main import main
from otel_dify.sources.history import database as history
from tests.unit.sending.receiver import Receiver, response

DEADLINE = 60.0


@pytest.fixture
def silent() -> Iterator[int]:
    """Listen, take connections, and never answer; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def told(name: str, status: Status, *, essential: bool = False) -> Told:
    return Told(name, status, "", 0.0, essential)


def test_the_command_knows_all_layers() -> None:
    [only] = [one for one in main.commands["health"].params if one.name == "names"]
    assert tuple(getattr(only.type, "choices", ())) == tuple(layer.name for layer in LAYERS)
    assert set(BASIC) <= {layer.name for layer in LAYERS if layer.essential}


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([], Status.HEALTHY),
        ([told("a", Status.HEALTHY), told("b", Status.NOT_CONFIGURED)], Status.HEALTHY),
        ([told("a", Status.DEGRADED, essential=True)], Status.DEGRADED),
        ([told("a", Status.UNHEALTHY), told("b", Status.HEALTHY)], Status.DEGRADED),
        (
            [told("a", Status.DEGRADED), told("b", Status.UNHEALTHY, essential=True)],
            Status.UNHEALTHY,
        ),
    ],
)
def test_all_is_unhealthy_where_something_is_that_dify_needs(
    layers: list[Told], expected: Status
) -> None:
    assert whole(layers) is expected


def test_layers_are_looked_at_side_by_side() -> None:
    meeting = threading.Barrier(3)

    def look(_: Examined) -> Seen:
        meeting.wait(DEADLINE)
        return healthy("all are here")

    layers = [Layer(name, look) for name in ("a", "b", "c")]
    found = Probes(Examined({}, timeout_s=DEADLINE), layers).tell()
    assert [(one.name, one.status) for one in found] == [(n, Status.HEALTHY) for n in "abc"]


def test_a_look_that_hangs_is_told_in_time_and_not_begun_again() -> None:
    ended, begun = threading.Event(), []

    def hang(_: Examined) -> Seen:
        begun.append(1)
        ended.wait(DEADLINE)
        return healthy("at last")

    probes = Probes(Examined({}, timeout_s=0.01), [Layer("a", hang), Layer("b", _well)])
    first, other = probes.tell()
    assert (first.status, first.what) == (Status.UNHEALTHY, "no answer in 1.01 s")
    assert other.status is Status.HEALTHY
    assert probes.tell(["a"])[0].status is Status.UNHEALTHY
    assert len(begun) == 1
    ended.set()
    deadline = time.monotonic() + DEADLINE
    while probes.tell(["a"])[0].status is not Status.HEALTHY:
        assert time.monotonic() < deadline


def _well(_: Examined) -> Seen:
    return healthy("well")


def test_an_answer_is_given_again_for_a_while() -> None:
    looked = []

    def look(_: Examined) -> Seen:
        looked.append(1)
        return healthy("well")

    kept = Probes(Examined({}), [Layer("a", look)], kept_s=3600.0)
    assert [kept.tell()[0].status for _ in range(5)] == [Status.HEALTHY] * 5
    assert len(looked) == 1
    anew = Probes(Examined({}), [Layer("a", look)])
    anew.tell()
    anew.tell()
    assert len(looked) == 3


def test_what_is_slow_is_degraded_and_what_raises_unhealthy() -> None:
    def fail(_: Examined) -> Seen:
        raise OSError("broken,\nwith the password geheim-123")

    layers = [
        Layer("slow", _well, slow_ms=0.0),
        Layer("bad", lambda _: degraded("bad"), slow_ms=0.0),
        Layer("worse", fail),
    ]
    slow, bad, worse = Probes(Examined({"DB_PASSWORD": "geheim-123"}), layers).tell()
    assert (slow.status, slow.what) == (Status.DEGRADED, "well; slower than 0 ms")
    assert (bad.status, bad.what) == (Status.DEGRADED, "bad")
    assert (worse.status, worse.what) == (
        Status.UNHEALTHY,
        "OSError: broken, with the password ***",
    )


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("no entry for geheim-1", {"DB_PASSWORD": "geheim-1"}),
        ("no entry for geheim%2F1", {"REDIS_PASSWORD": "geheim/1"}),
        ("key geheim-1 refused", {"CODE_EXECUTION_API_KEY": "geheim-1"}),
        ("asked redis://:geheim-1@redis:6379/1", {}),
        ("it said geheim-1", {"CELERY_BROKER_URL": "redis://:geheim-1@redis:6379/1"}),
        ("it said geheim/1", {"PLUGIN_DAEMON_URL": "http://me:geheim%2F1@daemon:5002"}),
        ("header geheim-1", {"OTEL_EXPORTER_OTLP_HEADERS": "geheim-1"}),
        ("asked http://a/?api_key=geheim-1", {}),
    ],
)
def test_no_secret_is_told(text: str, environ: dict[str, str]) -> None:
    found = without_secrets(text, environ)
    assert "geheim" not in found
    assert "***" in found


def test_what_is_told_is_one_short_line() -> None:
    found = without_secrets("a\nb\t" + "c" * 1000, {})
    assert found.startswith("a b ccc")
    assert len(found) == 300


@pytest.mark.parametrize(
    ("variable", "look", "path"),
    [
        ("PLUGIN_DAEMON_URL", services.plugin_daemon, "/health/check"),
        ("CODE_EXECUTION_ENDPOINT", services.sandbox, "/health"),
    ],
)
@pytest.mark.parametrize(
    ("code", "status"), [(200, Status.HEALTHY), (401, Status.HEALTHY), (503, Status.UNHEALTHY)]
)
def test_services_are_asked_for_their_own_page(
    variable: str, look: object, path: str, code: int, status: Status
) -> None:
    assert callable(look)
    with Receiver(response(code)) as receiver:
        seen = look(Examined({variable: f"{receiver.url}/"}))
    assert seen.status is status
    assert [request.line for request in receiver.requests] == [f"GET {path} HTTP/1.1"]


STORES = (
    ("weaviate", "WEAVIATE_ENDPOINT", "", "/v1/.well-known/ready"),
    ("qdrant", "QDRANT_URL", "", "/readyz"),
    ("chroma", "CHROMA_HOST", "CHROMA_PORT", "/api/v2/heartbeat"),
    ("elasticsearch", "ELASTICSEARCH_HOST", "ELASTICSEARCH_PORT", "/"),
)


@pytest.mark.parametrize(("name", "host", "port", "path"), STORES, ids=[one[0] for one in STORES])
def test_a_vector_store_is_asked_where_dify_has_it(
    name: str, host: str, port: str, path: str
) -> None:
    with Receiver() as receiver:
        where = {host: receiver.url} if not port else {host: "127.0.0.1", port: str(receiver.port)}
        seen = services.vector_store(Examined({"VECTOR_STORE": name, **where}))
    assert seen.status is Status.HEALTHY, seen
    assert [request.line for request in receiver.requests] == [f"GET {path} HTTP/1.1"]


def test_a_vector_store_without_a_page_is_connected_to(silent: int) -> None:
    where = {"PGVECTOR_HOST": "127.0.0.1", "PGVECTOR_PORT": str(silent)}
    seen = services.vector_store(Examined({"VECTOR_STORE": "pgvector", **where}))
    assert (seen.status, seen.what) == (
        Status.HEALTHY,
        f"pgvector at 127.0.0.1:{silent} accepts connections",
    )
    gone = {"VECTOR_STORE": "milvus", "MILVUS_URI": f"http://127.0.0.1:{free_port()}"}
    assert services.vector_store(Examined(gone)).status is Status.UNHEALTHY


@pytest.mark.parametrize(
    "environ", [{}, {"VECTOR_STORE": "pgvector"}, {"VECTOR_STORE": "one of tomorrow"}]
)
def test_a_vector_store_that_nobody_has_told_of_is_not_configured(environ: dict[str, str]) -> None:
    assert services.vector_store(Examined(environ)).status is Status.NOT_CONFIGURED


def test_services_that_take_connections_and_never_answer_are_unhealthy_in_time(silent: int) -> None:
    at = f"127.0.0.1:{silent}"
    environ = {
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(silent),
        "PLUGIN_DAEMON_URL": f"http://{at}",
        "CODE_EXECUTION_ENDPOINT": f"http://{at}",
        "VECTOR_STORE": "weaviate",
        "WEAVIATE_ENDPOINT": f"http://{at}",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{at}",
    }
    names = ("redis", "plugin-daemon", "sandbox", "vector-store", "collector")
    found = Probes(Examined(environ, timeout_s=0.2), LAYERS).tell(names)
    assert [one.name for one in found] == list(names)
    assert {one.status for one in found} == {Status.UNHEALTHY}


def test_a_database_without_a_driver_here_is_connected_to(
    silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "import_module", _missing)
    where = {"DB_HOST": "127.0.0.1", "DB_PORT": str(silent), "DB_PASSWORD": "geheim"}
    seen = services.database(Examined(where))
    assert (seen.status, seen.what) == (
        Status.HEALTHY,
        f"postgresql at 127.0.0.1:{silent} accepts connections",
    )
    mysql = services.database(Examined({**where, "DB_TYPE": "mysql"}))
    assert mysql.what.startswith("mysql at")
    gone = services.database(Examined({**where, "DB_PORT": str(free_port())}))
    assert gone.status is Status.UNHEALTHY


def _missing(name: str) -> object:
    raise ImportError(name)


def test_a_collector_is_asked_as_by_the_doctor() -> None:
    def look(url: str, **environ: str) -> Seen:
        return services.collector(Examined({"OTEL_EXPORTER_OTLP_ENDPOINT": url, **environ}))

    with Receiver() as receiver:
        seen = look(receiver.url)
    assert seen.status is Status.HEALTHY
    assert [one.line.split()[1] for one in receiver.requests] == [
        *("/v1/traces", "/v1/metrics", "/v1/logs")
    ]
    with Receiver(response(401)) as receiver:
        assert look(receiver.url).status is Status.UNHEALTHY
    none = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
    assert look("http://127.0.0.1:1", **none).status is Status.NOT_CONFIGURED


def test_memory_is_the_containers_where_it_has_a_limit(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 600\ninactive_file 300\n")
    assert machine._of_container(tmp_path) == (600, 1000, "in this container")
    (tmp_path / "memory.max").write_text("max\n")
    assert machine._of_container(tmp_path) is None
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nMemAvailable: 40 kB\n")
    assert machine._of_machine(tmp_path) == (60 << 10, 100 << 10, "on this machine")


@pytest.mark.parametrize(
    ("per_cent", "expected"),
    [(79.9, healthy), (80.0, degraded), (89.9, degraded), (90.0, unhealthy)],
)
def test_bounds_are_where_operators_have_them(per_cent: float, expected: object) -> None:
    assert callable(expected)
    assert machine._by(per_cent, machine._DISK, "x") == expected("x")


def test_disk_and_memory_of_this_machine_are_told() -> None:
    for look in (machine.disk, machine.memory):
        seen = look(Examined({}))
        assert "% " in seen.what
        assert seen.status is not Status.NOT_CONFIGURED


def test_a_journal_that_is_not_there_is_not_configured(tmp_path: Path) -> None:
    for environ in ({"OTEL_DIFY_JOURNAL_DIR": "none"}, {"OTEL_DIFY_STATE_PATH": str(tmp_path)}):
        assert machine.journal(Examined(environ)).status is Status.NOT_CONFIGURED
        seen = machine.pool(Examined({"OTEL_DIFY_STATE_PATH": str(tmp_path)}))
        assert seen.status is Status.NOT_CONFIGURED
