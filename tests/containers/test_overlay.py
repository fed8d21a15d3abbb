"""The overlay beside Dify, started as the README says; each test goes on where the last one ended.

Dify's services are the example host, laid out as Dify is (tests/compose/dify.yaml).
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator

import httpx
import pytest

from collector.native.query import Jaeger, Loki, wait_until
from tests.containers.deployment import (
    PATIENCE_S,
    STORED,
    Deployment,
    deployment,
    for_the_tests,
    needed,
)
from tests.containers.engine import ROOT, Engine
from tests.containers.images import images

README = (ROOT / "README.md").read_text(encoding="utf-8")
QUESTION = {"question": "I was charged twice for the same invoice.", "customer": "Ada"}
ATTACHED = ("api", "api_websocket", "worker", "worker_beat")
ADDED = {"otel-setup", "otel-collector", "jaeger", "prometheus", "loki", "alertmanager"}

pytestmark = pytest.mark.timeout(900)


def docker_start() -> tuple[list[str], str]:
    """The commands of the README's start with Docker, one a step, and its last step."""
    _, _, rest = README.partition("<!-- docker: tested as written -->")
    section, _, _ = rest.partition("<!-- docker: end -->")
    *steps, last = re.split(r"^\d\. ", section, flags=re.MULTILINE)[1:]
    commands = [re.findall(r"```\n(.*?)```", step, re.DOTALL) for step in steps]
    return [command.strip() for [command] in commands], last


