"""``otel-dify doctor``: looks at all that stands between Dify and the backends."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

import click

from otel_dify.cli.here import by_pid, code_of_dify, environment

if TYPE_CHECKING:
    from otel_dify.cli.doctor.finding import Finding

_NAMES = (
    *("versions", "conflicts", "settings", "sources", "processes"),
    *("collector", "backends", "clock", "journal"),
)
_PROBLEMS = 1


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Write the findings as JSON.")
@click.option(
    "--only",
    "names",
    multiple=True,
    metavar="CHECK",
    type=click.Choice(_NAMES),
    help=f"Do this check alone; several times for several: {', '.join(_NAMES)}.",
)
@by_pid
@click.option(
    "--jaeger",
    metavar="URL",
    default="",
    envvar="JAEGER_URL",
    help="Ask Jaeger there for the test span; else JAEGER_URL says where.",
)
@click.option(
    "--prometheus",
    metavar="URL",
    default="",
    envvar="PROMETHEUS_URL",
    help="Ask Prometheus there for the test metric; else PROMETHEUS_URL says where.",
)
@click.option(
    "--loki",
    metavar="URL",
    default="",
    envvar="LOKI_URL",
    help="Ask Loki there for the test log record; else LOKI_URL says where.",
)
@click.option(
    "--wait",
    "wait_s",
    metavar="S",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Seconds that test data may take to come out of the backends.",
)
@click.option(
    "--timeout",
    "timeout_s",
    metavar="S",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    help="Seconds that a look-up, a connection or a request may take.",
)
def doctor(
    *,
    as_json: bool,
    names: tuple[str, ...],
    pid: int | None,
    jaeger: str,
    prometheus: str,
    loki: str,
    wait_s: float,
    timeout_s: float,
) -> None:
    """Look at all that stands between Dify and the backends, and say what to do.

    Run it where Dify runs, with the same variables and as the same user. It changes nothing in
    Dify. It sends the Collector an empty request for each signal, and one test span, metric and log
    record (service otel-dify-doctor) for the backends whose addresses are given.

    Ends with 0 if there is no problem (notes and warnings there may be), with 1 if there is one,
    with 2 if it was called wrongly.
    """
    # They take a while to import.
    from otel_dify.cli.doctor.checks import CHECKS, examine
    from otel_dify.cli.doctor.examined import Examined
    from otel_dify.cli.doctor.finding import Severity
    from otel_dify.cli.doctor.report import as_json as written
    from otel_dify.cli.doctor.report import counted, lines, verdict
    from otel_dify.settings import host_name

    environ = environment(pid)
    examined = Examined(
        environ,
        code_of_dify(environ, pid),
        {"jaeger": jaeger, "prometheus": prometheus, "loki": loki},
        wait_s,
        timeout_s,
    )
    width = shutil.get_terminal_size((100, 24)).columns
    findings: list[Finding] = []
    for check in CHECKS:
        if names and check.name not in names:
            continue
        if not as_json:
            click.secho(("\n" if findings else "") + check.title, bold=True)
        for finding in examine(check, examined):
            findings.append(finding)
            if not as_json:
                click.echo("\n".join(lines(finding, width)))
    if as_json:
        click.echo(written(host_name(), time.time(), findings))
    else:
        click.secho(f"\n{verdict(findings)}", bold=True)
    if counted(findings)[Severity.PROBLEM]:
        raise SystemExit(_PROBLEMS)
