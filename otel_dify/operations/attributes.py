"""Attribute names, in one table: OpenTelemetry's first, then Dify Enterprise's, then ours.

Names under ``gen_ai.`` follow the OpenTelemetry GenAI conventions; the Python package marks its
own constants for them as moved, so they stand here. Names under ``dify.`` that the data dictionary
of Dify Enterprise has (``api/enterprise/telemetry/DATA_DICTIONARY.md``) are its names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

type Type = Literal["string", "int", "double", "boolean", "string[]"]


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute.

    Attributes:
        key: its name on spans and log events.
        type: the type of its values.
        doc: what it says, for the data dictionary.
        content: whether it holds what users or models wrote; then it is left out unless asked for
            (``processors/content.py``).
        inherit: whether every operation below the one that has it gets it too.
        hoist: whether the request, task and message above it get it as well: what names the run,
            not what names a part of it.
    """

    key: str
    type: Type
    doc: str
    content: bool = False
    inherit: bool = False
    hoist: bool = False


_ALL: dict[str, Attribute] = {}


def _define(
    key: str,
    kind: Type,
    doc: str,
    *,
    content: bool = False,
    inherit: bool = False,
    hoist: bool = True,
) -> Attribute:
    attribute = Attribute(key, kind, doc, content, inherit, inherit and hoist)
    _ALL[key] = attribute
    return attribute


def all_attributes() -> tuple[Attribute, ...]:
    """List every attribute of the table, in its order."""
    return tuple(_ALL.values())


# Who and what: on every operation of a run.
TENANT_ID = _define("dify.tenant_id", "string", "Workspace", inherit=True)
APP_ID = _define("dify.app_id", "string", "App", inherit=True)
APP_NAME = _define("dify.app.name", "string", "Name of the app, where it is known", inherit=True)
APP_MODE = _define(
    "dify.app.mode",
    "string",
    "`workflow`, `advanced-chat`, `chat`, `completion` or `agent-chat`",
    inherit=True,
)
WORKFLOW_ID = _define("dify.workflow.id", "string", "Workflow definition", inherit=True)
RUN_ID = _define(
    "dify.workflow.run_id", "string", "Run of a workflow: the key to look up", inherit=True
)
CONVERSATION_ID = _define("dify.conversation.id", "string", "Conversation", inherit=True)
MESSAGE_ID = _define("dify.message.id", "string", "Message", inherit=True)
USER_ID = _define("user.id", "string", "End user or account that started it", inherit=True)
SESSION_ID = _define("session.id", "string", "Session the caller named", inherit=True)
INVOKE_FROM = _define(
    "dify.invoke_from",
    "string",
    "`service-api`, `web-app`, `debugger`, `explore` and so on",
    inherit=True,
)
NODE_EXECUTION_ID = _define(
    "dify.node.execution_id",
    "string",
    "Execution of a node: the key to look up",
    inherit=True,
    hoist=False,
)
NODE_ID = _define("dify.node.id", "string", "Node in the graph", inherit=True, hoist=False)
NODE_TYPE = _define(
    "dify.node.type", "string", "`llm`, `code`, `if-else` and so on", inherit=True, hoist=False
)
REQUEST_ID = _define("dify.request.id", "string", "`X-Request-ID` of the request", inherit=True)
OPERATION_TYPE = _define(
    "dify.operation_type",
    "string",
    "What it serves: `workflow`, `message`, `generate_name`, `suggested_question`, "
    "`rule_generate`, `code_generate`, `structured_output`, `instruction_modify`, `qa_document`, "
    "`workflow_generate`",
    inherit=True,
    hoist=False,
)
EXTERNAL_TRACE_ID = _define(
    "dify.external_trace_id", "string", "`X-Trace-Id` or `trace_id` of the caller", inherit=True
)