@pytest.fixture(scope="module")
def dify(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Follow the README up to its last step, in a home folder made for it."""
    home = tmp_path_factory.mktemp("home")
    (home / "otel_dify").symlink_to(ROOT)
    made = deployment(engine, home / "dify")
    (go, settings, start), _ = docker_start()
    made.shell(f"{go}\n{settings}", HOME=str(home))
    for_the_tests(made)
    with images(engine, needed(made)), engine.inside():
        try:
            made.shell(f"{go}\n{start}", HOME=str(home))
            yield made
        finally:
            made.remove()


@pytest.fixture(scope="module")
def first_run(dify: Deployment) -> str:
    """Make a run that is to be found to the end, and return its id."""
    return dify.run("support_triage", QUESTION)


def test_as_the_readme_says_everything_becomes_healthy(dify: Deployment) -> None:
    dify.healthy()
    containers = dify.containers()
    assert containers.keys() > ADDED | {*ATTACHED}
    assert {name for name, found in containers.items() if found["RestartCount"]} == set()


def test_the_readme_ends_in_addresses_that_answer(dify: Deployment) -> None:
    """But for Grafana's, whose image cannot be made here."""
    _, last = docker_start()
    told = {int(port) for port in re.findall(r"http://localhost:(\d+)", last)}
    assert told == {16686, 3001}
    assert "`admin`" in last
    pages = {"jaeger": "/search", "prometheus": "/-/ready", "loki": "/ready"}
    for name, page in (pages | {"alertmanager": "/-/ready"}).items():
        assert httpx.get(dify.url(name) + page).is_success
    if dify.engine.own:
        assert dify.ports["jaeger"] in told


def test_a_run_is_a_trace_a_count_and_a_line(dify: Deployment, first_run: str) -> None:
    spans = dify.trace_of(first_run)
    assert {span["resource"]["service.name"] for span in spans} == {"dify-api", "dify-worker"}
    names = {span["name"] for span in spans}
    assert {"POST /v1/workflows/run", "chat gpt-4o-mini", "llm Draft the answer"} <= names
    dify.counted(1)
    dify.logged(spans[0]["traceId"])


@pytest.mark.parametrize("name", ATTACHED)
def test_each_container_of_dify_has_the_package_of_this_folder(dify: Deployment, name: str) -> None:
    """And the loader finds its entry points."""
    program = (
        "import otel_dify, importlib.metadata as m; print(otel_dify.__file__); "
        "print(m.version('otel-dify'), *m.entry_points(group='opentelemetry_distro').names)"
    )
    module, about = dify.compose("exec", "-T", name, f'python -c "{program}"').splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert module == "/tmp/otel_dify/otel_dify/__init__.py"  # noqa: S108 - in the container
    version, *distros = about.split()
    assert version == project["version"]
    assert sorted(distros) == ["distro", "otel_dify"]
    assert "starts without telemetry" not in dify.compose("logs", name)


def test_the_doctor_goes_the_whole_way_as_its_page_says(dify: Deployment) -> None:
    """From within a container, by the names of the services, to all of the backends and back."""
    page = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    [command] = re.findall(r"^docker compose exec (api .* doctor .*)$", page, re.MULTILINE)
    # What a test has no terminal for, and a program that reads it.
    service, _, doctor = command.partition(" ")
    opened, closed = re.findall(
        r"^(docker network (?:dis)?connect) docker_(.*)$", page, re.MULTILINE
    )
    dify.shell(f"{opened[0]} {dify.project}_{opened[1]}")
    told = json.loads(dify.compose("exec", "-T", service, f"{doctor} --json"))
    dify.shell(f"{closed[0]} {dify.project}_{closed[1]}")
    about = {finding["about"]: finding["severity"] for finding in told["findings"]}
    assert told["counts"]["problem"] == 0, told["findings"]
    for name in ("collector.name", "collector.takes", "clock", "journal.volume"):
        assert about[name] == "ok"
    assert {about[f"backends.{name}"] for name in ("jaeger", "prometheus", "loki")} == {"ok"}


def test_nothing_of_dify_reaches_a_backend(dify: Deployment) -> None:
    for name, port in (("jaeger", 16686), ("prometheus", 9090), ("loki", 3100)):
        address = dify.containers()[name]["NetworkSettings"]["Networks"]
        [network] = address.values()
        for host in (name, network["IPAddress"]):
            asked = f"curl -s -o /dev/null -m 3 http://{host}:{port}/ && echo yes || echo no"
            assert dify.compose("exec", "-T", "api", f"sh -c '{asked}'").strip() == "no"


def test_what_is_ours_runs_without_rights_and_writes_to_no_image(dify: Deployment) -> None:
    containers = dify.containers()
    for name in ADDED:
        host = containers[name]["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["Memory"] > 0
        assert not host["Privileged"]


def test_the_websocket_service_is_watched_too(dify: Deployment) -> None:
    asked = "curl -s -o /dev/null http://localhost:5001/v1/workflows/run/nobody"
    dify.compose("exec", "-T", "api_websocket", asked)
    host = dify.containers()["api_websocket"]["Config"]["Hostname"]
    jaeger = Jaeger(dify.url("jaeger"))
    wait_until(
        lambda: jaeger.search("dify-api", {"host.name": host}),
        timeout=PATIENCE_S,
        what="trace of a request to api_websocket",
    )


def test_beat_sends_its_lines(dify: Deployment) -> None:
    loki = Loki(dify.url("loki"))
    wait_until(lambda: loki.query_range('{service_name="dify-beat"}'), what="line of worker_beat")


def test_without_the_collector_dify_runs_stops_and_starts_as_ever(dify: Deployment) -> None:
    """What does not stop is killed, exit code 137; what happened meanwhile is told afterwards."""
    dify.compose("stop", "otel-collector")
    run = dify.run("support_triage", QUESTION)
    # Docker's ten seconds are enough for it; a machine that is busy with tests may take longer.
    dify.compose("stop", "--timeout", "60", *ATTACHED)
    ended = {name: dify.containers()[name]["State"]["ExitCode"] for name in ATTACHED}
    assert ended == dict.fromkeys(ATTACHED, 0)
    dify.compose("start", *ATTACHED)
    other = dify.run("support_triage", QUESTION)
    dify.compose("start", "otel-collector")
    for made in (run, other):
        dify.logged(dify.trace_of(made)[0]["traceId"])
    dify.counted(3)


def test_after_a_restart_of_everything_it_goes_on(dify: Deployment, first_run: str) -> None:
    dify.compose("restart")
    dify.healthy()
    dify.trace_of(dify.run("support_triage", QUESTION))
    assert dify.trace_of(first_run)


def test_what_is_killed_is_started_again_and_keeps_what_it_has(
    dify: Deployment, first_run: str
) -> None:
    """A kill from outside, as the kernel does it when memory ends; `docker kill` would be a stop."""
    before = dify.containers()
    killed = (*STORED, "otel-collector", "alertmanager", "worker")
    pids = [str(before[name]["State"]["Pid"]) for name in killed]
    kill = ("run", "--rm", "--pid", "host", "busybox:latest", "kill", "-9")
    dify.engine.docker(*kill, *pids)
    wait_until(
        lambda: {n: c["RestartCount"] for n, c in dify.containers().items() if n in killed},
        lambda counts: all(counts[n] > before[n]["RestartCount"] for n in killed),
        timeout=PATIENCE_S,
        what="restart of what was killed",
    )
    dify.healthy()
    dify.logged(dify.trace_of(first_run)[0]["traceId"])
    dify.logged(dify.trace_of(dify.run("support_triage", QUESTION))[0]["traceId"])


def test_down_and_up_again_lose_nothing_that_was_recorded(dify: Deployment, first_run: str) -> None:
    """Neither what is stored, nor what the Collector had not been there to take."""
    dify.compose("stop", "otel-collector")
    untold = dify.run("support_triage", QUESTION)
    dify.down()
    assert dify.containers() == {}
    dify.compose("up", "-d")
    dify.healthy()
    for run in (first_run, untold, dify.run("support_triage", QUESTION)):
        dify.logged(dify.trace_of(run)[0]["traceId"])


def test_somebody_is_told_that_the_api_is_down(dify: Deployment) -> None:
    """From the Collector's look at /health, over Prometheus' rule (a minute), to the webhook."""
    told = len(dify.told())
    dify.compose("stop", "api")

    def about() -> set[str]:
        alerts = (alert for message in dify.told()[told:] for alert in message["alerts"])
        return {a["labels"]["alertname"] for a in alerts if a["status"] == "firing"}

    wait_until(about, lambda names: "DifyAPIDown" in names, timeout=PATIENCE_S, what="message")
    dify.compose("start", "api")


def test_without_the_overlay_dify_is_what_it_was(dify: Deployment) -> None:
    """The last test: after it, nothing of ours runs."""
    settings = dify.folder / ".env"
    lines = settings.read_text(encoding="utf-8").splitlines(keepends=True)
    settings.write_text("".join(x for x in lines if not x.startswith("COMPOSE_FILE=")))
    dify.compose("up", "-d", "--remove-orphans")
    left = dify.containers()
    assert left.keys() == {"init_permissions", "redis", "plugin_daemon", *ATTACHED}
    for name in ATTACHED:
        asked = ("exec", "-T", name, "sh -c 'python -c \"import otel_dify\" 2>&1 || true'")
        assert "No module named 'otel_dify'" in dify.compose(*asked)
        assert not any(e.startswith("OTEL_PYTHON") for e in left[name]["Config"]["Env"])
    dify.run("support_triage", QUESTION)
