"""Accounting: the counters of a real Dify's telemetry against its own database and its models.

Given a rig that runs a real Dify with otel_dify attached (``README.md`` beside this file says what
it must offer), this runs a mixed load with failures, retries and iterations, waits for the queues
to drain and the last metrics to arrive, and prints a table in which every row must be equal. A
second table says what lay below what; each row of it must be in the table of kinds (``below``), and
what of that table neither this load nor the examples show follows.

    python tests/dify/accounting.py RIG [--rounds N] [--concurrency C]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

# What otel_dify says of itself is that of this checkout, whatever Dify has installed; and a library
# of Dify's has installed a package `tests`.
sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from otel_dify.cli.accounting import (  # noqa: E402 - of this checkout
    MESSAGES,
    NODES,
    RUNS,
    Counts,
    Key,
    Row,
    as_node_rows,
    as_rows,
    compare,
    counted,
)

if TYPE_CHECKING:
    from tests import nesting
else:
    import nesting

DEADLINE_S = 180.0

# Dify deletes conversations when their app is deleted, which no scenario does.
CONVERSATIONS = """
SELECT app_id::text, mode, count(*) FROM conversations WHERE created_at >= %(since)s GROUP BY 1, 2
"""
# One whose process was killed before says so for ever.
OPEN_RUNS = """
SELECT count(*) FROM workflow_runs
WHERE status = 'running' AND created_at >= now() AT TIME ZONE 'utc' - interval '5 minutes'
"""


@dataclass
class Metrics:
    """The last value of every metric series that the receiver has got."""

    series: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Metrics:
        """Read the receiver's file; a series is a metric, a process and its labels."""
        found = cls()
        for line in path.read_text(encoding="utf-8").splitlines():
            point = json.loads(line)
            if point["k"] == "metric":
                instance = (point["res"].get("service.instance.id"), point["start"])
                key = json.dumps([point["name"], instance, point["attrs"]], sort_keys=True)
                found.series[key] = point
        return found

    def count(
        self, name: str, labels: tuple[str, ...], *, value: str = "value", **only: str
    ) -> Counts:
        """Sum the series of a metric by some of its labels."""
        sums: Counts = Counter()
        for point in self.series.values():
            known = point["attrs"]
            if point["name"] == name and all(known.get(k) == v for k, v in only.items()):
                sums[tuple(str(known.get(label, "")) for label in labels)] += int(point[value])
        return sums

    def total(self) -> int:
        """Add up what is compared, to see whether anything still moves."""
        return sum(
            int(point.get("value", point.get("count", 0)))
            for point in self.series.values()
            if point["name"].startswith(("dify.requests", "gen_ai."))
        )


