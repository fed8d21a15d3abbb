"""Sampling on the real Collector: traces whole, errors always, and counts that can be made up."""

from __future__ import annotations

import random
import re
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from collector.native.layout import Layout, Ports
from collector.native.programs import COLLECTOR_FOLDER
from collector.native.query import Jaeger, Loki, Prometheus, wait_until
from collector.native.stack import Stack
from examples.host.apps import load_app
from examples.host.up import Host
from otel_dify.sampling.probability import adjusted_count, decode, encode, threshold_of
from tests.stack.otlp_json import Telemetry

DROP_IN = COLLECTOR_FOLDER / "drop-ins" / "sampling.yaml"
RATE = 0.25
QUESTION = {"question": "I was charged twice", "customer": "Ada"}
FAILING = {"customer": "Ada", "summary_request": "AUTHFAIL"}
LOW, HIGH = "00000000000001", "fffffffffffffe"
"""Randomness that hardly any rate keeps, and that all but none do."""
_DECIDED = re.compile(
    r"^otelcol_processor_tail_sampling_global_count_traces_sampled.* (\S+)$", re.MULTILINE
)


@pytest.fixture(scope="module")
def sampling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose Collector samples, and decides fast."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTELCOL_SAMPLING_RATE", str(RATE))
        environment.setenv("OTELCOL_SAMPLING_WAIT", "10s")
        environment.setenv("OTELCOL_SAMPLING_SETTLE", "3s")
        layout = Layout(tmp_path_factory.mktemp("sampling"), Ports.free(), (DROP_IN,))
        with Stack(layout) as running:
            yield running


@dataclass
class Part:
    """What one service has sent of a trace made by hand.

    Attributes:
        attributes: those of its span.
        state: tracestate of its span.
        error: whether its span failed.
        seconds: what it took.
    """

    attributes: Mapping[str, Any] = field(default_factory=dict)
    state: str = ""
    error: bool = False
    seconds: float = 0.01


def random_id(chance: random.Random, randomness: str | None = None) -> str:
    """Make the id of a trace, with this randomness where it matters."""
    tail = f"{chance.getrandbits(56):014x}" if randomness is None else randomness
    return f"{chance.getrandbits(71) | 1 << 70:018x}{tail}"


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}


def send(url: str, service: str, parts: Sequence[tuple[str, Part]]) -> None:
    """Send spans of one service: a trace's id, and what it has of that."""
    now = time.time_ns()
    spans = [
        {
            "traceId": trace_id,
            "spanId": f"{random.getrandbits(64) | 1:016x}",
            "parentSpanId": "" if service == "api" else "00000000000000aa",
            "name": service,
            "kind": 2,
            "startTimeUnixNano": str(now - int(part.seconds * 1e9)),
            "endTimeUnixNano": str(now),
            "traceState": part.state,
            "attributes": [{"key": k, "value": _value(v)} for k, v in part.attributes.items()],
            "status": {"code": 2} if part.error else {},
        }
        for trace_id, part in parts
    ]
    body = Telemetry(service).traces()
    body["resourceSpans"][0]["scopeSpans"][0]["spans"] = spans
    Telemetry(service).post(url, "traces", body)


def decided(stack: Stack) -> int:
    """Tell on how many traces the Collector has decided."""
    return sum(
        int(float(n)) for n in _DECIDED.findall(httpx.get(stack.layout.collector_metrics).text)
    )


def threshold(span: Mapping[str, Any]) -> str | None:
    """Return the ``th`` of a span in Jaeger."""
    entries = dict(
        entry.partition("=")[::2] for entry in span.get("traceState", "").split(",") if entry
    )
    members = dict(one.partition(":")[::2] for one in entries.get("ot", "").split(";") if one)
    assert "otel_dify" not in entries
    assert not any(a["key"].startswith("sampling.") for a in span.get("attributes", ()))
    return members.get("th")


def arrived(stack: Stack, sent: Mapping[str, int], kept: set[str]) -> dict[str, list[Any]]:
    """Wait for the decisions on traces; return those that Jaeger has, and hold that they are whole.

    Args:
        stack: the stack.
        sent: traces by their ids, with their numbers of spans.
        kept: which of them are to be kept; waited for, as there is something between the two.
    """
    jaeger = Jaeger(stack.layout.jaeger)
    there = {
        one: wait_until(
            lambda one=one: jaeger.trace(one),  # type: ignore[misc] # bound at once
            lambda spans, one=one: len(spans) == sent[one],  # type: ignore[misc] # the same
            what=f"whole trace {one}",
        )
        for one in sorted(kept)
    }
    # What was dropped was decided on with them: there is no more to wait for.
    assert {one for one in sent if jaeger.trace(one)} == kept
    return there


