"""Tell from a survey what `install` and `weights pull` are yet to do on that machine: which variant, how many bytes."""

from __future__ import annotations

from nomic_scaffold.checks.machine import Need, needs
from nomic_scaffold.models.checkup import Survey
from nomic_scaffold.models.prefix import Provider
from nomic_scaffold.models.variant import Accelerator, Variant

WHEELS_BYTES = 1.3e9
"""0.56 GB installed (docs/how-to/without-conda.md), and as much in uv's cache."""
UNPACKED = {Accelerator.CPU: 4.3, Accelerator.CUDA: 1.9}
"""Bytes of files for a byte of archives: 280 MB are 1.2 GB (docs/decisions/0004); 3 GB of torch for CUDA 5.5 GB."""


def here(survey: Survey) -> dict[Accelerator, Variant]:
    """Give the project's variants for this platform."""
    variants = survey.project.variants if survey.project else ()
    return {variant.accelerator: variant for variant in variants if variant.platform == survey.facts.platform}


def unmet(survey: Survey, variant: Variant) -> list[Need]:
    """Tell what a variant wants and this machine has not, as `install` judges it."""
    return [need for need in needs(variant.virtual_packages, survey.virtual_packages) if not need.met]


def chosen(survey: Survey) -> Variant | None:
    """Give the variant that `install` takes here."""
    variants = here(survey)
    cuda = variants.get(Accelerator.CUDA)
    if cuda is not None and (Accelerator.CPU not in variants or not unmet(survey, cuda)):
        return cuda
    return variants.get(Accelerator.CPU)


def provider(survey: Survey) -> Provider:
    """Give the provider that `install` takes here."""
    asked = survey.servers or ()
    channels = [server for server in asked if server.role == "channel"]
    if survey.project and not survey.project.conda_lock:
        return "pypi"
    return "pypi" if channels and all(server.why_not for server in channels) else "conda"


def rooms(survey: Survey) -> dict[str, float]:
    """Tell how many bytes are yet to come into each folder."""
    project, rooms = survey.project, dict.fromkeys(("project", "model store", "package cache"), 0.0)
    if project is None:
        return rooms
    places = {folder.what: folder.device for folder in survey.folders}
    if not project.weights:
        rooms["model store"] += project.weights_bytes * 1.1
        if places.get("project") != places.get("model store"):  # else it is a link
            rooms["project"] += project.weights_bytes
    taken = chosen(survey)
    if project.environment is not None:
        return rooms
    if provider(survey) == "pypi":
        rooms["project"] += WHEELS_BYTES
    elif taken is not None and (download := project.downloads.get(taken.id)):
        unpacked = download * UNPACKED[taken.accelerator]
        rooms["package cache"] += download + unpacked
        if places.get("project") != places.get("package cache"):  # else they are links
            rooms["project"] += unpacked
    return rooms
