"""What Dify does outside its database: files, mail, triggers."""

from __future__ import annotations

from opentelemetry.trace import SpanKind

from otel_dify.table.attribute import define
from otel_dify.table.common import FAILURE, OWNER
from otel_dify.table.instrument import SHORT_BUCKETS, Amount, Instrument, Recording
from otel_dify.table.kind import Kind
from otel_dify.table.queries import FOLDED

STORAGE_OPERATION = define("dify.storage.operation", "string", "`save`, `load_once` and so on")
STORAGE_TYPE = define("dify.storage.type", "string", "Class of the storage")
STORAGE_SIZE = define("dify.storage.size", "int", "Bytes saved")
TRIGGER_TYPE = define("dify.trigger.type", "string", "`webhook`, `schedule`, `plugin` and so on")
STORAGE_DURATION_METRIC = Instrument(
    "dify.storage.duration", "histogram", "s", "Duration of operations on files", SHORT_BUCKETS
)
MAILS = Instrument("dify.mail.sent.total", "counter", "{mail}", "Mails sent")
TRIGGERS = Instrument("dify.trigger.total", "counter", "{trigger}", "Workflows started outside")
STORAGE = Kind(
    name="storage",
    doc="An operation on a file. A fast one has no span.",
    span_name="storage {dify.storage.operation}",
    span_kind=SpanKind.CLIENT,
    below=(
        *("request", "task", "node", "draft node", "tool call", "message", "agent", "retrieval"),
        *("search", "indexing"),
    ),
    attributes=(STORAGE_OPERATION, STORAGE_TYPE, STORAGE_SIZE),
    recordings=(
        Recording(
            STORAGE_DURATION_METRIC,
            Amount.DURATION,
            (("operation", STORAGE_OPERATION), ("storage", STORAGE_TYPE), FAILURE),
        ),
    ),
    folds=True,
)
MAIL = Kind(
    name="mail",
    doc="A mail sent.",
    span_name="send mail",
    span_kind=SpanKind.CLIENT,
    below=("task", "request"),
    attributes=(),
    recordings=(Recording(MAILS, Amount.ONE, (FAILURE,)),),
)
TRIGGER = Kind(
    name="trigger",
    doc="A workflow started from outside: by webhook, schedule or plugin.",
    span_name="trigger {dify.trigger.type}",
    span_kind=SpanKind.INTERNAL,
    below=("request", "task"),
    attributes=(TRIGGER_TYPE, *FOLDED),
    recordings=(Recording(TRIGGERS, Amount.ONE, (*OWNER, ("trigger", TRIGGER_TYPE), FAILURE)),),
    event="dify.trigger",
    subject="start by trigger ({dify.trigger.type})",
)
