"""Log lines: every log record of Python's in the process, with the ids of what it was written in.

A line carries the trace and span that were current, and the ids of the run, app and message that
they belong to, so that the run id finds it in the log backend.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from contextvars import ContextVar
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from otel_dify.cleaning.known_content import without
from otel_dify.cleaning.log_content import holds_content, is_content_of
from otel_dify.cleaning.named import MASK
from otel_dify.cleaning.names import names_a_secret
from otel_dify.cleaning.redaction import mask
from otel_dify.cleaning.text import clean, clean_attribute, clean_value
from otel_dify.cleaning.values import encodable
from otel_dify.guard import failed, guarded
from otel_dify.operations.current import current, known_around
from otel_dify.operations.errors import stack_of

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from otel_dify.cleaning.known_content import KnownContent
    from otel_dify.cleaning.values import Value
    from otel_dify.signals.logs import LogWriter

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
# Python level to OpenTelemetry severity (log data model, "Mapping of SeverityNumber").
_SEVERITIES = (
    (logging.CRITICAL, SeverityNumber.FATAL),
    (logging.ERROR, SeverityNumber.ERROR),
    (logging.WARNING, SeverityNumber.WARN),
    (logging.INFO, SeverityNumber.INFO),
    (logging.DEBUG, SeverityNumber.DEBUG),
)
REPEATED = frozenset(
    {
        "httpx",
        "httpcore.connection",
        "httpcore.http11",
        "httpcore.http2",
        "httpcore.proxy",
        "httpcore.socks",
    }
)
"""Loggers of HTTPX, which below WARNING say of each call what its span says."""
_MEANWHILE = 16
HELD = 256
"""Lines kept until the process may send: those of its start."""
# What is logged while a line is sent, by what sends it, would be sent for ever.
_OURS = ("otel_dify", "opentelemetry")
_sending: ContextVar[bool] = ContextVar("otel_dify.log_bridge_sending", default=False)


@lru_cache(maxsize=64)
def severity_of(level: int) -> SeverityNumber:
    """Map a Python log level to a severity."""
    return next(
        (severity for least, severity in _SEVERITIES if level >= least), SeverityNumber.TRACE
    )


class LogBridge:
    """Sends Python log records as OpenTelemetry log records.

    It looks at records where loggers hand them to their handlers, and is no handler itself: Dify
    replaces the root logger's handlers when it starts (``logging.basicConfig(force=True)``), and
    some loggers do not propagate.

    Args:
        level: lowest level that is sent.
        writer: gives what writes log records, or none while the process must not send yet; until
            then the last ``HELD`` lines wait.
        content: whether lines are sent with what users and models wrote.
        left_out: loggers of which only warnings and errors are sent.
    """

    def __init__(
        self,
        level: int,
        writer: Callable[[], LogWriter | None],
        *,
        content: bool = False,
        left_out: frozenset[str] = frozenset(),
    ) -> None:
        self._content = content
        self._left_out = left_out
        self._level = level
        self._writer = writer
        self._held: deque[tuple[Any, ...]] = deque(maxlen=HELD)

    def attach(self) -> None:
        """Attach to every logger of the process."""
        hand_on = logging.Logger.callHandlers
        level, see, left_out = self._level, self._on_record, self._left_out

        @wraps(hand_on)
        def call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
            hand_on(logger, record)
            # Decided by the name alone: of each call of HTTPX there is one, and all else is dear.
            if record.levelno >= level and (
                record.name not in left_out or record.levelno >= logging.WARNING
            ):
                see(record)

        logging.Logger.callHandlers = call_handlers  # type: ignore[assignment,method-assign] # the way in

    def _on_record(self, record: logging.LogRecord) -> None:
        # Exporters log under suppressed instrumentation.
        if not is_instrumentation_enabled():
            return
        if _sending.get():
            # Of a signal handler that interrupts the sending: it goes with the next line.
            if not record.name.startswith(_OURS):
                self._hold(record)
            return
        token = _sending.set(True)
        try:
            context = context_api.get_current()
            operation = current(context)
            allowance = operation.allowance if operation is not None else None
            # Asked first: what is left out costs next to nothing.
            if allowance is not None and not allowance.log(record.levelno):
                return
            # Made at once: what the record refers to may change while it waits.
            line = _line_of(record, context, content=self._content)
            writer = self._writer()
            if writer is None:
                self._held.append(line)
                return
            self._send_held(writer)
            writer.write(*line)
            if self._held:
                self._send_held(writer)
        except Exception as error:  # noqa: BLE001 - logging must not raise into Dify
            failed("otel_dify.sources.logging", error)
        finally:
            _sending.reset(token)

    def _send_held(self, writer: LogWriter) -> None:
        """Send what waits, and a few of what comes meanwhile: that could go on for ever."""
        with suppress(IndexError):  # no more, or another thread was faster
            for _ in range(len(self._held) + _MEANWHILE):
                writer.write(*self._held.popleft())

    def _hold(self, record: logging.LogRecord) -> None:
        with guarded("otel_dify.sources.logging hold"):
            self._held.append(_line_of(record, context_api.get_current(), content=self._content))

    def forked(self) -> None:
        """Drop what waits: a forked child has its parent's."""
        self._held.clear()


def _line_of(record: logging.LogRecord, context: Context, *, content: bool) -> tuple[Any, ...]:
    """Make the arguments of ``LogWriter.write`` from a log record."""
    known = () if content else known_around(current(context))
    text = _text_of(record) if content or not holds_content(record) else str(record.msg)
    return (
        int(record.created * 1e9),
        trace.get_current_span(context).get_span_context(),
        severity_of(record.levelno),
        record.levelname,
        clean(without(text, known)),
        attributes_of(record, context, known, content=content),
    )


def _text_of(record: logging.LogRecord) -> str:
    """Fill in the text of a record; where its arguments do not fit, leave it as it is."""
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - the application's mistake, which Python's handlers print
        return str(record.msg)


def attributes_of(
    record: logging.LogRecord,
    context: Context,
    known: Collection[KnownContent] = (),
    *,
    content: bool,
) -> dict[str, Value]:
    """Collect what a log record and the operation it lies in know.

    Names are those of OpenTelemetry's conventions for code, exceptions and threads.
    """
    operation = current(context)
    attributes: dict[str, Value] = {} if operation is None else dict(operation.inherited)
    attributes["log.logger"] = record.name
    attributes["code.file.path"] = encodable(record.pathname)
    attributes["code.function.name"] = record.funcName or ""
    attributes["code.line.number"] = record.lineno
    attributes["thread.name"] = encodable(record.threadName or "")
    if record.exc_info and record.exc_info[0]:
        kind, error, _ = record.exc_info
        attributes["exception.type"] = kind.__qualname__
        attributes["exception.message"] = clean(without(str(error), known))
        if error is not None:
            attributes["exception.stacktrace"] = clean(without(stack_of(error), known))
    for key in record.__dict__.keys() - _STANDARD:
        value = record.__dict__[key]
        if key.startswith("_") or value is None or (not content and is_content_of(record, key)):
            continue
        told = _clean_extra(key, value)
        attributes.setdefault(key, without(told, known) if isinstance(told, str) else told)
    return attributes


def _clean_extra(key: str, value: object) -> Value:
    """Clean what somebody put on a record, of any depth."""
    if isinstance(value, str | bool | int | float):
        return clean_attribute(key, value)
    return MASK if names_a_secret(key) else clean_value(mask(value))
