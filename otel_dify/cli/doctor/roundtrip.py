"""There and back: a test span, metric and log record are sent, and asked for in the backends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from otel_dify.cli.doctor.backends import BACKENDS, Backend
from otel_dify.cli.doctor.examined import Examined
from otel_dify.cli.doctor.finding import Finding, note, ok, problem
from otel_dify.cli.doctor.testing import Sent, body_of, make
from otel_dify.cli.web import Unanswered
from otel_dify.export.exporters import is_ours
from otel_dify.export.sending.addresses import masked
from otel_dify.export.sending.destination import destination
from otel_dify.export.sending.outcome import Delivered
from otel_dify.settings import Settings

_GLANCE_S = 0.25


@dataclass(frozen=True, slots=True)
class _Looked:
    """A backend that is asked for the test.

    Attributes:
        about: what the finding is about.
        backend: which it is.
        url: its address.
        left_s: when the test was sent, by the monotonic clock.
    """

    about: str
    backend: Backend
    url: str
    left_s: float


def check(examined: Examined) -> Iterator[Finding]:
    """Send what can be looked for, and look for it."""
    settings, sent = examined.settings, make(examined.now)
    looked: list[_Looked] = []
    for key, backend in BACKENDS.items():
        about = f"backends.{key}"
        if not examined.backends.get(key):
            yield note(
                about,
                f"{backend.name} is not asked: its address is not given",
                f"Give it by --{key} URL or {key.upper()}_URL, to see whether {backend.signal} "
                "come out of it",
            )
        elif not is_ours(settings, backend.signal):
            yield note(
                about,
                f"{backend.name} is not asked: {backend.signal} are not sent by OTLP",
                "See the exporters named under the settings above",
            )
        elif reason := _refused(settings, backend.signal, sent, examined.timeout_s):
            yield note(
                about,
                f"{backend.name} is not asked: the test {backend.what} was not taken ({reason})",
                "Put right first what is said of the Collector above",
            )
        else:
            url = examined.backends[key].rstrip("/")
            looked.append(_Looked(about, backend, url, time.monotonic()))
    until = time.monotonic() + examined.wait_s
    for each in looked:
        yield _look(each, sent, examined, until)


def _refused(settings: Settings, signal: str, sent: Sent, timeout_s: float) -> str:
    """Send the test of one signal; return why it was not taken, if it was not."""
    transport = destination(settings, signal).transport()
    try:
        outcome = transport.send(body_of(sent, signal), timeout_s)
    finally:
        transport.close()
    if isinstance(outcome, Delivered):
        return outcome.message if outcome.rejected else ""
    # What the other side said, and what to do, is told of the Collector.
    return outcome.reason.partition("; ")[0].partition(" (")[0]


def _look(looked: _Looked, sent: Sent, examined: Examined, until: float) -> Finding:
    """Ask a backend until it has what was sent, or the time is over."""
    about, backend = looked.about, looked.backend
    at = f"{backend.name} at {masked(looked.url)}"
    while True:
        try:
            found, reason = backend.has(looked.url, sent, examined.timeout_s), ""
        except Unanswered as error:
            found, reason = False, str(error)
        now = time.monotonic()
        if found:
            return ok(
                about,
                f"{at} has the test {backend.what}, {now - looked.left_s:.1f} s after it left",
            )
        # One that cannot be asked at once is not waited for.
        if reason or now > until:
            break
        time.sleep(_GLANCE_S)
    if reason:
        return problem(
            about,
            f"{at} cannot be asked: {reason}",
            f"Check the address and that {backend.name} runs; the Collector keeps what it cannot "
            "deliver meanwhile",
        )
    return problem(
        about,
        f"The Collector has taken the test {backend.what}, and {at} does not have it after "
        f"{examined.wait_s:g} s",
        f"Look into the Collector's log for its exporter of {backend.signal}, and into its "
        f"configuration: does its pipeline lead to this {backend.name}, and does nothing in it "
        "sample or filter",
    )
