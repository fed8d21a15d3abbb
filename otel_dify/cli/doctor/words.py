"""Settings in words: what is recorded, where it goes, and what of them is not understood."""

from __future__ import annotations

from collections.abc import Iterator

from otel_dify import settings as s
from otel_dify.cli.doctor import names
from otel_dify.cli.doctor.examined import Examined
from otel_dify.cli.doctor.finding import Finding, note, ok, warning
from otel_dify.export.exporters import OURS

_EXPORTERS = {
    "traces": s.TRACES_EXPORTER,
    "metrics": s.METRICS_EXPORTER,
    "logs": s.LOGS_EXPORTER,
}
_CONTENT = {
    "span_only": "in spans, not in log events",
    "event_only": "in log events, not in spans",
    "span_and_event": "in spans and in log events",
}
_KEPT_BY = ("traceidratio", "parentbased_traceidratio")


def check(examined: Examined) -> Iterator[Finding]:
    """Say what the settings come to."""
    settings = examined.settings
    yield from _unusable(settings)
    yield from names.misspelt_variables(examined)
    for signal in s.SIGNALS:
        yield _where(settings, signal)
    yield _sampling(settings)
    yield _content(settings)
    yield from _rest(settings)


def _unusable(settings: s.Settings) -> Iterator[Finding]:
    known = {setting.name for setting in s.SETTINGS}
    for sentence in settings.problems:
        name = sentence.partition(" ")[0]
        # Told by `names`, with the nearest one that there is.
        if name.startswith("OTEL_DIFY_") and name in settings.environ and name not in known:
            continue
        what, _, do = sentence.partition(". ")
        yield warning(f"settings.{name.partition('=')[0]}", what, do)


def _where(settings: s.Settings, signal: str) -> Finding:
    about, setting = f"settings.{signal}", _EXPORTERS[signal]
    chosen = settings[setting]
    if set(chosen) <= {"none"}:
        return warning(
            about,
            f"{setting.name}={','.join(chosen)}: no {signal} are sent anywhere",
            f"Set {setting.name}=otlp, or take it away, if they are wanted",
        )
    ours = sorted(OURS & set(chosen))
    others = [name for name in chosen if name not in OURS and name != "none"]
    ways = []
    if ours:
        # It says what it cannot use of an address; `reach` tells that.
        from otel_dify.export.sending.addresses import masked

        ways.append(f"to {masked(settings.endpoint(signal)[1])} by {settings.protocol(signal)}")
    if others:
        ways.append(f"by the exporter {' and '.join(others)}")
    if "console" in others and not ours:
        return note(
            about,
            f"{signal.capitalize()} are written to the log of Dify's processes, and nowhere else",
            f"Set {setting.name}=otlp to have them in a backend",
        )
    return ok(about, f"{signal.capitalize()} go {' and '.join(ways)}")


def _sampling(settings: s.Settings) -> Finding:
    about, sampler = "settings.sampling", settings[s.SAMPLER]
    if sampler.endswith("always_off"):
        return warning(
            about,
            f"{s.SAMPLER.name}={sampler}: no trace that begins here is kept",
            f"Take {s.SAMPLER.name} away to have traces; metrics and log events are complete",
        )
    if sampler in _KEPT_BY and settings[s.SAMPLER_ARG] < 1:
        return warning(
            about,
            f"{100 * settings[s.SAMPLER_ARG]:g} % of all traces are kept "
            f"({s.SAMPLER.name}={sampler}), and failed runs are dropped with the rest",
            f"Take {s.SAMPLER.name} away and let the Collector sample what is whole, if failures "
            "are to be kept",
        )
    return ok(
        about,
        "All traces are kept"
        + (", but for those whose caller has left them out" if sampler.startswith("parent") else "")
        + "; metrics and log events are never sampled",
    )


def _content(settings: s.Settings) -> Finding:
    about, mode = "settings.content", settings[s.CAPTURE_CONTENT]
    if mode == "no_content":
        return ok(
            about,
            "Prompts, answers, inputs, outputs and documents stay in Dify: telemetry has "
            "references in their place",
        )
    return note(
        about,
        f"Prompts, answers, inputs, outputs and documents are sent, {_CONTENT[mode]}, with secrets "
        "masked; whoever may read the backends reads them",
        f"Set {s.CAPTURE_CONTENT.name}=NO_CONTENT if that is not wanted",
    )


def _rest(settings: s.Settings) -> Iterator[Finding]:
    slow_ms = settings[s.QUERY_SPAN_MS]
    queries = (
        f"Queries from {slow_ms} ms on and failed ones get a span, others are counted"
        if slow_ms
        else "Every database and Redis query gets a span"
    )
    yield ok("settings.queries", queries)
    yield ok("settings.logs_level", f"Log records are sent from {settings[s.LOG_LEVEL].upper()} on")
    owners = settings[s.METRIC_TENANT_LABELS]
    yield ok(
        "settings.labels",
        f"Metrics {'have' if owners else 'do not have'} the ids of tenant, app, workflow and API "
        "key as labels; never those of end users",
    )
    if settings[s.TEMPORALITY] != "cumulative":
        yield note(
            "settings.temporality",
            f"Metrics are sent as {settings[s.TEMPORALITY]}, which Prometheus does not take as it "
            "is and which costs several times as much CPU",
            f"Take {s.TEMPORALITY.name} away unless the backend asks for it",
        )
