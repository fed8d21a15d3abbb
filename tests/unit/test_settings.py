"""The settings: what each variable takes, and what an operator hears of a value it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_dify import settings as s
from otel_dify.sampling import rates
from otel_dify.settings import SETTINGS, Setting, Settings

# Variable: texts it takes with what they mean, and texts that it does not take.
CASES: dict[str, tuple[dict[str, object], tuple[str, ...]]] = {
    "OTEL_SDK_DISABLED": ({"true": True, "FALSE": False, " True ": True}, ("1", "yes", "on")),
    "OTEL_SERVICE_NAME": ({"my-dify": "my-dify"}, ()),
    "OTEL_TRACES_EXPORTER": ({"otlp": ("otlp",), "a, b,": ("a", "b")}, ()),
    "OTEL_METRICS_EXPORTER": ({"none": ("none",)}, ()),
    "OTEL_LOGS_EXPORTER": ({"console,otlp": ("console", "otlp")}, ()),
    "OTEL_EXPORTER_OTLP_PROTOCOL": (
        {"grpc": "grpc", "HTTP/protobuf": "http/protobuf"},
        ("http/json", "http"),
    ),
    "OTEL_EXPORTER_OTLP_ENDPOINT": (
        {"http://otel-collector:4318": "http://otel-collector:4318"},
        (),
    ),
    "OTEL_EXPORTER_OTLP_HEADERS": ({"a=b, c=d%20e": "a=b, c=d%20e"}, ()),
    "OTEL_EXPORTER_OTLP_COMPRESSION": (
        {"gzip": "gzip", "None": "none", "deflate": "deflate", "ZSTD": "zstd"},
        ("brotli", "true"),
    ),
    "OTEL_EXPORTER_OTLP_TIMEOUT": (
        {"10": 10.0, "0.5": 0.5, "600": 600.0},
        ("0", "-1", "10s", "10000", "nan", "inf"),
    ),
    "OTEL_EXPORTER_OTLP_CERTIFICATE": ({"/etc/ca.pem": "/etc/ca.pem"}, ()),
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": ({"/etc/me.pem": "/etc/me.pem"}, ()),
    "OTEL_EXPORTER_OTLP_CLIENT_KEY": ({"/etc/me.key": "/etc/me.key"}, ()),
    "OTEL_EXPORTER_OTLP_INSECURE": ({"true": True, "False": False}, ("1", "yes")),
    "OTEL_TRACES_SAMPLER": ({"Always_On": "always_on"}, ("jaeger_remote", "0.5")),
    "OTEL_TRACES_SAMPLER_ARG": ({"0": 0.0, "0.25": 0.25, "1": 1.0}, ("1.1", "-1", "nan", "many")),
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": (
        {
            "NO_CONTENT": "no_content",
            "SPAN_ONLY": "span_only",
            "event_only": "event_only",
            "Span_And_Event": "span_and_event",
        },
        ("true", "all"),
    ),
    "OTEL_METRIC_EXPORT_INTERVAL": ({"100": 100, "60000": 60_000}, ("99", "-5", "1.5", "15s")),
    "OTEL_METRIC_EXPORT_TIMEOUT": ({"1": 1, "10000": 10_000}, ("0", "10s")),
    "OTEL_METRICS_EXEMPLAR_FILTER": (
        {"trace_based": "trace_based", "Always_On": "always_on", "always_off": "always_off"},
        ("bogus", "on"),
    ),
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": (
        {"Cumulative": "cumulative", "delta": "delta", "LowMemory": "lowmemory"},
        ("both",),
    ),
    "OTEL_ATTRIBUTE_COUNT_LIMIT": ({"0": 0, "64": 64}, ("-1", "many")),
    "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": ({"32": 32}, ("-1",)),
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": ({"4096": 4096}, ("-1",)),
    "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT": ({"1024": 1024}, ("long",)),
    "OTEL_BSP_SCHEDULE_DELAY": ({"1": 1}, ("0", "soon")),
    "OTEL_BSP_MAX_QUEUE_SIZE": ({"512": 512}, ("511", "unlimited")),
    "OTEL_BLRP_SCHEDULE_DELAY": ({"5000": 5000}, ("0", "1e3")),
    "OTEL_BLRP_MAX_QUEUE_SIZE": ({"2048": 2048}, ("0", "-1")),
    "OTEL_DIFY_FILE_PATH": ({"/data/otel": Path("/data/otel")}, ()),
    "OTEL_DIFY_STATE_PATH": ({"state": Path("state")}, ()),
    "OTEL_DIFY_JOURNAL_DIR": ({"journal": Path("journal"), "none": Path("none")}, ()),
    "OTEL_DIFY_JOURNAL_SIZE": ({"2": 2, "64": 64}, ("1", "64MB")),
    "OTEL_DIFY_JOURNAL_AGE": ({"1": 1}, ("0", "3d")),
    "OTEL_DIFY_LOG_LEVEL": ({"DEBUG": "debug", "warning": "warning"}, ("verbose", "10")),
    "OTEL_DIFY_HTTP_CLIENT_LOGS": ({"true": True, "false": False}, ("1", "on")),
    "OTEL_DIFY_START_EVENTS": ({"true": True, "false": False}, ("1", "all")),
    "OTEL_DIFY_METRIC_TENANT_LABELS": ({"false": False}, ("0", "none")),
    "OTEL_DIFY_SAMPLING": (
        {
            "25%": rates.parse("0.25"),
            "app=A: 10% ; 1": rates.parse("app=a:0.1;1.0;"),
            ";": (),
        },
        (
            *("many", "110%", "-1", "1.5", "nan", "app=x", "app: 1", "app=: 1", "model=x: 1"),
            *("app=x app=y: 1", "app=x, 10%"),
        ),
    ),
    "OTEL_DIFY_SAMPLING_AT": ({"Sender": "sender", "collector": "collector"}, ("gateway",)),
    "OTEL_DIFY_MASK": (
        {"email": ("email",), "IP, card": ("ip", "card"), "none": ()},
        ("emails", "none,ip"),
    ),
    "OTEL_DIFY_MASK_PATTERNS": ({r"ACME-\d{6} [a-z]": r"ACME-\d{6} [a-z]"}, ()),
    "OTEL_DIFY_USER_ID_SALT": ({"grain": "grain"}, ()),
    "OTEL_DIFY_QUERY_SPAN_MS": ({"0": 0, "250": 250}, ("-1", "0.5", "slow")),
    "OTEL_DIFY_RUN_SPANS": ({"0": 0, "500": 500}, ("-1", "1e3", "all")),
    "OTEL_DIFY_HEALTH_ADDRESS": (
        {
            "9000": ("127.0.0.1", 9000),
            ":9000": ("127.0.0.1", 9000),
            "0.0.0.0:9000": ("0.0.0.0", 9000),  # noqa: S104 - given by name
            "[::1]:9000": ("::1", 9000),
        },
        ("here", "127.0.0.1:", "127.0.0.1:70000", "127.0.0.1:http"),
    ),
    "OTEL_DIFY_RUN_LOGS": ({"0": 0, "500": 500}, ("-1", "1e3", "all")),
}
GOOD = [(name, text, value) for name, (good, _) in CASES.items() for text, value in good.items()]
BAD = [(name, text) for name, (_, bad) in CASES.items() for text in bad]


def named(name: str) -> Setting[object]:
    """Return the setting of a variable."""
    [found] = [setting for setting in SETTINGS if setting.name == name]
    return found


def test_every_setting_has_its_cases_here() -> None:
    assert set(CASES) == {setting.name for setting in SETTINGS}


@pytest.mark.parametrize(("name", "text", "value"), GOOD)
def test_a_usable_value_is_taken_without_a_word(name: str, text: str, value: object) -> None:
    settings = Settings({name: text})
    assert settings[named(name)] == value
    assert settings.problems == []


@pytest.mark.parametrize(("name", "text"), BAD)
def test_an_unusable_value_costs_one_sentence_and_the_default_is_used(name: str, text: str) -> None:
    """The sentence names the variable, the value, what is allowed and what happens now."""
    settings = Settings({name: text})
    assert settings[named(name)] == named(name).default
    [problem] = settings.problems
    assert problem.startswith(f"{name}={text!r} cannot be used: expected ")
    assert f"Running on with {named(name).shown_default}" in problem
    assert "restart" in problem
    assert "\n" not in problem


@pytest.mark.parametrize("text", ["", "   "])
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_an_empty_value_is_as_good_as_none(setting: Setting[object], text: str) -> None:
    settings = Settings({setting.name: text})
    assert settings[setting] == setting.default
    assert settings.problems == []


def test_an_unknown_variable_of_ours_is_named() -> None:
    [problem] = Settings({"OTEL_DIFY_QUERY_SPANS_MS": "5", "OTEL_BSP_EXPORT_TIMEOUT": "1"}).problems
    assert problem.startswith("OTEL_DIFY_QUERY_SPANS_MS is not a setting of otel_dify")


def test_a_problem_of_each_variable_is_told_apart() -> None:
    settings = Settings({"OTEL_DIFY_LOG_LEVEL": "loud", "OTEL_TRACES_SAMPLER_ARG": "2"})
    assert len(settings.problems) == 2


@pytest.mark.parametrize(
    ("environ", "signal", "protocol"),
    [
        ({}, "traces", "http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "logs", "grpc"),
        ({"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc"}, "logs", "grpc"),
        ({"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc"}, "metrics", "http/protobuf"),
        (
            {
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            },
            "traces",
            "http/protobuf",
        ),
    ],
)
def test_the_protocol_of_a_signal_goes_before_that_of_all(
    environ: dict[str, str], signal: str, protocol: str
) -> None:
    settings = Settings(environ)
    assert settings.protocol(signal) == protocol
    assert settings.problems == []


def test_an_unusable_protocol_of_a_signal_is_told_too() -> None:
    settings = Settings({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"})
    assert settings.protocol("traces") == "http/protobuf"
    [problem] = settings.problems
    assert problem.startswith("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL='http/json' cannot be used")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317"),
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://all:4318",
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://own/v1/traces",
            },
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://own/v1/traces"),
        ),
    ],
)
def test_the_variable_that_decides_where_a_signal_goes_is_named(
    environ: dict[str, str], expected: tuple[str, str]
) -> None:
    assert Settings(environ).endpoint("traces") == expected


@pytest.mark.parametrize("setting", s.OF_A_SIGNAL, ids=lambda setting: setting.name)
@pytest.mark.parametrize("signal", s.SIGNALS)
def test_what_a_signal_has_for_itself_goes_first(setting: Setting[object], signal: str) -> None:
    text = list(CASES[setting.name][0])[-1]
    own = s.own_name(setting, signal)
    settings = Settings({own: text})
    assert settings.of(setting, signal) == setting.parse(text)
    assert settings.deciding(setting, signal) == own
    others = [other for other in s.SIGNALS if other != signal]
    assert [settings.of(setting, other) for other in others] == [setting.default] * 2
    assert [settings.deciding(setting, other) for other in others] == [setting.name] * 2
    assert Settings({setting.name: text}).of(setting, signal) == setting.parse(text)
    assert settings.problems == []


def test_an_unusable_value_of_a_signal_leaves_it_what_all_have() -> None:
    settings = Settings(
        {"OTEL_EXPORTER_OTLP_TIMEOUT": "3", "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT": "10000"}
    )
    assert settings.of(s.TIMEOUT, "logs") == 3
    [problem] = settings.problems
    assert problem.startswith("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT='10000' cannot be used: expected s")
    assert "Running on with 3.0" in problem


def test_names_are_unique_and_ours_are_told_from_the_standard_ones() -> None:
    names = [setting.name for setting in SETTINGS]
    assert len(set(names)) == len(names)
    for setting in SETTINGS:
        assert setting.standard is not setting.name.startswith("OTEL_DIFY_")
        assert setting.doc.endswith(".")


def test_the_environment_is_read_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_DIFY_QUERY_SPAN_MS", "7")
    assert Settings()[s.QUERY_SPAN_MS] == 7
