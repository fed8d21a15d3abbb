"""The examples of ``docs/observe.md`` run as written, and do what the page says of them."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from otel_dify import instruments
from otel_dify.process import process
from otel_dify.signals import gauges
from tests.recording import Recording

PAGE = (Path(__file__).parents[2] / "docs/observe.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^<!-- check: runs -->\n```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(autouse=True)
def no_gauges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start with no gauges, and leave none."""
    monkeypatch.setitem(process._kept, gauges.Readers, gauges.Readers())
    monkeypatch.setitem(process._kept, instruments._Values, instruments._Values())


def names() -> dict[str, Any]:
    """Run every example of the page, and return what they define."""
    found: dict[str, Any] = {"__name__": "shop"}
    for block in BLOCKS:
        exec(compile(block, "docs/observe.md", "exec"), found)  # noqa: S102 - our own page
    return found


def test_every_example_of_the_page_is_run() -> None:
    assert len(BLOCKS) == PAGE.count("```python") == 5


def test_the_examples_become_operations(recorded: Recording) -> None:
    page = names()
    page["score"]("yes")
    page["lookup"]("17")
    list(page["answers"]("what?"))
    asyncio.run(page["prices"](["a"]))
    assert asyncio.run(page["load_all"](["A-17"])) == [{"number": "A-17"}]
    page["rates"]("EUR")
    assert [span.name for span in recorded.spans] == [
        *("merge", "score", "lookup customer", "stream answers", "fetch prices"),
        *("load orders", "load order", "read stock", "fetch rates"),
    ]
    assert (recorded.span("read stock").attributes or {})["rows"] == 17
    assert (recorded.span("load orders").attributes or {})["orders"] == 1


def test_the_examples_count(recorded: Recording) -> None:
    page = names()
    page["placed"]("NL")
    page["placed"]("NL")
    assert recorded.points("shop.orders") == {(("country", "NL"),): 2}


def test_the_example_of_an_error_is_in_the_log_as_the_page_has_it(
    recorded: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    del recorded
    page = names()
    with caplog.at_level(logging.ERROR), pytest.raises(PermissionError):
        page["charge"]("A-17")
    [record] = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert f"`{record.getMessage()}`" in PAGE
    assert vars(record)["order"] == "A-17"
