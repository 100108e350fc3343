"""The event loop that rattler's coroutines run on."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, as asyncio.run does, on a loop that is never closed.

    rattler's threads call back after the last answer, and can crash the interpreter when the loop is gone by then.
    """
    return _runner().run(main)


@cache
def _runner() -> asyncio.Runner:
    return asyncio.Runner()