class Rig:
    """A rig that runs a real Dify.

    Args:
        folder: where its scripts lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        sys.path.insert(0, str(folder))
        self.drive: Any = import_module("drive")
        lines = (folder / "dify.env").read_text(encoding="utf-8").splitlines()
        known = dict(line.split("=", 1) for line in lines if line.startswith("DB_"))
        self._database: Any = import_module("psycopg2").connect(
            host=known["DB_HOST"],
            port=known["DB_PORT"],
            user=known["DB_USERNAME"],
            password=known["DB_PASSWORD"],
            dbname=known["DB_DATABASE"],
        )
        self._database.autocommit = True

    def ask(self, query: str, **values: object) -> list[tuple[Any, ...]]:
        """Run a query on Dify's database."""
        with self._database.cursor() as cursor:
            cursor.execute(query, values)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def metrics(self) -> Metrics:
        """Read what the receiver has got so far."""
        return Metrics.read(self.folder / "run" / "otlp.jsonl")

    def spans(self, since_ns: int) -> Iterator[nesting.Span]:
        """Read the spans that the receiver has got, of what started since."""
        path = self.folder / "run" / "otlp.jsonl"
        for line in path.read_text(encoding="utf-8").splitlines():
            span = json.loads(line)
            if span["k"] == "span" and span["start"] >= since_ns:
                ids = (span["span"], span["parent"])
                yield nesting.Span(*ids, span["name"], span["kind"], span["scope"], span["attrs"])

    def answered(self) -> Iterator[dict[str, Any]]:
        """Read the plugin daemon's record of requests and answers."""
        path = self.folder / "run" / "requests.daemon.jsonl"
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)

    def load(self, rounds: int, concurrency: int) -> int:
        """Run every scenario ``rounds`` times, of chats a second message too; counts the calls."""
        state = self.drive.load()
        calls = [scenario for _ in range(rounds) for scenario in self.drive.SCEN]

        def one(scenario: tuple[str, int, str]) -> int:
            app, stream, query = scenario
            answer = self.drive.call(state, app, bool(stream), query)
            conversation = answer.get("conv")
            if not conversation or state["apps"][app]["mode"] == "completion":
                return 1
            self.drive.call(state, app, bool(stream), query, conversation_id=conversation)
            return 2

        with ThreadPoolExecutor(concurrency) as executor:
            return sum(executor.map(one, calls))


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: if it does not come true within ``DEADLINE_S``.
    """
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {DEADLINE_S:.0f} s")
        time.sleep(1)


def settle(rig: Rig) -> None:
    """Wait until no run is open and two exports in a row say the same."""
    wait_until(lambda: rig.ask(OPEN_RUNS)[0][0] == 0, "the end of all runs")
    last, same = -1, 0

    def quiet() -> bool:
        nonlocal last, same
        total = rig.metrics().total()
        same = same + 1 if total == last else 0
        last = total
        # Longer than an export interval of the rig and the delay of naming conversations.
        return same >= 14

    wait_until(quiet, "the end of all counting")


def by_key(rows: list[tuple[Any, ...]]) -> Counts:
    """Turn rows whose last column is a count into counts by the other columns."""
    return Counter({tuple(map(str, row[:-1])): int(row[-1]) for row in rows})


def table(rig: Rig, since: object, before: Metrics) -> list[Row]:
    """Compare all that is counted with what is true."""
    now = rig.metrics()

    def moved(name: str, labels: tuple[str, ...], value: str = "value", **only: str) -> Counts:
        after = now.count(name, labels, value=value, **only)
        after.subtract(before.count(name, labels, value=value, **only))
        return Counter({key: count for key, count in after.items() if count})

    requests, tokens, calls = Counter[Key](), Counter[Key](), Counter[Key]()
    paths = {
        "dispatch/llm/invoke": "chat",
        "dispatch/text_embedding/invoke": "embeddings",
        "dispatch/rerank/invoke": "rerank",
    }
    for record in rig.answered():
        path = record.get("path", "")
        for suffix, operation in paths.items():
            if path.endswith(suffix):
                calls[operation, record["model"]] += 1
        if "answered" in record:
            for kind in ("input", "output"):
                if record.get(kind):
                    tokens[record["model"], kind] += record[kind]
    requests.update(by_key(rig.ask(counted(RUNS), since=since)))
    usage = "gen_ai.client.token.usage"
    duration = "gen_ai.client.operation.duration"
    model = "gen_ai.request.model"
    return [
        *compare(
            "runs", requests, moved("dify.requests.total", ("app_id", "status"), type="workflow")
        ),
        *compare(
            "nodes",
            by_key(rig.ask(counted(NODES), since=since)),
            as_node_rows(moved("dify.requests.total", ("node_type", "status"), type="node")),
        ),
        *compare(
            "messages",
            by_key(rig.ask(counted(MESSAGES), since=since)),
            as_rows(moved("dify.requests.total", ("mode", "status"), type="message")),
        ),
        *compare(
            "conversations",
            by_key(rig.ask(CONVERSATIONS, since=since)),
            moved("dify.conversations.total", ("app_id", "mode")),
        ),
        *compare("model calls", calls, moved(duration, ("gen_ai.operation.name", model), "count")),
        *compare("tokens", tokens, moved(usage, (model, "gen_ai.token.type"), "sum")),
    ]


def print_nesting(spans: Iterator[nesting.Span]) -> int:
    """Print what lay below what, and what the table says of it; counts what it does not know."""
    seen = nesting.pairs(spans)
    wrong = set(nesting.unknown(seen))
    for (kind, above), count in sorted(seen.items()):
        mark = "NOT IN THE TABLE" if f"{kind} below {above}" in wrong else ""
        print(f"{kind:13} below {above:58} {count:8}  {mark}".rstrip())
    missing = nesting.unseen(seen)
    print(f"{len(seen)} pairs, {len(wrong)} not in the table")
    print(f"{len(missing)} pairs of the table were seen neither here nor in the examples:")
    for pair in missing:
        print(f"  {pair}")
    # Without a trace of two operations nothing has been compared.
    return len(wrong) or int(all(above == nesting.ROOT for _, above in seen))


def main() -> int:
    """Run the load and print the tables.

    The exit code is the number of rows that are not equal or not known, at most 255; a table
    without rows is a failure too.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rig", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=4)
    options = parser.parse_args()
    rig = Rig(options.rig)
    settle(rig)
    before = rig.metrics()
    (options.rig / "run" / "requests.daemon.jsonl").write_text("")
    since = rig.ask("SELECT (now() AT TIME ZONE 'utc')::timestamp")[0][0]
    since_ns = time.time_ns()
    calls = rig.load(options.rounds, options.concurrency)
    settle(rig)
    rows = table(rig, since, before)
    for row in rows:
        mark = "equal" if row.truth == row.counted else "UNEQUAL"
        print(f"{row.what:13} {row.key:64} {row.truth:8} {row.counted:8}  {mark}")
    unequal = sum(row.truth != row.counted for row in rows)
    print(f"{calls} calls, {len(rows)} rows, {unequal} unequal")
    if not rows:
        print("Nothing was counted: do the calls reach this Dify, with keys that it knows?")
        unequal = 1
    # Beyond 255 the shell would see the rest of a division, which may be 0.
    return min(unequal + print_nesting(rig.spans(since_ns)), 255)


if __name__ == "__main__":
    sys.exit(main())
