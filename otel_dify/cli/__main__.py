"""``python -m otel_dify.cli``: the command, where the package is on the path but its script not."""

from otel_dify.cli.main import main

main(prog_name="python -m otel_dify.cli")
