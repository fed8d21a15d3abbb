"""Sending by both protocols, and what an operator reads where it cannot be sent."""

from __future__ import annotations

import pytest

from examples.host.children import free_port
from tests.process.conftest import INJECTED, Programs
from tests.process.sink import Sink

WORK = """
    import logging
    from otel_dify import observe
    with observe("work"):
        logging.getLogger("program").warning("working")
"""
OTLP = {
    "OTEL_TRACES_EXPORTER": None,
    "OTEL_METRICS_EXPORTER": None,
    "OTEL_LOGS_EXPORTER": None,
}
PATCH = """
    from gevent import monkey
    monkey.patch_all()
"""


@pytest.mark.parametrize("gevent", [False, True])
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_all_three_signals_arrive(programs: Programs, protocol: str, gevent: bool) -> None:
    """The program ends at once: what it holds is sent as it ends."""
    with Sink(protocol) as received:
        env = {
            **OTLP,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_ENDPOINT": received.url,
        }
        told = programs.script((PATCH if gevent else "") + WORK, env=env)
        said, _, rest = told.stderr.partition("\n")
        assert said == "working"
        # gRPC's own words about a channel that outlives the interpreter.
        assert not rest or (gevent and protocol == "grpc" and "grpc/_channel.py" in rest)
        assert "delivered" not in rest
    assert received.names["traces"] == {"work": 1}
    assert received.names["logs"] == {"working": 1}
    assert received.names["metrics"]["dify.custom.duration"] == 1


@pytest.mark.parametrize("named", [None, "http/protobuf", "grpc"])
def test_the_protocol_is_the_operators_where_the_stock_distro_was_met_first(
    programs: Programs, named: str | None
) -> None:
    """Injected by ``PYTHONPATH`` the loader may take the stock distro, which sets gRPC."""
    with Sink(named or "http/protobuf") as received:
        env = {
            **OTLP,
            "OTEL_PYTHON_DISTRO": "distro",
            "OTEL_EXPORTER_OTLP_PROTOCOL": named,
            "OTEL_EXPORTER_OTLP_ENDPOINT": received.url,
            "PYTHONPATH": INJECTED,
        }
        told = programs.script(WORK, env=env, prefix=())
        assert "delivered" not in told.stderr
    assert received.names["traces"] == {"work": 1}
    assert received.names["metrics"]["dify.custom.duration"] == 1


def test_what_nobody_takes_costs_one_line_a_signal_and_is_sent_by_the_next_process(
    programs: Programs,
) -> None:
    """Not one line an export, of which there are several here."""
    source = (
        WORK
        + "    from otel_dify.process import process\n"
        + 3 * ("    process.recording().flush(1_000)\n")
    )
    address = f"http://127.0.0.1:{free_port()}"
    told = programs.script(source, env={**OTLP, "OTEL_EXPORTER_OTLP_ENDPOINT": address})
    lines = sorted(line for line in told.stderr.splitlines() if line != "working")
    assert [line.partition(" ")[0] for line in lines] == ["logs", "metrics", "traces"], lines
    for line in lines:
        assert f"OTEL_EXPORTER_OTLP_ENDPOINT={address} does not take them" in line
        assert "Check that the Collector runs" in line
    with Sink("http/protobuf") as received:
        programs.script(WORK, env={**OTLP, "OTEL_EXPORTER_OTLP_ENDPOINT": received.url})
    assert received.names["traces"] == {"work": 2}
    assert received.names["logs"] == {"working": 2}


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("OTEL_TRACES_EXPORTER", "jaeger", "OTEL_TRACES_EXPORTER='jaeger' names no exporter"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "15s", "OTEL_METRIC_EXPORT_INTERVAL='15s' cannot be used"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1", "OTEL_BSP_MAX_QUEUE_SIZE='-1' cannot be used"),
        ("OTEL_TRACES_SAMPLER_ARG", "half", "OTEL_TRACES_SAMPLER_ARG='half' cannot be used"),
        ("OTEL_DIFY_QUERY_SPANS", "5", "OTEL_DIFY_QUERY_SPANS is not a setting of otel_dify"),
        ("OTEL_DIFY_STATE_PATH", "/dev/null/x", "OTEL_DIFY_STATE_PATH=/dev/null/x cannot be"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "OTEL_EXPORTER_OTLP_PROTOCOL='http/json'"),
        ("OTEL_SDK_DISABLED", "1", "OTEL_SDK_DISABLED='1' cannot be used"),
        (
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
            "many",
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT='many' cannot",
        ),
    ],
)
def test_a_bad_setting_costs_one_line_and_the_program_runs_on(
    programs: Programs, variable: str, value: str, says: str
) -> None:
    told = programs.script(WORK + "    print('still here')\n", env={variable: value})
    assert told.stdout == "still here\n"
    lines = [line for line in told.stderr.splitlines() if line != "working"]
    [line] = lines
    assert line.startswith(says)
    assert len(programs.logs("program")) == 1


def test_a_folder_that_cannot_be_written_costs_a_line_a_signal(programs: Programs) -> None:
    told = programs.script(
        WORK + "    print('still here')\n", env={"OTEL_DIFY_FILE_PATH": "/dev/null/x"}
    )
    assert told.stdout == "still here\n"
    lines = [line for line in told.stderr.splitlines() if line != "working"]
    assert len(lines) == 3
    for line in lines:
        assert line.startswith("OTEL_DIFY_FILE_PATH=/dev/null/x cannot be written")
