"""Statements of SQL without the values in them."""

from __future__ import annotations

import re

from otel_dify import table as t
from otel_dify.cleaning.text import clean

# Literals; bound parameters are not part of the statement. Escaped quotes are doubled.
_LITERAL = re.compile(r"'(?:[^']|'')*(?:'|$)|\b\d+(?:\.\d+)?\b")


def without_values(statement: str) -> str:
    """Return the beginning of a statement, its literals replaced by ``?``, clean."""
    limit = t.DB_STATEMENT.text
    return clean(_LITERAL.sub("?", statement[:limit]), limit)
