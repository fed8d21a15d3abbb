"""Clocks: whether those of the Collector and the backends tell the time of the one here."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from otel_dify.cli.doctor.backends import BACKENDS
from otel_dify.cli.doctor.examined import Examined
from otel_dify.cli.doctor.finding import Finding, note, ok, problem, warning
from otel_dify.cli.doctor.reach import listed
from otel_dify.cli.web import Reply, Unanswered, get
from otel_dify.export.exporters import is_ours
from otel_dify.export.sending.destination import Destination, destination
from otel_dify.export.sending.tls import Unusable
from otel_dify.settings import SIGNALS

_NOTICED_S, _REFUSED_S = 2.0, 300.0
"""Seconds from which spans of two machines are out of order, and from which backends refuse: Loki
and Prometheus take nothing that is ten minutes ahead of them."""


def check(examined: Examined) -> Iterator[Finding]:
    """Compare the ``Date`` that each answers with to the clock here."""
    found = [_compared(name, url, to, examined) for name, url, to in _asked(examined)]
    same = [name for name, finding in found if finding is None and name]
    yield from (finding for _, finding in found if finding is not None)
    if same:
        yield ok("clock", f"{listed(same)}: the same time as on this machine, to a second or two")
    elif not any(finding for _, finding in found):
        yield note(
            "clock",
            "No clock is compared: nobody who could be asked by HTTP has told the time",
            "Start the Collector, or give the address of a backend (--jaeger, --prometheus, "
            "--loki); gRPC does not tell the time",
        )


def _asked(examined: Examined) -> Iterator[tuple[str, str, Destination | None]]:
    """Name who is asked, and where."""
    settings, known = examined.settings, set()
    for signal in SIGNALS:
        if not is_ours(settings, signal):
            continue
        to = destination(settings, signal)
        if to.protocol != "grpc" and to.proxy is None:
            parts = urlsplit(to.address)
            url = f"{parts.scheme}://{parts.netloc}/"
            if url not in known:
                known.add(url)
                yield "Collector", url, to
    for key, backend in BACKENDS.items():
        if given := examined.backends.get(key):
            yield backend.name, given, None


def _compared(
    name: str, url: str, to: Destination | None, examined: Examined
) -> tuple[str, Finding | None]:
    """Compare one clock.

    Returns:
        Whose it is, empty where it does not tell the time; what is wrong with it, if anything.
    """
    before = examined.now()
    reply = _reply(url, to, examined.timeout_s)
    after = examined.now()
    theirs_s = None if reply is None else _seconds(reply.date)
    if theirs_s is None:
        return "", None
    # It is cut to seconds: half a second later on average.
    ahead_s = theirs_s + 0.5 - (before + after) / 2
    if abs(ahead_s) <= _NOTICED_S:
        return name, None
    off = f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the one here"
    refused = abs(ahead_s) > _REFUSED_S
    return name, (problem if refused else warning)(
        f"clock.{name.lower()}",
        f"{name}: its clock is {off}, and "
        + (
            "backends refuse what seems too old or too new"
            if refused
            else "spans of two machines do not fit together"
        ),
        "Have both machines set their clocks by NTP (chrony, systemd-timesyncd)",
    )


def _seconds(date: str) -> float | None:
    """Read a ``Date`` (RFC 9110, 6.6.1), seconds since the epoch; none where it is none."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None


def _reply(url: str, to: Destination | None, timeout_s: float) -> Reply | None:
    try:
        context = to.tls.context() if to is not None and to.secure else None
        return get(url, timeout_s, context=context)
    except (Unanswered, Unusable):
        # Told by the checks of the Collector and of the backends.
        return None
