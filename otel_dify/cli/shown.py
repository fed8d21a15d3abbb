"""What is shown of an environment and of a command line: everything but the secrets in it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from otel_dify.cleaning.named import MASK
from otel_dify.cleaning.names import names_a_secret
from otel_dify.cleaning.redaction import mask_text
from otel_dify.export.sending.addresses import masked

# `name=value` with commas; every value may be a token, whatever its name.
_HEADERS = re.compile(r"_HEADERS$")
_ADDRESS = re.compile(r"_ENDPOINT$|_PROXY$|_URL$", re.IGNORECASE)


def shown(name: str, value: str) -> str:
    """Return the value of a variable as it can be shown.

    Args:
        name: the variable.
        value: its value.
    """
    if not value:
        return value
    if names_a_secret(name):
        return MASK
    if _HEADERS.search(name):
        return ",".join(_header(pair) for pair in value.split(",") if pair.strip())
    return mask_text(masked(value) if _ADDRESS.search(name) else value)


def header_names(value: str) -> list[str]:
    """Return the names of headers, from what a variable says of them."""
    return [pair.partition("=")[0].strip().lower() for pair in value.split(",") if "=" in pair]


def shown_command(words: Sequence[str]) -> list[str]:
    """Return a command line as it can be shown.

    Args:
        words: program and arguments.
    """
    before = ["", *words]
    return [
        MASK if option.startswith("-") and names_a_secret(option) else mask_text(word)
        for option, word in zip(before, words, strict=False)
    ]


def _header(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    return f"{name.strip()}={MASK}" if equals else MASK
