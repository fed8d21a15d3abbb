"""The services of a stack: which program, which arguments, how one knows it is ready."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from collector.configure import alertmanager_config
from collector.native.layout import HOST, Layout
from collector.native.programs import (
    ALERTMANAGER,
    COLLECTOR,
    COLLECTOR_FOLDER,
    JAEGER,
    LOKI,
    PROMETHEUS,
    Program,
)

COLLECTOR_CONFIG = COLLECTOR_FOLDER / "otelcol.yaml"
JAEGER_CONFIG = COLLECTOR_FOLDER / "jaeger" / "jaeger.yaml"
LOKI_CONFIG = COLLECTOR_FOLDER / "loki" / "loki.yaml"
PROMETHEUS_CONFIG = COLLECTOR_FOLDER / "prometheus" / "prometheus.yaml"


@dataclass(frozen=True)
class Service:
    """How to run one service. `ready` answers 200 as soon as it can be used."""

    name: str
    command: tuple[str, ...]
    folder: Path
    ready: str


def services(layout: Layout, binaries: Callable[[Program], Path]) -> dict[str, Service]:
    """The services of a stack by name, in the order in which they are started.

    `binaries` gives the folder of a program's binaries. The Collector comes last and is stopped
    first: it is what fills the others.
    """
    data, ports = layout.data, layout.ports
    prometheus = data / "prometheus"
    found = [
        Service(
            "jaeger",
            (str(binaries(JAEGER) / "jaeger"), f"--config={JAEGER_CONFIG}"),
            data,
            f"http://{HOST}:{ports.jaeger_health}/status",
        ),
        Service(
            "prometheus",
            (
                str(binaries(PROMETHEUS) / "prometheus"),
                "@prometheus.flags",
                # Not by the link's target: the folder of this path is where targets are.
                f"--config.file={prometheus / 'etc' / 'prometheus.yaml'}",
                f"--storage.tsdb.path={prometheus / 'data'}",
                f"--web.listen-address={HOST}:{ports.prometheus}",
            ),
            prometheus / "etc",
            f"{layout.prometheus}/-/ready",
        ),
        Service(
            "loki",
            (
                str(binaries(LOKI) / "loki"),
                f"-config.file={LOKI_CONFIG}",
                "-config.expand-env=true",
            ),
            data,
            f"{layout.loki}/ready",
        ),
    ]
    if layout.alertmanager:
        alertmanager = Service(
            "alertmanager",
            (
                str(binaries(ALERTMANAGER) / "alertmanager"),
                f"--config.file={alertmanager_config(layout.configured)}",
                f"--storage.path={data / 'alertmanager'}",
                f"--web.listen-address={HOST}:{ports.alertmanager}",
                # Without neighbours: no gossip port.
                "--cluster.listen-address=",
            ),
            data,
            f"{layout.alertmanager_url}/-/ready",
        )
        found.append(alertmanager)
    configs = (COLLECTOR_CONFIG, *layout.drop_ins)
    collector = Service(
        "collector",
        (str(binaries(COLLECTOR) / "otelcol"), *(f"--config={path}" for path in configs)),
        data,
        layout.collector_health,
    )
    return {service.name: service for service in (*found, collector)}
