"""Judgement of conda environments: one thing wrong at a time, and which code says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nomic_scaffold.checks.environment_conda import check_conda_environment
from nomic_scaffold.checks.machine import needs
from nomic_scaffold.models.evidence import EnvironmentEvidence, FileFinding, InstalledPackage, Unavailable
from nomic_scaffold.models.lock import LockedPackage
from nomic_scaffold.models.report import Status
from nomic_scaffold.models.variant import Platform, VirtualPackage

FORGE = "https://conda.anaconda.org/conda-forge"
NUMPY = LockedPackage(
    name="numpy",
    version="2.4.6",
    manager="conda",
    platform=Platform.LINUX_64,
    url=f"{FORGE}/linux-64/numpy-2.4.6-py313_0.conda",
    sha256="a" * 64,
    md5="b" * 32,
    build="py313_0",
)
NOMIC = LockedPackage(
    name="nomic",
    version="3.9.0",
    manager="pip",
    platform=Platform.LINUX_64,
    url="https://example.org/nomic-3.9.0-py3-none-any.whl",
    sha256="c" * 64,
    md5=None,
)
LOCK = (NUMPY, NOMIC)
NUMPY_THERE = InstalledPackage(
    name="numpy", version="2.4.6", manager="conda", build="py313_0", channel=FORGE, sha256="a" * 64
)
NOMIC_THERE = InstalledPackage(name="nomic", version="3.9.0", manager="pip", sha256="c" * 64)


def evidence(*packages: InstalledPackage, deep: bool = True, findings: list[FileFinding] | None = None):  # type: ignore[no-untyped-def]
    return EnvironmentEvidence(
        provider="conda",
        python="3.13.1",
        packages=packages or (NUMPY_THERE, NOMIC_THERE),
        depth="deep" if deep else "fast",
        files=10,
        bytes_read=1000,
        findings=tuple(findings or ()),
    )


def statuses(seen: EnvironmentEvidence | Unavailable, locked: tuple[LockedPackage, ...] = LOCK) -> dict[str, Status]:
    return {result.code: result.status for result in check_conda_environment(locked, seen)}


def worse(seen: EnvironmentEvidence) -> dict[str, Status]:
    return {code: status for code, status in statuses(seen).items() if status is not Status.PASS}


def finding(problem: str, path: str = "lib/x.so", owner: str | None = "numpy") -> FileFinding:
    return FileFinding(path=path, problem=problem, owner=owner)  # type: ignore[arg-type]


def test_all_is_well() -> None:
    assert set(statuses(evidence()).values()) == {Status.PASS}
    assert "ENV009" in statuses(evidence())
    assert "ENV009" not in statuses(evidence(deep=False))


@pytest.mark.parametrize(
    ("packages", "codes"),
    [
        pytest.param([NUMPY_THERE], {"ENV002"}, id="missing"),
        pytest.param(
            [NUMPY_THERE, NOMIC_THERE, InstalledPackage(name="evil", version="1", manager="pip")],
            {"ENV003"},
            id="extra from pip",
        ),
        pytest.param(
            [NUMPY_THERE, NOMIC_THERE, InstalledPackage(name="numpy", version="2.4.6", manager="pip")],
            {"ENV003"},
            id="the same from pip over conda's",
        ),
        pytest.param([NUMPY_THERE.model_copy(update={"version": "2.4.5"}), NOMIC_THERE], {"ENV004"}, id="version"),
        pytest.param([NUMPY_THERE.model_copy(update={"build": "py313_1"}), NOMIC_THERE], {"ENV004"}, id="build"),
        pytest.param(
            [NUMPY_THERE.model_copy(update={"channel": "https://conda.anaconda.org/other"}), NOMIC_THERE],
            {"ENV010"},
            id="channel",
        ),
        pytest.param([NUMPY_THERE.model_copy(update={"sha256": "d" * 64}), NOMIC_THERE], {"ENV005"}, id="archive"),
    ],
)
def test_a_set_of_packages_that_is_not_the_lock_fails(packages: list[InstalledPackage], codes: set[str]) -> None:
    assert worse(evidence(*packages)) == dict.fromkeys(codes, Status.FAIL)


@pytest.mark.parametrize(
    ("seen", "code", "status"),
    [
        pytest.param(finding("missing"), "ENV006", Status.FAIL, id="missing"),
        pytest.param(finding("resized"), "ENV006", Status.FAIL, id="resized"),
        pytest.param(finding("changed"), "ENV009", Status.FAIL, id="changed"),
        pytest.param(finding("link"), "ENV011", Status.FAIL, id="link"),
        pytest.param(finding("mode"), "ENV011", Status.FAIL, id="mode"),
        pytest.param(finding("unwitnessed"), "ENV012", Status.UNKNOWN, id="unwitnessed"),
        pytest.param(
            finding("foreign", "lib/python3.13/site-packages/evil.pth", None), "ENV007", Status.FAIL, id="code"
        ),
        pytest.param(finding("foreign", "share/jupyter/kernel.json", None), "ENV007", Status.WARN, id="other file"),
        *(
            pytest.param(finding("foreign", path, None), "ENV007", Status.FAIL, id=path)
            for path in ("sbin/x", "libexec/x", "ssl/openssl.cnf", "etc/conda/activate.d/x.sh", "pyvenv.cfg", "x.DLL")
        ),
    ],
)
@pytest.mark.parametrize("deep", [True, False])
def test_each_trouble_with_files_has_its_code(seen: FileFinding, code: str, status: Status, deep: bool) -> None:
    assert worse(evidence(deep=deep, findings=[seen])) == {code: status}


def test_what_could_not_be_read_is_unknown() -> None:
    assert worse(evidence(findings=[finding("unreadable")])) == {"ENV006": Status.UNKNOWN, "ENV009": Status.UNKNOWN}


def test_a_record_without_sha256_is_spoken_for_by_its_files() -> None:
    """conda writes none when it installs from a list with md5."""
    bare = NUMPY_THERE.model_copy(update={"sha256": None})
    assert worse(evidence(bare, NOMIC_THERE)) == {}
    assert worse(evidence(bare, NOMIC_THERE, deep=False)) == {"ENV005": Status.UNKNOWN}
    unwitnessed = evidence(bare, NOMIC_THERE, findings=[finding("unwitnessed")])
    assert worse(unwitnessed) == {"ENV005": Status.UNKNOWN, "ENV012": Status.UNKNOWN}


def test_a_wheel_whose_origin_nothing_tells_is_spoken_for_by_its_files() -> None:
    bare = NOMIC_THERE.model_copy(update={"sha256": None})
    assert worse(evidence(NUMPY_THERE, bare)) == {}
    assert worse(evidence(NUMPY_THERE, bare, deep=False)) == {"ENV005": Status.UNKNOWN}
    unwitnessed = evidence(NUMPY_THERE, bare, findings=[finding("unwitnessed", owner="nomic")])
    assert worse(unwitnessed) == {"ENV005": Status.UNKNOWN, "ENV012": Status.UNKNOWN}


@pytest.mark.parametrize("channel", [f"{FORGE}/", "conda-forge", "https://mirror.example/conda/conda-forge"])
def test_a_mirror_is_the_same_channel(channel: str) -> None:
    assert worse(evidence(NUMPY_THERE.model_copy(update={"channel": channel}), NOMIC_THERE)) == {}


def test_no_environment_and_no_lock_are_unknown() -> None:
    assert statuses(Unavailable(unavailable="none")) == {"ENV001": Status.UNKNOWN}
    assert statuses(evidence(), locked=()) == {"ENV001": Status.UNKNOWN}


def test_details_name_the_file_its_owner_and_the_command() -> None:
    seen = FileFinding(path="bin/x", problem="changed", owner="numpy", detail="modified 2026-11-01T10:00:00Z")
    result = next(r for r in check_conda_environment(LOCK, evidence(findings=[seen])) if r.code == "ENV009")
    assert result.detail == "bin/x (of numpy): changed, modified 2026-11-01T10:00:00Z"
    assert result.hint == "nomic-scaffold install --deep", "what only a deep look saw, a quick one would not mend"


def test_hints_are_for_the_environment_that_was_looked_at() -> None:
    seen = evidence(findings=[finding("changed"), finding("mode"), finding("unwitnessed")])
    results = check_conda_environment(LOCK, seen, mend="nomic-scaffold install --prefix /opt/env")
    assert {r.hint for r in results if r.status is not Status.PASS} == {
        "nomic-scaffold install --prefix /opt/env --deep"
    }


def test_what_was_left_out_is_counted() -> None:
    slim = {"left_out_files": 1234, "left_out_bytes": 56_000_000}
    results = check_conda_environment(LOCK, evidence().model_copy(update=slim))
    assert "`install --slim` left out 1234 files (56 MB)" in results[0].detail


def test_a_package_with_two_records_fails() -> None:
    older = NUMPY_THERE.model_copy(update={"version": "1.0"})
    assert statuses(evidence(older, NUMPY_THERE, NOMIC_THERE))["ENV003"] is Status.FAIL


def test_pip_names_are_compared_as_pip_does() -> None:
    locked = replace(NOMIC, name="Nomic.Embed_Client")
    seen = evidence(NUMPY_THERE, NOMIC_THERE.model_copy(update={"name": "nomic-embed-client"}))
    assert statuses(seen, (NUMPY, locked))["ENV002"] is Status.PASS


@pytest.mark.parametrize(
    ("wants", "has", "met"),
    [
        ("2.28", "2.28", True),
        ("2.28", "2.36", True),
        ("2.28", "2.17", False),
        ("12.9", "13.0", True),
        ("12.9", "12.10", True),
        ("12.9", None, False),
    ],
)
def test_a_machine_is_held_against_what_a_variant_wants(wants: str, has: str | None, met: bool) -> None:
    found = [VirtualPackage(name="__cuda", version=has)] if has else []
    (need,) = needs([VirtualPackage(name="__cuda", version=wants)], found)
    assert need.met is met
    assert ("NOT MET" in str(need)) is not met


def test_processors_are_named_and_not_compared() -> None:
    wanted = VirtualPackage(name="__archspec", version="1", build="x86_64_v3")
    (need,) = needs([wanted], [VirtualPackage(name="__archspec", version="1", build="zen4")])
    assert need.met
    assert "zen4; not compared" in str(need)