# How it ended.
ERROR_TYPE = _define("error.type", "string", "Kind of the failure; absent where there was none")
ERROR_MESSAGE = _define("dify.error.message", "string", "Message of the failure")
ERROR_CATEGORY = _define(
    "dify.error.category",
    "string",
    "`rate_limit`, `quota`, `authentication`, `timeout`, `provider`, `network`, `validation` or "
    "`internal`",
)
ERROR_FINGERPRINT = _define(
    "dify.error.fingerprint", "string", "The same each time the same error happens"
)
ERROR_ID = _define(
    "dify.error.id",
    "string",
    "`X-Error-ID` of a response with status 500 or above",
    inherit=True,
    hoist=False,
)
ERROR_CODE = _define(
    "dify.error.code",
    "string",
    "What Dify calls a refusal or failure: `unauthorized`, `too_many_requests`, `invalid_param`",
)
EVENT_NAME = _define(
    "dify.event.name", "string", "Name of the event; on log events, for backends that drop theirs"
)
STACK_TRACE = _define("exception.stacktrace", "string", "Stack trace; on log events only")
ELAPSED = _define("dify.elapsed_time", "double", "Seconds from start to end")
DB_QUERIES = _define(
    "dify.db.query.count", "int", "Queries folded into this operation (fast, without a span)"
)
DB_TIME = _define("dify.db.query.duration", "double", "Seconds spent in the folded queries")

# Run.
RUN_STATUS = _define(
    "dify.workflow.status",
    "string",
    "`succeeded`, `partial-succeeded`, `failed`, `stopped` or `paused`",
)
RUN_ERROR = _define("dify.workflow.error", "string", "Why the run failed")
RUN_RESUMED = _define("dify.workflow.resumed", "boolean", "The run goes on after a pause")
RUN_INPUTS = _define("dify.workflow.inputs", "string", "Inputs, JSON", content=True)
RUN_OUTPUTS = _define("dify.workflow.outputs", "string", "Outputs, JSON", content=True)
EXCEPTIONS_COUNT = _define(
    "dify.workflow.exceptions_count", "int", "Nodes that failed and were recovered"
)
NODE_COUNT = _define(
    "dify.workflow.node_count", "int", "Executions of nodes, those in iterations and loops too"
)
TOTAL_TOKENS = _define(
    "dify.usage.total_tokens", "int", "Tokens of everything below, as Dify's engine adds them up"
)
INPUT_TOKENS_BELOW = _define("dify.usage.input_tokens", "int", "Input tokens of everything below")
OUTPUT_TOKENS_BELOW = _define(
    "dify.usage.output_tokens", "int", "Output tokens of everything below"
)
TOTAL_PRICE = _define(
    "dify.usage.total_price", "double", "Price of everything below, in `dify.usage.currency`"
)
CURRENCY = _define("dify.usage.currency", "string", "Currency code, such as USD")

# Node.
NODE_TITLE = _define("dify.node.title", "string", "Title in the editor")
NODE_STATUS = _define(
    "dify.node.status", "string", "`succeeded`, `failed`, `exception` (recovered) or `paused`"
)
NODE_ERROR = _define("dify.node.error", "string", "Why the node failed")
NODE_RETRIES = _define("dify.node.retry_count", "int", "Attempts beyond the first")
NODE_RETRY_INDEX = _define("dify.node.retry_index", "int", "Which retry follows, from 1")
NODE_INPUTS = _define("dify.node.inputs", "string", "Inputs, JSON", content=True)
NODE_OUTPUTS = _define("dify.node.outputs", "string", "Outputs, JSON", content=True)
NODE_PROCESS_DATA = _define("dify.node.process_data", "string", "Process data, JSON", content=True)
ITERATION_ID = _define("dify.node.iteration_id", "string", "Iteration node it lies in")
LOOP_ID = _define("dify.node.loop_id", "string", "Loop node it lies in")
INDEX = _define("dify.node.index", "int", "Number of the item or pass, from 0")

# Message and agent.
MESSAGE_STATUS = _define(
    "dify.message.status", "string", "`succeeded`, `failed`, `stopped` or `paused`"
)
MESSAGE_ERROR = _define("dify.message.error", "string", "Why the message failed")
MESSAGE_FIRST_TOKEN = _define(
    "dify.message.time_to_first_token", "double", "Seconds to the first token of the answer"
)
MESSAGE_INPUTS = _define("dify.message.inputs", "string", "Inputs and query, JSON", content=True)
AGENT_STRATEGY = _define("dify.agent.strategy", "string", "`function_call` or `cot`")
AGENT_ROUNDS = _define("dify.agent.rounds", "int", "Rounds of thought")
AGENT_THOUGHT_ID = _define("dify.agent.thought_id", "string", "Row of the thought")
AGENT_QUERY = _define("dify.agent.query", "string", "What the agent was asked", content=True)

