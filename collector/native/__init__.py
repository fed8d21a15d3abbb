"""The real Collector, Jaeger, Prometheus and Loki on this machine, without Docker.

`python -m collector.native build|up|status|env|down` from the repository's root, or
`collector.native.stack.Stack` from Python. The configuration files are the ones the containers
use.
"""
