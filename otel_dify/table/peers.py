"""Services that Dify calls by HTTP and that have a name: where its settings say they are.

What is not listed here is an unknown peer, such as the target of an http-request node: a call of it
has no template, and is told nothing but the trace it belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """One service.

    Attributes:
        name: ``service.peer.name`` of calls to it.
        addresses: settings of Dify that hold its address: a URL or a host.
        port: setting that holds its port, where the address has none.
        default: the address where none of the settings is there, as in Dify's ``configs``.
        templates: paths that Dify asks it for, what varies in braces; none of others.
        inside: whether it is a part of the deployment, which gets baggage: app, run and node.
        forwards: whether calls go through it to somewhere else, as its address's proxy.
    """

    name: str
    addresses: tuple[str, ...]
    port: str = ""
    default: str = ""
    templates: tuple[str, ...] = ()
    inside: bool = False
    forwards: bool = False


def _below(prefix: str, *paths: str) -> tuple[str, ...]:
    return tuple(f"{prefix}/{path}" for path in paths)


# Dify's core/plugin/impl.
_PLUGIN = "/plugin/{tenant_id}"
_PLUGIN_PATHS = (
    *_below(
        f"{_PLUGIN}/dispatch",
        "agent_strategy/invoke",
        "datasource/get_online_document_page_content",
        "datasource/get_online_document_pages",
        "datasource/get_website_crawl",
        "datasource/online_drive_browse_files",
        "datasource/online_drive_download_file",
        "datasource/validate_credentials",
        "dynamic_select/fetch_parameter_options",
        "llm/invoke",
        "llm/num_tokens",
        "model/schema",
        "model/validate_model_credentials",
        "model/validate_provider_credentials",
        "moderation/invoke",
        "multimodal_embedding/invoke",
        "multimodal_rerank/invoke",
        "oauth/get_authorization_url",
        "oauth/get_credentials",
        "oauth/refresh_credentials",
        "rerank/invoke",
        "speech2text/invoke",
        "text_embedding/invoke",
        "text_embedding/num_tokens",
        "tool/get_runtime_parameters",
        "tool/invoke",
        "tool/validate_credentials",
        "trigger/dispatch_event",
        "trigger/invoke_event",
        "trigger/refresh",
        "trigger/subscribe",
        "trigger/unsubscribe",
        "trigger/validate_credentials",
        "tts/invoke",
        "tts/model/voices",
    ),
    *_below(
        f"{_PLUGIN}/management",
        "agent_strategies",
        "agent_strategy",
        "datasource",
        "datasources",
        "decode/from_identifier",
        "fetch/identifier",
        "fetch/manifest",
        "fetch/readme",
        "install/identifiers",
        "install/tasks",
        "install/tasks/delete_all",
        "install/tasks/{task_id}",
        "install/tasks/{task_id}/delete",
        "install/tasks/{task_id}/delete/{identifier}",
        "install/upgrade",
        "install/upload/bundle",
        "install/upload/package",
        "installation/fetch/batch",
        "installation/missing",
        "list",
        "models",
        "tool",
        "tools",
        "tools/check_existence",
        "trigger",
        "triggers",
        "uninstall",
    ),
    *_below(
        _PLUGIN,
        "asset/{id}",
        "debugging/key",
        "endpoint/disable",
        "endpoint/enable",
        "endpoint/list",
        "endpoint/list/plugin",
        "endpoint/remove",
        "endpoint/setup",
        "endpoint/update",
        "extract-asset",
    ),
)
# qdrant_client's http/api, which TiDB speaks as well.
_COLLECTION = "/collections/{collection_name}"
_QDRANT_PATHS = (
    "/collections",
    _COLLECTION,
    *_below(
        _COLLECTION,
        "exists",
        "index",
        "index/{field_name}",
        "points",
        "points/batch",
        "points/count",
        "points/delete",
        "points/payload",
        "points/query",
        "points/query/batch",
        "points/scroll",
        "points/search",
        "points/search/batch",
        "points/vectors",
        "points/{id}",
    ),
)
_WEAVIATE_PATHS = _below(
    "/v1",
    ".well-known/live",
    ".well-known/openid-configuration",
    ".well-known/ready",
    "batch/objects",
    "batch/references",
    "graphql",
    "meta",
    "nodes",
    "objects",
    "objects/{collection}/{id}",
    "schema",
    "schema/{collection}",
    "schema/{collection}/properties",
    "schema/{collection}/shards",
    "schema/{collection}/tenants",
)
# upstash_vector's core/index_operations.py, with and without a namespace.
_UPSTASH = (
    *("delete", "fetch", "query", "query-data", "range", "reset", "update", "upsert"),
    "upsert-data",
)
_UPSTASH_PATHS = (
    *_below("", "info", "list-namespaces", *_UPSTASH),
    *_below("", *(f"{path}/{{namespace}}" for path in _UPSTASH)),
)
# chromadb's api/fastapi.py.
_CHROMA = "/api/v2/tenants/{tenant}/databases/{database}/collections"
_CHROMA_PATHS = (
    *_below("/api/v2", "heartbeat", "version", "auth/identity", "pre-flight-checks"),
    _CHROMA,
    f"{_CHROMA}/{{collection_id}}",
    *_below(
        f"{_CHROMA}/{{collection_id}}", "add", "count", "delete", "get", "query", "update", "upsert"
    ),
)

PEERS = (
    Peer(
        "plugin-daemon",
        ("PLUGIN_DAEMON_URL",),
        default="http://localhost:5002",
        templates=_PLUGIN_PATHS,
        inside=True,
    ),
    Peer(
        "sandbox",
        ("CODE_EXECUTION_ENDPOINT",),
        default="http://sandbox:8194",
        templates=("/v1/sandbox/run",),
        inside=True,
    ),
    Peer("weaviate", ("WEAVIATE_ENDPOINT",), templates=_WEAVIATE_PATHS),
    Peer("qdrant", ("QDRANT_URL",), templates=_QDRANT_PATHS),
    Peer("tidb", ("TIDB_ON_QDRANT_URL",), templates=_QDRANT_PATHS),
    Peer("upstash", ("UPSTASH_VECTOR_URL",), templates=_UPSTASH_PATHS),
    Peer("chroma", ("CHROMA_HOST",), port="CHROMA_PORT", templates=_CHROMA_PATHS),
    Peer("unstructured", ("UNSTRUCTURED_API_URL",)),
    Peer("dify-marketplace", ("MARKETPLACE_API_URL",)),
    Peer(
        "ssrf-proxy",
        ("SSRF_PROXY_ALL_URL", "SSRF_PROXY_HTTP_URL", "SSRF_PROXY_HTTPS_URL"),
        forwards=True,
    ),
)
