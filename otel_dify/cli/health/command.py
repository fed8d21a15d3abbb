"""``otel-dify health``: whether what Dify needs is there, once or over HTTP."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING, Any

import click

from otel_dify.cli.here import by_pid, code_of_dify, environment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_dify.cli.doctor.examined import Examined

_NAMES = (
    *("database", "redis", "plugin-daemon", "sandbox", "vector-store"),
    *("collector", "disk", "memory", "pool", "journal"),
)
_UNHEALTHY = 1


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")
@click.option(
    "--only",
    "names",
    multiple=True,
    metavar="LAYER",
    type=click.Choice(_NAMES),
    help=f"Look at this layer alone; several times for several: {', '.join(_NAMES)}.",
)
@click.option(
    "--stats",
    "what",
    flag_value="stats",
    help="Tell instead how often each operation ran and failed, and how long it took.",
)
@click.option(
    "--slow-queries",
    "what",
    flag_value="slow-queries",
    help="Tell instead which database and Redis queries were slow.",
)
@click.option(
    "--serve",
    "where",
    metavar="ADDRESS",
    is_flag=False,
    flag_value="",
    default=None,
    help="Answer over HTTP, at host:port or at a port of this machine alone; else "
    "OTEL_DIFY_HEALTH_ADDRESS says where, or 127.0.0.1:9465.",
)
@by_pid
@click.option(
    "--timeout",
    "timeout_s",
    metavar="S",
    type=click.FloatRange(min=0, min_open=True, max=60),
    default=5.0,
    show_default=True,
    help="Seconds that a layer may take.",
)
def health(
    *,
    as_json: bool,
    names: tuple[str, ...],
    what: str | None,
    where: str | None,
    pid: int | None,
    timeout_s: float,
) -> None:
    """Look at what Dify needs, layer by layer, side by side.

    Run it where Dify runs, with the same variables and as the same user. With --serve it answers
    /health, /health/detailed, /metrics, /stats and /slow-queries until it is stopped, for load
    balancers and for Prometheus; it is a process of its own, and nothing of Dify waits for it.

    Ends with 0 if all is healthy or degraded, with 1 if something is unhealthy that Dify does not
    work without (database, Redis, plugin daemon; of --only, any), with 2 if it was called wrongly.
    """
    from otel_dify.cli.doctor.examined import Examined

    environ = environment(pid)
    examined = Examined(environ, code_of_dify(environ, pid), timeout_s=timeout_s)
    if where is not None:
        _serve(examined, where)
    elif what is not None:
        _tell_counted(examined, what, as_json=as_json)
    else:
        _tell_layers(examined, names, as_json=as_json)


def _tell_layers(examined: Examined, names: Iterable[str], *, as_json: bool) -> None:
    from otel_dify.cli.health.layer import Status, whole
    from otel_dify.cli.health.layers import LAYERS
    from otel_dify.cli.health.probing import Probes
    from otel_dify.cli.health.report import lines, told
    from otel_dify.settings import host_name

    layers = Probes(examined, LAYERS).tell(names)
    _print(told(host_name(), time.time(), layers), lines(layers, _width()), as_json=as_json)
    asked_for_it = bool(names) and any(layer.status is Status.UNHEALTHY for layer in layers)
    if asked_for_it or whole(layers) is Status.UNHEALTHY:
        raise SystemExit(_UNHEALTHY)


def _tell_counted(examined: Examined, what: str, *, as_json: bool) -> None:
    from otel_dify.cli.health import report
    from otel_dify.cli.health.counted import counted_in
    from otel_dify.cli.health.queries import slow_queries
    from otel_dify.cli.health.statistics import statistics
    from otel_dify.settings import STATE_PATH

    processes = counted_in(examined.settings[STATE_PATH])
    if what == "stats":
        found = statistics(processes)
        document, text = report.statistics_told(found), report.statistics_lines(found, _width())
    else:
        slow = slow_queries(processes)
        document, text = report.queries_told(slow), report.queries_lines(slow, _width())
    _print(document, text, as_json=as_json)


def _serve(examined: Examined, where: str) -> None:
    from otel_dify.cli.health.pages import pages_of
    from otel_dify.cli.health.serving import Server
    from otel_dify.settings import HEALTH_ADDRESS, address

    try:
        host, port = address(where) if where else examined.settings[HEALTH_ADDRESS]
    except ValueError as error:
        raise click.UsageError(f"--serve {where}: {error}") from None

    def ready(host: str, port: int) -> None:
        shown = f"[{host}]" if ":" in host else host
        click.echo(f"Answering at http://{shown}:{port}/health", err=True)

    try:
        Server(pages_of(examined), host, port).run(ready)
    except OSError as error:
        raise click.ClickException(f"cannot listen at {host}:{port}: {error.strerror}") from None


def _print(document: dict[str, Any], text: Iterable[str], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        for line in text:
            click.echo(line)


def _width() -> int:
    return shutil.get_terminal_size((100, 24)).columns
