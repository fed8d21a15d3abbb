"""Where telemetry is read from: files, journals, or Jaeger with Loki."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from otel_dify.cli import ids, journals, otlp_json
from otel_dify.cli.asking import Backend
from otel_dify.cli.jaeger import Jaeger
from otel_dify.cli.loki import logs_from
from otel_dify.cli.traces import group, logs_of
from otel_dify.settings import FILE_PATH, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_dify.cli.records import Log, Telemetry
    from otel_dify.cli.traces import Trace

_ADDRESS = ("http://", "https://")


class Origin(Protocol):
    """Where telemetry is read from.

    Attributes:
        name: what it is called in messages.
        hint: what to look at where nothing is found.
    """

    name: str
    hint: str

    def latest(self) -> Telemetry:
        """Read what there is, or the newest of it."""

    def find(self, text: str, of: Sequence[str] = ()) -> tuple[Telemetry, list[Trace]]:
        """Read the traces that a text names (``ids.find``), and what was read with them.

        Raises:
            UnknownIdError: nothing is named so.
            AmbiguousIdError: several are.
        """

    def logs(self, telemetry: Telemetry, traces: Sequence[Trace]) -> list[Log]:
        """Read the log records of traces that were read here."""

    def of_app(self, app: str, start_ns: int, end_ns: int) -> Telemetry:
        """Read the traces of an app that started between two moments, and perhaps others."""

    def between(self, start_ns: int, end_ns: int) -> Telemetry:
        """Read all traces with spans between two moments, and perhaps others."""


class Stored:
    """Files or journals, which are read whole.

    Args:
        name: what it is called in messages.
        hint: what to look at where nothing is found.
        telemetry: what is in them.
    """

    def __init__(self, name: str, hint: str, telemetry: Telemetry) -> None:
        self.name = name
        self.hint = hint
        self._telemetry = telemetry

    def latest(self) -> Telemetry:
        """Return all there is."""
        return self._telemetry

    def find(self, text: str, of: Sequence[str] = ()) -> tuple[Telemetry, list[Trace]]:
        """Find traces."""
        return self._telemetry, ids.find(group(self._telemetry.spans), text, of)

    def logs(self, telemetry: Telemetry, traces: Sequence[Trace]) -> list[Log]:
        """Find the log records of traces."""
        return logs_of(traces, telemetry.logs)

    def of_app(self, app: str, start_ns: int, end_ns: int) -> Telemetry:
        """Return all there is."""
        del app, start_ns, end_ns
        return self._telemetry

    def between(self, start_ns: int, end_ns: int) -> Telemetry:
        """Return all there is."""
        del start_ns, end_ns
        return self._telemetry


class Asked:
    """Jaeger, and Loki for the log records.

    Args:
        url: address of Jaeger's query API.
        loki: address of Loki, where there is one.
        headers: sent with every request to either.
    """

    hint = "check the address, and that Dify's telemetry arrives there"

    def __init__(self, url: str, loki: str | None, headers: Mapping[str, str]) -> None:
        self.name = url
        self._jaeger = Jaeger(Backend(url, headers))
        self._loki = None if loki is None else Backend(loki, headers)

    def latest(self) -> Telemetry:
        """Read the newest traces."""
        return self._jaeger.newest()

    def find(self, text: str, of: Sequence[str] = ()) -> tuple[Telemetry, list[Trace]]:
        """Find traces: by a whole id, or else among the newest."""
        telemetry = self._jaeger.by_id(text.lower())
        if not telemetry.spans:
            among = ids.find(group(self._jaeger.newest().spans), text, of)
            telemetry = self._jaeger.whole([trace.id for trace in among])
            return telemetry, group(telemetry.spans)
        return telemetry, ids.find(group(telemetry.spans), text, of)

    def logs(self, telemetry: Telemetry, traces: Sequence[Trace]) -> list[Log]:
        """Ask Loki for the log records of traces.

        Raises:
            click.UsageError: nobody has said where Loki is.
        """
        del telemetry
        if self._loki is None:
            raise click.UsageError("log lines are not in Jaeger: say with --loki where Loki is")
        return logs_from(self._loki, traces)

    def of_app(self, app: str, start_ns: int, end_ns: int) -> Telemetry:
        """Read the traces of an app."""
        return self._jaeger.of_app(app, start_ns, end_ns)

    def between(self, start_ns: int, end_ns: int) -> Telemetry:
        """Read all traces."""
        return self._jaeger.between(start_ns, end_ns)


def origin(
    source: str | None, loki: str | None = None, headers: Mapping[str, str] | None = None
) -> Origin:
    """Open where telemetry is read from.

    Args:
        source: a file, a folder, or an address of Jaeger's; none for what the settings say: the
            folder of the ``otlp_file`` exporters, or else the journals of this machine.
        loki: address of Loki.
        headers: sent to Jaeger and Loki.

    Raises:
        click.ClickException: there is nothing of that name.
    """
    if source is not None and source.startswith(_ADDRESS):
        return Asked(source, loki, headers or {})
    settings = Settings()
    path = settings[FILE_PATH] if source is None else Path(source)
    journal = settings.journal()
    if source is None and not path.exists() and journal is not None:
        path = journal if _holds_journals(journal) else path
    try:
        if _holds_journals(path):
            hint = "journals hold what was not sent yet, and what was sent a moment ago: run an app"
            return Stored(str(path), hint, journals.read(path))
        telemetry = otlp_json.read(path)
    except PermissionError as error:
        raise click.ClickException(
            f"{error.filename} may not be read: run this as the user that Dify runs as"
        ) from None
    except FileNotFoundError:
        raise click.ClickException(
            f"{path} does not exist. Name the folder that {FILE_PATH.name} is set to for Dify, "
            "where OTEL_TRACES_EXPORTER=otlp_file writes, the folder of the journals, or Jaeger's "
            "address (http://…)"
        ) from None
    hint = (
        "spans are written within a second of their end: run an app, or check that "
        "OTEL_TRACES_EXPORTER=otlp_file is set where Dify runs. Journals hold only what was not "
        "sent yet: what was is in Jaeger"
    )
    return Stored(str(path), hint, telemetry)


def _holds_journals(path: Path) -> bool:
    from otel_dify.export.journal.looking import holds_journals

    return path.is_dir() and holds_journals(path)
