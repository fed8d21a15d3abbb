"""What becomes of apps, data sets, conversations, answers and annotations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from otel_dify import table as t
from otel_dify.guard import never_raises
from otel_dify.operations.current import start
from otel_dify.operations.operation import Operation
from otel_dify.sources.calls import Arguments, Call, attach_calls, plain
from otel_dify.sources.dify import apps
from otel_dify.sources.hooks import has, lacking

_APPS = "events.app_event"
_DATASETS = "events.dataset_event"
_ROWS = "models.model"
_MESSAGES = "services.message_service"
_ANNOTATIONS = "services.annotation_service"
_DATASET_SERVICE = "services.dataset_service"
WATCHES = (_APPS, _DATASETS, _ROWS, _MESSAGES, _ANNOTATIONS, _DATASET_SERVICE)

_SIGNALS: dict[str, dict[str, t.Kind]] = {
    _APPS: {
        "app_was_created": t.APP_CREATED,
        "app_was_updated": t.APP_UPDATED,
        "app_was_deleted": t.APP_DELETED,
        "app_model_config_was_updated": t.APP_UPDATED,
        "app_published_workflow_was_updated": t.WORKFLOW_PUBLISHED,
    },
    _DATASETS: {"dataset_was_deleted": t.DATASET_DELETED},
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
        attach_calls(module, Call("MessageService.create_feedback", t.FEEDBACK, _feedback))
    elif name == _ANNOTATIONS:
        attach_calls(
            module, Call("AppAnnotationService.add_annotation_history", t.ANNOTATION_HIT, _hit)
        )
    else:
        attach_calls(
            module,
            Call(
                "DatasetService.create_empty_dataset", t.DATASET_CREATED, _no_attributes, _created
            ),
        )


def _listen(module: ModuleType) -> None:
    """Make an operation of each row of ``conversations`` that is inserted."""
    if not has(module, "Conversation"):
        lacking(f"{module.__name__}.Conversation", _unseen(t.CONVERSATION_CREATED))
        return
    # Imported by Dify, long since.
    from sqlalchemy import event

    event.listen(module.Conversation, "after_insert", _conversation_created)


def _unseen(kind: t.Kind) -> str:
    return f"operations of kind '{kind.name}' are not seen"


def _connect(module: ModuleType, signal: str, kind: t.Kind) -> None:
    """Make an operation of each sending of one of Dify's signals; its sender is the row."""
    found = getattr(module, signal, None)
    if found is None:
        lacking(f"{module.__name__}.{signal}", _unseen(kind))
        return
    found.connect(_receiver(kind), weak=False)


def _receiver(kind: t.Kind) -> Callable[..., None]:
    identity = t.DATASET_ID if kind is t.DATASET_DELETED else t.APP_ID

    @never_raises(f"otel_dify.sources.dify.lifecycle {kind.name}")
    def receive(sender: Any, published_workflow: Any = None, **_: Any) -> None:
        known = {
            t.TENANT_ID: getattr(sender, "tenant_id", None),
            identity: getattr(sender, "id", None),
            t.APP_MODE: plain(getattr(sender, "mode", None)),
        }
        if identity is t.APP_ID:
            known[t.APP_NAME] = getattr(sender, "name", None)
            known[t.WORKFLOW_ID] = getattr(published_workflow, "id", None)
        if kind is t.WORKFLOW_PUBLISHED:
            known[t.WORKFLOW_VERSION] = getattr(published_workflow, "version", None)
        start(kind, known).end()

    return receive


@never_raises("otel_dify.sources.dify.lifecycle conversation")
def _conversation_created(_mapper: Any, _connection: Any, row: Any) -> None:
    """Take note of a row of ``conversations``, whichever part of Dify inserts it."""
    start(
        t.CONVERSATION_CREATED,
        {
            t.TENANT_ID: apps.app_of(row.app_id).tenant,
            t.APP_ID: row.app_id,
            t.APP_MODE: plain(row.mode),
            t.INVOKE_FROM: plain(row.invoke_from),
            t.CONVERSATION_ID: row.id,
        },
    ).end()


def _feedback(given: Arguments) -> Mapping[t.Attribute, object]:
    app = given["app_model"]
    return {
        t.TENANT_ID: app.tenant_id,
        t.APP_ID: app.id,
        t.MESSAGE_ID: given.get("message_id"),
        t.FEEDBACK_RATING: plain(given.get("rating")) or "null",
        t.FEEDBACK_CONTENT: given.get("content"),
    }


def _hit(given: Arguments) -> Mapping[t.Attribute, object]:
    return {
        t.APP_ID: given.get("app_id"),
        t.MESSAGE_ID: given.get("message_id"),
        t.ANNOTATION_ID: given.get("annotation_id"),
        t.TOP_SCORE: given.get("score"),
    }


def _no_attributes(given: Arguments) -> Mapping[t.Attribute, object]:
    return {t.TENANT_ID: given.get("tenant_id")}


def _created(operation: Operation, result: Any, _given: Arguments) -> None:
    operation.set(t.DATASET_ID, getattr(result, "id", None))
