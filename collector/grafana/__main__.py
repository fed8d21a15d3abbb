"""`python -m collector.grafana` writes the dashboards; `--check` only tells of stale ones."""

from __future__ import annotations

import sys
from pathlib import Path

from collector.grafana.catalogue import DASHBOARDS
from collector.grafana.writing import write

FOLDER = Path(__file__).parent / "dashboards"


def stale() -> dict[Path, str]:
    """Find the files that are not what the catalogue says, with what they should be.

    A file without a dashboard has nothing that it should be.
    """
    wanted = {FOLDER / f"{made.uid}.json": write(made) for made in DASHBOARDS}
    wanted |= {path: "" for path in FOLDER.glob("*.json") if path not in wanted}
    return {
        path: text for path, text in wanted.items() if not path.exists() or path.read_text() != text
    }


def main(arguments: list[str]) -> int:
    """Write or check; returns the exit status."""
    found = stale()
    for path, text in found.items():
        if "--check" in arguments:
            sys.stderr.write(f"{path} is not up to date: run `python -m collector.grafana`\n")
        elif text:
            path.write_text(text)
        else:
            path.unlink()
    return int("--check" in arguments and bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
