"""Export requests: resource and scope, and the records of any signal between them.

``Export{Trace,Metrics,Logs}ServiceRequest`` have one layout: a request holds resources (1), a
resource itself (1), its scopes (2) and a schema's address (3), a scope itself (1), its records (2)
and a schema's address (3). Fields may come in any order, and repeated ones concatenate, as do whole
requests (https://protobuf.dev/programming-guides/encoding/#last-one-wins): a request is made by
copying what is encoded already.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from otel_dify.export.encoding import lean
from otel_dify.export.encoding.values import as_text, key_value
from otel_dify.export.encoding.wire import varint

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

# Tags of fields that have a length: the field's number, times eight, and two.
_RESOURCE_OF_REQUEST = b"\x0a"
_SCOPE_OF_RESOURCE = b"\x12"


def encode_resource(resource: Resource) -> bytes:
    """Return a resource and its schema's address, as they stand in Resource{Spans,Metrics,Logs}."""
    message = lean.OfResource(schema_url=as_text(resource.schema_url))
    message.resource.SetInParent()
    _add(message.resource.attributes, resource.attributes)
    encoded: bytes = message.SerializeToString()
    return encoded


def encode_scope(scope: InstrumentationScope | None) -> bytes:
    """Return a scope and its schema's address, as they stand in Scope{Spans,Metrics,Logs}."""
    message = lean.OfScope()
    message.scope.SetInParent()
    if scope is not None:
        message.schema_url = as_text(scope.schema_url)
        message.scope.name = as_text(scope.name)
        message.scope.version = as_text(scope.version)
        _add(message.scope.attributes, scope.attributes)
    encoded: bytes = message.SerializeToString()
    return encoded


def request(resource: bytes, scopes: Iterable[tuple[bytes, Iterable[bytes]]]) -> bytes:
    """Return the whole request of one resource.

    Args:
        resource: from ``encode_resource``.
        scopes: for each scope what ``encode_scope`` returned, and its records, each as the encoder
            of its signal returned it, or several of them joined.
    """
    parts = [resource]
    for scope, records in scopes:
        of_scope = [scope, *records]
        parts += (_SCOPE_OF_RESOURCE, _length(of_scope), *of_scope)
    return b"".join((_RESOURCE_OF_REQUEST, _length(parts), *parts))


def requests_joined(requests: Iterable[bytes]) -> bytes:
    """Return several requests of one signal as one."""
    return b"".join(requests)


def _add(messages: Any, attributes: Any) -> None:
    for key, value in (attributes or {}).items():
        encoded = key_value(key, value)
        if encoded is not None:
            messages.append(encoded)


def _length(parts: list[bytes]) -> bytes:
    return varint(sum(map(len, parts)))
