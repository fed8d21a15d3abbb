"""Series for promtool: good for a while, bad for a while, good again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Phases:
    """How many minutes are good, bad, and good again; one sample every `step` minutes."""

    good: int = 20
    bad: int = 40
    after: int = 40
    step: int = 1

    @property
    def ends(self) -> tuple[int, int, int]:
        """The minute of the last sample of each."""
        bad = self.good + self.bad
        return self.good - self.step, bad - self.step, bad + self.after - self.step


@dataclass(frozen=True)
class Series:
    """One series.

    Attributes:
        selector: its name and labels.
        kind: a counter that grows by `good` or `bad` a minute, or a gauge that is at them.
        good: None: there is no such series yet, and none again later.
        bad: the same while it is bad.
    """

    selector: str
    kind: Literal["counter", "gauge"]
    good: float | None
    bad: float | None

    def values(self, phases: Phases) -> str:
        """Write it in promtool's notation."""
        parts, value = [], 0.0
        for each, minutes in (
            (self.good, phases.good),
            (self.bad, phases.bad),
            (self.good, phases.after),
        ):
            samples = minutes // phases.step
            if each is None:
                parts.append(f"_x{samples}")
            elif self.kind == "gauge":
                parts.append(f"{each}+0x{samples - 1}")
            else:
                parts.append(f"{value}+{each * phases.step}x{samples - 1}")
                value += each * minutes
        return " ".join(parts)


def counter(selector: str, good: float | None, bad: float | None) -> Series:
    """Make a counter."""
    return Series(selector, "counter", good, bad)


def gauge(selector: str, good: float | None, bad: float | None) -> Series:
    """Make a gauge."""
    return Series(selector, "gauge", good, bad)
