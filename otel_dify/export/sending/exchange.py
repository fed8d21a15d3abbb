"""The deadline of one request and its response."""

from __future__ import annotations

import time


class Exchange:
    """One request and its response.

    Attributes:
        until: when they must be over, by the monotonic clock.
        heard: whether a byte of the response has come.
    """

    __slots__ = ("heard", "until")

    def __init__(self, until: float) -> None:
        self.until = until
        self.heard = False

    def left(self) -> float:
        """Return the seconds that are left.

        Raises:
            TimeoutError: there are none.
        """
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left
