"""Every environment variable that otel_dify reads, in one table.

The README's reference is generated from ``SETTINGS``. ``Settings`` reads an environment that is
passed in, keeps what it could not understand as one sentence each, and never raises: an unusable
value is reported and its default used, because telemetry must not stop Dify from starting.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from otel_dify.sampling import rates


@dataclass(frozen=True, slots=True)
class Setting[T]:
    """One environment variable.

    Attributes:
        name: the variable.
        default: its value where it is unset or unusable.
        parse: turns the text into the value; raises ``ValueError`` whose text says what is allowed.
        doc: what it does, one sentence.
        shown_default: how the default reads in the documentation.
        standard: whether the variable is OpenTelemetry's own (``OTEL_*``) or ours.
    """

    name: str
    default: T
    parse: Callable[[str], T]
    doc: str
    shown_default: str
    standard: bool = False


def _boolean(text: str) -> bool:
    """Read a boolean as the OpenTelemetry specification says: only ``true`` is true."""
    lowered = text.lower()
    if lowered not in {"true", "false"}:
        raise ValueError("expected true or false")
    return lowered == "true"


def _one_of(*names: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        lowered = text.lower()
        if lowered not in names:
            raise ValueError(f"expected one of {', '.join(names)}")
        return lowered

    return parse


_OTLP: tuple[str, ...] = ("otlp",)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)


def _at_least(minimum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < minimum:
            raise ValueError(f"expected a whole number of at least {minimum}")
        return int(text)

    return parse


def _string(text: str) -> str:
    return text


def _timeout(text: str) -> float:
    """Read seconds; what is meant as milliseconds is more of them than anybody waits."""
    allowed = "expected seconds, above 0 and at most 600"
    try:
        value = float(text)
    except ValueError:
        raise ValueError(allowed) from None
    if not 0 < value <= _LONGEST_TIMEOUT:
        raise ValueError(allowed)
    return value


_LONGEST_TIMEOUT = 600


def _some_of(*names: str) -> Callable[[str], tuple[str, ...]]:
    """Read names with commas between them; ``none`` is none of them."""

    def parse(text: str) -> tuple[str, ...]:
        chosen = _names(text.lower())
        if chosen == ("none",):
            return ()
        if not set(chosen) <= set(names):
            raise ValueError(f"expected some of {', '.join(names)}, or none")
        return chosen

    return parse


def _fraction(text: str) -> float:
    allowed = "expected a number from 0 to 1"
    try:
        value = float(text)
    except ValueError:
        raise ValueError(allowed) from None
    if not 0 <= value <= 1:
        raise ValueError(allowed)
    return value


def address(text: str) -> tuple[str, int]:
    """Read where to listen: ``host:port``, or a port of this machine alone.

    Raises:
        ValueError: it is neither.
    """
    host, _, port = text.strip().rpartition(":")
    if not port.isdecimal() or int(port) >= 1 << 16:
        raise ValueError("expected host:port, such as 127.0.0.1:9465")
    return host.strip("[]") or LOOPBACK, int(port)


LOOPBACK = "127.0.0.1"
SIGNALS = ("traces", "metrics", "logs")
PROTOCOLS = ("http/protobuf", "grpc")
COMPRESSIONS = ("none", "gzip", "deflate", "zstd")
CAPTURE_MODES = ("no_content", "span_only", "event_only", "span_and_event")
SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)

SDK_DISABLED = Setting(
    "OTEL_SDK_DISABLED",
    default=False,
    parse=_boolean,
    doc="`true` leaves nothing attached to Dify: no hook, no thread, no export.",
    shown_default="false",
    standard=True,
)
SERVICE_NAME = Setting(
    "OTEL_SERVICE_NAME",
    default="",
    parse=_string,
    doc="Name of the service; unset, it is told from the command: `dify-api`, `dify-worker` or "
    "`dify-beat`.",
    shown_default="by role",
    standard=True,
)
TRACES_EXPORTER = Setting(
    "OTEL_TRACES_EXPORTER",
    default=_OTLP,
    parse=_names,
    doc="Where spans go: `otlp`, `otlp_file`, `console`, `none`, or any installed exporter; "
    "several with commas.",
    shown_default="otlp",
    standard=True,
)
METRICS_EXPORTER = Setting(
    "OTEL_METRICS_EXPORTER",
    default=_OTLP,
    parse=_names,
    doc="Where metrics go; values as for traces.",
    shown_default="otlp",
    standard=True,
)
LOGS_EXPORTER = Setting(
    "OTEL_LOGS_EXPORTER",
    default=_OTLP,
    parse=_names,
    doc="Where log records and events go; values as for traces.",
    shown_default="otlp",
    standard=True,
)
PROTOCOL = Setting(
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    default="http/protobuf",
    parse=_one_of(*PROTOCOLS),
    doc="How OTLP is sent: `http/protobuf` or `grpc`. A signal's own "
    "`OTEL_EXPORTER_OTLP_{TRACES,METRICS,LOGS}_PROTOCOL` goes first; so it is with all "
    "`OTEL_EXPORTER_OTLP_*` that follow.",
    shown_default="http/protobuf",
    standard=True,
)
ENDPOINT = Setting(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    default="",
    parse=_string,
    doc="Where the Collector listens, such as `http://otel-collector:4318`; `/v1/traces` and so on "
    "are appended. A signal's own is taken as it is.",
    shown_default="http://localhost:4318 (grpc: 4317)",
    standard=True,
)
HEADERS = Setting(
    "OTEL_EXPORTER_OTLP_HEADERS",
    default="",
    parse=_string,
    doc="Headers sent with every request, `name=value` with commas between; what is special in a "
    "value is percent-encoded (`authorization=Bearer%20…`).",
    shown_default="none",
    standard=True,
)
COMPRESSION = Setting(
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    default="gzip",
    parse=_one_of(*COMPRESSIONS),
    doc="How requests are compressed: `gzip` or `none`; with `http/protobuf` also `deflate`, and "
    "`zstd` where Python has it. OpenTelemetry's own exporters send uncompressed by default.",
    shown_default="gzip",
    standard=True,
)
TIMEOUT = Setting(
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    default=10.0,
    parse=_timeout,
    doc="Seconds that one request may take, with connecting; at most 600. OpenTelemetry's "
    "specification says milliseconds; its Python exporters read seconds, and so do we.",
    shown_default="10",
    standard=True,
)
CERTIFICATE = Setting(
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    default="",
    parse=_string,
    doc="PEM file of the authorities that the Collector's certificate is checked against.",
    shown_default="the system's and certifi's (grpc: gRPC's own)",
    standard=True,
)
CLIENT_CERTIFICATE = Setting(
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    default="",
    parse=_string,
    doc="PEM file of the certificate that we show the Collector (mTLS).",
    shown_default="none",
    standard=True,
)
CLIENT_KEY = Setting(
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    default="",
    parse=_string,
    doc="PEM file of its private key, without a password; unset, it is in the certificate's file.",
    shown_default="none",
    standard=True,
)
INSECURE = Setting(
    "OTEL_EXPORTER_OTLP_INSECURE",
    default=False,
    parse=_boolean,
    doc="`true`: no TLS where `grpc` has an address without `http://` or `https://`.",
    shown_default="false",
    standard=True,
)
SAMPLER = Setting(
    "OTEL_TRACES_SAMPLER",
    default="parentbased_always_on",
    parse=_one_of(*SAMPLERS),
    doc="Which traces are kept that no rule of `OTEL_DIFY_SAMPLING` is for. Failed runs are "
    "dropped with the rest; metrics and events stay complete. Prefer the Collector's policies "
    "([docs/sampling.md](docs/sampling.md)).",
    shown_default="parentbased_always_on",
    standard=True,
)
SAMPLER_ARG = Setting(
    "OTEL_TRACES_SAMPLER_ARG",
    default=1.0,
    parse=_fraction,
    doc="The ratio of the `traceidratio` samplers, 0 to 1.",
    shown_default="1.0",
    standard=True,
)
CAPTURE_CONTENT = Setting(
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
    default="no_content",
    parse=_one_of(*CAPTURE_MODES),
    doc="Prompts, answers, inputs, outputs, documents and SQL values: `NO_CONTENT` leaves "
    "references in their place; `SPAN_ONLY`, `EVENT_ONLY`, `SPAN_AND_EVENT` keep them there.",
    shown_default="NO_CONTENT",
    standard=True,
)
METRIC_INTERVAL = Setting(
    "OTEL_METRIC_EXPORT_INTERVAL",
    default=15_000,
    parse=_at_least(100),
    doc="Milliseconds between two exports of metrics.",
    shown_default="15000",
    standard=True,
)
METRIC_TIMEOUT = Setting(
    "OTEL_METRIC_EXPORT_TIMEOUT",
    default=30_000,
    parse=_at_least(1),
    doc="Milliseconds that one export of metrics may take.",
    shown_default="30000",
    standard=True,
)
EXEMPLARS = Setting(
    "OTEL_METRICS_EXEMPLAR_FILTER",
    default="trace_based",
    parse=_one_of("trace_based", "always_on", "always_off"),
    doc="Which measurements become exemplars, the links from metrics to traces.",
    shown_default="trace_based",
    standard=True,
)
TEMPORALITY = Setting(
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    default="cumulative",
    parse=_one_of("cumulative", "delta", "lowmemory"),
    doc="Whether metrics are sent as they have come to since they began, or as they changed. "
    "Anything but `cumulative` costs several times as much CPU.",
    shown_default="cumulative",
    standard=True,
)
ATTRIBUTES = Setting(
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    default=128,
    parse=_at_least(0),
    doc="Attributes that a span or log record may have.",
    shown_default="128",
    standard=True,
)
LOG_ATTRIBUTES: Setting[int | None] = Setting(
    "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT",
    default=None,
    parse=_at_least(0),
    doc="The same for log records alone.",
    shown_default="OTEL_ATTRIBUTE_COUNT_LIMIT",
    standard=True,
)
ATTRIBUTE_LENGTH: Setting[int | None] = Setting(
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    default=None,
    parse=_at_least(0),
    doc="Characters that a value of an attribute may have.",
    shown_default="no limit",
    standard=True,
)
LOG_ATTRIBUTE_LENGTH: Setting[int | None] = Setting(
    "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    default=None,
    parse=_at_least(0),
    doc="The same for log records alone.",
    shown_default="OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    standard=True,
)
SPAN_DELAY = Setting(
    "OTEL_BSP_SCHEDULE_DELAY",
    default=5_000,
    parse=_at_least(1),
    doc="Milliseconds that spans wait to be sent together.",
    shown_default="5000",
    standard=True,
)
SPAN_QUEUE = Setting(
    "OTEL_BSP_MAX_QUEUE_SIZE",
    default=8_192,
    parse=_at_least(512),
    doc="Spans held for sending; more than that are dropped.",
    shown_default="8192",
    standard=True,
)
LOG_DELAY = Setting(
    "OTEL_BLRP_SCHEDULE_DELAY",
    default=5_000,
    parse=_at_least(1),
    doc="Milliseconds that log records wait to be sent together.",
    shown_default="5000",
    standard=True,
)
LOG_QUEUE = Setting(
    "OTEL_BLRP_MAX_QUEUE_SIZE",
    default=8_192,
    parse=_at_least(512),
    doc="Log records held for sending; more than that are dropped.",
    shown_default="8192",
    standard=True,
)
FILE_PATH = Setting(
    "OTEL_DIFY_FILE_PATH",
    default=Path("otel_dify_telemetry"),
    parse=Path,
    doc="Folder that the `otlp_file` exporters write OTLP JSON lines into.",
    shown_default="./otel_dify_telemetry",
)
STATE_PATH = Setting(
    "OTEL_DIFY_STATE_PATH",
    default=Path(tempfile.gettempdir()) / f"otel_dify-{os.getuid()}",
    parse=Path,
    doc="Folder for what processes of one host agree on: the slots of `service.instance.id`.",
    shown_default="<temporary folder>/otel_dify-<uid>",
)
JOURNAL_DIR: Setting[Path | None] = Setting(
    "OTEL_DIFY_JOURNAL_DIR",
    default=None,
    parse=Path,
    doc="Folder of the journals: spans and log records lie there until the Collector has them, so "
    "that a process that is killed loses none. `none` keeps them in memory.",
    shown_default="`journal` in OTEL_DIFY_STATE_PATH",
)
JOURNAL_SIZE = Setting(
    "OTEL_DIFY_JOURNAL_SIZE",
    default=64,
    parse=_at_least(2),
    doc="Megabytes of the journal of one signal of one process; beyond that the oldest records are "
    "dropped and counted.",
    shown_default="64",
)
JOURNAL_AGE = Setting(
    "OTEL_DIFY_JOURNAL_AGE",
    default=72,
    parse=_at_least(1),
    doc="Hours after which records that could not be sent are dropped and counted.",
    shown_default="72",
)
LOG_LEVEL = Setting(
    "OTEL_DIFY_LOG_LEVEL",
    default="info",
    parse=_one_of("debug", "info", "warning", "error"),
    doc="Lowest level of Python log records that are sent.",
    shown_default="info",
)
HTTP_CLIENT_LOGS = Setting(
    "OTEL_DIFY_HTTP_CLIENT_LOGS",
    default=False,
    parse=_boolean,
    doc="Send what HTTPX logs of each call below WARNING as well; the call's span says the same.",
    shown_default="false",
)
START_EVENTS = Setting(
    "OTEL_DIFY_START_EVENTS",
    default=False,
    parse=_boolean,
    doc="Send an event for the start of each run and node as well (`dify.workflow.started`, "
    "`dify.node.started`), not only for its end: for who looks for what hangs in the logs.",
    shown_default="false",
)
METRIC_TENANT_LABELS = Setting(
    "OTEL_DIFY_METRIC_TENANT_LABELS",
    default=True,
    parse=_boolean,
    doc="Put `tenant_id`, `app_id`, `workflow_id` and `api_key_id` on metrics; `false` where there "
    "are too many of them. End users are never metric labels.",
    shown_default="true",
)
SAMPLING: Setting[rates.Rules] = Setting(
    "OTEL_DIFY_SAMPLING",
    default=(),
    parse=rates.parse,
    doc="Which part of the traces is kept: `10%`, or rules by app, environment and invoke source, "
    "the first that fits: `app=<id>|<id>: 10%; source=debugger: 1; env=staging: 0.5; 25%`. The "
    "same on API and workers ([docs/sampling.md](docs/sampling.md)).",
    shown_default="everything",
)
SAMPLING_AT = Setting(
    "OTEL_DIFY_SAMPLING_AT",
    default="sender",
    parse=_one_of("sender", "collector"),
    doc="Where the rest is dropped: `sender`, before it is encoded, or `collector`: everything is "
    "sent with its rate, and the drop-in `collector/drop-ins/sampling.yaml` drops what it has no "
    "other reason to keep.",
    shown_default="sender",
)
_PERSONS: tuple[str, ...] = ("card", "chinese_id", "phone", "email")
MASK = Setting(
    "OTEL_DIFY_MASK",
    default=_PERSONS,
    parse=_some_of(*_PERSONS, "ip"),
    doc="Data of persons that is masked besides secrets: `card`, `chinese_id`, `phone` (Chinese "
    "mobile phones), `email`, `ip`, with commas between; `none` for secrets alone.",
    shown_default="card,chinese_id,phone,email",
)
MASK_PATTERNS = Setting(
    "OTEL_DIFY_MASK_PATTERNS",
    default="",
    parse=_string,
    doc="Regular expressions of what else is masked, with blanks between them; a blank within one "
    "is written `\\s`. One that cannot be used, or is slow, is left out and said once.",
    shown_default="none",
)
USER_ID_SALT = Setting(
    "OTEL_DIFY_USER_ID_SALT",
    default="",
    parse=_string,
    doc="Send ids of users as hashes under this salt (HMAC-SHA256): one user is told from another, "
    "and who it is cannot be read. The same in all processes of Dify, and a secret.",
    shown_default="none: as they are",
)
QUERY_SPAN_MS = Setting(
    "OTEL_DIFY_QUERY_SPAN_MS",
    default=100,
    parse=_at_least(0),
    doc="A database or Redis query gets a span of its own where it fails or takes at least this "
    "many milliseconds; faster ones are counted on the operation that made them. 0: every query.",
    shown_default="100",
)
RUN_SPANS = Setting(
    "OTEL_DIFY_RUN_SPANS",
    default=4_000,
    parse=_at_least(0),
    doc="Spans of one run, or task, from which on further items of iterations and passes of loops "
    "are counted on their node instead, with all that lies in them; of what lies elsewhere as many "
    "again. Failures are kept, up to a tenth of it; metrics stay exact. 0: no limit.",
    shown_default="4000",
)
"""A span has some 1 kB: that is as much as Tempo takes of a trace (5 MB), and a quarter of what
Jaeger's page still scrolls through. An iteration of 800 items with a model call in each fits in."""
RUN_LOGS = Setting(
    "OTEL_DIFY_RUN_LOGS",
    default=5_000,
    parse=_at_least(0),
    doc="Python log records below WARNING that are sent of one run, or task; of warnings and "
    "errors as many again. 0: no limit.",
    shown_default="5000",
)
"""Loki answers a query with 5,000 lines at most (``max_entries_limit_per_query``), Grafana with
fewer: what comes after them is not read but paid for."""

