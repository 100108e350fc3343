"""The header by which a busy server says when to come back."""

from __future__ import annotations

import datetime as dt
import email.utils
from collections.abc import Callable
from contextlib import suppress


def retry_after(value: str | None, *, now: Callable[[], dt.datetime] | None = None) -> float | None:
    """Read a Retry-After header, which holds seconds or a date; None when it is absent or senseless."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    with suppress(ValueError, TypeError):
        then = email.utils.parsedate_to_datetime(value)
        present = now() if now else dt.datetime.now(dt.UTC)
        return max(0.0, (then - present).total_seconds())
    return None
