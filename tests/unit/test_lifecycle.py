"""What becomes of Dify's rows: each happening is counted once, with its owner."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from otel_dify import table as t
from otel_dify.operations.current import start
from otel_dify.sources.dify import apps, lifecycle
from tests.recording import Recording


class Base(DeclarativeBase):
    """The tables that stand for Dify's."""


class Conversation(Base):
    """Stands for ``models.model.Conversation``."""

    __tablename__ = "conversations"
    id: Mapped[str] = mapped_column(primary_key=True)
    app_id: Mapped[str]
    mode: Mapped[str]
    invoke_from: Mapped[str]
    name: Mapped[str] = mapped_column(default="")


@pytest.fixture
def database() -> Session:
    """Give a database whose conversations are watched, and an app that is known."""
    models = ModuleType("models.model")
    models.Conversation = Conversation  # type: ignore[attr-defined] # a module made here
    lifecycle.attach(models)
    apps.learn(SimpleNamespace(id="chat-app", name="helper", mode="chat", tenant_id="tenant-1"))
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    return Session(engine)


def test_a_conversation_is_counted_once_when_it_begins(
    recorded: Recording, database: Session
) -> None:
    request = start(t.REQUEST)
    with request.active(), database as session:
        begun = Conversation(id="c-1", app_id="chat-app", mode="chat", invoke_from="service-api")
        session.add(begun)
        session.commit()
        begun.name = "another message changes it"
        session.commit()
    request.end()

    labels = {"app_id": "chat-app", "tenant_id": "tenant-1", "mode": "chat"}
    assert recorded.points("dify.conversations.total") == {tuple(sorted(labels.items())): 1}
    event = recorded.event("dify.conversation.created")
    assert event.attributes[t.CONVERSATION_ID.key] == "c-1"
    assert request.get(t.CONVERSATION_ID) == "c-1"
