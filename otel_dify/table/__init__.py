"""What there is: attributes, instruments and kinds of operations, each domain in one module.

Adding a kind is adding a row to its domain's module. ``docs/data-dictionary.md`` is generated from
this table, and dashboards, rules and Collector configurations are checked against it. All names
are found here as well: ``t.NODE``, ``t.RUN_ID``.
"""

from __future__ import annotations

from otel_dify.table import (
    common,
    custom,
    engine,
    helpers,
    http,
    indexing,
    lifecycle,
    limits,
    messages,
    models,
    outside,
    queries,
    retrieval,
    tasks,
    telemetry,
    tools,
)
from otel_dify.table.attribute import Attribute as Attribute
from otel_dify.table.common import *
from otel_dify.table.custom import *
from otel_dify.table.engine import *
from otel_dify.table.helpers import *
from otel_dify.table.http import *
from otel_dify.table.indexing import *
from otel_dify.table.instrument import Instrument as Instrument
from otel_dify.table.kind import Kind as Kind
from otel_dify.table.lifecycle import *
from otel_dify.table.limits import *
from otel_dify.table.messages import *
from otel_dify.table.models import *
from otel_dify.table.outside import *
from otel_dify.table.peers import PEERS as PEERS
from otel_dify.table.peers import Peer as Peer
from otel_dify.table.queries import *
from otel_dify.table.retrieval import *
from otel_dify.table.tasks import *
from otel_dify.table.telemetry import *
from otel_dify.table.tools import *

_DOMAINS = (
    common,
    http,
    tasks,
    engine,
    models,
    tools,
    queries,
    messages,
    retrieval,
    helpers,
    lifecycle,
    indexing,
    outside,
    custom,
    limits,
    telemetry,
)


def _all[T](sort: type[T]) -> tuple[T, ...]:
    """List what the domains define of a sort, in their order, each once."""
    found = (value for domain in _DOMAINS for value in vars(domain).values())
    return tuple(dict.fromkeys(value for value in found if isinstance(value, sort)))


KINDS: tuple[Kind, ...] = _all(Kind)
INSTRUMENTS: tuple[Instrument, ...] = _all(Instrument)
ATTRIBUTES: tuple[Attribute, ...] = _all(Attribute)

FAILED = (common.ERROR_TYPE, common.ERROR_MESSAGE, common.ERROR_CATEGORY, common.ERROR_FINGERPRINT)
"""What a failed operation of any kind carries."""
INHERITED = frozenset(attribute.key for attribute in ATTRIBUTES if attribute.inherit)
"""Names of the attributes that operations below inherit."""
BY_KEY = {attribute.key: attribute for attribute in ATTRIBUTES}
"""Attributes by their names."""
