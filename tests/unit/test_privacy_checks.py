from __future__ import annotations

from nomic_scaffold.checks.privacy import check_privacy
from nomic_scaffold.models.evidence import NetworkAttempt, PrivacyEvidence, Unavailable
from nomic_scaffold.models.report import Status

ATTEMPT = NetworkAttempt(call="socket.getaddrinfo", address="api-atlas.nomic.ai:443")


def test_no_attempt_while_watched_both_ways_passes() -> None:
    results = check_privacy(PrivacyEvidence(attempts=(), watched=("socket", "namespace")))
    assert [r.status for r in results] == [Status.PASS, Status.PASS]


def test_an_attempt_fails_and_says_where_to() -> None:
    watched, attempted = check_privacy(PrivacyEvidence(attempts=(ATTEMPT,) * 7, watched=("socket",)))
    assert watched.status is Status.PASS
    assert attempted.status is Status.FAIL
    assert "socket.getaddrinfo to api-atlas.nomic.ai:443" in attempted.detail
    assert "and 2 more" in attempted.detail


def test_without_a_namespace_it_says_what_was_not_held_in() -> None:
    watched, attempted = check_privacy(PrivacyEvidence(attempts=(), watched=("socket",)))
    assert "native code was not held in" in watched.detail
    assert attempted.status is Status.PASS


def test_programs_that_were_started_are_named_where_nothing_held_them_in() -> None:
    loose = PrivacyEvidence(attempts=(), watched=("socket",), started=("lscpu", "python3"))
    assert "nor were the programs that were started: lscpu, python3" in check_privacy(loose)[0].detail
    held = loose.model_copy(update={"watched": ("socket", "namespace")})
    assert "lscpu" not in check_privacy(held)[0].detail


def test_not_watching_is_no_pass() -> None:
    for evidence in (PrivacyEvidence(attempts=(), watched=()), Unavailable(unavailable="the probe died")):
        (result,) = check_privacy(evidence)
        assert result.status is Status.UNKNOWN
