from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from nomic_scaffold.adapters.weights.known import known_files, read_manifests
from nomic_scaffold.checks.weights import check_weights
from nomic_scaffold.errors import InputError
from nomic_scaffold.formats import manifest
from nomic_scaffold.formats.manifest import wanted_file
from nomic_scaffold.formats.retry_after import retry_after
from nomic_scaffold.models.evidence import Unavailable, WeightsEvidence
from nomic_scaffold.models.report import Status
from nomic_scaffold.models.spec import ModelPin
from nomic_scaffold.models.weights import HubSource, PypiPartsSource, UrlSource
from tests.support.weights import OFFICIAL

Q8 = "3e24342164b3d94991ba9692fdc0dd08e3fd7362e0aacc396a9a5c54a544c3b7"
PIN = ModelPin(
    repository="nomic-ai/nomic-embed-text-v1.5-GGUF",
    revision="0188c9bf409793f810680a5a431e7b899c46104c",
    file="nomic-embed-text-v1.5.f16.gguf",
    sha256=OFFICIAL,
    size=274290560,
    dimension=768,
    max_tokens=8192,
)
SEEN = WeightsEvidence(file=PIN.file, size=PIN.size, sha256=PIN.sha256)
PASS, FAIL, UNKNOWN = Status.PASS, Status.FAIL, Status.UNKNOWN


@pytest.mark.parametrize(
    ("evidence", "statuses"),
    [
        pytest.param(SEEN, (PASS, PASS, PASS), id="the pinned file"),
        pytest.param(SEEN.model_copy(update={"sha256": "0" * 64}), (PASS, PASS, FAIL), id="same size, other bytes"),
        pytest.param(SEEN.model_copy(update={"size": 5, "sha256": "0" * 64}), (PASS, FAIL, FAIL), id="cut off"),
        pytest.param(SEEN.model_copy(update={"size": None, "sha256": None}), (UNKNOWN, UNKNOWN, UNKNOWN), id="missing"),
        pytest.param(Unavailable(unavailable="no permission"), (UNKNOWN, UNKNOWN, UNKNOWN), id="unreadable"),
    ],
)
def test_each_state_of_the_file_has_its_results(evidence, statuses) -> None:
    results = check_weights(PIN, evidence)
    assert [result.code for result in results] == ["WGT001", "WGT002", "WGT003"]
    assert tuple(result.status for result in results) == statuses


def test_a_quantised_file_is_called_by_its_name() -> None:
    evidence = WeightsEvidence(file=PIN.file, size=146146432, sha256=Q8)
    sha256 = check_weights(PIN, evidence, known=known_files())[2]
    assert "this is the official Q8_0 GGUF file" in sha256.detail
    assert sha256.hint == "nomic-scaffold weights pull"


def test_a_wrong_size_in_the_pin_is_told_from_a_wrong_file() -> None:
    size = check_weights(replace(PIN, size=7), SEEN)[1]
    assert (size.status, size.hint) == (FAIL, "write size = 274290560 under [model] in scaffold.toml")


def test_the_shipped_manifest_names_the_default_file_and_three_sources_in_order() -> None:
    wanted = wanted_file(PIN, read_manifests())
    assert [type(source) for source in wanted.sources] == [HubSource, UrlSource, PypiPartsSource]
    assert wanted.size == PIN.size


def test_no_two_shipped_files_claim_the_same_hash() -> None:
    files = [file.sha256 for one in read_manifests() for file in one.files]
    assert len(files) == len(set(files))


def test_a_file_that_no_manifest_knows_is_looked_for_in_the_pin_s_own_repository() -> None:
    pin = replace(PIN, repository="a/b", revision="c" * 40, file="d.gguf", sha256="e" * 64, size=9)
    wanted = wanted_file(pin, read_manifests())
    assert (wanted.file, wanted.sha256, wanted.size) == ("d.gguf", "e" * 64, 9)
    assert wanted.sources == (HubSource(kind="huggingface", repository="a/b", revision="c" * 40, path="d.gguf"),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("schema = ", "m.toml: not valid TOML", id="not TOML"),
        pytest.param('schema = 1\nmodel = "m"\nlicence = "x"\n', "m.toml: files: Field required", id="no files"),
        pytest.param(
            'schema = 1\nmodel = "m"\nlicence = "x"\n[[files]]\nfile = "../a"\nwhat = "w"\nsize = 1\n'
            f'sha256 = "{OFFICIAL}"\n[[files.sources]]\nkind = "url"\nname = "n"\nurl = "u"\n',
            "files.0.file",
            id="a file name that leaves its folder",
        ),
    ],
)
def test_a_wrong_manifest_is_refused_with_its_place(text, says) -> None:
    with pytest.raises(InputError) as error:
        manifest.parse(text, path="m.toml")
    assert says in error.value.message


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        ("soon", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value, seconds) -> None:
    now = dt.datetime(2015, 10, 21, 7, 28, tzinfo=dt.UTC)
    assert retry_after(value, now=lambda: now) == seconds
