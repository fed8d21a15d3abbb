"""Names, modes and tenants of apps by their ids, learned wherever Dify has the app in its hands.

Runs, messages and conversations know only the id of their app, and asking the database would be a
query of ours.
"""

from __future__ import annotations

from typing import NamedTuple

from otel_dify.process import process

LIMIT = 10_000
"""Apps remembered; beyond it those learned first are forgotten."""


class App(NamedTuple):
    """What is known of an app; empty where it is not."""

    name: str = ""
    mode: str = ""
    tenant: str = ""


class Apps:
    """The apps that this process has seen, by their ids."""

    def __init__(self) -> None:
        self.known: dict[str, App] = {}


def learn(app: object) -> None:
    """Take note of an app, by its row."""
    found = (getattr(app, name, None) for name in ("name", "mode", "tenant_id"))
    known = process.kept(Apps).known
    known[str(getattr(app, "id", ""))] = App(
        *(str(getattr(value, "value", value) or "") for value in found)
    )
    if len(known) > LIMIT:
        known.pop(next(iter(known)), None)


def app_of(identity: object) -> App:
    """Return what is known of an app."""
    return process.kept(Apps).known.get(str(identity), App())
