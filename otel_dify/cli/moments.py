"""Moments and lengths of time as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")


def length_ns(text: str) -> int:
    """Read a length of time, such as ``30m``, ``2h`` or ``7d``, as nanoseconds.

    Raises:
        ValueError: it is none.
    """
    found = _LENGTH.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} is no length of time: write 90s, 30m, 2h or 7d")
    return int(float(found[1]) * _UNITS[found[2]] * 1e9)


def moment_ns(text: str, now_ns: int) -> int:
    """Read a moment as nanoseconds since the epoch.

    Args:
        text: ``2026-11-24``, ``2026-11-24 08:00`` or any other of ISO 8601, in UTC where it says no
            zone; or how long ago it was, such as ``2h``.
        now_ns: what time it is.

    Raises:
        ValueError: it is neither.
    """
    try:
        return now_ns - length_ns(text)
    except ValueError:
        pass
    try:
        when = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(
            f"{text!r} is no moment: write 2026-11-24T08:00 (UTC), with +02:00 behind it in "
            "another zone, or 2h for two hours ago"
        ) from None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return int(when.timestamp()) * 10**9 + when.microsecond * 1000
