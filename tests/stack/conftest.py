"""The running stack, for the tests of this folder."""

from __future__ import annotations

from tests.stack.stack_fixtures import stack

__all__ = ["stack"]
