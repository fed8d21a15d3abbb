"""What becomes of apps, data sets, conversations, answers and annotations."""

from __future__ import annotations

from otel_dify.table.attribute import define
from otel_dify.table.common import APP_MODE, OWNER, TENANT_ID
from otel_dify.table.engine import WORKFLOW_VERSION
from otel_dify.table.instrument import Amount, Instrument, Recording
from otel_dify.table.kind import happening
from otel_dify.table.queries import FOLDED
from otel_dify.table.retrieval import DATASET_ID, TOP_SCORE

# Lifecycle, indexing, files, triggers.
FEEDBACK_RATING = define(
    "dify.feedback.rating", "string", "`like`, `dislike`, `null` if taken back"
)
FEEDBACK_CONTENT = define("dify.feedback.content", "string", "What was said to it", content=True)
ANNOTATION_ID = define("dify.annotation.id", "string", "Annotation that answered")
FEEDBACKS = Instrument("dify.feedback.total", "counter", "{feedback}", "Feedback on answers")
ANNOTATION_HITS = Instrument(
    "dify.annotation.hits.total", "counter", "{hit}", "Answers given by annotations"
)
CONVERSATIONS = Instrument(
    "dify.conversations.total", "counter", "{conversation}", "Conversations begun"
)
APPS_CREATED = Instrument("dify.app.created.total", "counter", "{app}", "Apps created")
APPS_UPDATED = Instrument("dify.app.updated.total", "counter", "{app}", "Apps changed")
APPS_DELETED = Instrument("dify.app.deleted.total", "counter", "{app}", "Apps deleted")
DATASETS_CREATED = Instrument(
    "dify.dataset.created.total", "counter", "{dataset}", "Data sets created"
)
DATASETS_DELETED = Instrument(
    "dify.dataset.deleted.total", "counter", "{dataset}", "Data sets deleted"
)
_APP_MODE = (*OWNER, ("mode", APP_MODE))
TENANT = (("tenant_id", TENANT_ID),)
APP_INFO = Instrument(
    "dify.app.info",
    "gauge",
    "{app}",
    "Always 1: what ids mean, by `tenant_id`, `app_id`, `app_name`, `app_mode`, `workflow_id` and "
    "`workflow_version`, of apps that this process has run. Several processes report the same: "
    "join `dify:app:info` and `dify:workflow:info` of `recordings.yaml`",
)
WORKFLOWS_PUBLISHED = Instrument(
    "dify.workflow.published.total", "counter", "{workflow}", "Versions of workflows published"
)
WORKFLOW_PUBLISHED = happening(
    "workflow published",
    "A version of an app's workflow is published.",
    "dify.workflow.published",
    Recording(WORKFLOWS_PUBLISHED, Amount.ONE, OWNER),
    sentence=(
        "workflow of app {dify.app.name} ({dify.app_id})",
        "was published as version {dify.workflow.version}",
    ),
    attributes=(WORKFLOW_VERSION,),
)
APP_CREATED = happening(
    "app created",
    "An app is made.",
    "dify.app.created",
    Recording(APPS_CREATED, Amount.ONE, _APP_MODE),
    sentence=("app {dify.app.name} ({dify.app_id})", "was created"),
)
APP_UPDATED = happening(
    "app updated",
    "An app is changed: its name, its site, or what a chat, completion or agent app is made of.",
    "dify.app.updated",
    Recording(APPS_UPDATED, Amount.ONE, OWNER),
    sentence=("app {dify.app.name} ({dify.app_id})", "was changed"),
)
APP_DELETED = happening(
    "app deleted",
    "An app is deleted.",
    "dify.app.deleted",
    Recording(APPS_DELETED, Amount.ONE, OWNER),
    sentence=("app {dify.app.name} ({dify.app_id})", "was deleted"),
)
DATASET_CREATED = happening(
    "dataset created",
    "A data set is made.",
    "dify.dataset.created",
    Recording(DATASETS_CREATED, Amount.ONE, TENANT),
    sentence=("creation of data set {dify.dataset.id}", "succeeded"),
    attributes=(DATASET_ID, *FOLDED),
)
DATASET_DELETED = happening(
    "dataset deleted",
    "A data set is deleted.",
    "dify.dataset.deleted",
    Recording(DATASETS_DELETED, Amount.ONE, TENANT),
    sentence=("data set {dify.dataset.id}", "was deleted"),
    attributes=(DATASET_ID,),
)
CONVERSATION_CREATED = happening(
    "conversation created",
    "A conversation begins: of a chat, agent, completion or chatflow app, or in the editor.",
    "dify.conversation.created",
    Recording(CONVERSATIONS, Amount.ONE, _APP_MODE),
    sentence=("conversation {dify.conversation.id}", "began"),
    below=("request", "task"),
)
FEEDBACK = happening(
    "feedback",
    "Somebody judges an answer.",
    "dify.feedback.created",
    Recording(FEEDBACKS, Amount.ONE, (*OWNER, ("rating", FEEDBACK_RATING))),
    sentence=("feedback ({dify.feedback.rating}) on message {dify.message.id}", "was received"),
    attributes=(FEEDBACK_RATING, FEEDBACK_CONTENT, *FOLDED),
)
ANNOTATION_HIT = happening(
    "annotation hit",
    "An annotation answers in place of a model.",
    "dify.annotation.hit",
    Recording(ANNOTATION_HITS, Amount.ONE, OWNER),
    sentence=("annotation {dify.annotation.id}", "answered message {dify.message.id}"),
    below=("message",),
    attributes=(ANNOTATION_ID, TOP_SCORE, *FOLDED),
)
