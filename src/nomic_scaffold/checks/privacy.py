"""Judge that nothing left the machine while embedding."""

from __future__ import annotations

from nomic_scaffold.checks import codes
from nomic_scaffold.models.evidence import PrivacyEvidence, Unavailable
from nomic_scaffold.models.report import CheckResult, Status

WAYS = {
    "socket": "Python's sockets were blocked and recorded",
    "namespace": "the probe ran in an empty network namespace",
}


def check_privacy(evidence: PrivacyEvidence | Unavailable) -> tuple[CheckResult, ...]:
    """Judge the attempts; what was not watched is said."""
    if isinstance(evidence, Unavailable):
        hint = evidence.hint or "nomic-scaffold doctor"
        return (codes.PRV_WATCHED.result(Status.UNKNOWN, evidence.unavailable, hint=hint),)
    if not evidence.watched:
        return (codes.PRV_WATCHED.result(Status.UNKNOWN, "the probe ran without watching the network"),)
    told = "; ".join(words for way, words in WAYS.items() if way in evidence.watched)
    if "namespace" not in evidence.watched:
        told += "; native code was not held in: this machine allows no empty network namespace"
        if evidence.started:
            told += f"; nor were the programs that were started: {', '.join(evidence.started)}"
    elif "socket" not in evidence.watched:
        told += "; attempts of Python code were not recorded"
    watched = codes.PRV_WATCHED.result(Status.PASS, told)
    if not evidence.attempts:
        return watched, codes.PRV_NO_ATTEMPT.result(Status.PASS, "no attempt")
    shown = ", ".join(f"{attempt.call} to {attempt.address}" for attempt in evidence.attempts[:5])
    rest = len(evidence.attempts) - 5
    detail = f"{len(evidence.attempts)} attempts, all blocked: {shown}" + (f" and {rest} more" if rest > 0 else "")
    hint = "find the call with: nomic-scaffold verify --only privacy --save-evidence evidence.json"
    return watched, codes.PRV_NO_ATTEMPT.result(Status.FAIL, detail, hint=hint)
