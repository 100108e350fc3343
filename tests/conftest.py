"""Fixtures that many tests share."""

from __future__ import annotations

from tests.support.environments import nomic_environment, torch_environment
from tests.support.weights import official_weights

__all__ = ["nomic_environment", "official_weights", "torch_environment"]
