"""Log records: every Python log record of the process, with the ids of what it was written in.

A record carries the trace and span that were current, and the ids of the run, app and message that
they belong to, so that the run id finds it in the log backend.
"""

from __future__ import annotations

import logging
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from opentelemetry import context as context_api
from opentelemetry._logs import SeverityNumber
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from wrapt import wrap_function_wrapper

from otel_dify.guard import failed
from otel_dify.operations.lifecycle import current
from otel_dify.operations.values import as_value
from otel_dify.processors.log_content import holds_content, is_content
from otel_dify.processors.redaction import MASK, mask, mask_text, names_a_secret

if TYPE_CHECKING:
    from opentelemetry._logs import Logger
    from opentelemetry.context import Context

    from otel_dify.operations.values import Value

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
# Python level to OpenTelemetry severity (log data model, "Mapping of SeverityNumber").
_SEVERITIES = (
    (logging.CRITICAL, SeverityNumber.FATAL),
    (logging.ERROR, SeverityNumber.ERROR),
    (logging.WARNING, SeverityNumber.WARN),
    (logging.INFO, SeverityNumber.INFO),
    (logging.DEBUG, SeverityNumber.DEBUG),
)
HELD = 256
"""Records kept until the process may send: those of its start."""
# What is logged while a record is sent would be sent for ever.
_sending: ContextVar[bool] = ContextVar("otel_dify.log_bridge_sending", default=False)


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
        logger: gives the OpenTelemetry logger, or none while the process must not send yet; until
            then the last ``HELD`` records wait.
        content: whether records are sent with what users and models wrote.
    """

    def __init__(
        self, level: int, logger: Callable[[], Logger | None], *, content: bool = False
    ) -> None:
        self._content = content
        self._level = level
        self._logger = logger
        self._held: deque[Mapping[str, Any]] = deque(maxlen=HELD)

    def attach(self) -> None:
        """Attach to every logger of the process."""
        wrap_function_wrapper(logging, "Logger.callHandlers", self._on_record)

    def _on_record(
        self, wrapped: Callable[..., None], _logger: logging.Logger, args: Any, kwargs: Any
    ) -> None:
        wrapped(*args, **kwargs)
        record = args[0] if args else kwargs["record"]
        # Exporters log under suppressed instrumentation.
        if record.levelno < self._level or _sending.get() or not is_instrumentation_enabled():
            return
        token = _sending.set(True)
        try:
            self._see(record)
        except Exception as error:  # noqa: BLE001 - logging must not raise into Dify
            failed("otel_dify.signals.log_bridge", error)
        finally:
            _sending.reset(token)

    def _see(self, record: logging.LogRecord) -> None:
        # Made at once: what the record refers to may change while it waits.
        made = _made_of(record, context_api.get_current(), content=self._content)
        logger = self._logger()
        if logger is None:
            self._held.append(made)
            return
        while self._held:
            logger.emit(**self._held.popleft())
        logger.emit(**made)

    def forget(self) -> None:
        """Drop what waits, as a forked child does with its parent's."""
        self._held.clear()


def _made_of(record: logging.LogRecord, context: Context, *, content: bool) -> dict[str, Any]:
    """Make the arguments of ``Logger.emit`` from a log record."""
    at_ns = int(record.created * 1e9)
    text = _text_of(record) if content or not holds_content(record) else str(record.msg)
    return {
        "timestamp": at_ns,
        "observed_timestamp": at_ns,
        "context": context,
        "severity_number": severity_of(record.levelno),
        "severity_text": record.levelname,
        "body": mask_text(text),
        "attributes": attributes_of(record, context, content=content),
    }


def _text_of(record: logging.LogRecord) -> str:
    """Fill in the text of a record; where its arguments do not fit, leave it as it is."""
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - the application's mistake, which Python's handlers print
        return str(record.msg)


def attributes_of(
    record: logging.LogRecord, context: Context, *, content: bool
) -> dict[str, Value]:
    """Collect what a log record and the operation it lies in know.

    Names are those of OpenTelemetry's conventions for code, exceptions and threads.
    """
    operation = current(context)
    inherited = {} if operation is None else operation.inherited()
    attributes = {key: _masked(value) for key, value in inherited.items()}
    attributes |= {
        "log.logger": record.name,
        "code.file.path": record.pathname,
        "code.function.name": record.funcName or "",
        "code.line.number": record.lineno,
        "thread.name": record.threadName or "",
    }
    if record.exc_info and record.exc_info[0]:
        kind, error, stack = record.exc_info
        attributes["exception.type"] = kind.__qualname__
        attributes["exception.message"] = mask_text(str(error))
        attributes["exception.stacktrace"] = mask_text(
            "".join(traceback.format_exception(kind, error, stack))
        )
    for key, value in record.__dict__.items():
        if key in _STANDARD or key.startswith("_") or value is None:
            continue
        if not content and is_content(record, key):
            continue
        attributes.setdefault(key, MASK if names_a_secret(key) else _masked(value))
    return attributes


def _masked(value: object) -> Value:
    plain = as_value(mask(value))
    if isinstance(plain, str):
        return plain if isinstance(value, str) else mask_text(plain)
    return plain if isinstance(plain, bool | int | float) else [mask_text(part) for part in plain]
