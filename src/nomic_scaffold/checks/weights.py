"""Judge the model file by the project's pin: there, of the right size, the right bytes."""

from __future__ import annotations

from collections.abc import Mapping

from nomic_scaffold.checks.codes import WGT_PRESENT, WGT_SHA256, WGT_SIZE
from nomic_scaffold.models.evidence import Unavailable, WeightsEvidence
from nomic_scaffold.models.report import CheckResult, Status
from nomic_scaffold.models.spec import ModelPin

_PULL = "nomic-scaffold weights pull"


def check_weights(
    pin: ModelPin, evidence: WeightsEvidence | Unavailable, *, known: Mapping[str, str] | None = None
) -> tuple[CheckResult, ...]:
    """Give one result each for presence, size and sha256; `known` maps sha256 to words for files that we recognise.

    A missing or unreadable file is unknown, not a failure: nothing was looked at.
    """
    if isinstance(evidence, Unavailable):
        return _not_looked_at(evidence.unavailable, hint="")
    if evidence.size is None or evidence.sha256 is None:
        return _not_looked_at(f"{pin.file} is not there", hint=_PULL)
    present = WGT_PRESENT.result(Status.PASS, f"{evidence.file} is there")
    return present, _size(pin, evidence.size, evidence.sha256), _sha256(pin, evidence.sha256, known or {})


def _not_looked_at(why: str, *, hint: str) -> tuple[CheckResult, ...]:
    return (
        WGT_PRESENT.result(Status.UNKNOWN, why, hint=hint),
        WGT_SIZE.result(Status.UNKNOWN, "not looked at", hint=hint),
        WGT_SHA256.result(Status.UNKNOWN, "not looked at", hint=hint),
    )


def _size(pin: ModelPin, size: int, sha256: str) -> CheckResult:
    if size == pin.size:
        return WGT_SIZE.result(Status.PASS, f"{size:,} bytes")
    hint = f"write size = {size} under [model] in scaffold.toml" if sha256 == pin.sha256 else _PULL
    return WGT_SIZE.result(Status.FAIL, f"{size:,} bytes instead of {pin.size:,}", hint=hint)


def _sha256(pin: ModelPin, sha256: str, known: Mapping[str, str]) -> CheckResult:
    if sha256 == pin.sha256:
        return WGT_SHA256.result(Status.PASS, f"sha256 {sha256}")
    what = f"; this is {known[sha256]}" if sha256 in known else ""
    return WGT_SHA256.result(Status.FAIL, f"sha256 {sha256} instead of {pin.sha256}{what}", hint=_PULL)
