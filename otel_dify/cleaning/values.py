"""Values of attributes: what OpenTelemetry accepts, and how anything else becomes that."""

from __future__ import annotations

from collections.abc import Sequence

type Scalar = str | bool | int | float
type Value = Scalar | Sequence[str]


def as_value(value: object) -> Value:
    """Turn a value into one that OpenTelemetry accepts: text, number, truth or list of text."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        # OTLP has integers of 64 bits. An enumeration becomes what it stands for.
        return int(value) if value.bit_length() < 64 else str(int(value))  # noqa: PLR2004 - see above
    if isinstance(value, list | tuple):
        return tuple(encodable(str(part)) for part in value)
    try:
        return float(value)  # type: ignore[arg-type] # Decimal prices; all else raises
    except (TypeError, ValueError):
        return encodable(str(value))


def encodable(text: str) -> str:
    """Return plain text that UTF-8 can write.

    Half a surrogate pair, which JSON can hold, cannot be sent, and would cost all that is sent with
    it. An enumeration becomes what it stands for.
    """
    if type(text) is not str:
        text = str.__str__(text)
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()