HEALTH_ADDRESS = Setting(
    "OTEL_DIFY_HEALTH_ADDRESS",
    default=(LOOPBACK, 9465),
    parse=address,
    doc="Where `otel-dify health --serve` listens ([docs/health.md](docs/health.md)): `host:port`, "
    "or a port of this machine alone. Nothing listens unless that command runs.",
    shown_default="127.0.0.1:9465",
)

SETTINGS: tuple[Setting[object], ...] = (
    SDK_DISABLED,
    SERVICE_NAME,
    TRACES_EXPORTER,
    METRICS_EXPORTER,
    LOGS_EXPORTER,
    PROTOCOL,
    ENDPOINT,
    HEADERS,
    COMPRESSION,
    TIMEOUT,
    CERTIFICATE,
    CLIENT_CERTIFICATE,
    CLIENT_KEY,
    INSECURE,
    SAMPLER,
    SAMPLER_ARG,
    CAPTURE_CONTENT,
    METRIC_INTERVAL,
    METRIC_TIMEOUT,
    EXEMPLARS,
    TEMPORALITY,
    ATTRIBUTES,
    LOG_ATTRIBUTES,
    ATTRIBUTE_LENGTH,
    LOG_ATTRIBUTE_LENGTH,
    SPAN_DELAY,
    SPAN_QUEUE,
    LOG_DELAY,
    LOG_QUEUE,
    FILE_PATH,
    STATE_PATH,
    JOURNAL_DIR,
    JOURNAL_SIZE,
    JOURNAL_AGE,
    LOG_LEVEL,
    HTTP_CLIENT_LOGS,
    START_EVENTS,
    METRIC_TENANT_LABELS,
    SAMPLING,
    SAMPLING_AT,
    QUERY_SPAN_MS,
    MASK,
    MASK_PATTERNS,
    USER_ID_SALT,
    RUN_SPANS,
    RUN_LOGS,
    HEALTH_ADDRESS,
)
OF_A_SIGNAL: tuple[Setting[object], ...] = (
    PROTOCOL,
    HEADERS,
    COMPRESSION,
    TIMEOUT,
    CERTIFICATE,
    CLIENT_CERTIFICATE,
    CLIENT_KEY,
    INSECURE,
)
"""What a signal may have for itself; the endpoint has rules of its own (``Settings.endpoint``)."""


