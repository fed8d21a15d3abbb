"""Settings in words, conflicts, and names that are nearly right."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from otel_dify.cli.doctor import conflicts, words
from otel_dify.cli.doctor.checks import CHECKS, examine
from otel_dify.cli.doctor.examined import Examined
from otel_dify.cli.doctor.finding import Finding, Severity
from otel_dify.cli.doctor.names import nearest
from otel_dify.settings import SETTINGS

ON, NOTE, WARNING, PROBLEM = Severity.OK, Severity.NOTE, Severity.WARNING, Severity.PROBLEM
DISABLED = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"


def in_words(**environ: str) -> dict[str, Finding]:
    return {finding.about: finding for finding in words.check(Examined(environ))}


def in_conflict(dify: Path | None = None, /, **environ: str) -> dict[str, Finding]:
    return {finding.about: finding for finding in conflicts.check(Examined(environ, dify))}


def test_without_any_setting_there_is_nothing_to_do() -> None:
    assert {finding.severity for finding in in_words().values()} == {ON}
    assert list(in_conflict()) == ["conflicts"]


@pytest.mark.parametrize(
    ("name", "value", "about", "severity", "said"),
    [
        ("OTEL_TRACES_EXPORTER", "none", "traces", WARNING, "no traces are sent anywhere"),
        ("OTEL_LOGS_EXPORTER", "console", "logs", NOTE, "written to the log of Dify's processes"),
        ("OTEL_LOGS_EXPORTER", "otlp,console", "logs", ON, "and by the exporter console"),
        ("OTEL_TRACES_SAMPLER", "always_off", "sampling", WARNING, "no trace that begins here"),
        ("OTEL_TRACES_SAMPLER", "always_on", "sampling", ON, "All traces are kept;"),
        (
            *("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "span_only", "content", NOTE),
            "are sent, in spans, not in log events",
        ),
        ("OTEL_DIFY_QUERY_SPAN_MS", "0", "queries", ON, "Every database and Redis query"),
        ("OTEL_DIFY_QUERY_SPAN_MS", "7", "queries", ON, "Queries from 7 ms on"),
        ("OTEL_DIFY_LOG_LEVEL", "error", "logs_level", ON, "sent from ERROR on"),
        ("OTEL_DIFY_METRIC_TENANT_LABELS", "false", "labels", ON, "do not have the ids of tenant"),
        (
            *("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta", "temporality", NOTE),
            "Metrics are sent as delta",
        ),
    ],
)
def test_a_setting_is_said_in_words(
    name: str, value: str, about: str, severity: Severity, said: str
) -> None:
    finding = in_words(**{name: value})[f"settings.{about}"]
    assert finding.severity is severity
    assert said in finding.what


def test_head_sampling_says_what_it_costs() -> None:
    asked = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}
    finding = in_words(**asked)["settings.sampling"]
    assert finding.severity is WARNING
    assert finding.what.startswith("25 % of all traces are kept")
    assert "failed runs are dropped with the rest" in finding.what


def test_credentials_in_an_address_are_not_shown() -> None:
    told = in_words(OTEL_EXPORTER_OTLP_ENDPOINT="http://user:geheim@collector:4318")
    assert "http://***@collector:4318" in told["settings.traces"].what
    assert "geheim" not in str(told)


def test_a_value_that_cannot_be_used_is_told_with_what_is_used_instead() -> None:
    finding = in_words(OTEL_DIFY_QUERY_SPAN_MS="soon")["settings.OTEL_DIFY_QUERY_SPAN_MS"]
    assert finding.severity is WARNING
    assert "expected a whole number" in finding.what
    assert "Running on with 100" in finding.do


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("OTEL_DIFY_JOURNAL_DIRECTORY", "OTEL_DIFY_JOURNAL_DIR"),
        ("OTEL_DIFY_QUERY_SPANS_MS", "OTEL_DIFY_QUERY_SPAN_MS"),
        ("OTEL_EXPORTER_OTLP_ENDPIONT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("OTEL_EXPORTER_OTLP_TRACE_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"),
        ("OTEL_SDK_DISABLE", "OTEL_SDK_DISABLED"),
    ],
)
def test_a_misspelt_variable_has_the_nearest_name(name: str, meant: str) -> None:
    finding = in_words(**{name: "1"})[f"settings.{name}"]
    assert finding.severity is WARNING
    assert f"Did you mean {meant}?" in finding.do


def test_a_variable_of_ours_that_is_near_to_none_is_told_without_a_guess() -> None:
    finding = in_words(OTEL_DIFY_X="1")["settings.OTEL_DIFY_X"]
    assert finding.severity is WARNING
    assert "Did you mean" not in finding.do


def test_no_name_that_there_is_is_taken_for_a_slip() -> None:
    standard = (
        *("OTEL_PROPAGATORS", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_SEMCONV_STABILITY_OPT_IN"),
        *("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_JAEGER_ENDPOINT"),
        *("OTEL_PYTHON_FLASK_EXCLUDED_URLS", "OTEL_SAMPLING_RATE", "OTEL_EXPORTER_TYPE", DISABLED),
    )
    names = [*standard, *(setting.name for setting in SETTINGS)]
    told = in_words(**dict.fromkeys(names, ""))
    assert [about for about in told if about.startswith("settings.OTEL_")] == []


def test_the_nearest_of_names() -> None:
    assert nearest("sqlalchmy", ["redis", "sqlalchemy"]) == "sqlalchemy"
    assert nearest("zzz", ["redis", "sqlalchemy"]) == ""


@pytest.mark.parametrize(
    ("name", "value", "about", "severity", "said"),
    [
        ("OTEL_SDK_DISABLED", "true", "sdk_disabled", PROBLEM, "nothing is attached"),
        (DISABLED, "*", "disabled", PROBLEM, "every source is switched off"),
        ("OTEL_PYTHON_CONFIGURATOR", "configurator", "configurator", PROBLEM, "records nothing"),
        ("OTEL_PYTHON_DISTRO", "distro", "distro", WARNING, "takes over from it"),
        ("OTEL_CONFIG_FILE", "/etc/otel.yaml", "OTEL_CONFIG_FILE", WARNING, "does not read such"),
        ("ENABLE_OTEL", "true", "enable_otel", WARNING, "with prompts and answers"),
        (
            *("ENABLE_OTEL_FOR_INSTRUMENT", "1", "enable_otel_for_instrument", NOTE),
            "leaves that out",
        ),
        ("SENTRY_DSN", "https://key@sentry/1", "sentry", NOTE, "trace ids of its own"),
    ],
)
def test_what_stands_in_the_way_is_told(
    name: str, value: str, about: str, severity: Severity, said: str
) -> None:
    [(found, finding)] = in_conflict(**{name: value}).items()
    assert found == f"conflicts.{about}"
    assert finding.severity is severity
    assert said in finding.what


def test_what_is_off_or_ours_is_no_conflict() -> None:
    environ = {
        "ENABLE_OTEL": "false",
        "OTEL_SDK_DISABLED": "false",
        "OTEL_PYTHON_DISTRO": "otel_dify",
        "OTEL_PYTHON_CONFIGURATOR": "otel_dify",
        DISABLED: "redis, dify_threads, celery",
        "SENTRY_DSN": "",
    }
    assert list(in_conflict(**environ)) == ["conflicts"]


def test_difys_own_file_of_variables_is_read_where_the_environment_says_nothing(
    tmp_path: Path,
) -> None:
    (tmp_path / ".env").write_text(
        "# ENABLE_OTEL_FOR_INSTRUMENT=true\nENABLE_OTEL='true'\nOTLP_BASE_ENDPOINT=http://other\n"
    )
    told = in_conflict(tmp_path)
    assert list(told) == ["conflicts.enable_otel"]
    assert "http://other" in told["conflicts.enable_otel"].what
    assert list(in_conflict(tmp_path, ENABLE_OTEL="false")) == ["conflicts"]


def test_a_misspelt_source_has_the_nearest_name() -> None:
    [finding] = in_conflict(**{DISABLED: "redis,sqlalchmy"}).values()
    assert finding.severity is WARNING
    assert "names 'sqlalchmy'" in finding.what
    assert finding.do.startswith("Did you mean sqlalchemy?")


def test_an_agent_that_is_loaded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ddtrace", conflicts)
    finding = in_conflict()["conflicts.ddtrace"]
    assert finding.severity is WARNING
    assert "Datadog's ddtrace is active" in finding.what


def test_variables_of_an_agent_that_is_not_installed_are_no_conflict() -> None:
    assert list(in_conflict(DD_SERVICE="dify", NEW_RELIC_LICENSE_KEY="1")) == ["conflicts"]


def test_every_finding_that_is_not_well_says_what_to_do(tmp_path: Path) -> None:
    """Over every check, and what most of them can come upon; nothing listens anywhere."""
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_HEADERS": "broken",
        "OTEL_DIFY_JOURNAL_DIR": str(tmp_path),
        "OTEL_DIFY_X": "1",
        "OTEL_TRACES_SAMPLER": "always_off",
        "ENABLE_OTEL": "true",
        DISABLED: "sqlalchmy",
    }
    backends = {"jaeger": "http://127.0.0.1:9", "loki": "http://127.0.0.1:9"}
    examined = Examined(environ, None, backends, wait_s=0.0, timeout_s=2.0, proc=tmp_path)
    findings = [finding for check in CHECKS for finding in examine(check, examined)]
    assert {finding.severity for finding in findings} == set(Severity)
    for finding in findings:
        assert bool(finding.do) == (finding.severity is not ON), finding
        assert not finding.what.endswith("."), finding
        assert not finding.do.endswith("."), finding
        assert not finding.about.endswith(".failed"), finding
