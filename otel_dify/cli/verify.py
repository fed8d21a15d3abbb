"""``otel-dify verify``: Dify's database against what traces say of the same window."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from otel_dify.cli.database import moments, opened, window
from otel_dify.cli.options import reading

if TYPE_CHECKING:
    from otel_dify.cli.accounting import Row

_AROUND_NS = 10**9 * 60
_METRIC = "otel_dify_verify_rows"


@click.command()
@window
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")
@click.option(
    "--textfile",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the rows as gauges as well, for the textfile collector of Prometheus.",
)
@reading
def verify(
    *,
    dsn: str | None,
    since: str,
    until: str | None,
    app: str | None,
    as_json: bool,
    textfile: Path | None,
    source: str | None,
    loki: str | None,
    headers: tuple[str, ...],
) -> None:
    """Compare runs, node executions and messages of Dify's database with the traces of a window.

    Traces are read from Jaeger, files or journals (--from). Each row is looked for by its id, by
    type and status; what has not ended is left out, and what was sampled away is missing. End the
    window a minute ago (--until 1m): spans wait some seconds before they are sent.

    Ends with 0 if all rows are equal, with 1 if some are not or there are none.
    """
    from otel_dify.backfilling import moment
    from otel_dify.cli import accounting
    from otel_dify.cli.asking import BackendError
    from otel_dify.cli.finding import opened as opened_origin
    from otel_dify.sources.history.database import DatabaseError

    begin, end, _ = moments(since, until)
    place, database = opened_origin(source, loki, headers), opened(dsn)
    only = "created_at >= %s AND created_at < %s" + (" AND app_id = %s::uuid" if app else "")
    values = [moment(begin), moment(end), *([app] if app else [])]
    try:
        known = {
            what: database.rows(f"SELECT * FROM ({query}) r WHERE {only}", values)  # noqa: S608 - queries of accounting's
            for what, query, *_ in accounting.SORTS
        }
        spans = place.between(begin - _AROUND_NS, end + _AROUND_NS).spans
    except (DatabaseError, BackendError) as error:
        raise click.ClickException(str(error)) from None
    finally:
        database.close()
    rows = accounting.table(known, spans, (begin, end), app=app)
    unequal = sum(row.truth != row.counted for row in rows)
    if textfile is not None:
        beside = textfile.with_name(textfile.name + ".new")
        beside.write_text(gauges(rows), encoding="utf-8")
        beside.replace(textfile)
    if as_json:
        click.echo(json.dumps({"rows": [asdict(row) for row in rows], "unequal": unequal}))
    else:
        click.echo("\n".join(lines(rows, unequal)))
    if unequal or not any(row.truth for row in rows):
        raise SystemExit(1)


def lines(rows: list[Row], unequal: int) -> list[str]:
    """Show rows as a table.

    Args:
        rows: the rows.
        unequal: how many of them are not equal.
    """
    shown = [f"{'':13} {'':56} {'database':>9} {'telemetry':>9}"]
    for row in rows:
        mark = "equal" if row.truth == row.counted else "UNEQUAL"
        shown.append(f"{row.what:13} {row.key:56} {row.truth:9} {row.counted:9}  {mark}")
    return [*shown, f"{len(rows)} rows, {unequal} unequal"]


def gauges(rows: list[Row]) -> str:
    """Write rows as gauges, in Prometheus' text format."""
    told = [f"# HELP {_METRIC} Rows of Dify's database, and what telemetry has of them."]
    told.append(f"# TYPE {_METRIC} gauge")
    for row in rows:
        labels = f'what="{row.what}",of={json.dumps(row.key)}'
        told.append(f'{_METRIC}{{{labels},source="database"}} {row.truth}')
        told.append(f'{_METRIC}{{{labels},source="telemetry"}} {row.counted}')
    return "\n".join(told) + "\n"
