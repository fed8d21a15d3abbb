"""The overlay for Dify's docker compose, merged by the real docker-compose, which needs no engine.

What needs one (that containers of these images start) is not tested here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from collector.configure import alertmanager_config, jaeger_ui
from collector.native.build import ensure
from collector.native.programs import COLLECTOR, COMPOSE, MANIFEST, MODULES
from otel_dify.settings import SETTINGS, Settings

ROOT = Path(__file__).parents[2]
OVERLAY = ROOT / "docker-compose.otel.yml"
EXAMPLE = ROOT / ".env.otel.example"
DIFY = Path(__file__).parent / "dify.yaml"
INSTRUMENTED = ("api", "worker", "worker_beat")


def compose(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    program = str(ensure(COMPOSE) / "docker-compose")
    command = [program, "-f", str(DIFY), "-f", str(OVERLAY), *arguments]
    clean = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **environ}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=clean)


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    answer = compose("config", "--format", "json", DIFY_OTEL_HOME=str(ROOT))
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    merged: dict[str, dict[str, Any]] = json.loads(answer.stdout.replace("$$", "$"))["services"]
    return merged


def test_without_its_folder_it_says_what_to_set() -> None:
    answer = compose("config", "-q")
    assert answer.returncode != 0
    assert "set DIFY_OTEL_HOME in .env to the folder of docker-compose.otel.yml" in answer.stderr


@pytest.mark.parametrize("name", INSTRUMENTED)
def test_dify_keeps_what_it_has(services: dict[str, dict[str, Any]], name: str) -> None:
    service = services[name]
    assert service["image"] == "langgenius/dify-api:1.14.2"
    assert service["environment"]["MODE"] in {"api", "worker", "beat"}
    assert "/app/api/storage" in {volume["target"] for volume in service["volumes"]}
    assert {"db_postgres", "redis", "otel-dify-install"} <= service["depends_on"].keys()
    assert service["networks"].keys() == {"default", "ssrf_proxy_network"}


def test_other_services_of_dify_are_left_alone(services: dict[str, dict[str, Any]]) -> None:
    alone = subprocess.run(
        [ensure(COMPOSE) / "docker-compose", "-f", DIFY, "config", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    for name, service in json.loads(alone.stdout)["services"].items():
        if name not in INSTRUMENTED:
            assert services[name] == service


def test_what_is_published_is_published_on_loopback_only(
    services: dict[str, dict[str, Any]],
) -> None:
    published = {
        (name, port["target"]): port["host_ip"]
        for name, service in services.items()
        for port in service.get("ports", ())
    }
    assert set(published.values()) == {"127.0.0.1"}
    assert published.keys() == {
        ("jaeger", 16686),
        ("prometheus", 9090),
        ("loki", 3100),
        ("alertmanager", 9093),
        ("grafana", 3000),
    }


def test_images_are_the_versions_that_are_built_natively(
    services: dict[str, dict[str, Any]],
) -> None:
    def locked(module: str, package: str) -> str:
        text = (MODULES / module / "go.mod").read_text(encoding="utf-8")
        version = re.search(rf"^\s*(?:require )?{package} v(\S+)", text, re.MULTILINE)
        assert version is not None
        return version[1]

    def major_and_rest(version: str) -> str:
        """Prometheus 3.13.5 is the Go module v0.313.5."""
        _, minor, patch = version.split(".")
        return f"{int(minor) // 100}.{int(minor) % 100}.{patch}"

    def jaeger_two(version: str) -> str:
        """Jaeger 2.13.0 is the Go module v1.76.0: both count on, 63 apart."""
        _, minor, patch = version.split(".")
        return f"2.{int(minor) - 63}.{patch}"

    prometheus = locked("prometheus", "github.com/prometheus/prometheus")
    jaeger = locked("jaeger", "github.com/jaegertracing/jaeger")
    loki = locked("loki", "github.com/grafana/loki/v3")
    alertmanager = locked("alertmanager", "github.com/prometheus/alertmanager")
    collector = re.search(r"^  version: (\S+)$", MANIFEST.read_text(encoding="utf-8"), re.MULTILINE)
    assert collector is not None
    assert {name: services[name]["image"] for name in ("prometheus", "jaeger", "loki")} == {
        "prometheus": f"prom/prometheus:v{major_and_rest(prometheus)}",
        "jaeger": f"jaegertracing/jaeger:{jaeger_two(jaeger)}",
        "loki": f"grafana/loki:{loki}",
    }
    assert services["alertmanager"]["image"] == f"prom/alertmanager:v{alertmanager}"
    assert services["otel-collector"]["image"].endswith(f"-contrib:{collector[1]}")


def test_files_that_are_mounted_and_named_in_commands_exist(
    services: dict[str, dict[str, Any]],
) -> None:
    checked = 0
    for service in services.values():
        binds = [v for v in service.get("volumes", ()) if str(ROOT) in v.get("source", "")]
        for bind in binds:
            source = Path(bind["source"])
            if source.is_relative_to(DIFY.parent):
                continue
            assert source.is_dir()
            assert bind["read_only"]
            for word in service.get("command") or ():
                _, found, inside = word.partition(bind["target"] + "/")
                if found:
                    assert (source / inside).is_file()
                    checked += 1
    assert checked == 8


@pytest.mark.parametrize("drop_in", ["", "/etc/otelcol/drop-ins/log-files.yaml"])
def test_the_collector_accepts_its_files_and_one_of_the_operators(drop_in: str) -> None:
    answer = compose(
        "config", "--format", "json", DIFY_OTEL_HOME=str(ROOT), OTELCOL_DROP_IN=drop_in
    )
    words = json.loads(answer.stdout)["services"]["otel-collector"]["command"]
    assert any(word.endswith(drop_in or "yaml:") for word in words)
    inside = [word.replace("/etc/otelcol", str(ROOT / "collector")) for word in words]
    accepted = subprocess.run(
        [ensure(COLLECTOR) / "otelcol", "validate", *inside],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OTELCOL_HOST_ROOT": "/"},
    )
    assert accepted.returncode == 0, accepted.stderr


def test_backends_have_health_checks(services: dict[str, dict[str, Any]]) -> None:
    """All but the Collector, whose image has nothing to run one with."""
    backends = ("jaeger", "prometheus", "loki", "alertmanager")
    assert all("healthcheck" in services[name] for name in backends)


def test_the_example_lists_every_variable_with_its_default_and_no_other() -> None:
    """A variable of the overlay that nobody can find, or a listed one without effect, is a bug."""
    overlay = OVERLAY.read_text(encoding="utf-8")
    read = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", overlay))
    listed = dict(re.findall(r"^# (\w+)=(.*)$", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE))
    del listed["COMPOSE_FILE"]
    assert listed == read


def test_the_overlay_changes_no_default_of_the_package_but_the_address(
    services: dict[str, dict[str, Any]],
) -> None:
    """And every name of ours in it is one that the package knows, else it warns of a typo."""
    given = services["api"]["environment"]
    assert Settings(given).problems == []
    changed = [s.name for s in SETTINGS if Settings(given)[s] != Settings({})[s]]
    assert changed == ["OTEL_EXPORTER_OTLP_ENDPOINT"]


def test_every_variable_in_the_example_has_a_comment_above() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    for above, line in pairwise(lines):
        if re.match(r"(# )?\w+=", line):
            assert above.startswith("# ")


def run_bash(service: dict[str, Any], rewrite: dict[str, str], **environ: str) -> str:
    """Run a service's entrypoint here, with its absolute paths replaced; returns its output."""
    words = [*service["entrypoint"], "argument"]
    for old, new in rewrite.items():
        words = [word.replace(old, new) for word in words]
    answer = subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=True,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **environ,
        },
    )
    return answer.stdout + answer.stderr


