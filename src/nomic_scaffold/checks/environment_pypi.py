"""Judge an environment made of wheels against locks/pylock.toml."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from packaging.markers import Marker
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from nomic_scaffold.checks import codes
from nomic_scaffold.checks.codes import Code
from nomic_scaffold.models.evidence import EnvironmentEvidence, FileFinding, InstalledPackage, Unavailable
from nomic_scaffold.models.lock import PypiLock, PypiPackage
from nomic_scaffold.models.report import CheckResult, Status

FRESH = "nomic-scaffold install --fresh"
_SHOWN = 5


def check_pypi_environment(lock: PypiLock, evidence: EnvironmentEvidence | Unavailable) -> tuple[CheckResult, ...]:
    """Judge packages, the archives they come from, and files."""
    if isinstance(evidence, Unavailable):
        return (codes.ENV_LOOKED.result(Status.UNKNOWN, evidence.unavailable, hint="nomic-scaffold install"),)
    try:
        expected = _expected(lock, evidence)
    except ValueError as error:
        return (codes.ENV_LOOKED.result(Status.UNKNOWN, str(error), hint="nomic-scaffold lock"),)
    seen: dict[str, InstalledPackage] = {canonicalize_name(package.name): package for package in evidence.packages}
    both = [(expected[name], seen[name]) for name in sorted(expected) if name in seen]
    looked = (
        f"{len(seen)} packages, {evidence.files} files, Python {evidence.python}; its standard library is not covered"
    )
    return (
        codes.ENV_LOOKED.result(Status.PASS, looked),
        _python(lock, evidence),
        _verdict(
            codes.ENV_PRESENT,
            [f"{name} {expected[name].version}" for name in sorted(expected) if name not in seen],
            passed=f"{len(both)} packages",
        ),
        _verdict(
            codes.ENV_NO_MORE,
            [f"{name} {seen[name].version}" for name in sorted(seen) if name not in expected],
            passed="none",
        ),
        _verdict(
            codes.ENV_VERSION,
            [f"{w.name} is {s.version}, locked {w.version}" for w, s in both if s.version != w.version],
            passed=f"{len(both)} packages",
        ),
        _archives(both),
        *_files(evidence),
    )


def _expected(lock: PypiLock, evidence: EnvironmentEvidence) -> dict[str, PypiPackage]:
    """Give the packages that the lock has for the environment's Python; raises ValueError when that can't be told."""
    if not evidence.markers:
        raise ValueError("the evidence does not say what Python and platform it is of")
    return {
        canonicalize_name(package.name): package
        for package in lock.packages
        if not package.marker or Marker(package.marker).evaluate(dict(evidence.markers))
    }


def _python(lock: PypiLock, evidence: EnvironmentEvidence) -> CheckResult:
    try:
        fits = SpecifierSet(lock.requires_python).contains(evidence.python, prereleases=True)
    except InvalidSpecifier:
        return codes.ENV_PYTHON.result(Status.UNKNOWN, f"the lock says {lock.requires_python!r}", hint=FRESH)
    detail = f"{evidence.python}, locked for {lock.requires_python or 'any'}"
    return codes.ENV_PYTHON.result(Status.PASS if fits else Status.FAIL, detail, hint="" if fits else FRESH)


def _archives(both: Sequence[tuple[PypiPackage, InstalledPackage]]) -> CheckResult:
    """Hold the archive's hash against every wheel of the package in the lock."""
    wrong, untold = [], []
    for wanted, seen in both:
        if seen.sha256 is None:
            untold.append(seen.name)
        elif seen.sha256 not in {file.sha256 for file in wanted.files}:
            wrong.append(f"{seen.name} {seen.version} has {seen.sha256[:12]}…")
    if wrong or not untold:
        return _verdict(codes.ENV_ARCHIVE, wrong, passed=f"{len(both)} wheels, by sha256")
    detail = f"nothing tells which archive {_some(untold)} came from"
    return codes.ENV_ARCHIVE.result(Status.UNKNOWN, detail, hint=FRESH)


def _files(evidence: EnvironmentEvidence) -> Iterable[CheckResult]:
    def told(*problems: str) -> list[FileFinding]:
        return [finding for finding in evidence.findings if finding.problem in problems]

    broken, changed, unread = told("missing", "resized", "link", "mode"), told("changed"), told("unreadable")
    if unread and not broken:
        yield codes.ENV_FILES.result(Status.UNKNOWN, f"could not read {_named(unread)}", hint=FRESH)
    else:
        yield _verdict(codes.ENV_FILES, _names(broken), passed=f"{evidence.files} files")
    if evidence.depth == "deep":
        unhashed = [*unread, *(one for one in told("unwitnessed") if not one.path.endswith(".dist-info/RECORD"))]
        if unhashed and not (broken or changed):
            yield codes.ENV_BYTES.result(Status.UNKNOWN, f"not held against a hash: {_named(unhashed)}", hint=FRESH)
        else:
            yield _verdict(
                codes.ENV_BYTES, _names([*changed, *broken]), passed=f"{evidence.bytes_read / 1e6:.0f} MB read"
            )
    yield _verdict(codes.ENV_FOREIGN, _names(told("foreign")), passed="none")


def _verdict(code: Code, wrong: Sequence[str], *, passed: str) -> CheckResult:
    if not wrong:
        return code.result(Status.PASS, passed)
    return code.result(Status.FAIL, _some(wrong), hint=FRESH)


def _names(findings: Iterable[FileFinding]) -> list[str]:
    return [
        f"{one.path} {one.problem}"
        + (f" (of {one.owner})" if one.owner else "")
        + (f": {one.detail}" * bool(one.detail))
        for one in findings
    ]


def _named(findings: Sequence[FileFinding]) -> str:
    return _some([one.path for one in findings])


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _SHOWN
    return "; ".join(names[:_SHOWN]) + (f"; and {rest} more" if rest > 0 else "")
