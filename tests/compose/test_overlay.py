"""The overlay for Dify's docker compose, merged by the real docker-compose, which needs no engine.

tests/containers starts it on one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector.configure import alertmanager_config, jaeger_ui
from collector.native.build import ensure
from collector.native.layout import Ports
from collector.native.programs import COLLECTOR, COMPOSE, MANIFEST, MODULES
from otel_dify.settings import SETTINGS, Settings

ROOT = Path(__file__).parents[2]
OVERLAY = ROOT / "docker-compose.otel.yml"
EXAMPLE = ROOT / ".env.otel.example"
DIFY = Path(__file__).parent / "dify.yaml"
PLUGIN_DAEMON = ROOT / "collector" / "drop-ins" / "plugin-daemon.yaml"
INSTRUMENTED = ("api", "api_websocket", "worker", "worker_beat")
# What there is no default for.
CHOSEN = {"DIFY_OTEL_HOME": str(ROOT), "GRAFANA_PASSWORD": "chosen"}


def compose(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return merged(DIFY, *arguments, **environ)


def merged(dify: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    program = str(ensure(COMPOSE) / "docker-compose")
    command = [program, "-f", str(dify), "-f", str(OVERLAY), *arguments]
    clean = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **environ}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=clean)


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    answer = compose("--profile", "*", "config", "--format", "json", **CHOSEN)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    found: dict[str, dict[str, Any]] = json.loads(answer.stdout.replace("$$", "$"))["services"]
    return found


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("DIFY_OTEL_HOME", "set DIFY_OTEL_HOME in .env to the folder of docker-compose.otel.yml"),
        ("GRAFANA_PASSWORD", "choose GRAFANA_PASSWORD in .env"),
    ],
)
def test_without_what_only_a_person_can_choose_it_says_what_to_set(name: str, told: str) -> None:
    answer = compose("config", "-q", **{**CHOSEN, name: ""})
    assert answer.returncode != 0
    assert told in answer.stderr


@pytest.fixture(scope="module")
def alone() -> dict[str, dict[str, Any]]:
    """Dify's services without the overlay."""
    program = ensure(COMPOSE) / "docker-compose"
    shown = subprocess.run(
        [program, "-f", DIFY, "--profile", "*", "config", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, dict[str, Any]] = json.loads(shown.stdout.replace("$$", "$"))["services"]
    return found


@pytest.mark.parametrize("name", INSTRUMENTED)
def test_dify_keeps_what_it_has_and_waits_for_nothing_of_ours(
    services: dict[str, dict[str, Any]], alone: dict[str, dict[str, Any]], name: str
) -> None:
    before, after = alone[name], services[name]
    assert {key for key in after if after[key] != before.get(key)} == {
        "entrypoint",
        "environment",
        "volumes",
    }
    assert after["environment"].items() >= before["environment"].items()
    brought = [volume for volume in after["volumes"] if volume not in before.get("volumes", [])]
    assert len(after["volumes"]) == len(before.get("volumes", [])) + len(brought)
    assert [(v["source"], v.get("read_only", False)) for v in brought] == [
        (str(ROOT), True),
        ("otel_journal", False),
    ]


def test_other_services_of_dify_are_left_alone(
    services: dict[str, dict[str, Any]], alone: dict[str, dict[str, Any]]
) -> None:
    for name, service in alone.items():
        if name not in {*INSTRUMENTED, "plugin_daemon"}:
            assert services[name] == service


def test_the_plugin_daemon_is_told_where_to_send_and_nothing_else_changes(
    services: dict[str, dict[str, Any]], alone: dict[str, dict[str, Any]]
) -> None:
    before, after = alone["plugin_daemon"], services["plugin_daemon"]
    assert {key for key in after if after[key] != before.get(key)} == {"environment", "volumes"}
    assert [(v["source"], v["read_only"]) for v in after["volumes"]] == [
        (str(ROOT / "collector" / "plugin-daemon.sh"), True)
    ]
    told = after["environment"]
    assert told["ENABLE_OTEL"] == "true"
    port = Ports().plugin_daemon
    assert told["OTLP_BASE_ENDPOINT"] == f"http://otel-collector:{port}"
    assert f"OTELCOL_PLUGIN_DAEMON_PORT:-{port}" in PLUGIN_DAEMON.read_text(encoding="utf-8")
    assert f"/etc/otelcol/drop-ins/{PLUGIN_DAEMON.name}" in str(
        services["otel-collector"]["command"]
    )


def test_settings_of_dify_s_own_exporter_and_of_the_daemon_s_stay_apart() -> None:
    """The names are the same, and both read Dify's .env."""
    its_own = {
        "ENABLE_OTEL": "false",
        "OTLP_BASE_ENDPOINT": "http://elsewhere:4318",
        "OTLP_TRACE_ENDPOINT": "http://elsewhere:4318/v1/traces",
        "OTLP_METRIC_ENDPOINT": "http://elsewhere:4318/v1/metrics",
        "OTEL_SAMPLING_RATE": "0.1",
    }
    answer = compose("config", "--format", "json", **CHOSEN, **its_own)
    shown = json.loads(answer.stdout)["services"]
    assert "elsewhere" not in str(shown["plugin_daemon"])
    assert its_own.keys() < shown["plugin_daemon"]["environment"].keys()
    assert shown["plugin_daemon"]["environment"]["OTEL_SAMPLING_RATE"] == "1"
    telling = {n for n in shown if its_own.keys() & (shown[n].get("environment") or {}).keys()}
    assert telling == {"plugin_daemon"}


@pytest.mark.parametrize("wanted", ["true", "false"])
@pytest.mark.parametrize("found", ["RealBackwardsInvocation).WithContext", "of 0.6.1"])
def test_the_plugin_daemon_s_telemetry_is_left_off_where_it_would_tear_traces_apart(
    services: dict[str, dict[str, Any]], tmp_path: Path, found: str, wanted: str
) -> None:
    """As its image starts it: with bash, which starts the program named /app/main."""
    (tmp_path / "main").write_bytes(b"\0 github.com/x/calldify.(*" + found.encode() + b"\0\n")
    read = tmp_path / "plugin-daemon.sh"
    written = (ROOT / "collector" / read.name).read_text(encoding="utf-8")
    read.write_text(written.replace("/app/main", str(tmp_path / "main")), encoding="utf-8")
    environ = services["plugin_daemon"]["environment"] | {"ENABLE_OTEL": wanted}
    [mounted] = services["plugin_daemon"]["volumes"]
    assert environ["BASH_ENV"] == mounted["target"]
    answer = subprocess.run(
        ["/bin/bash", "-c", "echo migrated && exec env"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], **environ, "BASH_ENV": str(read)},
    )
    told = answer.stdout.splitlines()
    on = wanted == "true" and "WithContext" in found
    assert told[0] == "migrated"
    assert f"ENABLE_OTEL={str(on).lower()}" in told
    assert not any(line.startswith("BASH_ENV=") for line in told)
    assert ("stays off" in answer.stderr) == (wanted == "true" and not on)


