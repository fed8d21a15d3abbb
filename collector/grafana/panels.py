"""What a dashboard is made of: panels in sections, and the choices above them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

type Drawn = Literal["series", "bars", "stat", "up", "heatmap", "logs"]
type Source = Literal["prometheus", "loki"]

THIRD, HALF, WHOLE = 8, 12, 24
"""Parts of the width of Grafana's grid."""


@dataclass(frozen=True)
class Limits:
    """From which values on something is yellow, and red."""

    warning: float
    critical: float


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        title: in English.
        chinese: the same in Chinese.
        queries: legend (`{{label}}`) to PromQL or LogQL.
        unit: Grafana's name of the unit.
        drawn: how it is shown; `bars` are stacked counts, `up` says UP or DOWN for 1 or 0.
        source: which data source answers.
        limits: colours of a number, dashed lines among series.
        opens: uid of the dashboard behind it.
        quiet: to have nothing to show is good news.
        width: of 24.
        height: in rows of Grafana's grid, 30 pixels each.
    """

    title: str
    chinese: str
    queries: Mapping[str, str]
    unit: str = "short"
    drawn: Drawn = "series"
    source: Source = "prometheus"
    limits: Limits | None = None
    opens: str = ""
    quiet: bool = False
    width: int = THIRD
    height: int = 8


@dataclass(frozen=True)
class Column:
    """A column of a table: what a query answers now, a row for each value of its labels."""

    heading: str
    query: str
    unit: str = "short"
    limits: Limits | None = None
    source: Source = "prometheus"


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: in English.
        chinese: the same in Chinese.
        labels: label to heading. Answers are one row where they agree in the labels that all of
            them have.
        columns: numbers. One without a heading gives only its labels.
        sorts: the heading that sorts, and whether the largest comes first.
        opens: uid of the dashboard behind it.
        quiet: to have nothing to show is good news.
        width: of 24.
        height: in rows of Grafana's grid.
    """

    title: str
    chinese: str
    labels: Mapping[str, str]
    columns: tuple[Column, ...]
    sorts: tuple[str, bool]
    opens: str = ""
    quiet: bool = False
    width: int = WHOLE
    height: int = 8


@dataclass(frozen=True)
class Listing:
    """A table of the newest 1000 log records, a row for each.

    A query of numbers by run would be refused by Loki: it answers with 500 series at most.

    Attributes:
        title: in English.
        chinese: the same in Chinese.
        query: LogQL that selects records.
        fields: label to heading; the record's time comes first.
        numbers: which of them are numbers, with their units.
        sorts: the heading that sorts, and whether the largest comes first.
        opens: uid of the dashboard behind it.
        quiet: to have nothing to show is good news.
        width: of 24.
        height: in rows of Grafana's grid.
    """

    title: str
    chinese: str
    query: str
    fields: Mapping[str, str]
    numbers: Mapping[str, tuple[str, Limits | None]]
    sorts: tuple[str, bool]
    opens: str = ""
    quiet: bool = False
    width: int = WHOLE
    height: int = 8


type Shown = Panel | Table | Listing


@dataclass(frozen=True)
class Section:
    """Panels under one heading."""

    title: str
    chinese: str
    panels: tuple[Shown, ...]


@dataclass(frozen=True)
class Variable:
    """A choice above a dashboard: the values of a label, or text (where there is no `values`).

    Attributes:
        name: `$name` in queries.
        title: what stands before it.
        values: the query of its values.
        picks: a regular expression that picks `text` and `value` from each of them.
        default: what it is at first.
    """

    name: str
    title: str
    values: str = ""
    default: str = ".*"
    picks: str = ""


@dataclass(frozen=True)
class Annotation:
    """Marks on all panels of a dashboard: when something happened.

    Attributes:
        title: in English.
        chinese: the same in Chinese.
        query: PromQL that has a value then, or LogQL that selects records.
        source: which data source answers.
        colour: of the marks.
    """

    title: str
    chinese: str
    query: str
    source: Source
    colour: str


@dataclass(frozen=True)
class Dashboard:
    """One dashboard; `uid` is its file and its address, `/d/<uid>`."""

    uid: str
    title: str
    chinese: str
    sections: tuple[Section, ...]
    variables: tuple[Variable, ...] = ()
    annotations: tuple[Annotation, ...] = ()
