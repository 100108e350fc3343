"""The pip section of a conda environment: what conda gives is never taken twice, with the real uv."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import date
from importlib import metadata
from pathlib import Path

import pytest

from nomic_scaffold.adapters.lock_files import check
from nomic_scaffold.adapters.pypi.for_conda import solve_for_conda
from nomic_scaffold.checks.lock import check_lock
from nomic_scaffold.errors import InputError, UnavailableError, UnsolvableError, UsageError
from nomic_scaffold.formats import conda_lock, lock_header
from nomic_scaffold.models.lock import LockedPackage, LockFile, LockInputs, LockRecord, LockSet, Requirement
from nomic_scaffold.models.report import Status
from nomic_scaffold.models.variant import Accelerator, Platform, VirtualPackage
from nomic_scaffold.workflows.lock import LockResult
from tests.support.locking import Site, site
from tests.support.server import Served, serve
from tests.support.simple_index import make_wheel, publish, publish_times

PARTS = ("py3-none-manylinux1_x86_64", "py3-none-macosx_10_15_universal2", "py3-none-win_amd64")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """Serve an index like the real one: nomic needs jsonlines and, for its extra, gpt4all, which lacks a platform."""
    root, made = tmp_path / "index", tmp_path / "made"
    extra = "gpt4all ; extra == 'local'\nProvides-Extra: local"
    publish(
        root,
        make_wheel(made, "nomic", "3.9.0", requires=["numpy>=2", "rich>=13", "jsonlines", extra]),
        make_wheel(made, "jsonlines", "4.0.0", requires=["pygments"]),
        *(make_wheel(made, "gpt4all", "2.8.2", tag=tag, requires=["rich"]) for tag in PARTS),
        make_wheel(made, "numpy", "9.9.9"),
        make_wheel(made, "picky", "1.0", requires=["numpy<2"]),
        make_wheel(made, "only-here", "1.0", tag="py3-none-win_amd64"),
        *(make_wheel(made, "many", "1.0", tag=tag) for tag in MANY),
    )
    with serve(root) as served:
        for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", f"{served.url.replace('//', '//me:hunter2@')}/simple")
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv cache"))
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield served


MANY = (
    "cp313-cp313-manylinux_2_17_x86_64",
    "cp313-cp313-manylinux_2_34_x86_64",
    "cp39-abi3-manylinux_2_17_x86_64",
    "cp312-cp312-manylinux_2_17_x86_64",
    "cp313-cp313-macosx_11_0_arm64",
    "cp313-cp313-win_amd64",
    "py3-none-any",
)


@pytest.fixture
def here(index: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with site(tmp_path, monkeypatch, requirements=["numpy >=2", "rich"], pip=["nomic[local] ==3.9.*"]) as found:
        yield found


def names(site: Site, platform: Platform, manager: str) -> dict[str, str]:
    lock = conda_lock.parse(site.text())
    return {package.name: package.version for package in lock.on(platform) if package.manager == manager}


def test_only_what_conda_lacks_comes_from_the_index(here: Site) -> None:
    here.lock(pypi=True, variants=("cpu",))
    pip = {"nomic": "3.9.0", "jsonlines": "4.0.0", "gpt4all": "2.8.2"}
    for platform in Platform:
        wanted = {n: v for n, v in pip.items() if (n, platform) != ("gpt4all", Platform.LINUX_AARCH64)}
        assert names(here, platform, "pip") == wanted
        assert {"numpy", "rich", "pygments"} <= set(names(here, platform, "conda"))
    assert not [finding for finding in check(here.root) if finding.lock == "conda-lock.yml"]


def test_what_an_extra_lacks_for_a_platform_is_left_out_and_recorded(here: Site) -> None:
    result = here.lock(pypi=True, variants=("cpu",))
    left = {item.id: item.left_out for item in result.variants}
    assert left.pop("linux-aarch64-cpu") == ("gpt4all",)
    assert set(left.values()) == {()}
    records = {record.platform: record.left_out for record in lock_header.parse(here.text()) or ()}
    assert records[Platform.LINUX_AARCH64] == ("gpt4all",)


def test_a_pip_part_has_hashes_its_own_dependencies_and_no_login(here: Site, index: Served) -> None:
    here.lock(pypi=True, variants=("cpu",))
    lock = conda_lock.parse(here.text())
    found = {package.name: package for package in lock.on(Platform.LINUX_64) if package.manager == "pip"}
    assert found["gpt4all"].url == f"{index.url}/files/gpt4all-2.8.2-py3-none-manylinux1_x86_64.whl"
    assert len(found["gpt4all"].sha256 or "") == 64
    assert found["nomic"].depends == ("gpt4all *", "jsonlines *", "numpy *", "rich *")
    assert "hunter2" not in "".join(here.texts().values())
    assert "+conda" not in here.text()
    results = check_lock(LockSet(locks={"conda-lock.yml": lock}, explicit={}), None)
    assert [result.code for result in results if result.status is not Status.PASS] == []


def test_explicit_files_name_the_pip_part_as_conda_lock_does(here: Site, index: Served) -> None:
    here.lock(pypi=True, variants=("cpu",))
    rows = here.text("locks/explicit/win-64-cpu.txt").splitlines()
    assert any(row.startswith(f"# pip nomic @ {index.url}/files/nomic-3.9.0") and "#sha256=" in row for row in rows)


def test_conda_lock_says_that_a_complete_lock_is_fresh_and_an_incomplete_one_is_not(here: Site, tmp_path: Path) -> None:
    from tests.adapters.test_lock_conda_lock import ask_conda_lock

    text = here.text("environment.yml").replace("- conda-forge", f"- {here.served.url}")
    (here.root / "environment.yml").write_text(text, encoding="utf-8")
    here.lock(pypi=True, variants=("cpu",))
    assert "Locking dependencies" not in ask_conda_lock(here, Accelerator.CPU, tmp_path)
    complete = conda_lock.parse(here.text()).content_hash
    (here.root / "conda-lock.yml").unlink()
    here.lock(pypi=False, variants=("cpu",))
    incomplete = conda_lock.parse(here.text()).content_hash
    assert not set(complete.values()) & set(incomplete.values())


def test_the_pip_part_is_added_without_a_solve_of_conda(here: Site) -> None:
    here.lock(pypi=False, variants=("cpu",))
    here.served.requests.clear()
    result = here.lock(pypi=True, variants=("cpu",))
    assert here.served.requests == []
    assert {item.changed for item in result.variants} == {2, 3}


def test_no_index_leaves_the_conda_part_and_says_so(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    result = here.lock(pypi=True, variants=("cpu",), patient=False)
    assert len(result.missing) == 1
    assert "pip section" in result.missing[0]
    assert "nomic-scaffold lock" in result.missing[0]
    assert {record.pypi for record in lock_header.parse(here.text()) or ()} == {"missing"}
    assert [finding.kind for finding in check(here.root) if finding.lock == "conda-lock.yml"] == ["incomplete"]


def test_pinned_versions_stay_until_they_are_upgraded(here: Site, index: Served, tmp_path: Path) -> None:
    here.lock(pypi=True, variants=("cpu",))
    publish(tmp_path / "index", make_wheel(tmp_path / "made", "jsonlines", "4.1.0", requires=["pygments"]))
    here.edit("environment.yml", "- rich", "- rich >=13")
    here.lock(pypi=True, variants=("cpu",))
    assert names(here, Platform.LINUX_64, "pip")["jsonlines"] == "4.0.0"
    shutil.rmtree(tmp_path / "uv cache")  # else uv would not ask again within ten minutes
    here.lock(pypi=True, variants=("cpu",), upgrade=("jsonlines",))
    assert names(here, Platform.LINUX_64, "pip")["jsonlines"] == "4.1.0"


@pytest.mark.parametrize(
    ("requirement", "kind", "words"),
    [
        pytest.param(
            *("numpy", InputError),
            r"environment.yml:11: numpy would come by both managers: pip here, and conda \(numpy 2.1.0; line 7",
            id="asked for of both",
        ),
        pytest.param(
            *("pygments", InputError), r"pygments 2.0; other conda packages need it", id="conda brings it by itself"
        ),
        pytest.param(*("picky", UnsolvableError), r"linux-64-cpu, pip section: .*numpy", id="can't live with conda's"),
        pytest.param(*("only-here", UnsolvableError), r"linux-64-cpu, pip section", id="no file for a platform"),
        pytest.param(*("nosuch", UnsolvableError), r"nosuch", id="no such package"),
        pytest.param(*("-e ./mine", InputError), r"environment.yml:11: '-e ./mine' .* can't be locked", id="a folder"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    here: Site, requirement: str, kind: type[Exception], words: str
) -> None:
    here.edit("environment.yml", "nomic[local] ==3.9.*", requirement)
    before = here.texts()
    with pytest.raises(kind, match=words) as caught:
        here.lock(pypi=True, variants=("cpu",))
    assert here.texts() == before
    if kind is UnsolvableError:
        assert f"loosen {requirement!r} (environment.yml:11)" in (caught.value.hint or "")


def record(site: Site) -> LockRecord:
    return (lock_header.parse(site.text()) or ())[0]


def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param({"upgrade": ("nomic",)}, id="upgrade of a PyPI package"),
        pytest.param({"upgrade": ("rich",)}, id="upgrade that moves nothing"),
        pytest.param({"fresh": True}, id="fresh"),
    ],
)
def test_an_index_that_is_down_leaves_a_complete_lock_complete(
    here: Site, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, object]
) -> None:
    here.lock(pypi=True, variants=("cpu",))
    before = here.texts()
    nobody_listens(monkeypatch)
    result = here.lock(pypi=True, variants=("cpu",), patient=False, **wanted)
    assert [sentence.partition(" (")[0] for sentence in result.missing] == [
        "the pip section of environment.yml could not be renewed"
    ]
    assert "it stays as it was" in result.missing[0]
    assert here.texts() == before


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        pytest.param(("environment.yml", "numpy >=2", "numpy ==2.0.0"), {}, id="conda's part moves"),
        pytest.param(("environment.yml", "nomic[local] ==3.9.*", "nomic ==3.9.*"), {}, id="the pip section changed"),
        pytest.param(None, {"exclude_newer": date(2026, 8, 1)}, id="another day"),
    ],
)
def test_without_an_index_nothing_is_written_where_the_old_pip_part_no_longer_fits(
    here: Site, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str, str] | None, wanted: dict[str, object]
) -> None:
    here.lock(pypi=True, variants=("cpu",))
    if change:
        here.edit(*change)
    before = here.texts()
    nobody_listens(monkeypatch)
    with pytest.raises(UnavailableError, match=r"linux-64-cpu.* has to be locked anew, and no index answers") as caught:
        here.lock(pypi=True, variants=("cpu",), patient=False, **wanted)
    assert "--conda-only" in (caught.value.hint or "")
    assert here.texts() == before


def test_a_platform_that_is_new_waits_alone_when_no_index_answers(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    here.lock(pypi=True, platforms=("linux-64",), variants=("cpu",))
    nobody_listens(monkeypatch)
    result = here.lock(pypi=True, variants=("cpu",), patient=False)
    assert "is not locked yet" in result.missing[0]
    states = {record.platform: record.pypi for record in lock_header.parse(here.text()) or ()}
    assert (states.pop(Platform.LINUX_64), set(states.values())) == ("locked", {"missing"})


def test_a_name_is_upgraded_however_it_is_written(here: Site, index: Served, tmp_path: Path) -> None:
    here.lock(pypi=True, variants=("cpu",))
    publish(tmp_path / "index", make_wheel(tmp_path / "made", "jsonlines", "4.1.0", requires=["pygments"]))
    shutil.rmtree(tmp_path / "uv cache")
    here.lock(pypi=True, variants=("cpu",), upgrade=("JSONLines",))
    assert names(here, Platform.LINUX_64, "pip")["jsonlines"] == "4.1.0"


def test_a_pypi_package_is_not_upgraded_where_its_index_is_left_out(here: Site) -> None:
    here.lock(pypi=True, variants=("cpu",))
    with pytest.raises(UsageError, match="no lock holds a package 'jsonlines'"):
        here.lock(pypi=False, variants=("cpu",), upgrade=("jsonlines",))


def test_the_head_says_what_locked_the_pip_section(here: Site) -> None:
    here.lock(pypi=False, variants=("cpu",))
    assert record(here).pypi_solver == ""
    here.lock(pypi=True, variants=("cpu",))
    assert record(here).pypi_solver == f"uv/{metadata.version('uv')}"
    here.lock(pypi=True, variants=("cpu",), upgrade=("rich",))
    assert record(here).pypi_solver == f"uv/{metadata.version('uv')}"


def test_files_after_a_day_are_not_looked_at(here: Site, index: Served, tmp_path: Path) -> None:
    publish(tmp_path / "index", make_wheel(tmp_path / "made", "jsonlines", "4.1.0", requires=["pygments"]))
    publish_times(index, {"*": "2026-01-01T00:00:00Z", "jsonlines-4.1.0": "2026-07-31T23:59:59Z"})
    here.lock(pypi=True, variants=("cpu",), exclude_newer=date(2026, 7, 30))
    assert names(here, Platform.LINUX_64, "pip")["jsonlines"] == "4.0.0"
    here.lock(pypi=True, variants=("cpu",), exclude_newer=date(2026, 7, 31), fresh=True)
    assert names(here, Platform.LINUX_64, "pip")["jsonlines"] == "4.1.0"


def test_an_index_without_publish_times_says_so(here: Site, index: Served) -> None:
    result = here.lock(pypi=True, variants=("cpu",), exclude_newer=date(2026, 7, 31))
    assert "the index gives no publish times, and --exclude-newer goes by them" in result.missing[0]


def package(name: str, version: str, *depends: str) -> LockedPackage:
    url = f"https://conda.anaconda.org/conda-forge/noarch/{name}-{version}-0.conda"
    return LockedPackage(
        name=name,
        version=version,
        manager="conda",
        platform=Platform.LINUX_64,
        url=url,
        sha256="0" * 64,
        md5="0" * 32,
        depends=depends,
        build="0",
    )


@pytest.mark.parametrize(
    ("platform", "virtual", "python", "tag"),
    [
        (Platform.LINUX_64, ("__glibc", "2.28"), "3.13.1", "cp313-cp313-manylinux_2_17_x86_64"),
        (Platform.LINUX_64, ("__glibc", "2.35"), "3.13.1", "cp313-cp313-manylinux_2_34_x86_64"),
        (Platform.LINUX_64, ("__glibc", "2.28"), "3.12.4", "cp312-cp312-manylinux_2_17_x86_64"),
        (Platform.LINUX_64, ("__glibc", "2.28"), "3.14.0", "cp39-abi3-manylinux_2_17_x86_64"),
        (Platform.LINUX_AARCH64, ("__glibc", "2.28"), "3.13.1", "py3-none-any"),
        (Platform.OSX_ARM64, ("__osx", "13.0"), "3.13.1", "cp313-cp313-macosx_11_0_arm64"),
        (Platform.WIN_64, ("__win", "10"), "3.13.1", "cp313-cp313-win_amd64"),
    ],
)
def test_the_best_wheel_for_the_platform_and_pythons_minor_is_taken(
    index: Served, platform: Platform, virtual: tuple[str, str], python: str, tag: str
) -> None:
    inputs = LockInputs(
        platform=platform,
        accelerator=Accelerator.CPU,
        channels=("conda-forge",),
        requirements=(),
        pip=(Requirement(text="many", manager="pip", file="environment.yml", line=9),),
        virtual_packages=(VirtualPackage(name=virtual[0], version=virtual[1]),),
    )
    part = solve_for_conda(inputs, [package("python", python)])
    assert [item.url.rpartition("/")[2] for item in part.packages] == [f"many-1.0-{tag}.whl"]


def test_a_pip_section_without_python_is_refused(index: Served) -> None:
    pip = (Requirement(text="many", manager="pip", file="environment.yml", line=9),)
    inputs = LockInputs(
        platform=Platform.WIN_64,
        accelerator=Accelerator.CPU,
        channels=(),
        requirements=(),
        pip=pip,
        virtual_packages=(),
    )
    with pytest.raises(InputError, match="has a pip section but no python"):
        solve_for_conda(inputs, [])


def test_an_index_that_does_not_answer_is_given_up_within_seconds(
    index: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    pip = (Requirement(text="many", manager="pip", file="environment.yml", line=9),)
    inputs = LockInputs(
        platform=Platform.WIN_64,
        accelerator=Accelerator.CPU,
        channels=(),
        requirements=(),
        pip=pip,
        virtual_packages=(),
    )
    with pytest.raises(UnavailableError):
        solve_for_conda(inputs, [package("python", "3.13.1")], patient=False)


def test_read_again_the_lock_is_the_same(here: Site) -> None:
    here.lock(pypi=True, variants=("cpu",))
    lock = conda_lock.parse(here.text())
    assert isinstance(lock, LockFile)
    blocks = sorted(conda_lock.blocks(lock.packages), key=lambda block: block.key)
    assert here.text().endswith("".join(block.text for block in blocks))


def only_pylock(site: Site, **wanted: object) -> LockResult:
    return site.lock(pypi=True, variants=("pypi",), patient=False, **wanted)


def test_pylock_goes_by_the_day_too_and_says_so(here: Site, index: Served, tmp_path: Path) -> None:
    here.edit("scaffold.toml", "requirements = []", 'requirements = ["jsonlines"]')
    publish(
        tmp_path / "index",
        make_wheel(tmp_path / "made", "pygments", "2.0"),
        make_wheel(tmp_path / "made", "jsonlines", "4.1.0", requires=["pygments"]),
    )
    publish_times(index, {"*": "2026-01-01T00:00:00Z", "jsonlines-4.1.0": "2026-07-31T00:00:01Z"})
    only_pylock(here)
    assert 'name = "jsonlines"\nversion = "4.1.0"' in here.text("locks/pylock.toml")
    only_pylock(here, exclude_newer=date(2026, 7, 30))
    text = here.text("locks/pylock.toml")
    assert 'name = "jsonlines"\nversion = "4.0.0"' in text
    assert 'exclude-newer = "2026-07-30"' in text
    assert only_pylock(here, exclude_newer=date(2026, 7, 30)).written == ()
    assert only_pylock(here).written == ()


@pytest.mark.parametrize(
    ("wanted", "change", "said"),
    [
        pytest.param({"upgrade": ("Pygments",)}, False, "could not be renewed", id="upgrade of what it holds"),
        pytest.param({"fresh": True}, False, "could not be renewed", id="fresh"),
        pytest.param({}, True, "is still what [pypi] of scaffold.toml asked for before", id="stale"),
    ],
)
def test_pylock_stays_when_no_index_answers_and_that_is_said(
    here: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wanted: dict[str, object],
    change: bool,
    said: str,
) -> None:
    here.edit("scaffold.toml", "requirements = []", 'requirements = ["pygments"]')
    publish(tmp_path / "index", make_wheel(tmp_path / "made", "pygments", "2.0"))
    only_pylock(here)
    if change:
        here.edit("scaffold.toml", '["pygments"]', '["pygments >=2"]')
    before = here.texts()
    nobody_listens(monkeypatch)
    result = only_pylock(here, **wanted)
    assert said in result.missing[0]
    assert "is not locked yet" not in result.missing[0]
    assert here.texts() == before


def test_an_upgrade_of_another_package_leaves_pylock_alone(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    here.edit("environment.yml", "  - pip\n  - pip:\n      - nomic[local] ==3.9.*\n", "")
    here.lock(pypi=True)
    nobody_listens(monkeypatch)
    assert here.lock(pypi=True, upgrade=("rich",), patient=False).missing == ()