# Retrieval.
RETRIEVAL_SOURCE = _define(
    "dify.retrieval.source", "string", "`knowledge`: all data sets together; `dataset`: one"
)
RETRIEVAL_METHOD = _define(
    "dify.retrieval.method",
    "string",
    "Of a data set its search method, of a search `keyword`, `vector` or `full_text`",
)
RETRIEVAL_TOP_K = _define("dify.retrieval.top_k", "int", "Documents asked for")
RETRIEVAL_QUERY = _define("dify.retrieval.query", "string", "What was searched", content=True)
DATASET_ID = _define("dify.dataset.id", "string", "Data set")
DATASET_IDS = _define("dify.dataset.ids", "string[]", "Data sets")
RERANK_PROVIDER = _define(
    "dify.retrieval.rerank_provider", "string", "Provider of the rerank model"
)
RERANK_MODEL = _define("dify.retrieval.rerank_model", "string", "Rerank model")
DOCUMENT_COUNT = _define("dify.retrieval.document_count", "int", "Documents found")
TOP_SCORE = _define("dify.retrieval.top_score", "double", "Best score of a document")
RETRIEVAL_STATUS = _define("dify.retrieval.status", "string", "`succeeded` or `failed`")
DOCUMENTS = _define("dify.dataset.documents", "string", "Documents found, JSON", content=True)

# Moderation and generation.
MODERATION_TYPE = _define("dify.moderation.type", "string", "`input` or `output`")
MODERATION_PROVIDER = _define(
    "dify.moderation.provider", "string", "`keywords`, `openai_moderation`, `api` or a plugin's"
)
MODERATION_FLAGGED = _define("dify.moderation.flagged", "boolean", "Whether it was flagged")
MODERATION_ACTION = _define("dify.moderation.action", "string", "What was done about it")
MODERATION_QUERY = _define("dify.moderation.query", "string", "What was checked", content=True)
GENERATION_STATUS = _define("dify.prompt_generation.status", "string", "`succeeded` or `failed`")
GENERATION_INPUT = _define(
    "dify.prompt_generation.instruction", "string", "What it is made from", content=True
)
GENERATION_OUTPUT = _define(
    "dify.prompt_generation.output", "string", "What was made, JSON", content=True
)

# Model call.
OPERATION_NAME = _define(
    "gen_ai.operation.name",
    "string",
    "`chat`, `embeddings`, `rerank`, `moderation`, `speech_to_text` or `text_to_speech`",
)
PROVIDER = _define("gen_ai.provider.name", "string", "Provider, in OpenTelemetry's names")
DIFY_PROVIDER = _define("dify.model.provider", "string", "Provider, in Dify's name")
REQUEST_MODEL = _define("gen_ai.request.model", "string", "Model asked for")
RESPONSE_MODEL = _define("gen_ai.response.model", "string", "Model that answered")
FINISH_REASONS = _define(
    "gen_ai.response.finish_reasons", "string[]", "Why the model stopped writing"
)
TEMPERATURE = _define("gen_ai.request.temperature", "double", "Temperature asked for")
TOP_P = _define("gen_ai.request.top_p", "double", "Nucleus sampling asked for")
MAX_TOKENS = _define("gen_ai.request.max_tokens", "int", "Limit of output tokens asked for")
STREAM = _define("gen_ai.request.stream", "boolean", "Whether the answer is streamed")
INPUT_TOKENS = _define("gen_ai.usage.input_tokens", "int", "Input tokens of this call")
OUTPUT_TOKENS = _define("gen_ai.usage.output_tokens", "int", "Output tokens of this call")
CACHED_TOKENS = _define(
    "gen_ai.usage.cache_read.input_tokens",
    "int",
    "Input tokens read from a cache; no usage of graphon up to 0.8 has them",
)
REASONING_TOKENS = _define(
    "gen_ai.usage.reasoning.output_tokens",
    "int",
    "Output tokens of reasoning; no usage of graphon up to 0.8 has them",
)
CALL_PRICE = _define("gen_ai.usage.cost", "double", "Price of this call, in its currency")
CALL_CURRENCY = _define("gen_ai.usage.cost.currency", "string", "Currency of the price")
FIRST_TOKEN = _define(
    "gen_ai.response.time_to_first_chunk", "double", "Seconds to the first chunk of a stream"
)
INPUT_COUNT = _define("dify.model.input.count", "int", "Texts or documents sent in this call")
INPUT_MESSAGES = _define("gen_ai.input.messages", "string", "Prompt, JSON", content=True)
OUTPUT_MESSAGES = _define("gen_ai.output.messages", "string", "Answer, JSON", content=True)