def test_policies_keep_what_matters_and_the_rest_is_dropped_whole(sampling: Stack) -> None:
    """Each of two services sends its part of each trace; what matters is in one of them alone."""
    chance = random.Random(1)  # noqa: S311 - ids of a test
    announced = f"otel_dify={encode(threshold_of(0.01))},ot=th:0"
    worth: list[Part] = [
        Part(error=True),
        Part(error=True, state=announced),
        Part(seconds=31),
        Part({"dify.usage.total_tokens": 20_000}),
        Part({"gen_ai.usage.input_tokens": 19_000, "gen_ai.usage.output_tokens": 1_000}),
        Part({"dify.usage.total_price": 0.5}),
        Part({"gen_ai.usage.cost": 0.75}),
        Part({"dify.debug_id": "case-7"}),
        Part({"dify.invoke_from": "debugger"}),
    ]
    plain: list[Part] = [
        Part(),
        Part(state=announced),
        Part(state="ot=rv:00000000000000"),
        Part(seconds=29),
        Part({"dify.usage.total_tokens": 19_999, "dify.usage.total_price": 0.49}),
        Part({"gen_ai.usage.input_tokens": 19_000, "dify.invoke_from": "web-app"}),
    ]
    before = decided(sampling)
    traces = [(random_id(chance, LOW), part) for part in (*worth, *plain)]
    other = [(one, Part(state=part.state)) for one, part in traces]
    send(sampling.layout.otlp_http, "worker", traces)
    send(sampling.layout.otlp_http, "api", other)
    wait_until(lambda: decided(sampling), lambda n: n - before >= len(traces), what="decisions")
    kept = {one for one, _ in traces[: len(worth)]}
    for spans in arrived(sampling, {one: 2 for one, _ in traces}, kept).values():
        # Kept for another reason than their rate: nobody knows how many they stand for.
        assert [threshold(span) for span in spans] == [None, None]


@dataclass(frozen=True)
class Made:
    """A trace made by hand, and what is to become of it.

    Attributes:
        trace_id: its id.
        state: tracestate of its spans.
        at: the threshold that it has to pass.
        kept: whether it does.
        counts: whether it has the Collector's own rate, and so is a part of the estimate.
    """

    trace_id: str
    state: str
    at: int
    kept: bool
    counts: bool


def make(chance: random.Random) -> Made:
    """Make a trace of any randomness, sampled before or not, with a rate announced or not."""
    trace_id = random_id(chance)
    randomness, at = int(trace_id[18:], 16), threshold_of(RATE)
    members, entries = ["p:8"], ["vendor=x"]
    if chance.random() < 0.5:
        at = threshold_of(chance.choice([1, 0.5, 0.1, 0.01, 0]))
        entries.append(f"otel_dify={encode(at)}")
    if chance.random() < 0.3:
        randomness = chance.getrandbits(56)
        members.append(f"rv:{randomness:014x}")
    passed = threshold_of(chance.choice([1, 0.75, 0.2]))
    if chance.random() < 0.5 and randomness >= passed:
        members.append(f"th:{encode(passed)}")
        at = max(at, passed)
    counts = len(entries) == 1 and "th:" not in ";".join(members)
    chance.shuffle(members)
    if chance.random() < 0.7 or len(members) > 1:
        entries.insert(chance.randrange(len(entries) + 1), "ot=" + ";".join(members))
    return Made(trace_id, ",".join(entries), at, randomness >= at, counts)


def hold_to(made: Made, span: Mapping[str, Any]) -> None:
    """Hold that a span that was kept says what its trace has passed, and all that it said before."""
    text = threshold(span)
    passed = decode(text or "")
    assert passed is not None
    assert abs(passed - made.at) < 1 << 12  # a rate as a float's digits
    assert text == "0" or not str(text).endswith("0")
    after = span["traceState"]
    for said in ("vendor=x", "p:8", *re.findall("rv:[0-9a-f]{14}", made.state)):
        assert (said in after) == (said in made.state)


def test_collector_and_sender_decide_alike_and_counts_can_be_made_up(sampling: Stack) -> None:
    """Many traces of all rates: kept are those that our own arithmetic keeps, with that ``th``."""
    chance = random.Random(2)  # noqa: S311 - the same traces each time
    before = decided(sampling)
    traces = {one.trace_id: one for one in (make(chance) for _ in range(400))}
    parts = [(one.trace_id, Part(state=one.state)) for one in traces.values()]
    for service in ("worker", "api"):
        send(sampling.layout.otlp_http, service, parts)
    wait_until(lambda: decided(sampling), lambda n: n - before >= 400, what="decisions")
    kept = {one.trace_id for one in traces.values() if one.kept}
    for trace_id, spans in arrived(sampling, dict.fromkeys(traces, 2), kept).items():
        for span in spans:
            hold_to(traces[trace_id], span)
    of_own_rate = [one for one in traces.values() if one.counts]
    estimated = sum(adjusted_count(one.at) for one in of_own_rate if one.kept)
    total = len(of_own_rate)
    assert abs(estimated - total) < 5 * (total * (1 / RATE - 1)) ** 0.5


