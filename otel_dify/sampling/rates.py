"""Rates: which part of the traces is kept, by app, environment and invoke source.

One line says it (``OTEL_DIFY_SAMPLING``): rules with semicolons between them, the first that fits
counts. A rule is conditions, all of which must hold, and behind a colon its rate; one without
conditions is for all the rest::

    source=debugger: 1; app=7c9e…|41ab…: 10%; env=staging source=web-app: 0.5; 25%
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from otel_dify.sampling.probability import threshold_of

APP, ENVIRONMENT, SOURCE = "app", "env", "source"
_CONDITIONS = (APP, ENVIRONMENT, SOURCE)
_ALLOWED = (
    "expected rates such as `10%`, or rules such as `app=<id>: 10%; source=debugger|explore: 1; "
    "env=staging: 0.5; 25%`"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule.

    Attributes:
        conditions: by name, the values that fit.
        threshold: what is rejected where all of them hold.
    """

    conditions: Mapping[str, frozenset[str]]
    threshold: int


type Rules = tuple[Rule, ...]


def parse(text: str) -> Rules:
    """Read the line.

    Raises:
        ValueError: it cannot be understood; its text says what is allowed.
    """
    return tuple(_rule(part) for part in text.split(";") if part.strip())


def _rule(text: str) -> Rule:
    before, _, rate = text.rpartition(":")
    conditions: dict[str, frozenset[str]] = {}
    for condition in before.split():
        name, equals, values = condition.partition("=")
        wanted = frozenset(value.lower() for value in values.split("|") if value)
        if name not in _CONDITIONS or not equals or not wanted or name in conditions:
            raise ValueError(f"{_ALLOWED}; `{condition}` is no condition")
        conditions[name] = wanted
    return Rule(conditions, threshold_of(_rate(rate.strip())))


def _rate(text: str) -> float:
    number = text.removesuffix("%")
    try:
        rate = float(number) / (1 if number is text else 100)
    except ValueError:
        rate = -1
    if not 0 <= rate <= 1:
        raise ValueError(f"{_ALLOWED}; `{text}` is no rate: 0 to 1, or 0% to 100%")
    return rate


class Rates:
    """The rates of a process.

    Args:
        rules: the operator's rules, in their order.
        environment: ``deployment.environment.name`` of this process.
        otherwise: rate of what no rule fits, 0 to 1.
    """

    def __init__(self, rules: Iterable[Rule], environment: str, otherwise: float) -> None:
        here = environment.lower()
        self._rules = tuple(
            rule for rule in rules if here in rule.conditions.get(ENVIRONMENT, (here,))
        )
        self._otherwise = threshold_of(otherwise)
        self.possible = lru_cache(maxsize=1024)(self._possible)

    @property
    def all_kept(self) -> bool:
        """Whether everything is kept because nobody has said anything else."""
        return not self._rules and not self._otherwise

    def _possible(self, app: str | None, source: str | None) -> tuple[int, ...]:
        """Return thresholds that may hold for a trace, the one of the first rule first.

        Args:
            app: id of its app; none while it is not known.
            source: what has invoked the app, the same.
        """
        # Rules of other environments are left out already.
        known = {APP: app, SOURCE: source}
        return tuple(self._fitting(known))

    def _fitting(self, known: Mapping[str, str | None]) -> Iterator[int]:
        for rule in self._rules:
            fits = [
                _fits(known[name], wanted)
                for name, wanted in rule.conditions.items()
                if name in known
            ]
            if False not in fits:
                yield rule.threshold
            if all(fits):
                return
        yield self._otherwise

    def threshold(self, app: str | None, source: str | None) -> int:
        """Return the threshold of a trace of which nothing more will be known."""
        return self.possible(app or "", source or "")[0]


def _fits(value: str | None, wanted: frozenset[str]) -> bool | None:
    """Tell whether a condition holds; none while its value is not known."""
    return None if value is None else value.lower() in wanted