# Tool call.
TOOL_NAME = _define("gen_ai.tool.name", "string", "Tool")
TOOL_TYPE = _define(
    "dify.tool.provider_type", "string", "`builtin`, `api`, `workflow`, `plugin` or `mcp`"
)
TOOL_PROVIDER = _define("dify.tool.provider", "string", "Provider of the tool")
TOOL_STATUS = _define("dify.tool.status", "string", "`succeeded` or `failed`")
TOOL_INPUTS = _define("gen_ai.tool.call.arguments", "string", "Arguments, JSON", content=True)
TOOL_OUTPUTS = _define("gen_ai.tool.call.result", "string", "Result, JSON", content=True)

# Lifecycle, indexing, files, triggers.
FEEDBACK_RATING = _define(
    "dify.feedback.rating", "string", "`like`, `dislike`, `null` if taken back"
)
FEEDBACK_CONTENT = _define("dify.feedback.content", "string", "What was said to it", content=True)
ANNOTATION_ID = _define("dify.annotation.id", "string", "Annotation that answered")
DOCUMENT_ID = _define("dify.document.id", "string", "Document of a data set")
DOCUMENT_SOURCE = _define("dify.document.source", "string", "`upload_file`, `website_crawl`, …")
INDEXING_PHASE = _define("dify.indexing.phase", "string", "`extract`, `split`, `save` or `load`")
INDEXING_STATUS = _define("dify.indexing.status", "string", "`succeeded` or `failed`")
STORAGE_OPERATION = _define("dify.storage.operation", "string", "`save`, `load_once` and so on")
STORAGE_TYPE = _define("dify.storage.type", "string", "Class of the storage")
STORAGE_SIZE = _define("dify.storage.size", "int", "Bytes saved")
TRIGGER_TYPE = _define("dify.trigger.type", "string", "`webhook`, `schedule`, `plugin` and so on")

# What others observe.
CUSTOM_NAME = _define("dify.custom.name", "string", "Name given to `otel_dify.observe`")
CUSTOM_STATUS = _define("dify.custom.status", "string", "`succeeded` or `failed`")

# HTTP, in and out.
HTTP_METHOD = _define("http.request.method", "string", "Method")
HTTP_ROUTE = _define("http.route", "string", "Route template")
HTTP_STATUS = _define("http.response.status_code", "int", "Status of the response")
HTTP_FIRST_BYTE = _define(
    "dify.http.time_to_first_byte", "double", "Seconds to the first byte of the body"
)
HTTP_BODY_SIZE = _define("http.response.body.size", "int", "Bytes of the body sent")
HTTP_REQUEST_SIZE = _define(
    "http.request.body.size", "int", "Bytes of the body received, as the caller says"
)
URL_PATH = _define("url.path", "string", "Path")
URL_FULL = _define("url.full", "string", "Address called, without its query")
SERVER_ADDRESS = _define("server.address", "string", "Host called")
SERVER_PORT = _define("server.port", "int", "Port called")
CLIENT_ADDRESS = _define("client.address", "string", "Address of the caller")
USER_AGENT = _define("user_agent.original", "string", "User agent of the caller")

# Task.
TASK_NAME = _define("celery.task_name", "string", "Task")
TASK_STATE = _define("celery.state", "string", "State the task ended in")
TASK_ACTION = _define("celery.action", "string", "`apply_async` where sent, `run` where run")
MESSAGING_SYSTEM = _define("messaging.system", "string", "Always `celery`")
MESSAGING_OPERATION = _define("messaging.operation.name", "string", "`send` or `process`")
DESTINATION = _define("messaging.destination.name", "string", "Queue")
MESSAGE_UID = _define("messaging.message.id", "string", "Id of the task")
QUEUE_WAIT = _define("dify.task.queue_wait", "double", "Seconds between sending and running")

# Query.
DB_SYSTEM = _define("db.system.name", "string", "`postgresql`, `redis` and so on")
DB_NAMESPACE = _define("db.namespace", "string", "Database")
DB_OPERATION = _define("db.operation.name", "string", "`SELECT`, `GET` and so on")
DB_STATEMENT = _define("db.query.text", "string", "Statement, values replaced by `?`")

INHERITED = frozenset(key for key, attribute in _ALL.items() if attribute.inherit)
"""Names of the attributes that operations below inherit."""
