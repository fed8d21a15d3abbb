"""HTTP: requests to Dify and calls from it."""

from __future__ import annotations

from opentelemetry.trace import SpanKind

from otel_dify.table.attribute import define
from otel_dify.table.common import (
    API_KEY_ID,
    ERROR_CODE,
    FAILURE,
    OWNER,
    SERVER_ADDRESS,
    SERVER_PORT,
)
from otel_dify.table.engine import RUN_STATUS
from otel_dify.table.instrument import Amount, Instrument, Recording
from otel_dify.table.kind import Kind
from otel_dify.table.messages import MESSAGE_STATUS
from otel_dify.table.queries import FOLDED

# HTTP, in and out.
HTTP_METHOD = define("http.request.method", "string", "Method")
HTTP_ROUTE = define("http.route", "string", "Route template")
HTTP_STATUS = define("http.response.status_code", "int", "Status of the response")
HTTP_FIRST_BYTE = define(
    "dify.http.time_to_first_byte", "double", "Seconds to the first byte of the body"
)
HTTP_BODY_SIZE = define("http.response.body.size", "int", "Bytes of the body sent")
HTTP_REQUEST_SIZE = define(
    "http.request.body.size", "int", "Bytes of the body received, as the caller says"
)
URL_PATH = define("url.path", "string", "Path", text=2_048, quotes=True)
URL_TEMPLATE = define(
    "url.template", "string", "Path called, what varies in braces; of known peers only"
)
PEER = define("service.peer.name", "string", "Service called: one of the known peers")
PEER_BEFORE = define(
    "peer.service", "string", "The same, under the name that it had before, which Jaeger reads"
)
URL_FULL = define(
    "url.full", "string", "Address called, without its query", text=2_048, quotes=True
)
CLIENT_ADDRESS = define("client.address", "string", "Address of the caller", text=64)
USER_AGENT = define("user_agent.original", "string", "User agent of the caller", text=1_024)
DEBUG_ID = define(
    "dify.debug_id",
    "string",
    "`X-Debug-Id` of the caller, which asks for the trace to be kept whatever the sampling",
)
# OpenTelemetry's HTTP conventions, with 1, 2 and what streams need.
_HTTP_BUCKETS = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2, 2.5, 5, 7.5, 10),
    *(30, 60, 120, 300),
)
SERVER_DURATION = Instrument(
    "http.server.request.duration",
    "histogram",
    "s",
    "Duration of requests to Dify, streams to their end",
    _HTTP_BUCKETS,
)
CLIENT_DURATION = Instrument(
    "http.client.request.duration",
    "histogram",
    "s",
    "Duration of HTTP calls, streams to their end",
    _HTTP_BUCKETS,
)
OUTCOME_BELOW = (
    f", its run {{{RUN_STATUS.key}}}",
    f", its message {{{MESSAGE_STATUS.key}}}",
)
"""What a sentence about who serves a run or a message says of that."""
API_REQUESTS = Instrument(
    "dify.api_key.requests",
    "counter",
    "{request}",
    "Requests to Dify, by the API key that called; none for those without one",
)
_HTTP = (HTTP_METHOD, HTTP_STATUS, SERVER_ADDRESS, SERVER_PORT)
REQUEST = Kind(
    name="request",
    doc="An HTTP request to Dify, until the last byte of its response.",
    span_name="{http.request.method} {http.route}",
    span_kind=SpanKind.SERVER,
    below=("http call",),
    attributes=(
        *_HTTP,
        HTTP_ROUTE,
        URL_PATH,
        HTTP_FIRST_BYTE,
        HTTP_BODY_SIZE,
        HTTP_REQUEST_SIZE,
        CLIENT_ADDRESS,
        USER_AGENT,
        DEBUG_ID,
        ERROR_CODE,
        RUN_STATUS,
        MESSAGE_STATUS,
        *FOLDED,
    ),
    recordings=(
        Recording(
            SERVER_DURATION,
            Amount.DURATION,
            (
                (HTTP_METHOD.key, HTTP_METHOD),
                (HTTP_ROUTE.key, HTTP_ROUTE),
                (HTTP_STATUS.key, HTTP_STATUS),
                FAILURE,
            ),
        ),
        Recording(
            API_REQUESTS,
            Amount.ONE,
            (*OWNER, ("api_key_id", API_KEY_ID), (HTTP_STATUS.key, HTTP_STATUS)),
        ),
    ),
    event="dify.http.request",
    subject="{http.request.method} {url.path}",
    done="answered {http.response.status_code}",
    failed="answered {http.response.status_code}",
    recovered=True,
    also=OUTCOME_BELOW,
    told=(RUN_STATUS, MESSAGE_STATUS),
    hoists=True,
)
HTTP_CALL = Kind(
    name="http call",
    doc="An HTTP request from Dify, until the last byte of its response: to the plugin daemon, the "
    "sandbox, a vector store, a node's target. Where the peer is known and the path is not, its "
    "name stands for the template; where neither is, the method stands alone.",
    span_name="{http.request.method} {url.template}",
    span_kind=SpanKind.CLIENT,
    below=(
        *("request", "task", "node", "draft node", "model call", "tool call", "message", "agent"),
        *("retrieval", "search", "moderation", "generation", "dataset created", "indexing"),
        *("trigger", "custom"),
    ),
    attributes=(*_HTTP, URL_FULL, URL_TEMPLATE, PEER, PEER_BEFORE),
    recordings=(
        Recording(
            CLIENT_DURATION,
            Amount.DURATION,
            (
                (HTTP_METHOD.key, HTTP_METHOD),
                (SERVER_ADDRESS.key, SERVER_ADDRESS),
                (SERVER_PORT.key, SERVER_PORT),
                (HTTP_STATUS.key, HTTP_STATUS),
                FAILURE,
            ),
        ),
    ),
)
