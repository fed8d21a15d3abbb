"""The state file of a running stack, by which another process can use and stop it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from collector.native.layout import Layout, Ports
from collector.native.processes import ProcessId

STATE_FILE = "stack.json"


@dataclass(frozen=True)
class State:
    """A stack's layout and the processes that belong to it, by service name."""

    layout: Layout
    processes: Mapping[str, ProcessId]

    def write(self) -> None:
        """Replace the state file in one step."""
        layout = self.layout
        content = {
            "ports": asdict(layout.ports),
            "drop_ins": [str(path) for path in layout.drop_ins],
            "alertmanager": layout.alertmanager,
            "jaeger_storage": layout.jaeger_storage,
            "processes": {name: asdict(identity) for name, identity in self.processes.items()},
        }
        temporary = layout.data / f".{STATE_FILE}"
        temporary.write_text(json.dumps(content, indent=2))
        temporary.replace(layout.data / STATE_FILE)

    def remove(self) -> None:
        """Forget the stack."""
        (self.layout.data / STATE_FILE).unlink(missing_ok=True)

    @classmethod
    def read(cls, data: Path) -> "State | None":
        """The state kept in a data folder, None if there is none."""
        try:
            content = json.loads((data / STATE_FILE).read_text())
        except FileNotFoundError:
            return None
        layout = Layout(
            data=data,
            ports=Ports(**content["ports"]),
            drop_ins=tuple(Path(path) for path in content["drop_ins"]),
            alertmanager=content["alertmanager"],
            jaeger_storage=content["jaeger_storage"],
        )
        processes = {name: ProcessId(**value) for name, value in content["processes"].items()}
        return cls(layout, processes)