def test_the_plugin_daemon_s_telemetry_can_be_left_off() -> None:
    off = {"DIFY_OTEL_PLUGIN_DAEMON": "false"}
    answer = compose("config", "--format", "json", **CHOSEN, **off)
    told = json.loads(answer.stdout)["services"]["plugin_daemon"]["environment"]
    assert told["ENABLE_OTEL"] == "false"


def test_a_release_of_dify_without_a_websocket_service_is_one_service_less(tmp_path: Path) -> None:
    dify = yaml.safe_load(DIFY.read_text(encoding="utf-8"))
    del dify["services"]["api_websocket"]
    older = tmp_path / "docker-compose.yaml"
    older.write_text(yaml.safe_dump(dify), encoding="utf-8")
    shown = merged(older, "config", "--services", **CHOSEN)
    assert shown.returncode == 0, shown.stderr
    assert "api_websocket" not in shown.stdout.split()


def test_an_image_whose_tag_may_move_is_pinned_by_its_digest(
    services: dict[str, dict[str, Any]], alone: dict[str, dict[str, Any]]
) -> None:
    """Tags of a release are not given twice; those of a language's image are, for its system."""
    images = {services[name]["image"] for name in services.keys() - alone.keys()}
    moving = {image for image in images if image.startswith("python:")}
    assert all(re.fullmatch(r"python:3\.12\.\d+-\S+@sha256:[0-9a-f]{64}", i) for i in moving)
    assert all(re.search(r":v?\d+\.\d+\.\d+$", image) for image in images - moving)
    assert len({image.partition(":")[0] for image in images}) == len(images)


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
        ("api", 5001),
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
            assert source.exists()
            assert bind["read_only"]
            for word in service.get("command") or ():
                _, found, inside = word.partition(bind["target"] + "/")
                if found:
                    assert (source / inside).is_file()
                    checked += 1
    assert checked == 9


