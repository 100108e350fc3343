"""How long work tells what it is doing: callbacks that the command line draws and tests ignore."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, Protocol

Unit = Literal["bytes", "packages", "files", "texts", "steps"]


class Meter(Protocol):
    """One running measurement."""

    def advance(self, amount: int) -> None:
        """Add `amount` units; safe to call from any thread."""

    def resize(self, total: int | None) -> None:
        """Learn the total after the start."""


class Progress(Protocol):
    """Where long work reports to."""

    def say(self, message: str) -> None:
        """Tell in one plain sentence what happens now."""

    def meter(self, label: str, *, total: int | None, unit: Unit) -> AbstractContextManager[Meter]:
        """Open a meter for `total` units (None: unknown); leaving the context closes it."""


class _SilentMeter:
    def advance(self, amount: int) -> None:
        pass

    def resize(self, total: int | None) -> None:
        pass


class Silent:
    """Progress that nobody watches."""

    def say(self, message: str) -> None:
        pass

    def meter(self, label: str, *, total: int | None, unit: Unit) -> AbstractContextManager[Meter]:
        return nullcontext(_SilentMeter())
