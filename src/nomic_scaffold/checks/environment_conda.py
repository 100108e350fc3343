"""Judge a conda environment against the lock: packages, their archives, and every file of theirs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from packaging.utils import canonicalize_name

from nomic_scaffold.checks import codes
from nomic_scaffold.checks.codes import Code
from nomic_scaffold.models.evidence import EnvironmentEvidence, FileFinding, FileProblem, InstalledPackage, Unavailable
from nomic_scaffold.models.lock import LockedPackage
from nomic_scaffold.models.report import CheckResult, Status

MEND = "nomic-scaffold install"
_SHOWN = 5
_RUN = (
    *("bin/", "sbin/", "libexec/", "lib/", "lib64/", "ssl/", "etc/conda/", "conda-meta/", "pyvenv.cfg"),
    *("Scripts/", "Library/", "Lib/", "DLLs/"),
)
"""Places that programs and libraries are run from, that Python imports from, or that say what is run."""
_RUN_ENDS = (".exe", ".dll", ".bat", ".cmd", "._pth")
"""Names at the top of an environment that Windows runs."""
_Pair = tuple[LockedPackage, InstalledPackage]


def check_conda_environment(
    locked: Sequence[LockedPackage], evidence: EnvironmentEvidence | Unavailable, *, mend: str = MEND
) -> tuple[CheckResult, ...]:
    """Judge what was seen against `locked`: what the lock has for the environment's platform and accelerator.

    `mend` is the command that a result hints at.
    """
    results = _judged(locked, evidence)
    if isinstance(evidence, EnvironmentEvidence) and evidence.depth == "deep":
        mend += " --deep"  # what only a deep look saw, a quick one would not mend
    return tuple(one.model_copy(update={"hint": mend}) if one.hint == MEND else one for one in results)


def _judged(locked: Sequence[LockedPackage], evidence: EnvironmentEvidence | Unavailable) -> tuple[CheckResult, ...]:
    if isinstance(evidence, Unavailable):
        return (codes.ENV_LOOKED.result(Status.UNKNOWN, evidence.unavailable, hint=evidence.hint or MEND),)
    if not locked:
        detail = f"the lock has nothing for this platform and {evidence.accelerator}"
        return (codes.ENV_LOOKED.result(Status.UNKNOWN, detail, hint="nomic-scaffold lock"),)
    wanted = {_key(package): package for package in locked}
    seen = {_key(package): package for package in evidence.packages}
    both = [(wanted[key], seen[key]) for key in sorted(wanted) if key in seen]
    how = (
        f"all {evidence.bytes_read / 1e6:.0f} MB read"
        if evidence.depth == "deep"
        else f"sizes and times, and what was touched since the install ({evidence.bytes_read / 1e6:.0f} MB) read; "
        "--deep reads all"
    )
    looked = f"{len(seen)} packages, {evidence.files} files: {how}"
    if evidence.left_out_files:
        size = f"{evidence.left_out_bytes / 1e6:.0f} MB"
        looked += f"; `install --slim` left out {evidence.left_out_files} files ({size})"
    times = Counter(_key(package) for package in evidence.packages)
    twice = [f"{name} has {count} records" for (_, name), count in sorted(times.items()) if count > 1]
    return (
        codes.ENV_LOOKED.result(Status.PASS, looked),
        _verdict(
            codes.ENV_PRESENT,
            [f"{package.name} {package.version}" for key, package in sorted(wanted.items()) if key not in seen],
            passed=f"{len(both)} packages",
        ),
        _verdict(
            codes.ENV_NO_MORE,
            [f"{p.name} {p.version} ({p.manager})" for key, p in sorted(seen.items()) if key not in wanted] + twice,
            passed="none",
        ),
        _verdict(codes.ENV_VERSION, _versions(both), passed=f"{len(both)} packages"),
        _channels(both),
        _archives(both, evidence),
        *_files(evidence),
    )


def _key(package: LockedPackage | InstalledPackage) -> tuple[str, str]:
    return package.manager, canonicalize_name(package.name) if package.manager == "pip" else package.name


def _versions(both: Iterable[_Pair]) -> list[str]:
    wrong = []
    for wanted, seen in both:
        if seen.version != wanted.version:
            wrong.append(f"{wanted.name} is {seen.version}, locked {wanted.version}")
        elif wanted.build is not None and seen.build not in (None, wanted.build):
            wrong.append(f"{wanted.name} {wanted.version} is build {seen.build}, locked {wanted.build}")
    return wrong


def _channels(both: Iterable[_Pair]) -> CheckResult:
    pairs = [pair for pair in both if pair[0].manager == "conda"]
    wrong, untold = [], []
    for wanted, seen in pairs:
        locked = wanted.url.rsplit("/", 2)[0]
        if seen.channel is None:
            untold.append(seen.name)
        elif _channel_name(seen.channel) != _channel_name(locked):
            wrong.append(f"{seen.name} is from {seen.channel}, locked from {locked}")
    if untold and not wrong:
        return codes.ENV_CHANNEL.result(Status.UNKNOWN, f"no record says where {_some(untold)} came from", hint=MEND)
    return _verdict(codes.ENV_CHANNEL, wrong, passed=f"{len(pairs)} packages")


def _channel_name(channel: str) -> str:
    """Reduce a channel to its name: records of a mirror, or of conda's own short names, are of the same channel.

    That a mirror gave the same bytes is the next check's business.
    """
    return channel.rstrip("/").rsplit("/", 1)[-1]


def _archives(both: Sequence[_Pair], evidence: EnvironmentEvidence) -> CheckResult:
    """Hold the archive's hash of each record against the lock's; where a record has none, let the files speak."""
    troubled = {finding.owner for finding in evidence.findings if finding.owner}
    wrong, untold, by_files = [], [], 0
    for wanted, seen in both:
        if seen.sha256 is not None:
            if seen.sha256 != wanted.sha256:
                wrong.append(
                    f"{seen.name} {seen.version} has {seen.sha256[:12]}…, locked {(wanted.sha256 or '')[:12]}…"
                )
        elif evidence.depth == "deep" and seen.name not in troubled:
            by_files += 1  # every byte is the locked archive's: where it came from needs no telling
        else:
            untold.append(seen.name)
    if untold and not wrong:
        hint = MEND if evidence.depth == "deep" else "nomic-scaffold verify --deep"
        return codes.ENV_ARCHIVE.result(
            Status.UNKNOWN, f"no record tells the sha256 of the archive of {_some(untold)}", hint=hint
        )
    told = f", {by_files} of them by their files" if by_files else ""
    return _verdict(codes.ENV_ARCHIVE, wrong, passed=f"{len(both)} packages, by sha256{told}")


def _files(evidence: EnvironmentEvidence) -> Iterable[CheckResult]:
    def told(*problems: FileProblem) -> list[FileFinding]:
        return [finding for finding in evidence.findings if finding.problem in problems]

    gone, changed, unread = told("missing", "resized"), told("changed"), told("unreadable")
    if unread and not gone:
        yield codes.ENV_FILES.result(Status.UNKNOWN, f"could not read {_some(_names(unread))}", hint=MEND)
    else:
        yield _verdict(codes.ENV_FILES, _names(gone), passed=f"{evidence.files} files")
    yield _verdict(codes.ENV_MODES, _names(told("link", "mode")), passed="links and permissions")
    if changed or evidence.depth == "deep":
        if unread and not changed:
            yield codes.ENV_BYTES.result(Status.UNKNOWN, f"could not read {_some(_names(unread))}", hint=MEND)
        else:
            read = f"{evidence.bytes_read / 1e6:.0f} MB read"
            yield _verdict(codes.ENV_BYTES, _names(changed), passed=read)
    if unwitnessed := told("unwitnessed"):
        yield codes.ENV_WITNESS.result(Status.UNKNOWN, _some(_names(unwitnessed)), hint=MEND)
    elif evidence.depth == "deep":
        yield codes.ENV_WITNESS.result(Status.PASS, "the locked archives, by sha256")
    yield _foreign(told("foreign"), compiled=evidence.compiled)


def _foreign(findings: Sequence[FileFinding], *, compiled: int) -> CheckResult:
    runs = [finding for finding in findings if _is_run(finding.path)]
    passed = f"none; {compiled} modules that Python compiled (__pycache__) were not looked at" if compiled else "none"
    if findings and not runs:
        return codes.ENV_FOREIGN.result(Status.WARN, _some(_names(findings)), hint=MEND)
    return _verdict(codes.ENV_FOREIGN, _names([*runs, *(f for f in findings if f not in runs)]), passed=passed)


def _is_run(path: str) -> bool:
    return path.startswith(_RUN) or ("/" not in path and path.lower().endswith(_RUN_ENDS))


def _verdict(code: Code, wrong: Sequence[str], *, passed: str) -> CheckResult:
    if not wrong:
        return code.result(Status.PASS, passed)
    return code.result(Status.FAIL, _some(wrong), hint=MEND)


def _names(findings: Iterable[FileFinding]) -> list[str]:
    return [
        one.path
        + (f" (of {one.owner})" if one.owner else "")
        + f": {one.problem}"
        + (f", {one.detail}" * bool(one.detail))
        for one in findings
    ]


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _SHOWN
    return "; ".join(names[:_SHOWN]) + (f"; and {rest} more" if rest > 0 else "")
