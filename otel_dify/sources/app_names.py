"""Names of apps by their ids, learned wherever Dify has the app in its hands.

Runs and messages know only the id of their app, and asking the database would be a query of ours.
"""

from __future__ import annotations

LIMIT = 10_000
"""Apps remembered; beyond it those learned first are forgotten."""

_known: dict[str, tuple[str, str]] = {}


def learn(identity: object, name: object, mode: object) -> None:
    """Take note of an app."""
    _known[str(identity)] = (str(name or ""), str(getattr(mode, "value", mode) or ""))
    if len(_known) > LIMIT:
        _known.pop(next(iter(_known)))


def name_of(identity: object) -> str:
    """Return the name of an app, empty where it is not known."""
    return _known.get(str(identity), ("", ""))[0]


def mode_of(identity: object) -> str:
    """Return the mode of an app, empty where it is not known."""
    return _known.get(str(identity), ("", ""))[1]