@pytest.fixture
def dify_entrypoint(tmp_path: Path) -> Path:
    """Write what Dify's entrypoint.sh does in the end: start a Python program by its name."""
    script = tmp_path / "entrypoint.sh"
    script.write_text(
        'echo "given $*"; exec python -c \'import sys; print("started", *sys.modules)\'\n',
        encoding="utf-8",
    )
    return script


@pytest.mark.parametrize("name", INSTRUMENTED)
def test_dify_starts_instrumented_where_the_package_is(
    services: dict[str, dict[str, Any]], dify_entrypoint: Path, name: str
) -> None:
    said = run_bash(
        services[name],
        {"/entrypoint.sh": str(dify_entrypoint)},
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
    )
    assert "given argument" in said
    assert "otel_dify.distro" in said


def test_dify_starts_without_telemetry_where_the_package_is_missing(
    services: dict[str, dict[str, Any]], dify_entrypoint: Path
) -> None:
    said = run_bash(
        services["api"],
        {"/entrypoint.sh": str(dify_entrypoint), "import otel_dify": "import otel_dify_missing"},
    )
    assert "given argument" in said
    assert "otel_dify is not installed: Dify starts without telemetry" in said
    assert "opentelemetry" not in said.partition("started")[2]


def configured(service: dict[str, Any], folder: Path, **environ: str) -> str:
    """Run what writes the configurations; returns its output."""
    words = {"/configured": str(folder), "chown -R 65534:65534": "ls"}
    given = {**service["environment"], **environ, "PYTHONPATH": str(ROOT)}
    # It empties the environment where it is to ignore the settings.
    return run_bash(service, {**words, "env -i": f"env -i PYTHONPATH={ROOT}"}, **given)


