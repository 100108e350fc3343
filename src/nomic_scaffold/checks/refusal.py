"""Judge that `embed` refuses what it can't embed rightly."""

from __future__ import annotations

import builtins

from nomic_scaffold.checks import codes
from nomic_scaffold.checks.cases import NotSeenError, Subject
from nomic_scaffold.models.report import CheckResult, Status

UNREADABLE = 1 / 3
"""Share of [UNK] tokens above which embed() must warn."""
EVERYWHERE = {
    "empty": "an empty text",
    "blank": "blanks only",
    "not-text": "something that is not text",
    "one-string": "a text in place of a list",
    "unknown-task": "an unknown task",
    "dimension": "a dimension that the model has not",
    "too-long": "a text past the runtime's limit",
}
BY_RUNTIME = {"nomic": {"special-token": "special tokens in a text"}}
_ACCIDENTS = {name for name in vars(builtins) if name.endswith("Error")} - {"ValueError", "TypeError"}
"""Python's own exceptions that no code raises to refuse an argument."""


def refusals(subject: Subject) -> CheckResult:
    """See that every case that must raise did, with the error that it is meant to raise."""
    wanted = EVERYWHERE | BY_RUNTIME.get(subject.evidence.runtime, {})
    accepted, odd, unseen = [], [], []
    for what, words in wanted.items():
        try:
            failure = subject.cases.failure(f"refuse:{what}")
        except NotSeenError:
            unseen.append(words)
            continue
        if failure is None:
            accepted.append(words)
        elif failure.error in _ACCIDENTS:
            odd.append(f"{words} raised {failure.error}: {failure.message}")
    if accepted:
        return codes.EMB_REFUSE.result(Status.FAIL, "got a vector instead of an error: " + ", ".join(accepted))
    if odd:
        return codes.EMB_REFUSE.result(Status.FAIL, "not a refusal but an accident: " + "; ".join(odd))
    if unseen:
        raise NotSeenError("the probe did not try " + ", ".join(unseen))
    return codes.EMB_REFUSE.result(Status.PASS, ", ".join(wanted.values()))


def unreadable(subject: Subject) -> CheckResult:
    """See that a Chinese sentence is warned of, and refused on request, where the model can't read it."""
    shares = subject.evidence.unknown_share
    if not isinstance(shares, dict) or "zh" not in shares:
        raise NotSeenError("the tokens of the Chinese sentences could not be counted")
    warned = bool(subject.cases.matrix("unreadable").warnings)
    refused = subject.cases.failure("refuse:unreadable") is not None
    if shares["zh"] <= UNREADABLE:
        detail = f"this model reads Chinese ({shares['zh']:.0%} [UNK]), so there is nothing to warn of"
        return codes.EMB_UNREADABLE.result(Status.PASS, detail)
    seen = f"a Chinese sentence ({shares['zh']:.0%} of the tokens of the probe's Chinese sentences are [UNK])"
    if warned and refused:
        return codes.EMB_UNREADABLE.result(Status.PASS, f'{seen}: warned of, and refused with unknown="error"')
    lacking = "not warned of" if not warned else 'not refused with unknown="error"'
    return codes.EMB_UNREADABLE.result(Status.FAIL, f"{seen}: {lacking}")
