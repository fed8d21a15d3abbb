"""Canary: marks in all content of a real Dify, looked for in every byte that leaves it.

Given a rig (``README.md`` beside this file says what it must offer), this makes marked copies of
its apps, starts Dify with otel_dify twice, with content off and on, and runs every scenario. With
content off no mark may be in what the receiver gets, in no form; with content on each must be in
an attribute that the table marks as content, and elsewhere only where the docs say that texts are
sent as they were written.

    python tests/dify/canary.py RIG [--seed N] [--only off|on] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

if TYPE_CHECKING:
    from tests.dify.marked_apps import MarkedApps
    from tests.dify.marks import KINDS, Marks
    from tests.dify.places import Places, allowed, missing, places_in
    from tests.dify.stand_ins import Receiver, daemon, serving, target
else:
    from marked_apps import MarkedApps
    from marks import KINDS, Marks
    from places import Places, allowed, missing, places_in
    from stand_ins import Receiver, daemon, serving, target


_MODES = {"off": "NO_CONTENT", "on": "SPAN_AND_EVENT"}
_QUIET_S, _DEADLINE_S = 12.0, 120.0


def settings_of(rig: Path) -> dict[str, str]:
    """Read the environment that the rig starts Dify with."""
    lines = (rig / "dify.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


@contextmanager
def dify(rig: Path, environment: dict[str, str]) -> Iterator[None]:
    """Have API and worker of the rig run with more of an environment than its own."""
    with tempfile.NamedTemporaryFile("w", suffix=".env", encoding="utf-8") as file:
        file.write("".join(f"{name}={value}\n" for name, value in environment.items()))
        file.flush()
        started = {**os.environ, "OTEL_ENV": file.name, "PRE": "opentelemetry-instrument"}
        subprocess.run([rig / "down.sh", "app"], check=True, env=started)
        try:
            subprocess.run([rig / "up.sh", "app"], check=True, env=started)
            yield
        finally:
            subprocess.run([rig / "down.sh", "app"], check=True, env=started)


def run_scenarios(drive: Any, apps: MarkedApps, marks: Marks, target_address: str) -> int:
    """Run every scenario of the rig with marked inputs; count the calls."""

    def one(scenario: tuple[str, int, str]) -> int:
        app, stream, query = scenario
        # Streamed ones have two lines, which no address can have.
        marked = f"{query} {marks.text('input') if stream else marks.line('input')}"
        answer = drive.call(apps.state, app, bool(stream), marked)
        conversation, message = answer.get("conv"), answer.get("message")
        if not conversation or apps.state["apps"][app]["mode"] == "completion":
            return 1
        if message:
            apps.talk_about(app, message)
        drive.call(apps.state, app, bool(stream), marked, conversation_id=conversation)
        return 2

    with ThreadPoolExecutor(4) as executor:
        calls = sum(executor.map(one, drive.SCEN))
    uploaded = {"transfer_method": "local_file", "upload_file_id": apps.upload()}
    address = f"{target_address}/files/{marks.word('file-name')}.txt"
    for file in (uploaded, {"transfer_method": "remote_url", "url": address}):
        for stream in (False, True):
            apps.read_file(file, stream=stream)
            calls += 1
    return calls


def settle(receiver: Receiver) -> None:
    """Wait until the receiver has got no spans and logs for a while.

    Raises:
        TimeoutError: they have not come to an end.
    """
    deadline = time.monotonic() + _DEADLINE_S
    last, since = -1, time.monotonic()
    while time.monotonic() - since < _QUIET_S:
        now = sum(path != "/v1/metrics" for path, _ in list(receiver.requests))
        if now != last:
            last, since = now, time.monotonic()
        if time.monotonic() > deadline:
            raise TimeoutError("the telemetry of the scenarios does not come to an end")
        time.sleep(0.5)


def report(mode: str, receiver: Receiver, marks: Marks) -> int:
    """Print what was found where; return how much of it must not be."""
    forms: Counter[tuple[str, str]] = Counter()
    places: Places = Counter()
    for path, body in receiver.requests:
        forms.update(marks.found(body))
        places.update(places_in(path, body, marks))
    size = sum(len(body) for _, body in receiver.requests)
    print(f"content {mode}: {len(receiver.requests)} requests, {size} bytes")
    for kind in KINDS:
        seen = ", ".join(f"{form} {number}" for (of, form), number in forms.items() if of == kind)
        print(f"  {kind:14} {seen or '0'}")
    wrong = 0
    for (kind, signal, place), number in sorted(places.items()):
        fits = mode == "on" and allowed(signal, place)
        wrong += not fits
        print(f"  {'' if fits else 'WRONG':6}{number:6} {kind:14} {signal:10} {place}")
    if mode == "off":
        return max(wrong, len(forms))
    gaps = list(missing(places))
    for kind, signal, key in gaps:
        print(f"  MISSING {kind} in {key} of any {signal}: its absence proves nothing")
    return wrong + len(gaps)


def main() -> int:
    """Run both modes; the exit code is the number of places that are wrong, at most 255."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rig", type=Path)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--only", choices=_MODES)
    parser.add_argument("--keep", type=Path, help="folder for what the receiver got")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    rig: Path = options.rig.resolve()
    marks = Marks(options.seed)
    print(f"seed {options.seed}")
    wrong = 0
    for mode in [options.only] if options.only else _MODES:
        receiver = Receiver()
        with ExitStack() as stack:
            known = settings_of(rig)
            state = stack.enter_context(tempfile.TemporaryDirectory())
            calls_at = stack.enter_context(serving(target(marks)))
            environment = {
                "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": _MODES[mode],
                "OTEL_EXPORTER_OTLP_ENDPOINT": stack.enter_context(serving(receiver.handler())),
                "OTEL_DIFY_STATE_PATH": state,
                "OTEL_METRIC_EXPORT_INTERVAL": "5000",
                "PLUGIN_DAEMON_URL": stack.enter_context(
                    serving(daemon(marks, known["PLUGIN_DAEMON_URL"]))
                ),
                **dict(one.split("=", 1) for one in options.set),
            }
            sys.path.insert(0, str(rig))
            drive = import_module("drive")
            with dify(rig, environment):
                apps = MarkedApps(drive, marks, calls_at)
                with apps.made({app for app, *_ in drive.SCEN}):
                    calls = run_scenarios(drive, apps, marks, calls_at)
                    settle(receiver)
                settle(receiver)
            print(f"content {mode}: {calls} calls")
            if options.keep:
                _keep(options.keep / mode, receiver)
        wrong += report(mode, receiver, marks)
    return min(wrong, 255)


def _keep(folder: Path, receiver: Receiver) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, (path, body) in enumerate(receiver.requests):
        (folder / f"{number:05d}{path.replace('/', '.')}").write_bytes(body)


if __name__ == "__main__":
    sys.exit(main())
