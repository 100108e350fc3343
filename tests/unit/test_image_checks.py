"""An image held against the project's files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from nomic_scaffold.checks.image import check_image
from nomic_scaffold.errors import InputError
from nomic_scaffold.formats import environment_yml, scaffold_toml
from nomic_scaffold.models.image import Image
from nomic_scaffold.models.report import Status
from nomic_scaffold.models.variant import Accelerator

GOLDEN_TREE = Path(__file__).resolve().parents[1] / "data" / "golden-tree"
LABELS = {"dev.nomic-scaffold.lock": "aa"}
FILES = {"src/p/__init__.py": "11", "scaffold.toml": "22"}
OURS = {**FILES, "Dockerfile": "33"}
IMAGE = Image(id="sha256:0", tag="p:cpu", size=100, layers=(), diff_ids=(), labels=LABELS, user="10001:10001")


def failing(image: Image = IMAGE, budget: int | None = 200, found: dict[str, str] = FILES) -> dict[str, str]:
    results = check_image(image, labels=LABELS, budget=budget, ours=OURS, found=found)
    return {result.code: result.detail for result in results if result.status is not Status.PASS}


def test_an_image_that_is_the_project_passes() -> None:
    assert failing() == {}
    assert failing(budget=None) == {}


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({**FILES, "scaffold.toml": "99"}, "scaffold.toml differs"),
        ({"scaffold.toml": "22"}, "src/p/__init__.py is missing"),
        ({**FILES, "src/p/more.py": "44"}, "src/p/more.py is not a file of the project"),
    ],
    ids=["differs", "missing", "more"],
)
def test_a_project_that_differs_is_named(found: dict[str, str], told: str) -> None:
    assert failing(found=found) == {"IMG004": told}


def test_a_model_file_that_was_lost_is_named() -> None:
    results = check_image(IMAGE, labels=LABELS, budget=None, ours=OURS, found=FILES, lost="a.gguf")
    assert [(r.code, r.detail) for r in results if r.status is Status.FAIL] == [
        ("IMG001", "it was built with a.gguf, which is not in it any more")
    ]


def test_labels_user_and_size_are_judged() -> None:
    assert (
        "dev.nomic-scaffold.lock is bb" in failing(replace(IMAGE, labels={"dev.nomic-scaffold.lock": "bb"}))["IMG001"]
    )
    assert failing(replace(IMAGE, user="")) == {"IMG002": "it runs as root"}
    assert set(failing(budget=99)) == {"IMG003"}


def test_each_variant_has_a_budget_of_its_own() -> None:
    text = (GOLDEN_TREE / "scaffold.toml").read_text(encoding="utf-8")
    environment = environment_yml.parse((GOLDEN_TREE / "environment.yml").read_text(encoding="utf-8"))

    def budgets(budget: str) -> dict[str, int]:
        changed = re.sub(r"(?m)^budget-mb = .*$", budget, text)
        spec = scaffold_toml.resolve(scaffold_toml.parse(changed), environment)
        return dict(spec.image_budgets)

    assert set(budgets("budget-mb = { cpu = 1300 }").items()) == {("cpu", 1_300_000_000)}
    assert budgets("") == {}
    shipped = scaffold_toml.resolve(scaffold_toml.parse(text), environment).image_budgets
    assert shipped[Accelerator.CUDA] > shipped[Accelerator.CPU]
    with pytest.raises(InputError, match="budget-mb"):
        budgets("budget-mb = { gpu = 1 }")
