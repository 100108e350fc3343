"""Judge an image: what it was built from, who runs in it, how large it is, whether it holds the project as it is."""

from __future__ import annotations

from collections.abc import Mapping

from nomic_scaffold.checks.codes import IMG_BUDGET, IMG_INPUTS, IMG_PROJECT, IMG_USER
from nomic_scaffold.models.image import Image
from nomic_scaffold.models.report import CheckResult, Status

_APART = ("Dockerfile", ".dockerignore")
"""Files of the context that are for the build alone."""


def check_image(
    image: Image,
    *,
    labels: Mapping[str, str],
    budget: int | None,
    ours: Mapping[str, str],
    found: Mapping[str, str],
    lost: str | None = None,
) -> tuple[CheckResult, ...]:
    """Hold an image against the project's files; `labels` are those that a build of them would have.

    `ours` and `found` are name -> sha256 of the project's files here and in the image; `lost` is a model file that it
    was built with and has not.
    """
    size = [] if budget is None else [_budget(image, budget)]
    return (_inputs(image, labels, lost), _user(image), *size, _project(ours, found))


def _inputs(image: Image, labels: Mapping[str, str], lost: str | None) -> CheckResult:
    if lost:
        told = f"it was built with {lost}, which is not in it any more"
        return IMG_INPUTS.result(Status.FAIL, told, hint="nomic-scaffold image build")
    other = [name for name, value in labels.items() if image.labels.get(name) != value]
    if other:
        told = "; ".join(f"{name} is {image.labels.get(name) or 'missing'}, not {labels[name]}" for name in other)
        return IMG_INPUTS.result(Status.FAIL, told, hint="nomic-scaffold image build")
    return IMG_INPUTS.result(Status.PASS, "lock, weights and variant are the project's")


def _project(ours: Mapping[str, str], found: Mapping[str, str]) -> CheckResult:
    wanted = {name: sha256 for name, sha256 in ours.items() if name not in _APART}
    told = [f"{name} is missing" for name in sorted(wanted.keys() - found.keys())]
    told += [f"{name} is not a file of the project" for name in sorted(found.keys() - wanted.keys())]
    told += [f"{name} differs" for name in sorted(wanted.keys() & found.keys()) if wanted[name] != found[name]]
    if told:
        more = f" and {len(told) - 5} more" if len(told) > 5 else ""
        return IMG_PROJECT.result(Status.FAIL, "; ".join(told[:5]) + more, hint="nomic-scaffold image build")
    return IMG_PROJECT.result(Status.PASS, f"{len(wanted)} files are those of the project")


def _user(image: Image) -> CheckResult:
    user = image.user.partition(":")[0]
    if user in ("", "0", "root"):
        return IMG_USER.result(Status.FAIL, "it runs as root", hint="set USER 10001:10001 in the Dockerfile")
    return IMG_USER.result(Status.PASS, f"user {image.user}")


def _budget(image: Image, budget: int) -> CheckResult:
    told = f"{image.size / 1e6:,.0f} MB of {budget / 1e6:,.0f} MB"
    if image.size > budget:
        return IMG_BUDGET.result(
            Status.FAIL, told, hint="raise budget-mb under [image] of scaffold.toml, or drop packages"
        )
    return IMG_BUDGET.result(Status.PASS, told)
