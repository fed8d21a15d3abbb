"""`python -m collector.native`: build, start, stop and look at the stack."""

import argparse
import os
import sys
from pathlib import Path

from collector.native.build import ensure, lock_collector
from collector.native.errors import NativeError
from collector.native.layout import Layout, Ports
from collector.native.programs import PROGRAMS
from collector.native.stack import Stack, guard


def default_data() -> Path:
    """`$XDG_STATE_HOME/otel_dify/stack`, by default below ~/.local/state."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "otel_dify" / "stack"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m collector.native", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build what is not in the cache yet")
    build.add_argument("programs", nargs="*", metavar="program", help=", ".join(PROGRAMS))
    lock = commands.add_parser(
        "lock", help="write the Collector's go.mod and go.sum from its manifest"
    )
    up = commands.add_parser("up", help="start Collector, Jaeger, Prometheus and Loki")
    up.add_argument("--free-ports", action="store_true", help="any free ports, not the usual ones")
    up.add_argument("--alertmanager", action="store_true", help="and Alertmanager")
    up.add_argument(
        "--drop-in",
        type=Path,
        action="append",
        default=[],
        help="a file laid over the Collector's (can be given several times)",
    )
    down = commands.add_parser("down", help="stop them; data stays")
    status = commands.add_parser("status", help="what runs, and where")
    env = commands.add_parser("env", help="print the variables that point a program at the stack")
    # Internal: started by Stack, ends with its parent.
    watch = commands.add_parser("guard")
    runs = {build: _build, lock: _lock, up: _up, down: _down, status: _status, env: _env}
    for command, run in (runs | {watch: _guard}).items():
        command.set_defaults(run=run)
    for command in (up, down, status, env, watch):
        command.add_argument(
            "--data", type=Path, default=default_data(), help="default: %(default)s"
        )
    return parser


def _show(stack: Stack) -> int:
    """Print one line a service; 1 unless all are ready."""
    layout = stack.layout
    urls = {
        "collector": f"{layout.otlp_http} (OTLP/HTTP)  {layout.otlp_grpc} (OTLP/gRPC)",
        "jaeger": layout.jaeger,
        "prometheus": layout.prometheus,
        "loki": layout.loki,
        "alertmanager": layout.alertmanager_url,
    }
    well = True
    for name in stack.names:
        identity = stack.process(name)
        process = identity.process() if identity else None
        ready = process is not None and stack.ready(name)
        well = well and ready
        state = "ready" if ready else "not ready" if process else "stopped"
        memory = f"{process.memory_info().rss / 2**20:4.0f} MB" if process else ""
        print(f"{name:12} {state:10} {memory:8} {urls[name]}")
    print(f"data and logs: {layout.data}")
    return 0 if well else 1


def _build(options: argparse.Namespace) -> int:
    unknown = set(options.programs) - set(PROGRAMS)
    if unknown:
        raise NativeError(f"No program {', '.join(unknown)}: there are {', '.join(PROGRAMS)}.")
    for name in options.programs or PROGRAMS:
        print(ensure(PROGRAMS[name]))
    return 0


def _lock(_: argparse.Namespace) -> int:
    lock_collector()
    return 0


def _up(options: argparse.Namespace) -> int:
    ports = Ports.free() if options.free_ports else Ports()
    drop_ins = tuple(path.resolve() for path in options.drop_in)
    layout = Layout(options.data.resolve(), ports, drop_ins, options.alertmanager)
    with Stack(layout, keep=True) as stack:
        return _show(stack)


def _down(options: argparse.Namespace) -> int:
    Stack.attach(options.data.resolve()).down()
    return 0


def _status(options: argparse.Namespace) -> int:
    return _show(Stack.attach(options.data.resolve()))


def _env(options: argparse.Namespace) -> int:
    layout = Stack.attach(options.data.resolve()).layout
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": layout.otlp_http,
        "JAEGER_URL": layout.jaeger,
        "PROMETHEUS_URL": layout.prometheus,
        "LOKI_URL": layout.loki,
    }
    for name, value in variables.items():
        print(f"export {name}={value}")
    return 0


def _guard(options: argparse.Namespace) -> int:
    guard(options.data.resolve())
    return 0


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except NativeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
