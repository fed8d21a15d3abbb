"""An id is as much of it as is unique; what is not unique is listed."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_dify import table as t
from otel_dify.cli.ids import AmbiguousIdError, UnknownIdError, find, is_id
from otel_dify.cli.traces import Trace
from otel_dify.operations.current import start
from tests.cli.conftest import Ran
from tests.cli.reading import traces_in
from tests.cli.recorded import traces_of
from tests.cli.viewing import view
from tests.recording import Recording

RUN = "3f2c8a54-0c1d-4a5e-9d53-1f6f2f3f7a10"
SIBLING = "3f2c8a54-0c1d-4a5e-9d53-1f6f2f3f7a11"
MESSAGE = "77777777-0c1d-4a5e-9d53-1f6f2f3f7a10"


@pytest.fixture
def three(recorded: Recording) -> list[Trace]:
    """Make traces of two runs whose ids begin alike, and of the message of one of them."""
    for run in (RUN, SIBLING):
        start(
            t.RUN, {t.RUN_ID: run, t.APP_NAME: "app", t.MESSAGE_ID: MESSAGE[:-2] + run[-2:]}
        ).end()
    return traces_of(recorded)


@pytest.mark.parametrize("text", [RUN, RUN.replace("-", ""), RUN.upper()])
def test_a_whole_id_is_found_however_it_is_written(three: list[Trace], text: str) -> None:
    assert find(three, text)[0].runs == (RUN,)


def test_messages_and_traces_are_found_too(three: list[Trace]) -> None:
    assert find(three, MESSAGE)[0].runs == (RUN,)
    assert find(three, three[1].id[:12]) == [three[1]]


def test_what_could_be_several_is_told_with_all_of_them(three: list[Trace]) -> None:
    with pytest.raises(AmbiguousIdError) as raised:
        find(three, "3f2c")
    assert list(raised.value.matches) == [("run", RUN), ("run", SIBLING)]


def test_an_id_that_is_also_how_another_begins_is_that_one(recorded: Recording) -> None:
    for run in ("abc", "abcd"):
        start(t.RUN, {t.RUN_ID: run}).end()
    assert find(traces_of(recorded), "abc")[0].runs == ("abc",)


def test_latest_counts_back(three: list[Trace]) -> None:
    assert find(three, "latest") == [three[-1]]
    assert find(three, "latest~1") == [three[-2]]
    with pytest.raises(UnknownIdError):
        find(three, "latest~2")


def test_the_trace_of_a_conversations_name_is_of_the_run_before_it(recorded: Recording) -> None:
    """It begins after the run, and is no run of its own."""
    for run in ("aa", "bb"):
        start(t.RUN, {t.RUN_ID: run}).end()
        start(t.GENERATION, {t.RUN_ID: run, t.OPERATION_TYPE: "generate_name"}).end()
    traces = traces_of(recorded)
    assert find(traces, "latest") == traces[2:]
    assert find(traces, "latest~1") == traces[:2]


@pytest.mark.parametrize("text", ["latest", "LATEST~3", "3f2c8a54", RUN, "cafe"])
def test_ids_and_latest_are_ids(text: str) -> None:
    assert is_id(text)


@pytest.mark.parametrize(
    "text", ["./cafe", "/var/telemetry", "http://jaeger:16686", "logs", "a.json", ""]
)
def test_files_and_addresses_are_not(text: str) -> None:
    assert not is_id(text)


def test_view_takes_how_the_id_of_a_run_begins(ran: Ran) -> None:
    run = ran.runs["flaky_enrichment"][0]
    whole = view("--run", run, ran.files)
    assert f"run    {run}" in whole.stdout
    assert view("--run", run[:8], ran.files).stdout == whole.stdout
    assert view(run[:13], "--from", ran.files).stdout == whole.stdout
    [trace] = [one for one in traces_in(ran.files) if run in one.runs]
    assert view(trace.id, ran.files).stdout == whole.stdout


def test_view_lists_what_an_ambiguous_id_could_be(ran: Ran, tmp_path: Path) -> None:
    """In telemetry in which a run's id is another's but for its last digit."""
    run, other = (ran.runs[app][0] for app in sorted(ran.runs)[:2])
    sibling = run[:-1] + ("0" if run[-1] != "0" else "1")
    for file in ran.files.iterdir():
        text = file.read_text(encoding="utf-8").replace(other, sibling)
        (tmp_path / file.name).write_text(text, encoding="utf-8")
    shown = view(run[:-1], tmp_path)
    assert shown.exit_code == 1
    assert f"{run[:-1]} could be any of these" in shown.stderr
    for known in (run, sibling):
        assert known in shown.stderr
