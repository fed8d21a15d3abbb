"""Our own export: journals, what sends them, and what takes over from dead processes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from otel_dify import settings as s
from otel_dify.export.adoption import Adoption
from otel_dify.export.encoding.logs import LogEncoder
from otel_dify.export.encoding.request import encode_resource
from otel_dify.export.encoding.spans import SpanEncoder
from otel_dify.export.journal.journal import Journal
from otel_dify.export.journal.opened import Opened
from otel_dify.export.journal.place import Home, Place
from otel_dify.export.outlets import JournalLogs, JournalSpans, LogOutlet, SpanOutlet
from otel_dify.export.progress import Counts, Uncounted
from otel_dify.export.requests import Requests
from otel_dify.export.sender import Sender

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

type Reading = tuple[float, dict[str, str]]

BATCH = 1_024
"""Records that are sent at once; so many that wait are not waited with."""
_DELAYS = {"traces": s.SPAN_DELAY, "logs": s.LOG_DELAY}
_KEPT = "what is not delivered is kept in {} and sent later"
_IN_MEMORY = "memory, as long as this process lives,"


class OwnExport:
    """Encodes, keeps and sends spans and log records.

    Attributes:
        opened: notes what is begun.

    Args:
        settings: the operator's settings.
        signals: which of ``traces`` and ``logs`` it sends.
        resource: the resource of this process.
        owner: names this process in the name of its folder.
        recover: ends in the place of a dead process what that has begun.
        counts: counts how sending goes; nothing where there is none.
        folder: where in the folder of journals its own are, and those that it takes over.
    """

    def __init__(
        self,
        settings: s.Settings,
        signals: Iterable[str],
        resource: Resource,
        owner: str,
        recover: Callable[[Place], None],
        *,
        counts: Counts | None = None,
        folder: str = "dify",
    ) -> None:
        journals = settings.journal()
        self._root = root = None if journals is None else journals / folder
        self._home = Home(root, owner, encode_resource(resource))
        self._counts = counts or Uncounted()
        self._most_bytes = settings[s.JOURNAL_SIZE] << 20
        self.opened = Opened(self._home)
        self._senders: dict[str, Sender] = {}
        for signal in signals:
            self._senders[signal] = self._sender(settings, signal)
        backlogs = {signal: sender.backlog for signal, sender in self._senders.items()}
        self._adoption = Adoption(root, self._home, backlogs, recover)
        for sender in list(self._senders.values())[:1]:
            sender.look = self._adoption.look

    def _sender(self, settings: s.Settings, signal: str) -> Sender:
        kept = _KEPT.format(_IN_MEMORY if self._root is None else self._root)
        return Sender(
            Journal(signal, self._home, self._most_bytes, BATCH),
            Requests.of(settings, signal, kept, self._counts),
            delay_s=settings[_DELAYS[signal]] / 1000,
            oldest_s=settings[s.JOURNAL_AGE] * 3600,
            chance=random.Random(),  # noqa: S311 - spreads attempts, hides nothing
        )

    def sends(self, signal: str) -> bool:
        """Tell whether it sends a signal."""
        return signal in self._senders

    def waiting(self, signal: str) -> list[Reading]:
        """Read how many records of a signal wait."""
        return [(self._senders[signal].journal.waiting, {})] if self.sends(signal) else []

    def sizes(self) -> list[Reading]:
        """Read how many bytes the journals have, with what was taken over, by signal."""
        return [
            (it.journal.bytes + it.backlog.bytes, {"signal": name})
            for name, it in self._senders.items()
        ]

    def ages(self) -> list[Reading]:
        """Read how old the oldest part of each journal is that waits, in seconds, by signal."""
        return [(it.journal.age, {"signal": name}) for name, it in self._senders.items()]

    def journal(self, signal: str) -> Journal:
        """Return the journal of a signal."""
        return self._senders[signal].journal

    def append(self, signal: str, scope: int, record: bytes) -> None:
        """Put a record into the journal of a signal, and have it sent."""
        sender = self._senders[signal]
        sender.journal.append(scope, record)
        sender.start()

    def spans(self, scope: InstrumentationScope) -> SpanOutlet:
        """Make the outlet of spans.

        Args:
            scope: the scope of operations.
        """
        sender = self._senders["traces"]
        return JournalSpans(SpanEncoder(), sender.journal, scope, sender.start)

    def logs(self, scope: InstrumentationScope) -> LogOutlet:
        """Make the outlet of the log records of a scope."""
        sender = self._senders["logs"]
        return JournalLogs(LogEncoder(), sender.journal, scope, sender.start)

    def flush(self, timeout_ms: int) -> None:
        """Send what waits."""
        for sender in self._senders.values():
            sender.flush(timeout_ms)

    def stop(self, deadline: float) -> None:
        """Have what waits sent a last time.

        Args:
            deadline: until when, by ``time.monotonic``.
        """
        for sender in self._senders.values():
            sender.stop(deadline)

    def join(self, deadline: float) -> None:
        """Wait until that is done; what was not sent waits in the journal for another process.

        The folder stays this process's until it ends where something goes on: an operation that
        others would take for dead, or a thread that still sends.
        """
        ended = [sender.join(deadline) for sender in self._senders.values()]
        if self.opened.any() or None in ended:
            return
        self._adoption.leave()
        if all(ended):
            self._home.delete()
        else:
            self._home.leave()

    def forget(self) -> None:
        """Let go of what a forked child has of its parent's."""
        for sender in self._senders.values():
            sender.journal.forget()
        self._home.leave()
