"""Dify's database: a connection that only reads, and columns that differ between versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

type Row = dict[str, Any]

MOST = 262_144
"""Characters read of a text: what is longer is cut before it leaves the database."""
_TEXTS = frozenset({"uuid", "json", "jsonb"})
"""Types that drivers turn into objects of their own; they are read as text."""
_CUT = frozenset({"text", "json", "jsonb"})
_STATEMENT_MS = 60_000
_NEEDED = ("workflow_runs", "workflow_node_executions", "messages", "apps")


class DatabaseError(Exception):
    """The database cannot be asked; the message is a sentence."""


class Page(NamedTuple):
    """Where a page begins and which rows it may have.

    Attributes:
        since: rows created from then on, UTC without a zone, as Dify writes it.
        until: and before then.
        after: moment and id of the last row of the page before; none for the first.
        limit: rows of a page.
        app: id of the app whose rows; none for all.
    """

    since: Any
    until: Any
    after: tuple[Any, str] | None
    limit: int
    app: str | None = None


class Database:
    """Dify's Postgres, read page by page; each page is a transaction of its own that only reads.

    Args:
        connection: of a driver of Python's database API with ``%s`` for values.

    Raises:
        DatabaseError: it is not a database of Dify's.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.rows("SET default_transaction_read_only = on", ())
        self.rows(f"SET statement_timeout = {_STATEMENT_MS}", ())
        self.rows("SET TIME ZONE 'UTC'", ())
        self._columns: dict[str, dict[str, str]] = {}
        for row in self.rows(
            "SELECT table_name, column_name, data_type FROM information_schema.columns "
            "WHERE table_schema = ANY (current_schemas(false))",
            (),
        ):
            self._columns.setdefault(row["table_name"], {})[row["column_name"]] = row["data_type"]
        if missing := [name for name in _NEEDED if name not in self._columns]:
            raise DatabaseError(
                f"this is no database of Dify's: it has no table {missing[0]}. DB_DATABASE or "
                "--dsn says which one is read"
            )

    def rows(self, query: str, values: Sequence[object]) -> list[Row]:
        """Run a query in a transaction of its own.

        Raises:
            DatabaseError: it failed.
        """
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(query, values)
                found: list[Row] = []
                if cursor.description is not None:
                    names = [column[0] for column in cursor.description]
                    found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
            self._connection.commit()
        except Exception as error:
            raise DatabaseError(f"Dify's database: {type(error).__name__}: {error}") from error
        return found

    def has(self, table: str, column: str) -> bool:
        """Tell whether this version of Dify has a column."""
        return column in self._columns.get(table, {})

    def columns(self, table: str, wanted: Sequence[str]) -> str:
        """List those of some columns that this version has, as a query selects them."""
        known = self._columns.get(table, {})
        return ", ".join(_selected(name, known[name]) for name in wanted if name in known)

    def page(self, table: str, wanted: Sequence[str], only: str, page: Page) -> list[Row]:
        """Read a page of a table's rows, as they were created.

        Args:
            table: its name; it is called ``t`` in ``only``.
            wanted: its columns.
            only: which rows, in SQL.
            page: where it begins.
        """
        where, values = [only, "t.created_at >= %s", "t.created_at < %s"], [page.since, page.until]
        if page.app is not None:
            where.append("t.app_id = %s::uuid")
            values.append(page.app)
        if page.after is not None:
            where.append("(t.created_at, t.id) > (%s, %s::uuid)")
            values += page.after
        return self.rows(
            f"SELECT {self.columns(table, wanted)} FROM {table} t WHERE {' AND '.join(where)} "  # noqa: S608 - names of this module's
            f"ORDER BY t.created_at, t.id LIMIT {page.limit}",
            values,
        )

    def of(self, table: str, wanted: Sequence[str], only: str, *values: object) -> list[Row]:
        """Read rows of a table, as they were created.

        Args:
            table: its name; it is called ``t`` in ``only``.
            wanted: its columns.
            only: which rows, in SQL.
            values: of its placeholders.
        """
        return self.rows(
            f"SELECT {self.columns(table, wanted)} FROM {table} t WHERE {only} "  # noqa: S608 - names of this module's
            "ORDER BY t.created_at, t.id",
            values,
        )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _selected(name: str, kind: str) -> str:
    text = f't."{name}"::text' if kind in _TEXTS else f't."{name}"'
    return f'left({text}, {MOST}) AS "{name}"' if kind in _CUT else f'{text} AS "{name}"'


def connect(dsn: str | None, environ: Mapping[str, str]) -> Database:
    """Connect to Dify's database.

    Args:
        dsn: a connection string of libpq's; none for Dify's own variables (``DB_HOST`` …).
        environ: where those are.

    Raises:
        DatabaseError: there is no driver, or it does not answer.
    """
    made, known = driver(), connection_of(environ)
    try:
        connection = made.connect(dsn) if dsn else made.connect(**known)
    except Exception as error:
        where = "--dsn" if dsn else f"{known['host']}:{known['port']}/{known['dbname']} (DB_*)"
        raise DatabaseError(f"Dify's database does not answer at {where}: {error}") from error
    return Database(connection)


def connection_of(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what libpq needs to connect to Dify's database, by Dify's variables."""
    return {
        "host": environ.get("DB_HOST", "localhost"),
        "port": environ.get("DB_PORT", "5432"),
        "user": environ.get("DB_USERNAME", "postgres"),
        "password": environ.get("DB_PASSWORD", ""),
        "dbname": environ.get("DB_DATABASE", "dify"),
    }


def driver() -> Any:
    """Return a module that connects to Postgres: psycopg2, which Dify has, or psycopg.

    Raises:
        DatabaseError: there is none here.
    """
    for name in ("psycopg2", "psycopg"):
        try:
            return import_module(name)
        except ImportError:
            continue
    raise DatabaseError(
        "there is no driver for Postgres here: run this in a container of Dify's, which has one, "
        "or install psycopg: pip install 'otel-dify[backfill]'"
    )
