"""What Dify does outside its database: files, mail, and what starts workflows from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType

from otel_dify import table as t
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
            module, *(Call(f"Storage.{name}", t.STORAGE, _file(name)) for name in _FILE_OPERATIONS)
        )
    elif module.__name__ == _MAIL:
        attach_calls(module, Call("Mail.send", t.MAIL, _mail))
    else:
        attach_calls(
            module, Call("AsyncWorkflowService.trigger_workflow_async", t.TRIGGER, _trigger)
        )


def _file(operation: str) -> Callable[[Arguments], Mapping[t.Attribute, object]]:
    def describe(given: Arguments) -> Mapping[t.Attribute, object]:
        data = given.get("data")
        return {
            t.STORAGE_OPERATION: operation,
            t.STORAGE_TYPE: type(getattr(given["self"], "storage_runner", None)).__name__,
            t.STORAGE_SIZE: len(data) if isinstance(data, bytes) else None,
        }

    return describe


def _mail(_given: Arguments) -> Mapping[t.Attribute, object]:
    """Take nothing: addresses and texts of mails are nobody's business here."""
    return {}


def _trigger(given: Arguments) -> Mapping[t.Attribute, object]:
    data = given["trigger_data"]
    return {
        t.TRIGGER_TYPE: plain(getattr(data, "trigger_from", None)),
        t.TENANT_ID: getattr(data, "tenant_id", None),
        t.APP_ID: getattr(data, "app_id", None),
        t.WORKFLOW_ID: getattr(data, "workflow_id", None),
    }
