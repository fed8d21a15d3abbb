"""`python -m examples.demo`, which `make demo` calls."""

from __future__ import annotations

import argparse
from pathlib import Path

from collector.native.errors import NativeError
from examples.demo.backends import STACKS, backends
from examples.demo.embedded import embedded
from examples.demo.folder import NotOursError, emptied
from examples.demo.runs import ROOT
from examples.host.children import HostError


def main() -> None:
    """Run the examples with the telemetry going where it was asked to."""
    parser = argparse.ArgumentParser(description="Run the example apps and show their telemetry.")
    parser.add_argument(
        "--stack",
        choices=("embedded", *STACKS),
        default="embedded",
        help="embedded: OTLP JSON files; native: backends built from source; docker: their images",
    )
    parser.add_argument("--keep", action="store_true", help="stay up until Ctrl-C")
    parser.add_argument(
        "--folder",
        type=Path,
        default=ROOT / ".demo",
        help="a new or empty folder, or one that an earlier demo wrote: that is emptied first",
    )
    options = parser.parse_args()
    try:
        emptied(options.folder)
        if options.stack == "embedded":
            embedded(options.folder, keep=options.keep)
        else:
            backends(options.stack, options.folder, keep=options.keep)
    except (HostError, NativeError, NotOursError) as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