def own_name(setting: Setting[object], signal: str) -> str:
    """Name the variable of one signal, as the OTLP exporter's specification forms it."""
    return setting.name.replace("_OTLP_", f"_OTLP_{signal.upper()}_")


class Settings:
    """The settings of one environment.

    Args:
        environ: the variables; ``os.environ`` where none is given.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self.environ: Mapping[str, str] = os.environ if environ is None else environ
        self.problems: list[str] = []
        self._values: dict[str, object] = {s.name: self._read(s) for s in SETTINGS}
        self._of_signals = {
            (setting.name, signal): self._read(self._own(setting, signal))
            for setting in OF_A_SIGNAL
            for signal in SIGNALS
        }
        for name in self.environ:
            if name.startswith("OTEL_DIFY_") and name not in self._values:
                self.problems.append(
                    f"{name} is not a setting of otel_dify and has no effect; "
                    "the README lists those there are"
                )

    def __getitem__[T](self, setting: Setting[T]) -> T:
        value: T = self._values[setting.name]  # type: ignore[assignment] # keyed by its own setting
        return value

    def protocol(self, signal: str) -> str:
        """Tell how OTLP of a signal (``traces``, ``metrics`` or ``logs``) is sent."""
        return self.of(PROTOCOL, signal)

    def of[T](self, setting: Setting[T], signal: str) -> T:
        """Return what a signal has for itself, or else what all have.

        Args:
            setting: one of ``OF_A_SIGNAL``.
            signal: ``traces``, ``metrics`` or ``logs``.
        """
        value: T = self._of_signals[setting.name, signal]  # type: ignore[assignment] # the same
        return value

    def deciding(self, setting: Setting[object], signal: str) -> str:
        """Name the variable that a value of ``of`` came from, or would."""
        own = own_name(setting, signal)
        return own if self.environ.get(own, "").strip() else setting.name

    def log_limits(self) -> tuple[int, int | None]:
        """Return how many attributes a log record may have, and characters one of them, if any."""
        most, longest = self[LOG_ATTRIBUTES], self[LOG_ATTRIBUTE_LENGTH]
        return (
            self[ATTRIBUTES] if most is None else most,
            self[ATTRIBUTE_LENGTH] if longest is None else longest,
        )

    def journal(self) -> Path | None:
        """Return the folder of the journals; none where all is kept in memory."""
        folder = self[JOURNAL_DIR]
        if folder is None:
            return self[STATE_PATH] / "journal"
        return None if str(folder) == "none" else folder

    def _own(self, setting: Setting[object], signal: str) -> Setting[object]:
        shared = self[setting]
        shown = setting.shown_default if shared == setting.default else f"{shared}"
        name = own_name(setting, signal)
        return replace(setting, name=name, default=shared, shown_default=shown)

    def endpoint(self, signal: str) -> tuple[str, str]:
        """Name the variable that decides where a signal goes, and the address it leads to."""
        own = own_name(ENDPOINT, signal)
        if self.environ.get(own):
            return own, self.environ[own]
        grpc = self.protocol(signal) == "grpc"
        fallback = f"http://localhost:{4317 if grpc else 4318}"
        return ENDPOINT.name, self[ENDPOINT] or fallback

    def _read[T](self, setting: Setting[T]) -> T:
        text = self.environ.get(setting.name, "").strip()
        if not text:
            return setting.default
        try:
            return setting.parse(text)
        except ValueError as error:
            self.problems.append(
                f"{setting.name}={text!r} cannot be used: {error}. "
                f"Running on with {setting.shown_default}; set it right and restart"
            )
            return setting.default


def host_name() -> str:
    """Name this host, as ``host.name`` and as a part of ``service.instance.id``."""
    return socket.gethostname()
