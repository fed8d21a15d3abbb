"""What becomes of apps, data sets, conversations, answers and annotations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from otel_dify.guard import never_raises
from otel_dify.operations import attributes as a
from otel_dify.operations.kind import Kind
from otel_dify.operations.kinds_of_apps import (
    ANNOTATION_HIT,
    APP_CREATED,
    APP_DELETED,
    APP_UPDATED,
    CONVERSATION_CREATED,
    DATASET_CREATED,
    DATASET_DELETED,
    FEEDBACK,
)
from otel_dify.operations.lifecycle import start
from otel_dify.operations.operation import Operation
from otel_dify.sources import known_apps
from otel_dify.sources.calls import Arguments, Call, attach_calls, plain
from otel_dify.sources.hooks import has, lacking

_APPS = "events.app_event"
_DATASETS = "events.dataset_event"
_ROWS = "models.model"
_MESSAGES = "services.message_service"
_ANNOTATIONS = "services.annotation_service"
_DATASET_SERVICE = "services.dataset_service"
WATCHES = (_APPS, _DATASETS, _ROWS, _MESSAGES, _ANNOTATIONS, _DATASET_SERVICE)

_SIGNALS: dict[str, dict[str, Kind]] = {
    _APPS: {
        "app_was_created": APP_CREATED,
        "app_was_updated": APP_UPDATED,
        "app_was_deleted": APP_DELETED,
    },
    _DATASETS: {"dataset_was_deleted": DATASET_DELETED},
}


def attach(module: ModuleType) -> None:
    """Attach to one of the modules that it watches."""
    name = module.__name__
    if name in _SIGNALS:
        for signal, kind in _SIGNALS[name].items():
            _connect(module, signal, kind)
    elif name == _ROWS:
        _listen(module)
    elif name == _MESSAGES:
        attach_calls(module, Call("MessageService.create_feedback", FEEDBACK, _feedback))
    elif name == _ANNOTATIONS:
        attach_calls(
            module, Call("AppAnnotationService.add_annotation_history", ANNOTATION_HIT, _hit)
        )
    else:
        attach_calls(
            module,
            Call("DatasetService.create_empty_dataset", DATASET_CREATED, _no_attributes, _created),
        )


def _listen(module: ModuleType) -> None:
    """Make an operation of each row of ``conversations`` that is inserted."""
    if not has(module, "Conversation"):
        lacking(f"{module.__name__}.Conversation", _unseen(CONVERSATION_CREATED))
        return
    # Imported by Dify, long since.
    from sqlalchemy import event

    event.listen(module.Conversation, "after_insert", _conversation_created)


def _unseen(kind: Kind) -> str:
    return f"operations of kind '{kind.name}' are not seen"


def _connect(module: ModuleType, signal: str, kind: Kind) -> None:
    """Make an operation of each sending of one of Dify's signals; its sender is the row."""
    found = getattr(module, signal, None)
    if found is None:
        lacking(f"{module.__name__}.{signal}", _unseen(kind))
        return
    found.connect(_receiver(kind), weak=False)


def _receiver(kind: Kind) -> Callable[..., None]:
    identity = a.DATASET_ID if kind is DATASET_DELETED else a.APP_ID

    @never_raises(f"otel_dify.sources.dify_lifecycle {kind.name}")
    def receive(sender: Any, **_: Any) -> None:
        start(
            kind,
            {
                a.TENANT_ID: getattr(sender, "tenant_id", None),
                identity: getattr(sender, "id", None),
                a.APP_MODE: plain(getattr(sender, "mode", None)),
            },
        ).end()

    return receive


@never_raises("otel_dify.sources.dify_lifecycle conversation")
def _conversation_created(_mapper: Any, _connection: Any, row: Any) -> None:
    """Take note of a row of ``conversations``, whichever part of Dify inserts it."""
    start(
        CONVERSATION_CREATED,
        {
            a.TENANT_ID: known_apps.app_of(row.app_id).tenant,
            a.APP_ID: row.app_id,
            a.APP_MODE: plain(row.mode),
            a.INVOKE_FROM: plain(row.invoke_from),
            a.CONVERSATION_ID: row.id,
        },
    ).end()


def _feedback(given: Arguments) -> Mapping[a.Attribute, object]:
    app = given["app_model"]
    return {
        a.TENANT_ID: app.tenant_id,
        a.APP_ID: app.id,
        a.MESSAGE_ID: given.get("message_id"),
        a.FEEDBACK_RATING: plain(given.get("rating")) or "null",
        a.FEEDBACK_CONTENT: given.get("content"),
    }


def _hit(given: Arguments) -> Mapping[a.Attribute, object]:
    return {
        a.APP_ID: given.get("app_id"),
        a.MESSAGE_ID: given.get("message_id"),
        a.ANNOTATION_ID: given.get("annotation_id"),
        a.TOP_SCORE: given.get("score"),
    }


def _no_attributes(given: Arguments) -> Mapping[a.Attribute, object]:
    return {a.TENANT_ID: given.get("tenant_id")}


def _created(operation: Operation, result: Any, _given: Arguments) -> None:
    operation.set(a.DATASET_ID, getattr(result, "id", None))
