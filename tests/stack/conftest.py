"""The running stacks, for the tests of this folder."""

from __future__ import annotations

from tests.stack.observed_fixtures import observed
from tests.stack.stack_fixtures import stack

__all__ = ["observed", "stack"]
