"""The page asks for nothing, runs nothing, and shows what there is, in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_dify import table as t
from otel_dify.cli.analysis import analyse
from otel_dify.cli.markup import element, escaped
from otel_dify.cli.page import page_of
from otel_dify.operations.current import start
from tests.cli.conftest import Ran
from tests.cli.recorded import traces_of
from tests.cli.viewing import view
from tests.recording import Recording

HOSTILE = (
    "<script>document.title='run'</script>",
    "<img src=x onerror=\"document.title='run'\">",
    '"><svg onload="document.title=\'run\'">',
    "</title></style></summary><script src=//example.com/x.js></script>",
    "<a href=\"javascript:document.title='run'\">x</a>",
    "<link rel=stylesheet href=//example.com/x.css><base href=//example.com/>",
    "<meta http-equiv=refresh content='0;url=//example.com/'>",
    "<!-- &lt; ]]> <iframe src=//example.com>",
    "\u202egnp.exe\u202c \u0000\u001b[31m",
)
_DARK, _LIGHT = "0", "1"

pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Shown:
    """What a browser made of a page.

    Attributes:
        dom: its document when it had loaded.
        console: what it had to say about it.
        requests: the addresses that it asked for.
        picture: what it looked like, as PNG.
    """

    dom: str
    console: list[str]
    requests: set[str]
    picture: bytes


def browser() -> str:
    """Find Chromium."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    assert found, "Chromium is needed: scripts/chromium installs it"
    return found


def shown(page: Path, scheme: str = _LIGHT) -> Shown:
    """Open a page in headless Chromium."""
    folder = page.parent / f"{page.stem}-{scheme}"
    folder.mkdir()
    log, picture = folder / "net.json", folder / "page.png"
    common = (
        *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
        # Nothing leaves this machine.
        *("--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND"),
        *("--enable-logging=stderr", f"--blink-settings=preferredColorScheme={scheme}"),
        *(f"--user-data-dir={folder / 'profile'}", "--window-size=1280,900"),
    )

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [browser(), *common, *options, page.as_uri()],
            capture_output=True,
            text=True,
            check=True,
            timeout=240,
            env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
        )

    dumped = run("--dump-dom", f"--log-net-log={log}")
    run(f"--screenshot={picture}")
    events = json.loads(log.read_text(encoding="utf-8"))["events"]
    asked = (event.get("params", {}) for event in events)
    return Shown(
        dumped.stdout,
        [line for line in dumped.stderr.splitlines() if "CONSOLE" in line],
        # What the browser asks for by itself (updates, the time) has no origin; a file's is null.
        {one["url"] for one in asked if one.get("initiator") == "null" and "url" in one},
        picture.read_bytes(),
    )


class _Elements(HTMLParser):
    """The elements of a document, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.found.append((tag, dict(attrs)))


def asks_for_nothing(page: str) -> None:
    """Check what a document could ask for or run, by its elements."""
    for tag, attributes in _Elements(page).found:
        assert tag not in {"script", "link", "img", "iframe", "object", "base", "a", "form"}
        for name in attributes:
            assert not name.startswith("on")
            assert name not in {"src", "href", "srcset", "style", "action", "xlink:href"}
    [policy] = [
        attributes["content"]
        for _, attributes in _Elements(page).found
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[\w+/]{43}='; base-uri 'none'; form-action 'none'",
        str(policy),
    )


def test_a_page_that_asks_for_something_or_breaks_its_policy_would_be_noticed(
    tmp_path: Path,
) -> None:
    page = tmp_path / "bad.html"
    page.write_text("<img src=http://example.com/x.png>", encoding="utf-8")
    assert shown(page).requests == {"http://example.com/x.png"}
    policy = "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'\">"
    page = tmp_path / "refused.html"
    page.write_text(f"<head>{policy}</head><p style='color: red'>", encoding="utf-8")
    assert len(shown(page).console) == 1


@pytest.mark.parametrize("app", ["flaky_enrichment", "research_batch"])
def test_a_real_run_is_shown_without_a_request_or_a_complaint(
    ran: Ran, tmp_path: Path, app: str
) -> None:
    page = tmp_path / "run.html"
    run = ran.runs[app][0]
    assert view(run, ran.files, "--logs", "--html", page).stdout == f"Wrote {page}\n"
    text = page.read_text(encoding="utf-8")
    asks_for_nothing(text)
    light, dark = shown(page), shown(page, _DARK)
    for made in (light, dark):
        assert made.console == []
        assert made.requests == set()
        assert run in made.dom
    assert light.picture != dark.picture
    spans = int(re.search(r"<dt>spans</dt><dd>(\d+)", light.dom)[1])  # type: ignore[index] # it fails here
    assert light.dom.count("<summary") == spans > 10


def test_errors_come_first(ran: Ran, tmp_path: Path) -> None:
    page = tmp_path / "run.html"
    view(ran.runs["flaky_enrichment"][0], ran.files, "--html", page)
    text = page.read_text(encoding="utf-8")
    error = text.index("InvokeServerUnavailableError: 500 from the model provider")
    assert text.index("llm Summarise") < error < text.index("Where the time went")


@pytest.fixture
def hostile(recorded: Recording) -> str:
    """Write the page of a run whose every text is an attack."""
    for number, text in enumerate(HOSTILE):
        run = start(t.RUN, {t.APP_NAME: text, t.RUN_ID: text, t.MESSAGE_ID: text})
        with run.active():
            known = {t.NODE_TYPE: text, t.NODE_TITLE: text, t.NODE_ID: text, t.INDEX: number}
            node = start(t.NODE, known)
            node.happened(text, {t.DB_STATEMENT: text})
            node.fail(text, text)
            node.end()
        run.fail(RuntimeError(text))
        run.end()
    return page_of([analyse(trace) for trace in traces_of(recorded)], ())


def test_no_name_breaks_out_of_the_page(hostile: str, tmp_path: Path) -> None:
    asks_for_nothing(hostile)
    page = tmp_path / "hostile.html"
    page.write_text(hostile, encoding="utf-8")
    made = shown(page)
    assert made.console == []
    assert made.requests == set()
    assert "<title>run</title>" not in made.dom
    asks_for_nothing(made.dom)


@given(st.text(), st.text())
def test_no_text_becomes_markup(text: str, value: str) -> None:
    elements = _Elements(element("p", text, title=value)).found
    assert [tag for tag, _ in elements] == ["p"]
    assert set(elements[0][1]) == {"title"}
    assert not re.search(r"[<>\"']", escaped(text))
