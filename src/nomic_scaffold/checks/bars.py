"""How far vectors may be apart, by the type that they were computed in."""

from __future__ import annotations

from nomic_scaffold.models.spec import ProjectSpec, Tolerance

COARSE = {
    "float16": Tolerance(cosine_distance=1e-5, component=1e-3),
    "bfloat16": Tolerance(cosine_distance=1e-3, component=1e-2),
}
"""Bars of the coarser types: about three times the largest deviation measured on CPUs (how-equal-is-equal.md)."""


def bars_of(spec: ProjectSpec, dtype: str) -> Tolerance:
    """Give the bars for vectors computed in `dtype`: scaffold.toml's for float32, the table's for coarser types."""
    return COARSE.get(dtype, spec.tolerance)
