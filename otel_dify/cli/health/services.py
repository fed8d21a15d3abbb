"""Services that Dify calls, each asked as little as tells whether it answers.

Where they are is told by Dify's own variables (its ``configs/middleware``), with its defaults.
"""

from __future__ import annotations

import math
import socket
import time
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, cast
from urllib.parse import urlsplit

from otel_dify import table as t
from otel_dify.cli.doctor.examined import Examined
from otel_dify.cli.doctor.finding import Severity
from otel_dify.cli.doctor.reach import answered, knock
from otel_dify.cli.health.layer import Seen, degraded, healthy, not_configured, unhealthy
from otel_dify.cli.web import Unanswered, get
from otel_dify.export.exporters import is_ours
from otel_dify.export.sending.addresses import masked
from otel_dify.export.sending.destination import destination
from otel_dify.export.sending.exchange import Exchange
from otel_dify.settings import SIGNALS

_FAILED = 500
_PEERS = {peer.name: peer for peer in t.PEERS}


def database(examined: Examined) -> Seen:
    """Log in and ask for one row; by TCP alone where the driver for it is not here."""
    kind = examined.has("DB_TYPE") or "postgresql"
    if not kind.startswith("postgres"):
        host = examined.has("DB_HOST") or "localhost"
        return _accepts(examined, kind, host, int(examined.has("DB_PORT") or "3306"))
    from otel_dify.sources.history.database import DatabaseError, connection_of, driver

    known = connection_of(examined.environ)
    where = f"{known['host']}:{known['port']}/{known['dbname']}"
    try:
        made = driver()
    except DatabaseError:
        return _accepts(examined, "postgresql", known["host"], int(known["port"]))
    seconds = examined.timeout_s
    connection = made.connect(
        **known,
        # libpq counts whole seconds, and takes 1 for 2.
        connect_timeout=max(math.ceil(seconds), 2),
        application_name="otel-dify health",
        options=f"-c statement_timeout={math.ceil(seconds * 1000)}",
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
    finally:
        connection.close()
    return healthy(f"{where} answers a query")


def redis(examined: Examined) -> Seen:
    """Log in and send PING, by sentinels or to a cluster where Dify does so."""
    if find_spec("redis") is None:
        host = examined.has("REDIS_HOST") or "localhost"
        return _accepts(examined, "redis", host, int(examined.has("REDIS_PORT") or "6379"))
    client, where = _redis_client(examined)
    try:
        client.ping()
    finally:
        with suppress(Exception):
            client.close()
    return healthy(f"{where} answers PING")


def _redis_client(examined: Examined) -> tuple[Any, str]:
    """Make a client as Dify's ``extensions/ext_redis.py`` does, that tries once."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.cluster import ClusterNode, RedisCluster
    from redis.retry import Retry
    from redis.sentinel import Sentinel

    # Of these the constructors have no types.
    sentinel, node, cluster = (cast("Any", each) for each in (Sentinel, ClusterNode, RedisCluster))
    has, seconds = examined.has, examined.timeout_s
    common: dict[str, Any] = {
        "username": has("REDIS_USERNAME") or None,
        "password": has("REDIS_PASSWORD") or None,
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        "retry": Retry(NoBackoff(), 0),
    }
    if examined.is_on("REDIS_USE_SSL"):
        common |= {
            "ssl": True,
            "ssl_cert_reqs": _CERTIFICATES.get(has("REDIS_SSL_CERT_REQS"), "none"),
            "ssl_ca_certs": has("REDIS_SSL_CA_CERTS") or None,
            "ssl_certfile": has("REDIS_SSL_CERTFILE") or None,
            "ssl_keyfile": has("REDIS_SSL_KEYFILE") or None,
        }
    if examined.is_on("REDIS_USE_SENTINEL"):
        sentinels = _hosts(has("REDIS_SENTINELS"))
        asked = {
            "socket_timeout": seconds,
            "username": has("REDIS_SENTINEL_USERNAME") or None,
            "password": has("REDIS_SENTINEL_PASSWORD") or None,
        }
        name = has("REDIS_SENTINEL_SERVICE_NAME")
        made = sentinel(sentinels, sentinel_kwargs=asked)
        return made.master_for(name, **common), f"{name} (by sentinel)"
    if examined.is_on("REDIS_USE_CLUSTERS"):
        nodes = [node(host, port) for host, port in _hosts(has("REDIS_CLUSTERS"))]
        common["password"] = has("REDIS_CLUSTERS_PASSWORD") or None
        del common["retry"], common["username"]
        return cluster(startup_nodes=nodes, **common), f"the cluster {has('REDIS_CLUSTERS')}"
    host, port = has("REDIS_HOST") or "localhost", int(has("REDIS_PORT") or "6379")
    return Redis(host, port, int(has("REDIS_DB") or "0"), **common), f"{host}:{port}"


_CERTIFICATES = {"CERT_OPTIONAL": "optional", "CERT_REQUIRED": "required"}


def _hosts(text: str) -> list[tuple[str, int]]:
    pairs = (part.strip().rpartition(":") for part in text.split(",") if part.strip())
    return [(host, int(port)) for host, _, port in pairs]


def plugin_daemon(examined: Examined) -> Seen:
    """Ask for its own page of health."""
    url = examined.has("PLUGIN_DAEMON_URL")
    return _gets(examined, url or _PEERS["plugin-daemon"].default, "/health/check")


def sandbox(examined: Examined) -> Seen:
    """Ask for its own page of health."""
    url = examined.has("CODE_EXECUTION_ENDPOINT")
    return _gets(examined, url or _PEERS["sandbox"].default, "/health")


# Path that tells without a key whether a store is ready; its address is in the variable.
_BY_HTTP = {
    "weaviate": ("WEAVIATE_ENDPOINT", "", "/v1/.well-known/ready"),
    "qdrant": ("QDRANT_URL", "6333", "/readyz"),
    "tidb_on_qdrant": ("TIDB_ON_QDRANT_URL", "6333", "/readyz"),
    "chroma": ("CHROMA_HOST", "CHROMA_PORT", "/api/v2/heartbeat"),
    "elasticsearch": ("ELASTICSEARCH_HOST", "ELASTICSEARCH_PORT", "/"),
    "elasticsearch-ja": ("ELASTICSEARCH_HOST", "ELASTICSEARCH_PORT", "/"),
}
# Variables of host, or address, and port, and the port where there is none.
_BY_TCP = {
    "alibabacloud_mysql": ("ALIBABACLOUD_MYSQL_HOST", "ALIBABACLOUD_MYSQL_PORT", 3306),
    "analyticdb": ("ANALYTICDB_HOST", "ANALYTICDB_PORT", 5432),
    "baidu": ("BAIDU_VECTOR_DB_ENDPOINT", "", 80),
    "hologres": ("HOLOGRES_HOST", "HOLOGRES_PORT", 80),
    "huawei_cloud": ("HUAWEI_CLOUD_HOSTS", "", 9200),
    "iris": ("IRIS_HOST", "IRIS_SUPER_SERVER_PORT", 1972),
    "lindorm": ("LINDORM_URL", "", 30070),
    "matrixone": ("MATRIXONE_HOST", "MATRIXONE_PORT", 6001),
    "milvus": ("MILVUS_URI", "", 19530),
    "myscale": ("MYSCALE_HOST", "MYSCALE_PORT", 8123),
    "oceanbase": ("OCEANBASE_VECTOR_HOST", "OCEANBASE_VECTOR_PORT", 2881),
    "opengauss": ("OPENGAUSS_HOST", "OPENGAUSS_PORT", 6600),
    "opensearch": ("OPENSEARCH_HOST", "OPENSEARCH_PORT", 9200),
    "pgvecto-rs": ("PGVECTO_RS_HOST", "PGVECTO_RS_PORT", 5431),
    "pgvector": ("PGVECTOR_HOST", "PGVECTOR_PORT", 5433),
    "relyt": ("RELYT_HOST", "RELYT_PORT", 9200),
    "seekdb": ("OCEANBASE_VECTOR_HOST", "OCEANBASE_VECTOR_PORT", 2881),
    "tablestore": ("TABLESTORE_ENDPOINT", "", 443),
    "tencent": ("TENCENT_VECTOR_DB_URL", "", 80),
    "tidb_vector": ("TIDB_VECTOR_HOST", "TIDB_VECTOR_PORT", 4000),
    "upstash": ("UPSTASH_VECTOR_URL", "", 443),
    "vastbase": ("VASTBASE_HOST", "VASTBASE_PORT", 5432),
    "vikingdb": ("VIKINGDB_HOST", "", 80),
}
_DEFAULT_PORTS = {"CHROMA_PORT": "8000", "ELASTICSEARCH_PORT": "9200"}


def vector_store(examined: Examined) -> Seen:
    """Ask the store that ``VECTOR_STORE`` names: its page of health, or its port."""
    name = examined.has("VECTOR_STORE").lower()
    if not name:
        return not_configured("VECTOR_STORE is not set")
    if name in _BY_HTTP:
        variable, port, path = _BY_HTTP[name]
        if not (address := examined.has(variable)):
            return not_configured(f"VECTOR_STORE={name}, and {variable} is not set")
        port = examined.has(port) or _DEFAULT_PORTS.get(port, "") if port.isupper() else port
        url = address if "://" in address else f"http://{address}"
        if port and urlsplit(url).port is None:
            url = f"{url.rstrip('/')}:{port}"
        return _gets(examined, url, path)
    if name not in _BY_TCP:
        return not_configured(f"VECTOR_STORE={name}: how to ask that one is not known")
    variable, port, default = _BY_TCP[name]
    if not (address := examined.has(variable)):
        return not_configured(f"VECTOR_STORE={name}, and {variable} is not set")
    parts = urlsplit(address if "://" in address else f"//{address.split(',')[0]}")
    number = parts.port or (int(examined.has(port) or default) if port else default)
    return _accepts(examined, name, parts.hostname or "", number)


def collector(examined: Examined) -> Seen:
    """Knock with an empty request for each signal, as the doctor does."""
    settings = examined.settings
    signals = [signal for signal in SIGNALS if is_ours(settings, signal)]
    if not signals:
        return not_configured("nothing is sent by OTLP")
    until = time.monotonic() + examined.timeout_s
    taken: dict[str, None] = {}
    for signal in signals:
        to = destination(settings, signal)
        left_s = max(until - time.monotonic(), 0.1)
        answer = answered(to, knock(to, left_s), settings)
        what = answer.what.format(signals=signal)
        if answer.severity is Severity.PROBLEM:
            return unhealthy(what)
        if answer.severity is Severity.WARNING:
            return degraded(what)
        taken[masked(to.address)] = None
    return healthy(f"{', '.join(taken)} takes {', '.join(signals)}")


def _gets(examined: Examined, url: str, path: str) -> Seen:
    asked = f"{url.rstrip('/')}{path}"
    try:
        reply = get(asked, examined.timeout_s)
    except Unanswered as error:
        return unhealthy(f"{masked(asked)} does not answer: {error}")
    said = f"{masked(asked)} answers {reply.status}"
    # One that refuses for want of a key is up.
    return healthy(said) if reply.status < _FAILED else unhealthy(said)


def _accepts(examined: Examined, what: str, host: str, port: int) -> Seen:
    """Connect, and say no more: it is another protocol, or its driver is not here."""
    from otel_dify.export.sending.connecting import connect

    until = time.monotonic() + examined.timeout_s
    try:
        made: socket.socket = connect(host, port, Exchange(until))
    except OSError as error:
        return unhealthy(f"{what} at {host}:{port}: {error.strerror or error}")
    made.close()
    return healthy(f"{what} at {host}:{port} accepts connections")
