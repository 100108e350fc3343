"""Arithmetic of vectors in float64, without numpy: a few thousand products of 768 components, well under a second."""

from __future__ import annotations

import base64
import math
import operator
import sys
from array import array
from collections.abc import Sequence

Vector = Sequence[float]


def decode(row: str) -> list[float]:
    """Read base64 of little-endian float32; components are exact in float64.

    Raises ValueError when it is not that.
    """
    values = array("f")
    values.frombytes(base64.b64decode(row, validate=True))
    if sys.byteorder == "big":
        values.byteswap()
    return values.tolist()


def encode(vector: Vector) -> str:
    """Write base64 of little-endian float32; the inverse of `decode`."""
    values = array("f", vector)
    if sys.byteorder == "big":
        values.byteswap()
    return base64.b64encode(values.tobytes()).decode("ascii")


if sys.version_info >= (3, 12):
    dot = math.sumprod
else:

    def dot(a: Vector, b: Vector, /) -> float:
        """Sum of products in float64."""
        return float(sum(map(operator.mul, a, b)))


def norm(vector: Vector) -> float:
    """Euclidean length."""
    return math.sqrt(dot(vector, vector))


def finite(vector: Vector) -> bool:
    """Whether no component is NaN or infinite."""
    return math.isfinite(sum(vector))  # float32 values can't overflow here; inf - inf is NaN


def unit(vector: Vector) -> list[float]:
    """Scale to length 1; a vector of zeros stays as it is."""
    length = norm(vector)
    return [x / length for x in vector] if length else list(vector)


def centred(vector: Vector) -> list[float]:
    """Do what LayerNorm without affine and L2 do together: take the mean off, scale to length 1."""
    mean = math.fsum(vector) / len(vector)
    return unit([x - mean for x in vector])


def cosine_distance(a: Vector, b: Vector) -> float:
    """1 - cosine of two vectors of any length but zero.

    As half the squared distance of the unit vectors: `1 - a.b` would lose everything below 1e-16.
    """
    length_a, length_b = norm(a), norm(b)
    if not length_a or not length_b:
        return 1.0
    difference = [x / length_a - y / length_b for x, y in zip(a, b, strict=True)]
    return dot(difference, difference) / 2


def largest_difference(a: Vector, b: Vector) -> float:
    """Largest absolute difference of one component; both must be finite."""
    return max(map(abs, map(operator.sub, a, b)), default=0.0)
