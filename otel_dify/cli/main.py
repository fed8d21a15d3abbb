"""The ``otel-dify`` command: what it can do, each in a module of its own."""

from __future__ import annotations

import click

from otel_dify.cli.backfill import backfill
from otel_dify.cli.diff import diff
from otel_dify.cli.doctor.command import doctor
from otel_dify.cli.drain import drain
from otel_dify.cli.health.command import health
from otel_dify.cli.logs.command import logs
from otel_dify.cli.run import run
from otel_dify.cli.verify import verify
from otel_dify.cli.view import view


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="otel-dify")
def main() -> None:
    """OpenTelemetry for self-hosted Dify."""


main.add_command(backfill)
main.add_command(diff)
main.add_command(doctor)
main.add_command(drain)
main.add_command(health)
main.add_command(logs)
main.add_command(run)
main.add_command(verify)
main.add_command(view)
