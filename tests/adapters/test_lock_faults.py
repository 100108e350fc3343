"""A channel that fails, lies or sleeps, and requirements that can't be met: nothing is written, and the words help."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nomic_scaffold.errors import ExitCode, InputError, ScaffoldError, UnavailableError, UnsolvableError
from tests.support.locking import Site, site
from tests.support.records import Record
from tests.support.server import Fault

RECORDS = "/linux-64/repodata.json"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with site(tmp_path, monkeypatch, requirements=["numpy >=2", "rich"]) as found:
        yield found


def refused(site: Site, kind: type[ScaffoldError], **wanted: object) -> ScaffoldError:
    """Lock, and see that it fails and leaves everything as it was."""
    before = site.texts()
    with pytest.raises(kind) as caught:
        site.lock(**wanted)
    assert site.texts() == before
    return caught.value


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        pytest.param({"*": Fault(status=404)}, "404 Not Found", id="not there"),
        pytest.param({"*": Fault(status=500)}, "500 Internal Server Error", id="server error"),
        pytest.param({RECORDS: Fault(status=200, body=b"<html>hello</html>")}, "failed to parse", id="garbage"),
        pytest.param({RECORDS: Fault(truncate_at=500)}, "end of file", id="truncated"),
        pytest.param({RECORDS: Fault(reset_at=500)}, "reset", id="reset in the middle"),
        pytest.param({RECORDS: Fault(status=401)}, "401", id="login wanted"),
    ],
)
def test_a_broken_channel_is_unavailable_and_says_what_was_tried(
    here: Site, faults: dict[str, Fault], words: str
) -> None:
    here.served.faults.update(faults)
    error = refused(here, UnavailableError)
    assert error.exit_code is ExitCode.UNAVAILABLE
    assert here.served.url in error.message
    assert words in error.message
    assert "--offline" in (error.hint or "")


def test_nobody_listens(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOMIC_SCAFFOLD_MIRRORS", "https://conda.anaconda.org/conda-forge=http://127.0.0.1:9/x")
    error = refused(here, UnavailableError)
    assert "http://127.0.0.1:9/x" in error.message
    assert "refused" in error.message


def test_a_channel_that_sleeps_is_given_up(here: Site) -> None:
    here.served.faults["*"] = Fault(delay=30)
    error = refused(here, UnavailableError, timeout=0.5)
    assert error.message == f"linux-64-cpu: no answer from {here.served.url} within 0.5 s"


def test_a_password_in_the_mirrors_address_is_not_shown(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = here.served.url.replace("http://", "http://me:hunter2@")
    monkeypatch.setenv("NOMIC_SCAFFOLD_MIRRORS", f"https://conda.anaconda.org/conda-forge={mirror}")
    here.served.faults["*"] = Fault(status=500)
    error = refused(here, UnavailableError)
    assert "hunter2" not in error.message


def test_offline_without_a_cache(here: Site) -> None:
    error = refused(here, UnavailableError, offline=True)
    assert "no package records in the cache" in error.message


@pytest.mark.parametrize(
    ("requirement", "sentence", "line"),
    [
        pytest.param("numpy >=9", "No candidates were found for numpy >=9", 9, id="no such version"),
        pytest.param("numppy", "No candidates were found for numppy *", 9, id="no such package"),
        pytest.param("pygments <2", "No candidates were found for pygments <2", 9, id="too old"),
        pytest.param("old", "python >=3.9,<3.10, for which no candidates were found", 9, id="needs another python"),
    ],
)
def test_what_has_no_solution_names_the_requirement_and_its_line(
    here: Site, requirement: str, sentence: str, line: int
) -> None:
    here.publish(Record(name="old", depends=("python >=3.9,<3.10",)))
    here.edit("environment.yml", "  - rich\n", f"  - rich\n  - {requirement}\n")
    error = refused(here, UnsolvableError)
    assert error.exit_code is ExitCode.NO_SOLUTION
    assert error.message.startswith("linux-64-cpu has no solution (nor have 6 more variants): ")
    assert sentence in error.message
    assert "\n" not in error.message
    assert f"without {requirement!r} (environment.yml:{line}) the rest can be solved: loosen it" in (error.hint or "")


def test_two_that_exclude_each_other_are_both_named(here: Site) -> None:
    here.publish(Record(name="new", depends=("pygments >=3",)), Record(name="pygments", version="3.0"))
    here.publish(Record(name="stuck", depends=("pygments <3",)))
    here.edit("environment.yml", "  - rich\n", "  - new\n  - stuck\n")
    error = refused(here, UnsolvableError)
    assert "'new' (environment.yml:8), 'stuck' (environment.yml:9)" in (error.hint or "")
    assert "loosen one of them" in (error.hint or "")


def test_a_variant_that_has_no_build_is_named_by_its_line_in_scaffold_toml(here: Site) -> None:
    here.edit("scaffold.toml", "pytorch * cpu*", "pytorch * cpu_mkl*")
    error = refused(here, UnsolvableError)
    assert "'pytorch * cpu_mkl*' (scaffold.toml:5)" in (error.hint or "")


def test_one_platform_without_a_solution_leaves_all_locks_alone(here: Site) -> None:
    here.lock()
    here.edit("environment.yml", "  - rich\n", "  - nosuch  # [win]\n")
    error = refused(here, UnsolvableError)
    assert error.message.startswith("win-64-cpu has no solution (nor have 1 more variants)")


@pytest.mark.parametrize(
    ("path", "old", "new", "words"),
    [
        pytest.param("environment.yml", "numpy >=2", "'numpy >=2,,'", "environment.yml:7: ", id="no match spec"),
        pytest.param("environment.yml", "dependencies:", "dependencies", "environment.yml:", id="no YAML"),
        pytest.param("environment.yml", "name: tiny", "category: dev", "category 'dev'", id="a category"),
        pytest.param("scaffold.toml", '"win-64"]', '"win-65"]', "scaffold.toml:4: ", id="no such platform"),
        pytest.param("scaffold.toml", "[variants.cpu]", "[variants.tpu]", "scaffold.toml", id="no such variant"),
        pytest.param(
            "scaffold.toml", "pytorch * cpu*", "conda-forge::pytorch", "scaffold.toml:5: ", id="a channel in a variant"
        ),
    ],
)
def test_a_wrong_input_names_its_line(here: Site, path: str, old: str, new: str, words: str) -> None:
    here.edit(path, old, new)
    error = refused(here, InputError)
    assert words in error.message
