"""Judge that `embed` refuses what it can't embed rightly."""

from __future__ import annotations

import builtins

from nomic_scaffold.checks import codes
from nomic_scaffold.checks.cases import NotSeenError, Subject
from nomic_scaffold.models.report import CheckResult, Status

EVERYWHERE = {"empty": "an empty text", "not-text": "something that is not text", "unknown-task": "an unknown task"}
BY_RUNTIME = {
    "nomic": {"long-word": "a word of more than 100 characters", "too-long": "a text past the runtime's limit"},
    "torch": {},
}
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
