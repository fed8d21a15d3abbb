"""What telemetry costs: ratios to OpenTelemetry's own parts, and a real Dify with and without.

- ``python -m benchmarks.micro``: CPU of single parts, minutes, needs no Dify.
- ``python -m benchmarks.dify``: CPU and latency of a real Dify's runs, hours, needs a rig.
- ``python -m benchmarks.ledger``: where a run's CPU goes, by part of the flow, needs a rig.

Each writes its section of ``RESULTS.md``. Run them on a machine that does nothing else.
"""
