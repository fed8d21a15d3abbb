"""Draining: sending what Dify's processes have left in their journals, when none of them does.

As a process of Dify does it for dead ones, but with nothing of its own to record, and until all has
gone: after an uninstall, or before a machine is taken down.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_dify import resource as resource_module
from otel_dify import settings as s
from otel_dify.export.adoption import Adoption
from otel_dify.export.delivery import lost
from otel_dify.export.encoding.metrics import MetricEncoder
from otel_dify.export.encoding.request import encode_resource, encode_scope
from otel_dify.export.encoding.values import Attributes
from otel_dify.export.exporters import is_ours
from otel_dify.export.journal.backlog import waiting_in
from otel_dify.export.journal.journal import Journal
from otel_dify.export.journal.opened import begun
from otel_dify.export.journal.place import Home, Place, lives
from otel_dify.export.metrics import MetricSender
from otel_dify.export.own import BATCH
from otel_dify.export.progress import Uncounted
from otel_dify.export.requests import Requests
from otel_dify.export.sender import FIRST_RETRY_S, Sender
from otel_dify.guard import guarded
from otel_dify.measuring import cells_of, send_left
from otel_dify.recording import SCOPE
from otel_dify.recovery import Recovery
from otel_dify.signals.cells import resource_of
from otel_dify.signals.points import OwnStore, PointWriter
from otel_dify.signals.series import Exemplars

_ROLE = "drain"
_BY_OTLP = {f"OTEL_{signal.upper()}_EXPORTER": "otlp" for signal in s.SIGNALS}
_KEPT = "what is not delivered stays in {}"
_GONE = ("refused", "rejected")


@dataclass
class Drained:
    """What became of one signal.

    Attributes:
        sent: records that have arrived; of metrics, processes whose last values have.
        refused: records, or metrics, that the backend does not take.
        damaged: parts of a journal that cannot be read.
        left: what waits still, as ``sent``.
    """

    sent: int = 0
    refused: int = 0
    damaged: int = 0
    left: int = 0


@dataclass
class Report:
    """What draining has done.

    Attributes:
        signals: by signal.
        ended: operations that dead processes had begun, and that were ended as errors.
        in_use: journals with something in them whose processes live, and send it themselves.
    """

    signals: dict[str, Drained] = field(
        default_factory=lambda: {signal: Drained() for signal in s.SIGNALS}
    )
    ended: int = 0
    in_use: int = 0

    @property
    def empty(self) -> bool:
        """Whether nothing is left."""
        return not any(drained.left for drained in self.signals.values())


class Draining:
    """Sends what is in a folder of journals, and the last values of processes of this host.

    Args:
        environ: the variables that say where to.
        folder: the folder.
        patience_s: seconds to go on in which nothing is taken.
    """

    def __init__(self, environ: dict[str, str], folder: Path, patience_s: float) -> None:
        # Whatever else Dify is told to export to: what lies in a journal is OTLP.
        self._settings = s.Settings(environ | _BY_OTLP)
        self._folder = folder
        self._patience_s = patience_s
        self._counted = _Counted(self._settings)

    @property
    def problems(self) -> list[str]:
        """What of the environment cannot be used, as sentences."""
        return self._settings.problems

    def run(self) -> Report:
        """Send everything, as long as that gets on."""
        report = Report()
        senders = {
            signal: self._sender(signal)
            for signal in ("traces", "logs")
            if is_ours(self._settings, signal)
        }
        homes, adoptions = self._adoptions(senders)
        going = True
        while going:
            for adoption in adoptions:
                adoption.look()
            # A disk that is full has room for one place after the other.
            some = any(sender.backlog for sender in senders.values())
            drained = [sender.drain(self._patience_s) for sender in senders.values()]
            going = some and all(drained)
        for adoption in adoptions:
            adoption.leave()
        for home in homes:
            # Others may take over what is left.
            home.leave() if home.made and waiting_in(home.made) else home.delete()
        for signal, sender in senders.items():
            report.signals[signal].sent = sender.arrived
        report.ended = self._counted.ended
        self._send_metrics(report.signals["metrics"])
        self._look(report)
        return report

    def _adoptions(self, senders: dict[str, Sender]) -> tuple[list[Home], list[Adoption]]:
        """Make what takes over from dead processes, in every folder that is there."""
        backlogs = {signal: sender.backlog for signal, sender in senders.items()}
        roots = list(_folders(self._folder))
        homes = [Home(root, _ROLE, b"") for root in roots]
        return homes, [
            Adoption(root, home, backlogs, self._counted.recover)
            for root, home in zip(roots, homes, strict=True)
        ]

    def _sender(self, signal: str) -> Sender:
        return Sender(
            Journal(signal, Home(None, _ROLE, b""), 0, BATCH),
            Requests.of(self._settings, signal, _KEPT.format(self._folder), Uncounted()),
            delay_s=0.0,
            oldest_s=0.0,
            chance=random.Random(),  # noqa: S311 - spreads attempts, hides nothing
        )

    def _send_metrics(self, drained: Drained) -> None:
        """Send what was counted here, and the last values of dead processes."""
        if not is_ours(self._settings, "metrics"):
            return
        sender = self._counted.sender(_KEPT.format(self._settings[s.STATE_PATH]))
        with suppress_instrumentation():
            if self._counted.ended:
                drained.sent += self._until_taken(lambda: self._counted.send(sender))
            self._counted.close()
            for path in resource_module.left_cells(self._settings[s.STATE_PATH]):
                with guarded("otel_dify.draining metrics"):
                    if resource_of(path) is not None:
                        drained.sent += self._until_taken(lambda path=path: send_left(sender, path))  # type: ignore[misc] # bound to each

    def _until_taken(self, send: Callable[[], bool]) -> bool:
        until, wait_s = time.monotonic() + self._patience_s, FIRST_RETRY_S
        while not send():
            if time.monotonic() + wait_s > until:
                # What comes next is tried once.
                self._patience_s = 0.0
                return False
            time.sleep(wait_s)
            wait_s *= 2
        return True

    def _look(self, report: Report) -> None:
        """Tell what is left and what is lost."""
        for root in _folders(self._folder):
            for place in _folders(root):
                left = waiting_in(place)
                report.in_use += bool(left) and lives(place)
                for signal, count in left.items():
                    report.signals[signal].left += count
        for path in resource_module.left_cells(self._settings[s.STATE_PATH]):
            with guarded("otel_dify.draining metrics"):
                report.signals["metrics"].left += resource_of(path) is not None
        for (signal, reason), count in lost().items():
            report.signals[signal].refused += count if reason in _GONE else 0
            report.signals[signal].damaged += count if reason == "damaged" else 0


class _Counted:
    """What is counted of dead processes here, under a number that this process takes for it."""

    def __init__(self, settings: s.Settings) -> None:
        self._settings = settings
        self._slot: resource_module.Slot | None = None
        self._recovery: Recovery | None = None

    @property
    def ended(self) -> int:
        """Operations that were ended."""
        return 0 if self._recovery is None else self._recovery.ended

    def recover(self, place: Place) -> None:
        """End what the process of a place has begun.

        Raises:
            OSError: the place cannot be read or written.
        """
        if not any(begun(place.path)):
            return
        if self._recovery is None:
            settings = self._settings
            self._slot = resource_module.Slot(settings[s.STATE_PATH], _ROLE)
            resource = resource_module.build(settings, self._slot, _ROLE, settings.environ)
            self._resource = encode_resource(resource)
            self._cells = cells_of(self._slot.cells, resource)
            self._store = OwnStore(Exemplars("always_off"), self._cells)
            points = PointWriter(self._store, owner_labels=settings[s.METRIC_TENANT_LABELS])
            self._recovery = Recovery(points, settings.log_limits())
        self._recovery(place)

    def sender(self, kept: str) -> MetricSender:
        """Make what sends metrics."""
        return MetricSender(
            list,
            MetricEncoder(Attributes()),
            b"",
            encode_scope(SCOPE),
            requests=Requests.of(self._settings, "metrics", kept, Uncounted()),
            every_s=0.0,
            sent=lambda: None,
            look=lambda _: None,
        )

    def send(self, sender: MetricSender) -> bool:
        """Send what was counted; tell whether it has arrived."""
        done = sender.send(self._resource, list(self._store.collect()))
        if done:
            self._cells.note_sent()
        return done

    def close(self) -> None:
        """Give the number back: what was not sent, whoever comes next sends."""
        if self._slot is not None:
            self._cells.close()
            self._slot.close()


def _folders(of: Path) -> Iterator[Path]:
    """List folders in a folder that may not be there."""
    if of.is_dir():
        yield from sorted(path for path in of.iterdir() if path.is_dir())
