"""What the host keeps of its runs: two tables, named and filled as Dify's are.

`DATABASE_URL` says where (an SQLAlchemy URL). Without it nothing is kept beyond the process.
`python -m examples.host.db` makes the tables, once, before anything else starts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from graphon.model_runtime.utils.encoders import jsonable_encoder
from sqlalchemy import Engine, Text, create_engine, delete, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import StaticPool

IN_MEMORY = "sqlite://"


def now() -> datetime:
    """Return the time in UTC without a zone, which is how Dify keeps times."""
    return datetime.now(UTC).replace(tzinfo=None)


def dumps(value: object) -> str:
    """Return a value of graphon's as JSON."""
    return json.dumps(jsonable_encoder(value), ensure_ascii=False)


class Base(DeclarativeBase):
    """Of both tables."""


class WorkflowRun(Base):
    """A run of an app."""

    __tablename__ = "workflow_runs"

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str]
    app_id: Mapped[str] = mapped_column(index=True)
    workflow_id: Mapped[str]
    type: Mapped[str] = mapped_column(default="workflow")
    triggered_from: Mapped[str] = mapped_column(default="app-run")
    version: Mapped[str] = mapped_column(default="1")
    inputs: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(default="running")
    outputs: Mapped[str] = mapped_column(Text, default="{}")
    error: Mapped[str | None] = mapped_column(Text)
    elapsed_time: Mapped[float] = mapped_column(default=0)
    total_tokens: Mapped[int] = mapped_column(default=0)
    total_steps: Mapped[int] = mapped_column(default=0)
    exceptions_count: Mapped[int] = mapped_column(default=0)
    created_by_role: Mapped[str] = mapped_column(default="end_user")
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None]


class WorkflowNodeExecution(Base):
    """One execution of a node, those inside iterations and loops included."""

    __tablename__ = "workflow_node_executions"

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str]
    app_id: Mapped[str]
    workflow_id: Mapped[str]
    triggered_from: Mapped[str] = mapped_column(default="workflow-run")
    workflow_run_id: Mapped[str] = mapped_column(index=True)
    index: Mapped[int]
    predecessor_node_id: Mapped[str | None]
    node_id: Mapped[str]
    node_type: Mapped[str]
    title: Mapped[str]
    inputs: Mapped[str | None] = mapped_column(Text)
    process_data: Mapped[str | None] = mapped_column(Text)
    outputs: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(default="running")
    error: Mapped[str | None] = mapped_column(Text)
    elapsed_time: Mapped[float] = mapped_column(default=0)
    execution_metadata: Mapped[str | None] = mapped_column(Text)
    created_by_role: Mapped[str] = mapped_column(default="end_user")
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None]


@cache
def engine() -> Engine:
    """Return the process's engine."""
    url = os.environ.get("DATABASE_URL", IN_MEMORY)
    if url != IN_MEMORY:
        return create_engine(url)
    # Every connection to a database in memory is a database of its own: share one.
    made = create_engine(url, poolclass=StaticPool)
    Base.metadata.create_all(made)
    return made


def add(row: Base) -> None:
    """Insert a row, in a transaction of its own."""
    with Session(engine()) as session, session.begin():
        session.add(row)


def change(kind: type[Base], row_id: str, values: Mapping[str, Any]) -> None:
    """Set columns of a row that is there, in a transaction of its own."""
    with Session(engine()) as session, session.begin():
        row = session.get_one(kind, row_id)
        for name, value in values.items():
            setattr(row, name, value)


def run_with_nodes(run_id: str) -> tuple[WorkflowRun, list[WorkflowNodeExecution]] | None:
    """Return a run and its node executions in the order they started; None where there is none."""
    with Session(engine(), expire_on_commit=False) as session:
        run = session.get(WorkflowRun, run_id)
        if run is None:
            return None
        of_run = WorkflowNodeExecution.workflow_run_id == run_id
        found = select(WorkflowNodeExecution).where(of_run).order_by(WorkflowNodeExecution.index)
        return run, list(session.scalars(found))


def delete_runs_before(moment: datetime) -> int:
    """Delete runs that were made before a moment, and their nodes. Return how many runs."""
    with Session(engine()) as session, session.begin():
        old = list(session.scalars(select(WorkflowRun.id).where(WorkflowRun.created_at < moment)))
        for kind, column in (
            (WorkflowNodeExecution, WorkflowNodeExecution.workflow_run_id),
            (WorkflowRun, WorkflowRun.id),
        ):
            session.execute(delete(kind).where(column.in_(old)))
        return len(old)


if __name__ == "__main__":
    Base.metadata.create_all(engine())
