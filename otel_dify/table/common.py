"""What every operation may have: whose it is, how it ended; and the metrics that count by type."""

from __future__ import annotations

from otel_dify.table.attribute import define
from otel_dify.table.instrument import Instrument

# Who and what: on every operation of a run.
TENANT_ID = define("dify.tenant_id", "string", "Workspace", inherit=True)
APP_ID = define("dify.app_id", "string", "App", inherit=True)
APP_NAME = define(
    "dify.app.name", "string", "Name of the app, where it is known", inherit=True, text=256
)
APP_MODE = define(
    "dify.app.mode",
    "string",
    "`workflow`, `advanced-chat`, `chat`, `completion` or `agent-chat`",
    inherit=True,
)
WORKFLOW_ID = define("dify.workflow.id", "string", "Workflow definition", inherit=True)
RUN_ID = define(
    "dify.workflow.run_id", "string", "Run of a workflow: the key to look up", inherit=True
)
CONVERSATION_ID = define("dify.conversation.id", "string", "Conversation", inherit=True)
MESSAGE_ID = define("dify.message.id", "string", "Message", inherit=True)
USER_ID = define(
    "user.id", "string", "End user or account that started it", inherit=True, text=256, user=True
)
SESSION_ID = define("session.id", "string", "Session the caller named", inherit=True, text=256)
INVOKE_FROM = define(
    "dify.invoke_from",
    "string",
    "`service-api`, `web-app`, `debugger`, `explore` and so on",
    inherit=True,
)
NODE_EXECUTION_ID = define(
    "dify.node.execution_id",
    "string",
    "Execution of a node: the key to look up",
    inherit=True,
    hoist=False,
)
NODE_ID = define("dify.node.id", "string", "Node in the graph", inherit=True, hoist=False)
NODE_TYPE = define(
    "dify.node.type", "string", "`llm`, `code`, `if-else` and so on", inherit=True, hoist=False
)
REQUEST_ID = define(
    "dify.request.id", "string", "`X-Request-ID` of the request", inherit=True, text=256
)
OPERATION_TYPE = define(
    "dify.operation_type",
    "string",
    "What it serves: `workflow`, `message`, `generate_name`, `suggested_question`, "
    "`rule_generate`, `code_generate`, `structured_output`, `instruction_modify`, `qa_document`, "
    "`workflow_generate`",
    inherit=True,
    hoist=False,
)
API_KEY_ID = define(
    "dify.api_key.id",
    "string",
    "Id in Dify of the API key that called: of an app or of a workspace's data sets, never the key",
    inherit=True,
    hoist=False,
)
EXTERNAL_TRACE_ID = define(
    "dify.external_trace_id",
    "string",
    "`X-Trace-Id` or `trace_id` of the caller",
    inherit=True,
    text=256,
)
BACKFILLED = define(
    "dify.backfilled",
    "boolean",
    "Told from the rows of Dify's database by `otel-dify backfill`, and not while it ran",
    inherit=True,
)
# How it ended.
ERROR_TYPE = define("error.type", "string", "Kind of the failure; absent where there was none")
ERROR_MESSAGE = define(
    "dify.error.message", "string", "Message of the failure", text=16_384, quotes=True
)
ERROR_CATEGORY = define(
    "dify.error.category",
    "string",
    "`rate_limit`, `quota`, `authentication`, `timeout`, `provider`, `network`, `validation` or "
    "`internal`",
)
ERROR_FINGERPRINT = define(
    "dify.error.fingerprint", "string", "The same each time the same error happens"
)
ERROR_ID = define(
    "dify.error.id",
    "string",
    "`X-Error-ID` of a response with status 500 or above",
    inherit=True,
    hoist=False,
)
ERROR_CODE = define(
    "dify.error.code",
    "string",
    "What Dify calls a refusal or failure: `unauthorized`, `too_many_requests`, `invalid_param`",
    text=256,
)
EVENT_NAME = define(
    "dify.event.name", "string", "Name of the event; on log events, for backends that drop theirs"
)
STACK_TRACE = define("exception.stacktrace", "string", "Stack trace; on log events only")
ELAPSED = define("dify.elapsed_time", "double", "Seconds from start to end")
SERVER_ADDRESS = define("server.address", "string", "Host called")
SERVER_PORT = define("server.port", "int", "Port called")
REQUESTS = Instrument("dify.requests.total", "counter", "{request}", "Operations, by type")
ERRORS = Instrument("dify.errors.total", "counter", "{error}", "Failed operations, by type")
TOKENS_TOTAL = Instrument(
    "dify.tokens.total",
    "counter",
    "{token}",
    "Tokens by layer (`operation_type`); `workflow` includes its `node_execution`: never add both",
)
TOKENS_INPUT = Instrument("dify.tokens.input", "counter", "{token}", "Input tokens by layer")
TOKENS_OUTPUT = Instrument("dify.tokens.output", "counter", "{token}", "Output tokens by layer")
CARRIED = (
    TENANT_ID,
    APP_ID,
    WORKFLOW_ID,
    RUN_ID,
    CONVERSATION_ID,
    MESSAGE_ID,
    NODE_EXECUTION_ID,
    NODE_ID,
    NODE_TYPE,
)
"""What goes as baggage to peers inside the deployment, and is taken from calls that come back."""
OWNER = (("tenant_id", TENANT_ID), ("app_id", APP_ID))
FAILURE = (ERROR_TYPE.key, ERROR_TYPE)
CATEGORY = ("error_category", ERROR_CATEGORY)
INVOKED = ("invoke_from", INVOKE_FROM)
