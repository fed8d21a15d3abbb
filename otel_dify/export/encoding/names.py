"""Names: texts that come again, encoded once and kept."""

from __future__ import annotations

from typing import Any

from otel_dify.export.encoding.values import as_text
from otel_dify.export.encoding.wire import field


class Names(dict[Any, bytes]):
    """Fields of a message by the texts in them; one that was not met lately is encoded.

    May be used by many threads.

    Args:
        tag: tag of the field.
        at_most: how many are kept until all are forgotten.
    """

    def __init__(self, tag: bytes, at_most: int = 4096) -> None:
        super().__init__()
        self._tag = tag
        self._at_most = at_most

    def __missing__(self, name: Any) -> bytes:
        """Encode a text, and keep it."""
        encoded = field(self._tag, as_text(name).encode())
        if type(name) is str:
            if len(self) >= self._at_most:
                self.clear()
            self[name] = encoded
        return encoded
