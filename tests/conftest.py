"""Fixtures that many tests share."""

from __future__ import annotations

from tests.support.environments import nomic_environment, torch_environment

__all__ = ["nomic_environment", "torch_environment"]
