"""Conflicts: what switches otel_dify off, and what else instruments or exports beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.metadata import entry_points
from importlib.util import find_spec

from otel_dify.cli.doctor import names
from otel_dify.cli.doctor.examined import Examined
from otel_dify.cli.doctor.finding import Finding, note, ok, problem, warning
from otel_dify.export.sending.addresses import masked
from otel_dify.settings import SDK_DISABLED
from otel_dify.sources.registry import DISABLED

_AGENTS = {
    "ddtrace": ("Datadog's ddtrace", ("DD_SERVICE", "DD_AGENT_HOST", "DD_TRACE_AGENT_URL")),
    "newrelic": ("New Relic's agent", ("NEW_RELIC_LICENSE_KEY", "NEW_RELIC_CONFIG_FILE")),
    "elasticapm": ("Elastic's APM agent", ("ELASTIC_APM_SERVER_URL", "ELASTIC_APM_SERVICE_NAME")),
    "skywalking": ("SkyWalking's agent", ("SW_AGENT_COLLECTOR_BACKEND_SERVICES",)),
    "scout_apm": ("Scout's agent", ("SCOUT_KEY",)),
    "instana": ("Instana's agent", ("INSTANA_ENDPOINT_URL", "AUTOWRAPT_BOOTSTRAP")),
}
"""Agents by the module that they are: what they are called, and variables that set them going."""

_STOCK = "opentelemetry-instrumentation"
_CHOOSES = {"OTEL_PYTHON_DISTRO": "distro", "OTEL_PYTHON_CONFIGURATOR": "configurator"}


def check(examined: Examined) -> Iterator[Finding]:
    """Find what stands in the way, or does the same work a second time."""
    as_dify = replace(examined, environ={**_dotenv(examined), **examined.environ})
    found = [
        *_switched_off(examined),
        *_chosen(examined),
        *_dify(as_dify),
        *_sentry(as_dify),
        *_agents(examined),
        *_instrumentors(),
        *names.misspelt_sources(examined),
    ]
    yield from found
    if not found:
        yield ok("conflicts", "Nothing switches otel_dify off, and nothing else does its work")


def _switched_off(examined: Examined) -> Iterator[Finding]:
    if examined.settings[SDK_DISABLED]:
        yield problem(
            "conflicts.sdk_disabled",
            f"{SDK_DISABLED.name}=true: nothing is attached to Dify and nothing is recorded",
            f"Set {SDK_DISABLED.name}=false, or take it away, and restart Dify",
        )
    disabled = names.disabled(examined)
    if "*" in disabled:
        yield problem(
            "conflicts.disabled",
            f"{DISABLED} has *: every source is switched off",
            "Name those that are to be off, instead of *, and restart Dify",
        )
    for name in ("OTEL_CONFIG_FILE", "OTEL_EXPERIMENTAL_CONFIG_FILE"):
        if examined.has(name):
            yield warning(
                f"conflicts.{name}",
                f"{name} is set, and otel_dify does not read such files",
                "Set what the file says by environment variables; the README lists them",
            )


def _chosen(examined: Examined) -> Iterator[Finding]:
    """Tell which distro and configurator OpenTelemetry's loader takes."""
    for name, what in _CHOOSES.items():
        chosen = examined.has(name)
        if not chosen or chosen == "otel_dify":
            continue
        about = f"conflicts.{what}"
        if what == "configurator":
            yield problem(
                about,
                f"{name}={chosen}: otel_dify leaves everything to it and records nothing",
                f"Set {name}=otel_dify, or take it away",
            )
        else:
            yield warning(
                about,
                f"{name}={chosen}: that distro is started first, and otel_dify takes over from it",
                f"Set {name}=otel_dify: less is started only to be ended",
            )


def _dify(examined: Examined) -> Iterator[Finding]:
    """Tell of Dify's own telemetry."""
    if examined.is_on("ENABLE_OTEL"):
        to = examined.has("OTLP_BASE_ENDPOINT") or examined.has("OTLP_TRACE_ENDPOINT")
        yield warning(
            "conflicts.enable_otel",
            "ENABLE_OTEL is on: Dify's built-in telemetry exports as well"
            + (f", to {masked(to)}" if to else "")
            + ", with prompts and answers whatever otel_dify's settings say of content",
            "Set ENABLE_OTEL=false unless somebody needs both; docs/coexistence.md says what each "
            "has",
        )
    if examined.is_on("ENABLE_OTEL_FOR_INSTRUMENT"):
        yield note(
            "conflicts.enable_otel_for_instrument",
            "ENABLE_OTEL_FOR_INSTRUMENT is on: otel_dify has what it adds, and leaves that out",
            "Nothing needs to be done; it may be taken away",
        )


def _sentry(examined: Examined) -> Iterator[Finding]:
    if not (examined.has("SENTRY_DSN") or examined.has("API_SENTRY_DSN")):
        return
    rates = ("SENTRY_TRACES_SAMPLE_RATE", "API_SENTRY_TRACES_SAMPLE_RATE")
    traced = next((rate for rate in map(examined.has, rates) if rate), "")
    yield note(
        "conflicts.sentry",
        "Sentry is on"
        + (f" and traces {traced} of all requests" if traced else "")
        + "; it stands beside otel_dify and has trace ids of its own",
        "Nothing needs to be done; SENTRY_TRACES_SAMPLE_RATE=0 keeps its errors and saves the cost "
        "of tracing twice",
    )


def _agents(examined: Examined) -> Iterator[Finding]:
    for module, (what, variables) in _AGENTS.items():
        asked = [name for name in variables if examined.has(name)]
        asked += [name for name in ("PYTHONPATH",) if f"/{module}/" in f"{examined.has(name)}/"]
        if module in sys.modules or (asked and find_spec(module) is not None):
            why = " and ".join(asked) + " set" if asked else "loaded into every Python here"
            yield warning(
                f"conflicts.{module}",
                f"{what} is active ({why}): it wraps the same libraries, and every call is "
                "watched twice",
                "Start Dify without it, or switch off what both do on one side: in otel_dify by "
                f"{DISABLED}",
            )


def _instrumentors() -> Iterator[Finding]:
    """Tell of instrumentations that are neither ours nor OpenTelemetry's own."""
    others: dict[str, set[str]] = {}
    for entry in entry_points(group="opentelemetry_instrumentor"):
        package = entry.dist.name.lower() if entry.dist is not None else ""
        if package and not package.startswith((_STOCK, "otel-dify", "otel_dify")):
            others.setdefault(package, set()).add(entry.name)
    for package, entries in sorted(others.items()):
        yield note(
            "conflicts.instrumentor",
            f"The package {package} instruments {', '.join(sorted(entries))} as well",
            f"Nothing needs to be done if its spans are wanted; {DISABLED} switches it off",
        )


def _dotenv(examined: Examined) -> Mapping[str, str]:
    """Read the `.env` in Dify's folder, which Dify reads where a variable is unset."""
    path = None if examined.dify is None else examined.dify / ".env"
    try:
        text = "" if path is None else path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition("=") for line in text.splitlines() if not line.lstrip().startswith("#"))
    return {
        name.strip().removeprefix("export "): value.strip().strip("\"'")
        for name, equals, value in pairs
        if equals
    }
