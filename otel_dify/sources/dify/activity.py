"""Activity: how many conversations and users have been active of late."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

from otel_dify import table as t
from otel_dify.process import process
from otel_dify.signals.gauges import provide

WINDOW_S = 300
"""Seconds for which a conversation counts as active after a message."""
LIMIT = 100_000
"""Conversations and users remembered; beyond it the oldest are forgotten."""


class _Recent:
    """What has been seen of late, by key."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], float] = {}

    def see(self, app: str, identity: str) -> None:
        """Take note of one."""
        self._seen.pop((app, identity), None)
        self._seen[app, identity] = time.monotonic()
        if len(self._seen) > LIMIT:
            del self._seen[next(iter(self._seen))]

    def by_app(self) -> Counter[str]:
        """Count those within the window, and forget the others."""
        oldest = time.monotonic() - WINDOW_S
        # In order of when they were seen last.
        for key, seen in list(self._seen.items()):
            if seen >= oldest:
                break
            self._seen.pop(key, None)
        return Counter(app for app, _ in list(self._seen))


class Activity:
    """What has been active of late in this process."""

    def __init__(self) -> None:
        self.conversations = _Recent()
        self.users = _Recent()

    def forked(self) -> None:
        """Forget what the parent has seen, which it reports itself."""
        self.conversations, self.users = _Recent(), _Recent()


def see(app: object, conversation: object, user: object) -> None:
    """Take note of a message."""
    if conversation:
        process.kept(Activity).conversations.see(str(app or ""), str(conversation))
    if user:
        process.kept(Activity).users.see("", str(user))


def _read_conversations() -> Iterable[tuple[float, dict[str, str]]]:
    return [
        (count, {"app_id": app})
        for app, count in process.kept(Activity).conversations.by_app().items()
    ]


def _read_sessions() -> Iterable[tuple[float, dict[str, str]]]:
    return [(sum(process.kept(Activity).users.by_app().values()), {})]


def attach() -> None:
    """Provide the gauges."""
    provide(t.ACTIVE_CONVERSATIONS, _read_conversations)
    provide(t.ACTIVE_SESSIONS, _read_sessions)
