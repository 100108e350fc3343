"""`new` warns of exactly the languages that the official vocabulary can't spell."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from nomic_scaffold.adapters import template
from nomic_scaffold.disk.shipped import shipped
from nomic_scaffold.formats.answers import UNREADABLE, resolve

pytestmark = pytest.mark.weights
BAR = 0.1
PROGRAM = """
import json, sys
sys.path.insert(0, "src")
from here.embedding import unknown_share
texts = json.load(open(sys.argv[1], encoding="utf-8"))
print(json.dumps({language["code"]: unknown_share(language["sentences"]) for language in texts["languages"]}))
"""


def test_the_warning_is_for_the_languages_that_the_vocabulary_lacks(
    nomic_environment: Path, official_weights: Path, tmp_path: Path
) -> None:
    template.render(tmp_path, resolve({}, folder="here"))
    done = subprocess.run(
        [str(nomic_environment), "-c", PROGRAM, str(shipped("probe", "texts.json"))],
        cwd=tmp_path,
        env={**os.environ, "NOMIC_SCAFFOLD_WEIGHTS": str(official_weights.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shares = json.loads(done.stdout)
    assert {code for code, share in shares.items() if share > BAR} == set(UNREADABLE)