@dataclass(frozen=True)
class Running:
    """The example host, sending to a stack."""

    host: Host
    stack: Stack

    def run(self, app: str, inputs: Mapping[str, str], randomness: str, **headers: str) -> str:
        """Run an app through API and worker in a trace of this randomness; return that's id."""
        trace_id = secrets.token_hex(9) + randomness
        parent = {"traceparent": f"00-{trace_id}-00000000000000aa-01", **headers}
        self.host.run_app(app, inputs, stream=True, headers=parent)
        return trace_id

    def whole(self, trace_id: str) -> list[dict[str, Any]]:
        """Wait for a trace in which API and worker have ended; return its spans."""
        jaeger = Jaeger(self.stack.layout.jaeger)
        spans = wait_until(
            lambda: jaeger.trace(trace_id),
            lambda spans: (
                {"POST /v1/workflows/run", "process examples.host.tasks.run_workflow"}
                <= {_known(span["name"]) for span in spans}
            ),
            what="both parts of the trace",
        )
        ids = {span["spanId"] for span in spans}
        outside = [one["name"] for one in spans if one.get("parentSpanId", "") not in ids]
        assert outside == ["POST /v1/workflows/run"]
        return spans


def _known(name: str) -> str:
    """Return a span's name, the task's whichever it is."""
    return "process examples.host.tasks.run_workflow" if name.startswith("process ") else name


def _running(stack: Stack, folder: Path, **settings: str) -> Iterator[Running]:
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": stack.layout.otlp_http,
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_DIFY_STATE_PATH": str(folder / "state"),
        **settings,
    }
    prefix = [str(Path(sys.executable).parent / "opentelemetry-instrument")]
    with Host(folder / "host", prefix=prefix, env=environment) as host:
        yield Running(host, stack)


@pytest.fixture(scope="module")
def thinned(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A host that drops most runs of one app by itself, with a Collector that keeps all."""
    app = load_app("support_triage").app_id
    yield from _running(
        stack,
        tmp_path_factory.mktemp("thinned"),
        OTEL_DIFY_SAMPLING=f"app={app}: 10%",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=thinned",
    )


def test_the_sender_keeps_or_drops_the_parts_of_api_and_worker_alike(thinned: Running) -> None:
    dropped = thinned.run("support_triage", QUESTION, LOW)
    other = thinned.run("research_batch", {"topic": "tides"}, LOW)
    kept = thinned.run("support_triage", QUESTION, HIGH)
    asked = thinned.run("support_triage", QUESTION, LOW, **{"X-Debug-Id": "case-8"})
    assert {threshold(span) for span in thinned.whole(kept)} == {encode(threshold_of(0.1))}
    assert {threshold(span) for span in thinned.whole(other)} == {"0"}
    assert {threshold(span) for span in thinned.whole(asked)} == {"0"}

    runs = 'sum(dify_requests_total{type="workflow",deployment_environment_name="thinned"})'
    prometheus = Prometheus(thinned.stack.layout.prometheus)

    def counted() -> int:
        return int(sum(series.value for series in prometheus.query(runs)))

    assert wait_until(counted, lambda n: n == 4, what="all four runs counted") == 4
    loki = Loki(thinned.stack.layout.loki)
    told = f'{{service_name=~"dify-.*"}} | trace_id="{dropped}"'
    wait_until(
        lambda: [line.body for line in loki.query_range(told)],
        lambda lines: any(re.match("run .* succeeded", line) for line in lines),
        what="the event of the run that was dropped",
    )
    assert Jaeger(thinned.stack.layout.jaeger).trace(dropped) == []


@pytest.fixture(scope="module")
def announcing(sampling: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A host that leaves it to the Collector to drop."""
    yield from _running(
        sampling,
        tmp_path_factory.mktemp("announcing"),
        OTEL_DIFY_SAMPLING="10%",
        OTEL_DIFY_SAMPLING_AT="collector",
    )


def test_the_collector_drops_at_the_senders_rate_but_never_an_error(announcing: Running) -> None:
    before = decided(announcing.stack)
    dropped = announcing.run("support_triage", QUESTION, LOW)
    kept = announcing.run("support_triage", QUESTION, HIGH)
    failing = announcing.run("flaky_enrichment", FAILING, LOW)
    assert {threshold(span) for span in announcing.whole(kept)} == {encode(threshold_of(0.1))}
    spans = announcing.whole(failing)
    assert any(span.get("status", {}).get("code") == 2 for span in spans)
    assert {threshold(span) for span in spans} == {None}
    wait_until(lambda: decided(announcing.stack), lambda n: n - before >= 3, what="decisions")
    assert Jaeger(announcing.stack.layout.jaeger).trace(dropped) == []
