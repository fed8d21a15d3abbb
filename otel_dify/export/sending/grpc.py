"""Sending by OTLP/gRPC."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from otel_dify.export.sending.outcome import (
    LONGEST_WAIT_S,
    Denied,
    Outcome,
    Refused,
    Retry,
)
from otel_dify.export.sending.tls import Tls, Unusable
from otel_dify.export.sending.user_agent import USER_AGENT
from otel_dify.guard import failed

if TYPE_CHECKING:
    import grpc

METHODS = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
"""Full names of the methods, by signal (opentelemetry/proto/collector/*/v1/*_service.proto)."""

# OTLP's specification, the table of "Failures" under OTLP/gRPC; RESOURCE_EXHAUSTED has a rule of
# its own.
_RETRIED = frozenset(
    {"ABORTED", "CANCELLED", "DATA_LOSS", "DEADLINE_EXCEEDED", "OUT_OF_RANGE", "UNAVAILABLE"}
)
_DENIED = frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED"})
_DETAILS = "grpc-status-details-bin"

_OPTIONS = (
    ("grpc.primary_user_agent", USER_AGENT),
    # gRPC waits up to two minutes before it tries to connect again; whoever sends waits already.
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


class GrpcTransport:
    """Sends requests by gRPC, over one channel.

    It connects anew by itself. In a forked child a new channel is made; whether gRPC works there at
    all is up to gRPC (``GRPC_ENABLE_FORK_SUPPORT``). Under gevent it needs
    ``grpc.experimental.gevent.init_gevent()``, which Dify calls. A proxy is taken from the
    process's own environment, by gRPC.

    Args:
        target: as gRPC names it: ``host:port``, ``unix:path``, ``dns:///name:port`` and so on.
        signal: ``traces``, ``metrics`` or ``logs``.
        headers: metadata of every request, names in lower case.
        compression: ``none`` or ``gzip``.
        tls: files for TLS; none where there is no TLS.
    """

    def __init__(
        self,
        target: str,
        signal: str,
        *,
        headers: Mapping[str, str],
        compression: str = "gzip",
        tls: Tls | None = None,
    ) -> None:
        self._target = target
        self._method = METHODS[signal]
        self._metadata = tuple(
            (name, value.encode() if name.endswith("-bin") else value)
            for name, value in headers.items()
            if name != "user-agent"
        )
        self._compression = compression
        self._tls = tls
        self._channel: grpc.Channel | None = None
        self._call: Any = None
        self._process = os.getpid()

    def send(self, body: bytes, timeout_s: float) -> Outcome:
        """Send a request; never raises, but for a time limit that Celery addressed to its task.

        Args:
            body: a serialized ``Export{Trace,Logs,Metrics}ServiceRequest``.
            timeout_s: seconds that it may take altogether.
        """
        # It loads asyncio, and so ssl: after gevent's patch.
        from opentelemetry.instrumentation.utils import suppress_instrumentation

        with suppress_instrumentation():
            try:
                return self._send(body, timeout_s)
            except Unusable as error:
                return Retry(str(error))
            except ModuleNotFoundError as error:
                return Denied(
                    f"OTEL_EXPORTER_OTLP_PROTOCOL=grpc needs the package grpcio ({error}); install "
                    "it or use http/protobuf"
                )
            except Exception as error:  # noqa: BLE001 - counted and logged once; the data is kept
                failed("otel_dify.export.sending.grpc", error)
                return Retry(f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """Close the channel; the next ``send`` makes a new one."""
        channel, self._channel, self._call = self._channel, None, None
        if channel is not None:
            channel.close()

    def _send(self, body: bytes, timeout_s: float) -> Outcome:
        # After gevent's patch.
        import grpc

        from otel_dify.export.sending.answers import partial_success

        if os.getpid() != self._process:
            self._channel, self._call, self._process = None, None, os.getpid()
        if self._call is None:
            self._channel = self._connect()
            self._call = self._channel.unary_unary(self._method)
        try:
            response: bytes = self._call(body, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            if self._tls is not None and error.code() is grpc.StatusCode.UNAVAILABLE:
                # The next channel reads the files anew.
                self.close()
            return _outcome_of(error)
        return partial_success(response)

    def _connect(self) -> grpc.Channel:
        import grpc

        compression = {
            "none": grpc.Compression.NoCompression,
            "gzip": grpc.Compression.Gzip,
        }[self._compression]
        if self._tls is None:
            return grpc.insecure_channel(self._target, _OPTIONS, compression)
        credentials = grpc.ssl_channel_credentials(*self._tls.contents())
        return grpc.secure_channel(self._target, credentials, _OPTIONS, compression)


def _outcome_of(error: Any) -> Outcome:
    """Tell what an error of gRPC means.

    Args:
        error: a ``grpc.RpcError`` that a call raised.
    """
    from otel_dify.export.sending.answers import one_line

    code: str = error.code().name
    details = one_line(error.details() or "")
    reason = f"gRPC {code}" + (f" ({details})" if details else "")
    after_s = _retry_delay(error.trailing_metadata() or ())
    if code in _RETRIED or (code == "RESOURCE_EXHAUSTED" and after_s is not None):
        return Retry(reason, after_s)
    if code in _DENIED:
        return Denied(f"{reason}; check the credentials, such as OTEL_EXPORTER_OTLP_HEADERS")
    if code == "UNIMPLEMENTED":
        # A Collector without the pipeline of a signal answers so.
        return Denied(f"{reason}; check the address, and that the Collector takes this signal")
    return Refused(reason)


def _retry_delay(metadata: Any) -> float | None:
    """Return the seconds that a ``google.rpc.RetryInfo`` asks to wait, if there is one.

    OTLP's specification, "OTLP/gRPC Throttling": it is among the details of the status.
    """
    details = next((value for name, value in metadata if name == _DETAILS), None)
    if details is None:
        return None
    from google.protobuf.message import DecodeError
    from google.rpc.error_details_pb2 import RetryInfo
    from google.rpc.status_pb2 import Status

    info = RetryInfo()
    try:
        if not any(detail.Unpack(info) for detail in Status.FromString(details).details):
            return None
    except DecodeError:
        return None
    delay: float = info.retry_delay.seconds + info.retry_delay.nanos / 1e9
    return min(max(delay, 0.0), LONGEST_WAIT_S)