@pytest.mark.parametrize("drop_in", ["", "/etc/otelcol/drop-ins/log-files.yaml"])
def test_the_collector_accepts_its_files_and_one_of_the_operators(drop_in: str) -> None:
    answer = compose("config", "--format", "json", **CHOSEN, OTELCOL_DROP_IN=drop_in)
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


BACKENDS = {"jaeger", "prometheus", "loki", "grafana", "alertmanager"}
OURS = BACKENDS | {"otel-collector", "otel-log-files", "otel-setup"}


def test_what_is_ours_has_no_more_rights_than_it_needs(
    services: dict[str, dict[str, Any]], alone: dict[str, dict[str, Any]]
) -> None:
    """No image is written to, no right of root is left, memory has an end."""
    assert services.keys() - alone.keys() == OURS
    added = {name: services[name].get("cap_add", []) for name in OURS}
    assert {name for name in OURS if added[name]} == {"otel-setup"}
    assert added["otel-setup"] == ["CHOWN", "DAC_OVERRIDE", "FOWNER"]
    for name in OURS:
        service = services[name]
        assert not service.get("privileged")
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["tmpfs"] == ["/tmp"]  # noqa: S108 - in a container
        assert int(service["mem_limit"]) > 0
        assert name == "otel-setup" or service["stop_grace_period"] == "30s"


def test_backends_have_a_network_that_nothing_of_dify_is_in(
    services: dict[str, dict[str, Any]], alone: dict[str, dict[str, Any]]
) -> None:
    for name in BACKENDS:
        assert services[name]["networks"].keys() == {"otel_backends"}
    assert services["otel-collector"]["networks"].keys() == {"default", "otel_backends"}
    assert services["otel-setup"]["network_mode"] == "none"
    assert not [n for n in alone if "otel_backends" in (services[n].get("networks") or {})]


def test_the_collector_may_have_more_memory_than_it_refuses_at(
    services: dict[str, dict[str, Any]],
) -> None:
    collector = services["otel-collector"]
    refuses = int(collector["environment"]["OTELCOL_MEMORY_LIMIT_MIB"]) * 2**20
    assert int(collector["mem_limit"]) > refuses


@pytest.mark.parametrize("asked", ["", "/"])
def test_the_machine_s_root_is_mounted_only_where_somebody_asks_for_it(asked: str) -> None:
    answer = compose("config", "--format", "json", **CHOSEN, OTELCOL_HOST_ROOT=asked)
    shown = json.loads(answer.stdout)["services"]
    roots = {n for n in shown for v in shown[n].get("volumes", ()) if v.get("source") == "/"}
    assert roots == ({"otel-collector"} if asked else set())
    collector = shown["otel-collector"]
    assert collector["environment"]["OTELCOL_HOST_ROOT"] == ("/hostfs" if asked else "")
    [mounted] = [v for v in collector["volumes"] if v["target"] == "/hostfs"]
    assert mounted["read_only"]


def test_tokens_in_a_file_of_their_own_reach_the_collector_alone(tmp_path: Path) -> None:
    file = tmp_path / "otelcol.env"
    file.write_text("OTLP_VENDOR_TOKEN=from-a-file\n", encoding="utf-8")
    shown = compose("config", "--format", "json", **CHOSEN, OTELCOL_ENV_FILE=str(file))
    services = json.loads(shown.stdout)["services"]
    assert {n for n in services if "from-a-file" in str(services[n])} == {"otel-collector"}


def test_the_example_lists_every_variable_with_its_default_and_no_other() -> None:
    """A variable of the overlay that nobody can find, or a listed one without effect, is a bug."""
    overlay = OVERLAY.read_text(encoding="utf-8")
    read = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", overlay))
    example = EXAMPLE.read_text(encoding="utf-8")
    assert dict(re.findall(r"^# (\w+)=(.*)$", example, re.MULTILINE)) == read
    required = set(re.findall(r"\$\{(\w+):\?", overlay))
    assert set(re.findall(r"^(\w+)=", example, re.MULTILINE)) == required | {"COMPOSE_FILE"}


def test_the_overlay_changes_no_default_of_the_package_but_where_things_are(
    services: dict[str, dict[str, Any]],
) -> None:
    """And every name of ours in it is one that the package knows, else it warns of a typo."""
    given = services["api"]["environment"]
    assert Settings(given).problems == []
    changed = [s.name for s in SETTINGS if Settings(given)[s] != Settings({})[s]]
    assert sorted(changed) == ["OTEL_DIFY_JOURNAL_DIR", "OTEL_EXPORTER_OTLP_ENDPOINT"]


