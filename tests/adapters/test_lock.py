"""`lock` against a channel of records: what is solved, what stays, what is written."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from filelock import FileLock

from nomic_scaffold.adapters import lock_files
from nomic_scaffold.errors import InputError, UnavailableError, UsageError
from nomic_scaffold.formats import conda_lock, explicit, lock_header
from nomic_scaffold.models.lock import LockPaths
from nomic_scaffold.models.progress import Silent
from nomic_scaffold.models.variant import Accelerator, Platform
from nomic_scaffold.workflows import lock as workflow
from tests.support import records
from tests.support.locking import Site, site
from tests.support.records import Record

CUDA = LockPaths(accelerator=Accelerator.CUDA).lock


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with site(tmp_path, monkeypatch, requirements=["numpy >=2", "rich"]) as found:
        yield found


def versions(site: Site, path: str = "conda-lock.yml", platform: Platform = Platform.LINUX_64) -> dict[str, str]:
    return {package.name: package.version for package in conda_lock.parse(site.text(path)).on(platform)}


def newer(name: str, version: str, *depends: str) -> Record:
    return Record(name=name, version=version, build="py313_9", depends=("python", *depends), day=200)


def test_every_variant_is_locked_and_every_file_is_written(here: Site) -> None:
    result = here.lock()
    assert [item.id for item in result.variants] == [
        *("linux-64-cpu", "linux-aarch64-cpu", "osx-arm64-cpu", "win-64-cpu"),
        *("linux-64-cuda", "linux-aarch64-cuda", "win-64-cuda"),
    ]
    assert all(item.outcome == "solved" and item.packages == 7 and item.size > 0 for item in result.variants)
    made = {"locks/sizes.json", "conda-lock.yml", CUDA}
    made |= {f"locks/{a}.{kind}.yml" for a in ("cpu", "cuda") for kind in ("environment", "virtual-packages")}
    made |= {f"locks/explicit/{item.id}{kind}.txt" for item in result.variants for kind in ("", ".sha256")}
    assert set(result.written) == made
    assert set(here.texts()) == made | {"environment.yml", "scaffold.toml"}
    assert {workflow.check(here.root)[0].file} == {"locks/pylock.toml"}


def test_addresses_in_a_lock_are_the_channels_and_not_the_mirrors(here: Site) -> None:
    here.lock()
    everything = "".join(here.texts().values())
    assert "https://conda.anaconda.org/conda-forge/noarch/tzdata-2026a-0.conda" in everything
    assert here.served.url not in everything


def test_cpu_and_cuda_locks_hold_their_own_builds(here: Site) -> None:
    here.lock()
    for path, build in (("conda-lock.yml", "cpu_generic_py313_h2"), (CUDA, "cuda129_generic_py313_h2")):
        builds = {package.build for package in conda_lock.parse(here.text(path)).packages if package.name == "pytorch"}
        assert builds == {build}


def test_the_same_input_gives_the_same_bytes(here: Site, tmp_path: Path) -> None:
    here.lock()
    first = here.texts()
    assert here.lock(fresh=True).written == ()
    other = records.project(tmp_path / "elsewhere", requirements=["rich", "numpy >=2"])
    workflow.lock(other, workflow.Wanted(pypi=False), progress=Silent())
    for path in ("conda-lock.yml", CUDA, "locks/sizes.json", "locks/explicit/win-64-cuda.sha256.txt"):
        written = (other / path).read_text()
        assert "\n".join(row for row in written.splitlines() if not row.startswith("#   "))
        assert written == first[path]


def test_what_still_fits_stays(here: Site) -> None:
    here.lock()
    here.publish(newer("numpy", "2.3.0"), newer("pygments", "2.9"), Record(name="attrs", depends=("python",)))
    here.edit("environment.yml", "- rich", "- rich\n  - attrs")
    result = here.lock()
    assert {item.changed for item in result.variants} == {1}
    assert versions(here)["numpy"] == "2.1.0"
    here.lock(fresh=True)
    assert (versions(here)["numpy"], versions(here)["pygments"]) == ("2.3.0", "2.9")


def test_what_no_longer_fits_moves(here: Site) -> None:
    here.lock()
    here.publish(newer("numpy", "2.3.0"), newer("pygments", "2.9"))
    here.edit("environment.yml", "numpy >=2", "numpy >=2.2")
    here.lock()
    assert (versions(here)["numpy"], versions(here)["pygments"]) == ("2.3.0", "2.0")


def test_a_package_that_the_channel_took_back_is_replaced(here: Site) -> None:
    here.lock()
    records.write(here.folder, [record for record in here.held if (record.name, record.version) != ("numpy", "2.1.0")])
    here.edit("environment.yml", "- rich", "- rich >=13")
    here.lock()
    assert versions(here)["numpy"] == "2.0.0"


def test_a_requirement_that_names_another_channel_moves_the_package_there(
    here: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.write(here.folder / "bio", [Record(name="rich", version="13.0", depends=("python", "pygments >=2"))])
    forge = "https://conda.anaconda.org"
    mirrors = f"{forge}/conda-forge={here.served.url} {forge}/bioconda={here.served.url}/bio"
    monkeypatch.setenv("NOMIC_SCAFFOLD_MIRRORS", mirrors)
    here.edit("environment.yml", "- conda-forge", "- conda-forge\n  - bioconda")
    here.lock()
    here.edit("environment.yml", "- rich", "- bioconda::rich")
    here.lock()
    found = {package.name: package.url for package in conda_lock.parse(here.text()).on(Platform.LINUX_64)}
    assert found["rich"].startswith(f"{forge}/bioconda/")
    assert found["numpy"].startswith(f"{forge}/conda-forge/")
    here.edit("environment.yml", "numpy >=2", "numpy >=2.0")
    assert {item.changed for item in here.lock().variants} == {0}


def test_nothing_is_solved_when_nothing_changed(here: Site) -> None:
    here.lock()
    here.served.requests.clear()
    result = here.lock()
    assert {item.outcome for item in result.variants} == {"kept"}
    assert result.written == ()
    assert here.served.requests == []


def test_upgrade_moves_the_package_and_what_must_move_with_it(here: Site) -> None:
    here.lock()
    here.publish(newer("numpy", "2.3.0"), newer("rich", "14.0", "pygments >=2.5"), newer("pygments", "2.9"))
    here.publish(newer("pip", "26.0"))
    here.lock(upgrade=("numpy",))
    assert (versions(here)["numpy"], versions(here)["rich"], versions(here)["pygments"]) == ("2.3.0", "13.0", "2.0")
    here.lock(upgrade=("rich",))
    assert (versions(here)["rich"], versions(here)["pygments"]) == ("14.0", "2.9")


def test_upgrade_moves_what_held_the_package_back(here: Site) -> None:
    """The locked rich goes with old pygments only: kept as it is, it would keep pygments too."""
    here.lock()
    kept = [record for record in here.held if record.name != "rich"]
    here.held = [*kept, Record(name="rich", version="13.0", build="pyh2_0", depends=("python", "pygments >=2,<2.5"))]
    here.publish(newer("pygments", "2.9"), newer("rich", "14.0", "pygments >=2.5"), newer("numpy", "2.3.0"))
    here.lock(upgrade=("pygments",))
    assert (versions(here)["pygments"], versions(here)["rich"], versions(here)["numpy"]) == ("2.9", "14.0", "2.1.0")


def test_upgrade_of_a_package_that_nobody_locked_is_refused(here: Site) -> None:
    here.lock()
    with pytest.raises(UsageError, match="no lock holds a package 'numppy'") as raised:
        here.lock(upgrade=("numppy",))
    assert raised.value.hint == "did you mean numpy?"
    with pytest.raises(UsageError) as raised:
        here.lock(upgrade=("zzzz",))
    assert raised.value.hint == "nomic-scaffold lock --fresh moves everything"


def test_upgrade_of_a_package_that_nobody_locked_is_refused_with_a_pypi_lock_too(here: Site) -> None:
    here.lock()
    (here.root / "locks" / "pylock.toml").write_text('[[packages]]\nname = "tea"\n')
    with pytest.raises(UsageError, match="no lock holds a package 'numppy'"):
        here.lock(pypi=True, upgrade=("numppy",))


def test_a_name_to_upgrade_is_found_however_it_is_written(here: Site) -> None:
    here.lock()
    here.publish(newer("numpy", "2.3.0"))
    here.lock(upgrade=("NumPy",))
    assert versions(here)["numpy"] == "2.3.0"


def test_a_platform_and_a_variant_that_no_lock_has_together_are_refused(here: Site) -> None:
    with pytest.raises(UsageError, match=r"scaffold.toml has nothing for --variant cuda --platform osx-arm64"):
        here.lock(variants=("cuda",), platforms=("osx-arm64",))


@pytest.mark.parametrize(
    ("wanted", "moved"),
    [
        pytest.param({"platforms": ("osx-arm64",)}, {"osx-arm64-cpu"}, id="platform"),
        pytest.param({"variants": ("cuda",)}, {"linux-64-cuda", "linux-aarch64-cuda", "win-64-cuda"}, id="variant"),
        pytest.param({"variants": ("cuda",), "platforms": ("win-64",)}, {"win-64-cuda"}, id="both"),
    ],
)
def test_a_subset_leaves_the_rest_byte_for_byte(here: Site, wanted: dict[str, object], moved: set[str]) -> None:
    here.lock()
    before = {path: conda_lock.split(here.text(path)) for path in ("conda-lock.yml", CUDA)}
    files = here.texts()
    here.publish(newer("numpy", "2.3.0"))
    result = here.lock(fresh=True, **wanted)
    assert {item.id for item in result.variants if item.changed} == moved
    for accelerator in Accelerator:
        path = LockPaths(accelerator=accelerator).lock
        old, new = before[path], conda_lock.split(here.text(path))
        assert old is not None
        assert new is not None
        untouched = {p for p in old.content_hash if f"{p}-{accelerator}" not in moved}
        assert [b for b in old.blocks if b.platform in untouched] == [b for b in new.blocks if b.platform in untouched]
        assert [r for r in old.records if r.platform in untouched] == [
            r for r in new.records if r.platform in untouched
        ]
    for path, text in here.texts().items():
        if path.startswith("locks/explicit") and not any(path.endswith((f"{i}.txt", f"{i}.sha256.txt")) for i in moved):
            assert text == files[path]


def test_a_new_platform_is_added_and_a_dropped_one_goes(here: Site) -> None:
    here.edit("scaffold.toml", '"osx-arm64", "win-64"]', '"win-64"]')
    here.lock()
    assert "osx-arm64" not in here.text()
    here.edit(
        "scaffold.toml",
        '"linux-aarch64", "win-64"]\nrequirements = { all = ["pytorch * cpu*"',
        '"osx-arm64"]\nrequirements = { all = ["pytorch * cpu*"',
    )
    result = here.lock()
    assert [item.outcome for item in result.variants if item.id.endswith("cpu")] == ["kept", "solved"]
    assert {record.platform for record in lock_header.parse(here.text()) or ()} == {"linux-64", "osx-arm64"}
    assert not (here.root / "locks/explicit/win-64-cpu.txt").exists()
    assert (here.root / "locks/explicit/win-64-cuda.txt").exists()


def test_a_dropped_variant_takes_its_files_with_it(here: Site) -> None:
    here.lock()
    text = here.text("scaffold.toml")
    start, end = text.index("[variants.cuda]"), text.index("[virtual-packages]")
    (here.root / "scaffold.toml").write_text(text[:start] + text[end:])
    here.lock()
    assert not [path for path in here.texts() if "cuda" in path]


@pytest.mark.parametrize(
    ("day", "version"), [(date(2026, 1, 2), "2.0.0"), (date(2026, 4, 10), "2.0.0"), (date(2026, 4, 11), "2.1.0")]
)
def test_packages_after_a_day_are_not_looked_at(here: Site, day: date, version: str) -> None:
    here.lock(exclude_newer=day)  # numpy 2.1.0 is of 2026-04-11
    assert versions(here)["numpy"] == version
    assert {record.exclude_newer for record in lock_header.parse(here.text()) or ()} == {day.isoformat()}


def test_a_day_counts_for_what_was_locked_before_too(here: Site) -> None:
    here.lock()
    assert versions(here)["numpy"] == "2.1.0"
    here.lock(exclude_newer=date(2026, 2, 1))
    assert versions(here)["numpy"] == "2.0.0"
    assert here.lock(exclude_newer=date(2026, 2, 1)).written == ()


def test_offline_takes_what_the_cache_has(here: Site) -> None:
    here.lock()
    here.served.requests.clear()
    here.lock(offline=True, fresh=True)
    assert here.served.requests == []


def test_a_folder_of_records_stands_in_for_the_channel(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOMIC_SCAFFOLD_MIRRORS", "")
    here.lock(repodata=here.folder)
    assert here.served.requests == []
    assert "https://conda.anaconda.org/conda-forge/linux-64/python-3.13.1-h1_cp313.conda" in here.text()


def test_records_of_a_folder_are_cached_until_the_folder_changes(here: Site, tmp_path: Path) -> None:
    def caches() -> int:
        return len(list((tmp_path / "repodata").iterdir()))

    here.lock(repodata=here.folder)
    here.lock(repodata=here.folder, fresh=True)
    assert caches() == 1
    here.publish(newer("numpy", "9.0"))
    here.lock(repodata=here.folder, fresh=True)
    assert caches() == 2
    assert versions(here)["numpy"] == "9.0"


def test_records_of_a_folder_never_pass_for_the_channels(here: Site, tmp_path: Path) -> None:
    other = records.write(tmp_path / "other", [*here.held, newer("numpy", "9.0")])
    here.lock(repodata=other)
    assert versions(here)["numpy"] == "9.0"
    here.lock(fresh=True)
    assert versions(here)["numpy"] == "2.1.0"


def test_a_cuda_build_in_a_cpu_lock_is_an_error(here: Site) -> None:
    here.edit("scaffold.toml", 'all = ["pytorch * cuda*"]', 'all = ["pytorch * cpu*"]')
    with pytest.raises(InputError, match=r"linux-64-cuda would hold .*pytorch.* a cpu build"):
        here.lock()
    assert set(here.texts()) == {"environment.yml", "scaffold.toml"}


def test_a_record_without_a_hash_is_not_locked(here: Site) -> None:
    here.publish(Record(name="numpy", version="5.0", build="py313_0", depends=("python",), hashes=("md5",)))
    with pytest.raises(InputError, match=r"numpy-5\.0-py313_0\.conda has no sha256"):
        here.lock()


@pytest.mark.parametrize(
    "channel", ["https://me:secret@channel.example/forge", "https://channel.example/t/se-cret/forge"]
)
def test_a_login_in_the_channels_address_is_refused(here: Site, channel: str) -> None:
    here.edit("environment.yml", "- conda-forge", f"- {channel}")
    with pytest.raises(InputError, match=r"environment.yml:3: a channel's address holds a password or token") as caught:
        here.lock()
    assert "cret" not in caught.value.message


@pytest.mark.parametrize(
    ("path", "old", "new", "place"),
    [
        pytest.param(
            *("environment.yml", "- rich", "- https://me:hunter2@host.example/forge::rich"),
            "environment.yml:8",
            id="a requirement's channel",
        ),
        pytest.param(
            *("environment.yml", "- rich", "- rich[channel='https://host.example/t/hunter2/forge']"),
            "environment.yml:8",
            id="in brackets",
        ),
        pytest.param(
            *("environment.yml", "- rich", "- pip\n  - pip:\n      - tea @ https://me:hunter2@host.example/tea-1.whl"),
            "environment.yml:10",
            id="the pip section",
        ),
        pytest.param(
            *(
                "environment.yml",
                "- rich",
                "- pip\n  - pip:\n      - --index-url https://me:hunter2@host.example/simple",
            ),
            "environment.yml:10",
            id="an index in the pip section",
        ),
        pytest.param(
            *("scaffold.toml", '"pytorch * cuda*"', '"https://me:hunter2@host.example/forge::pytorch * cuda*"'),
            "scaffold.toml:9",
            id="a variant",
        ),
        pytest.param(
            *(
                "scaffold.toml",
                "requirements = []",
                'requirements = ["tea @ https://me:hunter2@host.example/tea-1.whl"]',
            ),
            "scaffold.toml:20",
            id="what pylock.toml is made from",
        ),
    ],
)
def test_a_login_in_a_requirement_is_refused_wherever_it_stands(
    here: Site, path: str, old: str, new: str, place: str
) -> None:
    here.edit(path, old, new)
    before = here.texts()
    with pytest.raises(InputError, match=f"^{place}: a requirement's address holds a password or token") as caught:
        here.lock()
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"
    assert here.texts() == before


def test_a_login_in_a_variable_stays_a_variable(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    host = here.served.url.removeprefix("http://")
    monkeypatch.setenv("CHANNEL_USER", "someone")
    monkeypatch.setenv("CHANNEL_PASSWORD", "hunter2")
    here.edit("environment.yml", "- conda-forge", f"- http://${{CHANNEL_USER}}:${{CHANNEL_PASSWORD}}@{host}")
    here.lock()
    everything = "".join(here.texts().values())
    assert "hunter2" not in everything
    assert "someone" not in everything
    sent = {
        value for request in here.served.requests for name, value in request.headers.items() if "auth" in name.lower()
    }
    assert sent == {"Basic " + base64.b64encode(b"someone:hunter2").decode()}


def test_a_token_in_a_variable_is_not_in_the_addresses_of_packages(
    here: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHANNEL_TOKEN", "to-ken-1")
    records.write(here.folder / "t" / "to-ken-1" / "forge", here.held)
    here.edit("environment.yml", "- conda-forge", f"- {here.served.url}/t/${{CHANNEL_TOKEN}}/forge")
    here.lock()
    everything = "".join(here.texts().values())
    assert "to-ken-1" not in everything
    assert f"{here.served.url}/forge/noarch/tzdata-2026a-0.conda" in everything
    before = here.text()
    here.publish(newer("numpy", "2.3.0"))
    records.write(here.folder / "t" / "to-ken-1" / "forge", here.held)
    here.edit("environment.yml", "- rich", "- rich >=13")
    here.lock()
    assert versions(here)["numpy"] == "2.1.0"
    assert here.text() != before


@pytest.mark.parametrize(
    "condarc", ["channel_alias: {url}", "mirrored_channels: {{conda-forge: ['{url}/conda-forge']}}"]
)
def test_the_users_own_condarc_says_where_the_channel_is(
    here: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, condarc: str
) -> None:
    monkeypatch.delenv("NOMIC_SCAFFOLD_MIRRORS")
    records.write(here.folder / "conda-forge", here.held)
    (tmp_path / ".condarc").write_text(condarc.format(url=here.served.url))
    here.lock()
    assert "/conda-forge/linux-64/repodata.json" in {request.path for request in here.served.requests}
    assert here.served.url not in "".join(here.texts().values())


def test_a_login_of_rattlers_own_file_is_used_and_not_written(
    here: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = {"127.0.0.1": {"BasicHTTP": {"username": "someone", "password": "hunter2"}}}
    (tmp_path / "logins.json").write_text(json.dumps(login))
    monkeypatch.setenv("RATTLER_AUTH_FILE", str(tmp_path / "logins.json"))
    here.served.authorization = "Basic " + base64.b64encode(b"someone:hunter2").decode()
    here.lock()
    assert "hunter2" not in "".join(here.texts().values())
    monkeypatch.delenv("RATTLER_AUTH_FILE")
    monkeypatch.setenv("NOMIC_SCAFFOLD_REPODATA", str(tmp_path / "empty"))
    with pytest.raises(UnavailableError, match="401"):
        here.lock(fresh=True)


def test_a_second_lock_waits_for_the_first(here: Site) -> None:
    said: list[str] = []

    class Told(Silent):
        def say(self, message: str) -> None:
            said.append(message)
            held.release()

    (here.root / ".nomic-scaffold").mkdir()
    held = FileLock(here.root / ".nomic-scaffold" / "locking")
    held.acquire()
    workflow.lock(here.root, workflow.Wanted(pypi=False), progress=Told())
    assert "another nomic-scaffold is locking this project" in said[0]
    assert (here.root / "conda-lock.yml").exists()


def test_two_at_once_give_one_whole_result(here: Site) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            here.lock(fresh=True)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert here.lock().written == ()


def test_a_merge_conflict_is_solved_by_locking_again(here: Site) -> None:
    here.lock()
    whole = here.text()
    conflict = whole.replace("numpy-2.1.0", "<<<<<<< ours\nnumpy-2.1.0\n=======\nnumpy-2.0.0\n>>>>>>> theirs")
    (here.root / "conda-lock.yml").write_text(conflict)
    here.lock()
    assert here.text() == whole


def test_a_lock_of_another_tool_is_taken_over_with_its_versions(here: Site) -> None:
    here.lock()
    foreign = "".join(row for row in here.text().splitlines(keepends=True) if not row.startswith("#"))
    (here.root / "conda-lock.yml").write_text(foreign)
    assert workflow.check(here.root)[0].kind == "foreign"
    here.publish(newer("numpy", "2.3.0"))
    here.lock()
    assert versions(here)["numpy"] == "2.1.0"


def test_a_file_that_can_not_be_written_leaves_all_of_them_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "first").write_text("old")
    (tmp_path / "blocked").write_text("a file where a folder is wanted")
    with pytest.raises(OSError, match="blocked"):
        lock_files.write(tmp_path, {"first": "new", "blocked/second": "new"})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "first": "old",
        "blocked": "a file where a folder is wanted",
    }


def test_explicit_files_list_the_lock_in_the_order_of_installing(here: Site) -> None:
    here.lock()
    packages = {package.url: package for package in conda_lock.parse(here.text()).on(Platform.LINUX_64)}
    for kind in ("md5", "sha256"):
        name = LockPaths(accelerator=Accelerator.CPU).explicit(Platform.LINUX_64, sha256=kind == "sha256")
        rows = explicit.parse(here.text(name))
        assert rows is not None
        assert dict(rows) == {url: getattr(p, kind) for url, p in packages.items()}
        order = [packages[url].name for url, _ in rows]
        assert order.index("tzdata") < order.index("python") < order.index("pygments") < order.index("rich")
        assert order.index("libtorch") < order.index("pytorch")


def test_rattler_reads_the_explicit_files(here: Site) -> None:
    from rattler.explicit_environment import ExplicitEnvironmentSpec

    here.lock()
    for name in ("locks/explicit/linux-64-cpu.txt", "locks/explicit/linux-64-cpu.sha256.txt"):
        assert len(ExplicitEnvironmentSpec.from_path(here.root / name).packages) == 7