def test_alertmanager_and_jaeger_get_what_the_variables_say(
    services: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    configured(
        services["otel-configure"],
        tmp_path,
        ALERT_SLACK_URL="https://slack.example.com/hook",
        CONSOLE_WEB_URL="https://dify.example.com",
    )
    assert "https://slack.example.com/hook" in alertmanager_config(tmp_path).read_text()
    assert "https://dify.example.com/app/" in jaeger_ui(tmp_path).read_text()
    read = {"alertmanager": alertmanager_config, "jaeger": jaeger_ui}
    for name, where in read.items():
        inside = str(where(Path("/configured")))
        assert inside in f"{services[name]['command']} {services[name].get('environment')}"
        assert "otel-configure" in services[name]["depends_on"]


def test_half_a_channel_is_told_and_everything_starts_without(
    services: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    said = configured(services["otel-configure"], tmp_path, ALERT_MAIL_TO="a@example.com")
    assert "Mail needs all of ALERT_MAIL_TO, ALERT_MAIL_FROM, ALERT_SMTP_HOST" in said
    assert "Nobody is told of alerts until this is mended" in said
    assert "a@example.com" not in alertmanager_config(tmp_path).read_text()


def test_every_variable_of_the_configurations_can_be_set(
    services: dict[str, dict[str, Any]],
) -> None:
    read = {
        name
        for path in (ROOT / "collector").glob("**/*.py")
        for name in re.findall(
            r'"((?:ALERT_|CONSOLE_)[A-Z_]+|[A-Z]+_PUBLIC_URL)"', path.read_text()
        )
    }
    given = services["otel-configure"]["environment"].keys()
    assert read == given - {"PYTHONDONTWRITEBYTECODE"}


@pytest.fixture(scope="module")
def pip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make an environment with a pip, as Python's images have; those that uv makes have none."""
    folder = tmp_path_factory.mktemp("pip")
    python = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    subprocess.run([python, "-m", "venv", folder], check=True)
    return f"{folder}/bin/pip"


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """Stand in for the volume that the three services read."""
    folder = tmp_path / "volume"
    folder.mkdir()
    return folder


def test_nothing_but_the_package_is_installed_and_the_old_one_replaced(
    services: dict[str, dict[str, Any]], pip: str, volume: Path
) -> None:
    (volume / "site" / "old").mkdir(parents=True)
    here = {"/opt/otel_dify": str(volume), "pip install": f"{pip} install"}
    run_bash(services["otel-dify-install"], here, PACKAGE=str(ROOT))
    assert [path.name for path in volume.iterdir()] == ["site"]
    installed = sorted(path.name.partition("-")[0] for path in (volume / "site").iterdir())
    assert installed == ["bin", "otel_dify", "otel_dify"]
    [metadata] = (volume / "site").glob("*.dist-info")
    entry_points = (metadata / "entry_points.txt").read_text(encoding="utf-8")
    assert "otel_dify = otel_dify.distro:Distro" in entry_points


def test_a_package_that_cannot_be_installed_leaves_the_old_one_and_lets_dify_start(
    services: dict[str, dict[str, Any]], pip: str, volume: Path
) -> None:
    (volume / "site").mkdir()
    here = {"/opt/otel_dify": str(volume), "pip install": f"{pip} install"}
    said = run_bash(services["otel-dify-install"], here, PACKAGE=str(volume / "missing.whl"))
    assert "missing.whl could not be installed" in said
    assert [path.name for path in volume.iterdir()] == ["site"]