def test_the_example_can_be_appended_to_a_file_whose_last_line_has_no_end() -> None:
    assert EXAMPLE.read_text(encoding="utf-8").startswith("\n#")


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
    services: dict[str, dict[str, Any]], dify_entrypoint: Path, tmp_path: Path, name: str
) -> None:
    said = run_bash(
        services[name],
        {
            "/entrypoint.sh": str(dify_entrypoint),
            "/opt/otel_dify": str(ROOT),
            "/tmp/otel_dify": str(tmp_path / "otel_dify"),  # noqa: S108 - what is replaced
        },
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
    )
    assert "given argument" in said
    assert "otel_dify.distro" in said


def test_dify_starts_without_telemetry_where_the_folder_is_wrong(
    services: dict[str, dict[str, Any]], dify_entrypoint: Path, tmp_path: Path
) -> None:
    """Docker makes an empty folder of what is to be mounted and does not exist."""
    said = run_bash(
        services["api"],
        {"/entrypoint.sh": str(dify_entrypoint), "/opt/otel_dify": str(tmp_path)},
    )
    assert "given argument" in said
    assert "could not be copied into this container: Dify starts without telemetry" in said
    assert "opentelemetry" not in said.partition("started")[2]


def configured(service: dict[str, Any], folder: Path, **environ: str) -> str:
    """Run what writes the configurations; returns its output."""
    words = {"/configured": str(folder), "chown -R": "echo", "chmod 1777": "echo"}
    given = {**service["environment"], **environ, "PYTHONPATH": str(ROOT)}
    # It empties the environment where it is to ignore the settings.
    return run_bash(service, {**words, "env -i": f"env -i PYTHONPATH={ROOT}"}, **given)


def test_alertmanager_and_jaeger_get_what_the_variables_say(
    services: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    configured(
        services["otel-setup"],
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
        assert "otel-setup" in services[name]["depends_on"]


def test_half_a_channel_is_told_and_everything_starts_without(
    services: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    said = configured(services["otel-setup"], tmp_path, ALERT_MAIL_TO="a@example.com")
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
    given = services["otel-setup"]["environment"].keys()
    assert read == given - {"PYTHONDONTWRITEBYTECODE"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Dify's containers make of the folder that is mounted, with no module but Python's."""
    folder = tmp_path_factory.mktemp("container") / "otel_dify"
    python = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    program = ROOT / "collector" / "install.py"
    for _ in ("a first start", "a restart"):
        subprocess.run([python, "-I", program, folder], check=True)
    return folder


def test_what_is_copied_is_what_pip_would_install_of_the_wheel(
    installed: Path, tmp_path: Path
) -> None:
    build = ("build", "--quiet", "--wheel", "--out-dir", tmp_path)
    subprocess.run([ROOT / "scripts" / "uv", *build], cwd=ROOT, check=True)
    [built] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        assert {name: archive.read(name) for name in names} == {
            str(path.relative_to(installed)): path.read_bytes()
            for path in (installed / "otel_dify").rglob("*")
            if path.is_file() and path.suffix != ".pyc"
        }
        [listed] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        expected = entry_points(archive.read(listed).decode())
    [metadata] = installed.glob("*.dist-info")
    assert listed.startswith(f"{metadata.name}/")
    assert entry_points((metadata / "entry_points.txt").read_text(encoding="utf-8")) == expected


def entry_points(text: str) -> dict[str, dict[str, str]]:
    """Read an entry_points.txt."""
    parser = ConfigParser(delimiters="=")
    parser.read_string(text)
    return {group: dict(parser[group]) for group in parser.sections()}


def test_what_is_copied_is_compiled(installed: Path) -> None:
    modules = [*(installed / "otel_dify").rglob("*.py")]
    compiled = [*(installed / "otel_dify").rglob("*.pyc")]
    assert len(modules) == len(compiled) > 0
    assert not (installed.parent / "otel_dify.new").exists()


def test_a_folder_that_cannot_be_written_is_an_error_and_dify_starts_without(
    services: dict[str, dict[str, Any]], dify_entrypoint: Path, tmp_path: Path
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    said = run_bash(
        services["api"],
        {
            "/entrypoint.sh": str(dify_entrypoint),
            "/opt/otel_dify": str(ROOT),
            "/tmp/otel_dify": str(in_the_way / "otel_dify"),  # noqa: S108 - what is replaced
        },
    )
    assert "NotADirectoryError" in said
    assert "Dify starts without telemetry" in said
