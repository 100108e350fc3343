"""The base of every model that crosses a file or a process."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Boundary(BaseModel):
    """A frozen model that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
