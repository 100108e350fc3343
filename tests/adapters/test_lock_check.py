"""`lock --check`: fast, without a solve, and it names the file and the line that changed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nomic_scaffold.adapters.lock_files import check
from nomic_scaffold.formats import pylock
from nomic_scaffold.formats.pylock_digest import inputs_digest
from nomic_scaffold.models.lock import PypiFile, PypiLock, PypiPackage
from tests.support.locking import Site, site
from tests.support.records import Record
from tests.support.server import Fault


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with site(tmp_path, monkeypatch, requirements=["numpy >=2", "rich  # [linux]"]) as found:
        digest = inputs_digest((), "3.11")
        (found.root / "locks").mkdir()
        (found.root / "locks" / "pylock.toml").write_text(f'[tool.nomic-scaffold]\ninputs-digest = "{digest}"\n')
        found.lock()
        yield found


def run(site: Site, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nomic_scaffold", "-C", str(site.root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=120)


def test_a_fresh_lock_has_no_findings(locked: Site) -> None:
    assert check(locked.root) == ()


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        pytest.param("environment.yml", "  - rich", "  # a remark\n  - rich", id="a comment"),
        pytest.param("environment.yml", "numpy >=2", "numpy   >=2", id="spaces"),
        pytest.param("environment.yml", "name: tiny", "name: another", id="the name"),
        pytest.param("scaffold.toml", 'languages = ["en"]', 'languages = ["en", "de"]', id="languages"),
        pytest.param(
            "environment.yml", "  - python 3.13.*\n  - pytorch >=2", "  - pytorch >=2\n  - python 3.13.*", id="order"
        ),
    ],
)
def test_what_no_solve_depends_on_leaves_a_lock_fresh(locked: Site, path: str, old: str, new: str) -> None:
    locked.edit(path, old, new)
    assert check(locked.root) == ()


@pytest.mark.parametrize(
    ("path", "old", "new", "words"),
    [
        pytest.param(
            *("environment.yml", "numpy >=2", "numpy >=2.1"),
            "environment.yml:7: 'numpy >=2.1' is locked with 'numpy >=2'",
            id="a requirement",
        ),
        pytest.param(
            *("environment.yml", "  - numpy >=2\n", "  - numpy >=2\n  - pip\n"),
            "environment.yml:8: 'pip' is not in the lock",
            id="one more",
        ),
        pytest.param(
            *("environment.yml", "  - numpy >=2\n", ""),
            "environment.yml:4: 'numpy >=2' is locked, but no longer there",
            id="one less",
        ),
        pytest.param(
            *("environment.yml", "conda-forge", "bioconda"),
            "environment.yml:3: 'bioconda' is locked with 'conda-forge'",
            id="the channel",
        ),
        pytest.param(
            *("scaffold.toml", "pytorch * cuda*", "pytorch * cuda12*"),
            "scaffold.toml:9: 'pytorch * cuda12*' is locked with 'pytorch * cuda*'",
            id="the build of a variant",
        ),
        pytest.param(
            *("scaffold.toml", '__cuda = "12.9"', '__cuda = "13.0"'),
            "scaffold.toml:10: '__cuda 13.0 0' is locked with '__cuda 12.9 0'",
            id="a virtual package",
        ),
        pytest.param(
            *("scaffold.toml", '"osx-arm64", "win-64"]', '"win-64"]'),
            "scaffold.toml:4: conda-lock.yml holds osx-arm64, which is not named here",
            id="a platform less",
        ),
        pytest.param(
            *(
                "scaffold.toml",
                '"linux-aarch64", "win-64"]\nrequirements = { all = ["pytorch * cuda',
                '"linux-aarch64", "osx-arm64", "win-64"]\nrequirements = { all = ["pytorch * cuda',
            ),
            "scaffold.toml:8: locks/cuda.conda-lock.yml lacks osx-arm64",
            id="a platform more",
        ),
        pytest.param(
            *("scaffold.toml", '__linux = "5.10", __glibc = "2.28" }', '__linux = "5.10", __glibc = "2.31" }'),
            "scaffold.toml:14: '__glibc 2.31 0' is locked with '__glibc 2.28 0'",
            id="a virtual package of one platform",
        ),
        pytest.param(
            *("scaffold.toml", 'all = ["pytorch * cuda*"]', "all = []"),
            "scaffold.toml:9: 'pytorch * cuda*' is locked, but no longer there",
            id="a variant's requirement less",
        ),
        pytest.param(
            *("scaffold.toml", "requirements = []", 'requirements = ["numpy"]'),
            "scaffold.toml:18: [pypi] is not what locks/pylock.toml was made from",
            id="what the PyPI lock is made from",
        ),
        pytest.param(
            *("locks/cpu.environment.yml", "cpu*", "cpu_mkl*"),
            "locks/cpu.environment.yml: is not what scaffold.toml gives",
            id="a derived file by hand",
        ),
        pytest.param(
            *("conda-lock.yml", "numpy >=2", "numpy >=1"), "conda-lock.yml: its head was edited by hand", id="the head"
        ),
    ],
)
def test_what_changed_is_named(locked: Site, path: str, old: str, new: str, words: str) -> None:
    locked.edit(path, old, new)
    assert [str(finding) for finding in check(locked.root)] == [words]


def test_a_package_that_was_edited_by_hand_is_found_and_locked_again(locked: Site) -> None:
    text = locked.text()
    start = text.index("package:")
    (locked.root / "conda-lock.yml").write_text(text[:start] + text[start:].replace("numpy-2.1.0", "numpy-2.0.0", 1))
    assert [str(finding) for finding in check(locked.root)] == [
        "conda-lock.yml: its packages for linux-64 are not those that were locked"
    ]
    locked.lock()
    assert locked.text() == text


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("conda-lock.yml", "conda-lock.yml: is missing"),
        ("locks/cuda.conda-lock.yml", "locks/cuda.conda-lock.yml: is missing"),
        ("locks/pylock.toml", "locks/pylock.toml: is missing"),
        ("locks/explicit/win-64-cpu.txt", "locks/explicit/win-64-cpu.txt: is not made from the lock"),
    ],
)
def test_what_is_missing_is_named(locked: Site, path: str, words: str) -> None:
    (locked.root / path).unlink()
    assert [str(finding) for finding in check(locked.root)] == [words]


def test_what_is_left_of_a_variant_that_went_is_named(locked: Site) -> None:
    text = locked.text("scaffold.toml")
    start, end = text.index("[variants.cuda]"), text.index("[virtual-packages]")
    (locked.root / "scaffold.toml").write_text(text[:start] + text[end:])
    assert [str(finding) for finding in check(locked.root)] == [
        "scaffold.toml:3: locks/cuda.conda-lock.yml (and 8 more files) is of a variant or platform "
        "that is not named here"
    ]
    locked.lock()
    assert check(locked.root) == ()


def test_an_explicit_file_from_before_an_upgrade_is_found_and_written_again(locked: Site) -> None:
    name = "locks/explicit/linux-64-cpu.sha256.txt"
    before = locked.text(name)
    locked.publish(Record(name="numpy", version="2.3.0", build="py313_9", depends=("python",), day=200))
    locked.lock(upgrade=("numpy",))
    assert check(locked.root) == ()
    after = locked.text(name)
    (locked.root / name).write_text(before)
    assert [str(finding) for finding in check(locked.root)] == [f"{name}: is not made from the lock"]
    assert locked.lock().written == (name,)
    assert locked.text(name) == after


PYLOCK = pylock.write(
    PypiLock(
        requires_python=">=3.11",
        inputs_digest=inputs_digest((), "3.11"),
        packages=(
            PypiPackage(
                name="tea",
                version="1.0",
                marker=None,
                files=(PypiFile(filename="tea-1.0-py3-none-any.whl", sha256="ab" * 32, size=7),),
            ),
        ),
    )
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(
            'version = "1.0"', '<<<<<<< ours\nversion = "1.0"\n=======\nversion = "1.1"\n>>>>>>> theirs', id="conflict"
        ),
        pytest.param("inputs-digest", "<<<<<<< ours\ninputs-digest", id="conflict in the table"),
        pytest.param("ab" * 32, "cd" * 32, id="another hash"),
    ],
)
def test_a_pypi_lock_that_was_edited_or_is_in_conflict_is_not_fresh(locked: Site, old: str, new: str) -> None:
    path = locked.root / "locks" / "pylock.toml"
    path.write_text(PYLOCK, encoding="utf-8", newline="\n")
    assert check(locked.root) == ()
    path.write_text(PYLOCK.replace(old, new), encoding="utf-8", newline="\n")
    assert [str(finding) for finding in check(locked.root)] == [
        "locks/pylock.toml: is not what was resolved: an edit by hand, or a merge conflict"
    ]


def test_a_pip_section_that_waits_makes_a_lock_incomplete(locked: Site) -> None:
    locked.edit("environment.yml", "  - numpy >=2\n", "  - numpy >=2\n  - pip\n  - pip:\n      - nomic\n")
    locked.lock()
    assert [str(finding) for finding in check(locked.root)] == [
        f"environment.yml:9: {path} is incomplete: the pip section is not locked for {platforms}"
        for path, platforms in (
            ("conda-lock.yml", "linux-64, linux-aarch64, osx-arm64, win-64"),
            ("locks/cuda.conda-lock.yml", "linux-64, linux-aarch64, win-64"),
        )
    ]


def test_the_command_says_so_with_its_exit_code(locked: Site) -> None:
    fresh = run(locked, "lock", "--check")
    assert (fresh.returncode, fresh.stdout) == (0, "")
    locked.edit("environment.yml", "numpy >=2", "numpy >=2.1")
    stale = run(locked, "lock", "--check")
    assert stale.returncode == 3
    assert "environment.yml:7: 'numpy >=2.1' is locked with 'numpy >=2'" in stale.stderr
    assert "hint:  nomic-scaffold lock" in stale.stderr
    told = json.loads(run(locked, "--format", "json", "lock", "--check").stdout)
    assert (told["fresh"], told["findings"][0]["line"]) == (False, 7)


def test_check_loads_nothing_heavy(locked: Site) -> None:
    code = (
        "import sys; from nomic_scaffold.cli.main import run; run(['-C', sys.argv[1], 'lock', '--check']); "
        "print([n for n in ('rattler', 'conda_lock', 'pydantic', 'rich', 'asyncio', 'requests') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(locked.root)], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def test_check_stands_alone(locked: Site) -> None:
    assert run(locked, "lock", "--check", "--fresh").returncode == 2


def test_any_lock_is_judged_without_a_project(tmp_path: Path) -> None:
    broken = Path(__file__).parents[1] / "data" / "broken-locks"

    def lint(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "nomic_scaffold", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    whole = lint("lock", "--lint", str(broken / "whole.yml"))
    assert (whole.returncode, whole.stdout.count("pass")) == (0, 11)
    gap = lint(
        "--format", "json", "lock", "--lint", str(broken / "whole.yml"), "--lint", str(broken / "LCK005-gap.yml")
    )
    assert gap.returncode == 1
    assert [item["code"] for item in json.loads(gap.stdout) if item["status"] == "fail"] == ["LCK005"]


def test_the_command_locks_and_tells_in_json(locked: Site) -> None:
    locked.edit("environment.yml", "numpy >=2", "numpy >=2.1")
    done = run(locked, "--format", "json", "lock", "--conda-only")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["schema_version"] == 1
    assert {item["outcome"] for item in told["variants"]} == {"solved"}
    assert "conda-lock.yml" in told["written"]


def test_interrupting_leaves_the_old_locks(locked: Site) -> None:
    locked.edit("environment.yml", "numpy >=2", "numpy >=2.1")
    before = locked.texts()
    locked.served.faults["*"] = Fault(delay=20)
    (locked.root.parent / "repodata").rename(locked.root.parent / "old-repodata")
    command = [sys.executable, "-m", "nomic_scaffold", "-C", str(locked.root), "lock", "--conda-only"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    asked = len(locked.served.requests)
    deadline = time.monotonic() + 60
    while len(locked.served.requests) == asked and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in told
    assert locked.texts() == before
