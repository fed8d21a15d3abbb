"""What Dify does outside its database: files, mail, and what starts workflows from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType

from otel_dify.operations import attributes as a
from otel_dify.operations.kinds_of_apps import MAIL, STORAGE, TRIGGER
from otel_dify.sources.calls import Arguments, Call, attach_calls, plain

_STORAGE = "extensions.ext_storage"
_MAIL = "extensions.ext_mail"
_TRIGGERS = "services.async_workflow_service"
WATCHES = (_STORAGE, _MAIL, _TRIGGERS)

_FILE_OPERATIONS = ("save", "load_once", "load_stream", "download", "exists", "delete")


def attach(module: ModuleType) -> None:
    """Attach to one of the modules that it watches."""
    if module.__name__ == _STORAGE:
        attach_calls(
            module, *(Call(f"Storage.{name}", STORAGE, _file(name)) for name in _FILE_OPERATIONS)
        )
    elif module.__name__ == _MAIL:
        attach_calls(module, Call("Mail.send", MAIL, _mail))
    else:
        attach_calls(module, Call("AsyncWorkflowService.trigger_workflow_async", TRIGGER, _trigger))


def _file(operation: str) -> Callable[[Arguments], Mapping[a.Attribute, object]]:
    def describe(given: Arguments) -> Mapping[a.Attribute, object]:
        data = given.get("data")
        return {
            a.STORAGE_OPERATION: operation,
            a.STORAGE_TYPE: type(getattr(given["self"], "storage_runner", None)).__name__,
            a.STORAGE_SIZE: len(data) if isinstance(data, bytes) else None,
        }

    return describe


def _mail(_given: Arguments) -> Mapping[a.Attribute, object]:
    """Take nothing: addresses and texts of mails are nobody's business here."""
    return {}


def _trigger(given: Arguments) -> Mapping[a.Attribute, object]:
    data = given["trigger_data"]
    return {
        a.TRIGGER_TYPE: plain(getattr(data, "trigger_from", None)),
        a.TENANT_ID: getattr(data, "tenant_id", None),
        a.APP_ID: getattr(data, "app_id", None),
        a.WORKFLOW_ID: getattr(data, "workflow_id", None),
    }
