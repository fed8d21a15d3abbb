"""Content in log records that is content as a whole: what a few records are there to tell.

What lines quote of content is found by what is known of it (``known_content``), whatever line it
is. Here are those whose arguments hold nothing else, a "yes" and a number too; and what Celery adds
to a record before anything of this process knows the task.
"""

from __future__ import annotations

import logging

# Texts of records whose arguments are content; they are kept without them.
_TEXTS = frozenset(
    {
        "workflow_based_app_execution_task run with params: %s",
        "Failed to embed query text '%s...(%s chars)'",
        "Failed to find suggested questions payload array in text: %r",
    }
)
# Logger to what it puts on its records besides: arguments and result of a task.
_ATTRIBUTES = {"celery.app.trace": "data", "celery.worker.strategy": "data"}


def holds_content(record: logging.LogRecord) -> bool:
    """Tell whether the arguments of a record's text are content."""
    return isinstance(record.msg, str) and record.msg in _TEXTS


def is_content_of(record: logging.LogRecord, attribute: str) -> bool:
    """Tell whether an attribute of a record is content."""
    return _ATTRIBUTES.get(record.name) == attribute
