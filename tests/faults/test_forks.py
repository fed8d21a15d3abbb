"""Forks: children that come and go in every way, under a parent that records too."""

from __future__ import annotations

import httpx
import pytest

from examples.host.children import free_port
from tests.faults.conftest import Rig, duplicates, ended, total
from tests.process.conftest import APPS, eventually
from tests.process.test_web_servers import listens

CHILDREN = 60


def test_storms_of_forks_lose_nothing(rig: Rig) -> None:
    """Children end by themselves, at once, or are killed when they have said what they did.

    The parent forks in the middle of an operation, which is its own: some children leave the same
    block.
    """
    ended(rig.begin("forking.py", str(rig.lists / "all.list"), f"{CHILDREN}"))
    last = rig.producer("last", 1, end="wait")
    assert rig.has_said("done")
    assert rig.arrives()

    def is_counted() -> bool:
        state = rig.receiver.state()
        return total(state, "dify.requests.total") == len(state["spans"])

    # What was counted under numbers that nobody has now is sent by who lives longer.
    assert eventually(is_counted)
    ended(last)
    state, said = rig.receiver.state(), rig.said
    assert set(state["spans"]) == set(said["ended"])
    assert state["terminated"] == []
    assert total(state, "dify.requests.total") == len(state["spans"])
    # Of those that end at once some may be hearing that a batch has arrived.
    assert duplicates(state) <= 0.01 * (len(state["spans"]) + len(state["lines"])) + 3 * CHILDREN


def test_a_worker_that_is_killed_leaves_the_request_that_killed_it(rig: Rig) -> None:
    """The master sees it and says so; the next worker sends what is left of the first."""
    port = free_port()
    rig.start(
        "web",
        "gunicorn",
        "-w",
        "1",
        "-k",
        "gthread",
        "--chdir",
        str(APPS),
        "-b",
        f"127.0.0.1:{port}",
        "web:app",
        ready=lambda: listens(port),
    )
    url = f"http://127.0.0.1:{port}"
    first = int(httpx.get(f"{url}/hello/before", timeout=60).text)
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"{url}/killed", timeout=60)

    def serves() -> bool:
        try:
            return int(httpx.get(f"{url}/hello/after", timeout=60).text) != first
        except httpx.HTTPError:
            return False

    assert eventually(serves)

    def told() -> bool:
        state = rig.receiver.state()
        names = [name for name, *_ in state["ends"].values()]
        return "GET /killed" in names and "GET /hello/<name>" in names

    assert eventually(told)
    state = rig.receiver.state()
    killed = [one for one, (name, *_) in state["ends"].items() if name == "GET /killed"]
    assert len(killed) == 1
    assert state["spans"][killed[0]] == 1
    # The master's own records, which it had before and after it forked.
    assert eventually(lambda: any("SIGKILL" in line for line in rig.receiver.state()["lines"]))
    assert any("Booting worker" in line for line in rig.receiver.state()["lines"])
