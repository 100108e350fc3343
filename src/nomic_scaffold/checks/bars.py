"""How far vectors may be apart: by the device and the type of the computation, and by what a project measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nomic_scaffold.models.probe import Golden
from nomic_scaffold.models.report import Deviation, Status
from nomic_scaffold.models.spec import ProjectSpec, Tolerance

COARSE = {
    "float16": Tolerance(cosine_distance=1e-5, component=1e-3),
    "bfloat16": Tolerance(cosine_distance=1e-3, component=1e-2),
}
"""Bars of the coarser types: about three times the largest deviation measured on CPUs (how-equal-is-equal.md)."""
ELSEWHERE = COARSE["float16"]
"""What float32 on a device that nobody measured stays within, or it is not rounding; TF32 keeps as many bits too."""
FACTOR = 3
"""A device's own bars are this many times what `bless` measured on it."""


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Vectors within `near` are the same, vectors beyond `far` are wrong; between them nobody knows what is normal."""

    near: Tolerance
    far: Tolerance
    unmeasured: str = ""
    """What nobody has measured, e.g. `float32 on cuda`, where the two differ."""

    def status(self, component: float, cosine_distance: float = 0.0) -> Status:
        """Judge a deviation; NaN fails."""
        for bars, status in ((self.near, Status.PASS), (self.far, Status.UNKNOWN)):
            if component <= bars.component and cosine_distance <= bars.cosine_distance:
                return status
        return Status.FAIL

    @property
    def nobody_knows(self) -> str:
        """Say why a deviation between the two bars is neither right nor wrong."""
        return f"nobody has measured what is normal for {self.unmeasured}"


def bars_of(spec: ProjectSpec, *, device: str, dtype: str, own: Golden | None) -> Bars:
    """Give the bars for vectors computed on `device` in `dtype`; `own` is what the project blessed for both.

    On a CPU they are scaffold.toml's for float32 and the table's for coarser types. Elsewhere they are what `bless`
    measured, and never wider than rounding can be.
    """
    kind = device.partition(":")[0]
    near = COARSE.get(dtype, spec.tolerance)
    if kind == "cpu":
        return Bars(near=near, far=near)
    far = COARSE.get(dtype, ELSEWHERE)
    if own is not None and own.tolerance is not None and own.model_sha256 == spec.model.sha256:
        blessed = _narrower(own.tolerance, far)
        return Bars(near=blessed, far=blessed)
    return Bars(near=near, far=far, unmeasured=f"{dtype} on {kind}")


def measured(spec: ProjectSpec, deviations: Iterable[Deviation], *, device: str, dtype: str) -> Tolerance:
    """Give the bars that a device's deviations from known vectors call for; never narrower than a CPU's."""
    found, bars = tuple(deviations), bars_of(spec, device=device, dtype=dtype, own=None)
    component = FACTOR * max((one.component for one in found), default=0.0)
    cosine = FACTOR * max((one.cosine_distance for one in found), default=0.0)
    seen = Tolerance(
        component=max(component, bars.near.component), cosine_distance=max(cosine, bars.near.cosine_distance)
    )
    return _narrower(seen, bars.far)


def _narrower(a: Tolerance, b: Tolerance) -> Tolerance:
    return Tolerance(component=min(a.component, b.component), cosine_distance=min(a.cosine_distance, b.cosine_distance))
