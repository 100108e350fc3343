"""How a source of weights can fail."""

from __future__ import annotations


class SourceError(Exception):
    """A source did not give the file; `reason` is one plain clause. The next source is tried."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class WrongBytesError(SourceError):
    """A source gave other bytes than the pinned ones."""


class RefusedError(SourceError):
    """A source wants credentials or a certificate that this tool can't give, though another program might."""
