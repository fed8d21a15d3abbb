"""Sending of spans of the past: as a process of Dify's sends its own, and nothing but spans."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_dify import resource as resource_module
from otel_dify import settings as s
from otel_dify.cleaning.text import choose
from otel_dify.export.exporters import exporters, is_ours
from otel_dify.export.outlets import AllSpans, LogData, SpanOutlet
from otel_dify.export.own import OwnExport
from otel_dify.export.sdk_outlets import SdkSpans
from otel_dify.recording import SCOPE, Signals
from otel_dify.signals.cells import Cells
from otel_dify.signals.points import OwnStore
from otel_dify.signals.series import Exemplars
from otel_dify.sources.history.ids import DerivedIds

_ROLE = "backfill"
_FLUSH_MS = 10_000


class StuckError(Exception):
    """The Collector takes nothing; the message is a sentence."""


class Sending:
    """Sends spans as a process of Dify's would, and tells when they have arrived.

    Args:
        settings: the operator's settings.
    """

    def __init__(self, settings: s.Settings) -> None:
        choose(settings)
        resource = _resource(settings)
        self._own: OwnExport | None = None
        self._others = list(exporters(settings, "traces"))
        outlets: list[SpanOutlet] = [
            SdkSpans(lambda span, to=one: to.export([span]), resource, SCOPE)  # type: ignore[misc]
            for one in self._others
        ]
        if is_ours(settings, "traces"):
            self._own = OwnExport(settings, ("traces",), resource, _ROLE, _nothing, folder=_ROLE)
            outlets.append(self._own.spans(SCOPE))
        self.ids = DerivedIds()
        signals = Signals(
            resource,
            settings,
            # In memory, and read by nobody.
            OwnStore(Exemplars(), Cells()),
            outlets[0] if len(outlets) == 1 else AllSpans(outlets),
            _no_logs,
            ids=self.ids,
        )
        self.recorder = signals.recorder

    def flush(self) -> None:
        """Send what waits.

        Raises:
            StuckError: it does not arrive.
        """
        if self._own is None:
            return
        self._own.flush(_FLUSH_MS)
        [(waiting, _)] = self._own.waiting("traces")
        if waiting:
            raise StuckError(
                f"{waiting:.0f} spans could not be sent: does the Collector run, and does "
                "OTEL_EXPORTER_OTLP_ENDPOINT name it? Run this again: it goes on where it was"
            )

    def close(self, deadline: float) -> None:
        """Stop sending.

        Args:
            deadline: until when what waits may be sent, by ``time.monotonic``.
        """
        for one in self._others:
            one.shutdown()
        if self._own is not None:
            self._own.stop(deadline)
            self._own.join(deadline)


def settings_for(environ: Mapping[str, str]) -> s.Settings:
    """Return an operator's settings for the past: runs have no limits, which need what is open."""
    return s.Settings({**environ, s.RUN_SPANS.name: "0", s.RUN_LOGS.name: "0"})


def _resource(settings: s.Settings) -> Resource:
    """Build the same resource each time: Jaeger keeps a span of another as another span."""
    slot = resource_module.Slot(settings[s.STATE_PATH], _ROLE)
    built = resource_module.build(settings, slot, _ROLE, settings.environ)
    slot.close()
    own = {"service.instance.id": _ROLE}
    kept = {key: value for key, value in built.attributes.items() if key != "process.pid"}
    return Resource(kept | own)


class _NoLogs:
    """Takes log records, and forgets them."""

    def log(self, log: LogData) -> None:
        """Take a log record."""


def _no_logs(scope: InstrumentationScope) -> _NoLogs:
    del scope
    return _NoLogs()


def _nothing(_: object) -> None:
    """A backfill that was killed has left nothing that another could end."""
