"""Where everything of one native stack is: ports, folders, and the environment it makes."""

import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from itertools import cycle
from pathlib import Path

import yaml

from collector.configure import jaeger_ui
from collector.native.programs import COLLECTOR_FOLDER

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """Every port of the stack, all on 127.0.0.1. The defaults are the ones people know.

    Jaeger's OTLP port and its own health and metrics pages step aside for the Collector's.
    """

    otlp_grpc: int = 4317
    otlp_http: int = 4318
    plugin_daemon: int = 4319
    collector_health: int = 13133
    collector_metrics: int = 8888
    jaeger_otlp: int = 14317
    jaeger_query: int = 16686
    jaeger_query_grpc: int = 16685
    jaeger_health: int = 14133
    jaeger_metrics: int = 14888
    prometheus: int = 9090
    loki: int = 3100
    loki_grpc: int = 9095
    alertmanager: int = 9093

    @classmethod
    def free(cls) -> "Ports":
        """Ports that nobody listens on now, all different, also from those given before."""
        return cls(**{name: _free() for name in cls.__dataclass_fields__})

    def taken(self) -> list[str]:
        """Names and numbers of the ports that something else listens on."""
        return [f"{name}={port}" for name, port in asdict(self).items() if not _is_free(port)]


# Systems give higher ones to connections going out (Linux from 32768 on), one of which could take
# a port between when it was found free and when its server starts.
_PORTS = range(15_000, 32_768)


@cache
def _candidates() -> Iterator[int]:
    """Every port, over and over; processes that run at the same time begin far apart."""
    start = os.getpid() * 499 % len(_PORTS)
    return cycle((*_PORTS[start:], *_PORTS[:start]))


def _free() -> int:
    """The next port that nobody listens on; a round of all of them passes before it comes again."""
    for _, port in zip(_PORTS, _candidates(), strict=False):
        if _is_free(port):
            return port
    raise OSError(f"every port from {_PORTS.start} to {_PORTS.stop - 1} is taken")


def _is_free(port: int) -> bool:
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class Layout:
    """One stack's ports, data folder and choices; `drop_ins` are laid over the Collector's file."""

    data: Path
    ports: Ports = field(default_factory=Ports)
    drop_ins: tuple[Path, ...] = ()
    alertmanager: bool = False
    jaeger_storage: str = "badger"

    @property
    def configured(self) -> Path:
        """The folder of what is written for programs that read no variables."""
        return self.data / "configured"

    @property
    def otlp_http(self) -> str:
        """Base URL of the Collector's OTLP/HTTP receiver."""
        return f"http://{HOST}:{self.ports.otlp_http}"

    @property
    def otlp_grpc(self) -> str:
        """URL of the Collector's OTLP/gRPC receiver."""
        return f"http://{HOST}:{self.ports.otlp_grpc}"

    @property
    def plugin_daemon(self) -> str:
        """URL of the receiver that drop-ins/plugin-daemon.yaml adds, OTLP/HTTP."""
        return f"http://{HOST}:{self.ports.plugin_daemon}"

    @property
    def collector_health(self) -> str:
        """The Collector's health page."""
        return f"http://{HOST}:{self.ports.collector_health}/"

    @property
    def collector_metrics(self) -> str:
        """The Collector's metrics about itself."""
        return f"http://{HOST}:{self.ports.collector_metrics}/metrics"

    @property
    def jaeger(self) -> str:
        """Base URL of Jaeger's query API and UI."""
        return f"http://{HOST}:{self.ports.jaeger_query}"

    @property
    def prometheus(self) -> str:
        """Base URL of Prometheus."""
        return f"http://{HOST}:{self.ports.prometheus}"

    @property
    def loki(self) -> str:
        """Base URL of Loki."""
        return f"http://{HOST}:{self.ports.loki}"

    @property
    def alertmanager_url(self) -> str:
        """Base URL of Alertmanager."""
        return f"http://{HOST}:{self.ports.alertmanager}"

    def environment(self) -> dict[str, str]:
        """The variables by which the configuration files learn about this machine."""
        ports = self.ports
        return {
            "OTELCOL_LISTEN": HOST,
            "OTELCOL_OTLP_GRPC_PORT": str(ports.otlp_grpc),
            "OTELCOL_OTLP_HTTP_PORT": str(ports.otlp_http),
            "OTELCOL_PLUGIN_DAEMON_PORT": str(ports.plugin_daemon),
            "OTELCOL_HEALTH_PORT": str(ports.collector_health),
            "OTELCOL_METRICS_PORT": str(ports.collector_metrics),
            "OTELCOL_DATA_DIR": str(self.data / "collector"),
            "JAEGER_OTLP_ENDPOINT": f"{HOST}:{ports.jaeger_otlp}",
            "PROMETHEUS_URL": self.prometheus,
            "LOKI_URL": self.loki,
            "JAEGER_LISTEN": HOST,
            "JAEGER_OTLP_GRPC_PORT": str(ports.jaeger_otlp),
            "JAEGER_QUERY_PORT": str(ports.jaeger_query),
            "JAEGER_QUERY_GRPC_PORT": str(ports.jaeger_query_grpc),
            "JAEGER_HEALTH_PORT": str(ports.jaeger_health),
            "JAEGER_METRICS_PORT": str(ports.jaeger_metrics),
            "JAEGER_DATA_DIR": str(self.data / "jaeger"),
            "JAEGER_STORAGE": self.jaeger_storage,
            "JAEGER_UI_CONFIG": str(jaeger_ui(self.configured)),
            "LOKI_LISTEN": HOST,
            "LOKI_HTTP_PORT": str(ports.loki),
            "LOKI_GRPC_PORT": str(ports.loki_grpc),
            "LOKI_DATA_DIR": str(self.data / "loki"),
        }

    def prometheus_folder(self) -> Path:
        """Make the folder Prometheus is started in: our files, this machine's addresses.

        Prometheus looks for targets next to its configuration file, so a link to that file in
        another folder is the same configuration with other targets.
        """
        folder = self.data / "prometheus" / "etc"
        for name in ("targets", "alertmanagers"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name in ("prometheus.yaml", "prometheus.flags", "rules"):
            link = folder / name
            link.unlink(missing_ok=True)
            link.symlink_to(COLLECTOR_FOLDER / "prometheus" / name)
        ports = self.ports
        scraped = {
            "prometheus": ports.prometheus,
            "otel-collector": ports.collector_metrics,
            "jaeger": ports.jaeger_metrics,
            "loki": ports.loki,
        }
        alertmanagers = {"alertmanager": ports.alertmanager} if self.alertmanager else {}
        _write_targets(folder / "targets" / "stack.yaml", scraped | alertmanagers)
        _write_targets(folder / "alertmanagers" / "stack.yaml", alertmanagers)
        return folder


def _write_targets(path: Path, ports: Mapping[str, int]) -> None:
    """Write a file of Prometheus' file discovery: one target a job."""
    targets = [
        {"targets": [f"{HOST}:{port}"], "labels": {"job": job}} for job, port in ports.items()
    ]
    path.write_text(yaml.safe_dump(targets))
