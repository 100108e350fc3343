"""The order of steps of `image verify`: take the evidence out of the image, and judge what is of the image itself."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath

from nomic_scaffold import __version__
from nomic_scaffold.adapters import golden, machine, probe, project, weights
from nomic_scaffold.adapters.conda.archive import cache_root
from nomic_scaffold.adapters.conda.inspect import inspect
from nomic_scaffold.adapters.conda.wheels import Wheels
from nomic_scaffold.adapters.container import context
from nomic_scaffold.adapters.container import engine as docker
from nomic_scaffold.checks.image import check_image
from nomic_scaffold.disk.hashing import sha256_file
from nomic_scaffold.disk.shipped import probe_folder
from nomic_scaffold.errors import UnavailableError
from nomic_scaffold.models.evidence import (
    EmbeddingsEvidence,
    EnvironmentEvidence,
    Evidence,
    PrivacyEvidence,
    Unavailable,
    WeightsEvidence,
)
from nomic_scaffold.models.image import Image
from nomic_scaffold.models.prefix import Prefix
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.report import CheckResult, Group
from nomic_scaffold.models.spec import ProjectSpec
from nomic_scaffold.workflows.image.ingredients import LABELS, Ingredients

PREFIX, WEIGHTS, PROJECT = "/opt/env", "/opt/weights", "/project"
"""Where the template's Dockerfile puts them."""


def look(
    root: Path,
    made_of: Ingredients,
    *,
    tag: str,
    groups: Collection[Group],
    timeout: float,
    offline: bool,
    progress: Progress,
    gpu: bool = False,
) -> tuple[Image, tuple[CheckResult, ...], Evidence]:
    """Take what `groups` need out of the image, to be judged like any machine's; and judge the image itself.

    The environment is copied out and held, byte by byte, against the locked archives; the model file against its pin;
    the project's `embed` runs inside, sealed: no network, read-only, no capability, no root;
    with `gpu` on the engine's NVIDIA GPU.
    """
    spec = made_of.spec
    environment: EnvironmentEvidence | Unavailable | None = None
    seen: WeightsEvidence | Unavailable | None = None
    lost: str | None = None
    embeddings: EmbeddingsEvidence | Unavailable | None = None
    privacy: PrivacyEvidence | Unavailable | None = None
    with docker.engine() as client, tempfile.TemporaryDirectory(prefix="nomic-scaffold-image-") as name:
        image, taken = docker.describe(client, tag), Path(name)
        found = _take_project(client, tag, taken)
        baked = image.labels.get(f"{LABELS}weights-in") != "mount"
        here = project.weights_path(root, spec)
        if Group.ENVIRONMENT in groups:
            environment = _environment(client, tag, made_of, taken, offline=offline, progress=progress)
        if Group.WEIGHTS in groups:
            there = _take_weights(client, tag, spec, taken) if baked else here
            lost = spec.model.file if baked and not there.exists() else None
            seen = weights.inspect(there, spec.model, progress=progress)
        if {Group.EMBEDDINGS, Group.LANGUAGES, Group.PRIVACY}.intersection(groups):
            progress.say("embedding the probe's texts inside, sealed")
            mounts = {} if baked else {here.parent: WEIGHTS}
            embeddings, privacy = _probe(client, tag, spec, mounts=mounts, timeout=timeout, gpu=gpu)
    evidence = Evidence(
        tool_version=__version__,
        made_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        machine=machine.facts().model_copy(update={"platform": str(made_of.platform)}),
        environment=environment,
        weights=seen,
        embeddings=embeddings,
        privacy=privacy,
    )
    ours = {name: sha256_file(path) for name, path in context.project_members(root).items()}
    results = check_image(image, labels=made_of.labels, budget=made_of.budget, ours=ours, found=found, lost=lost)
    return image, results, evidence


def _take_project(client: object, tag: str, taken: Path) -> dict[str, str]:
    """Give name -> sha256 of the project's files in the image."""
    try:
        docker.take_out(client, tag, PROJECT, taken)
    except UnavailableError:
        return {}
    folder = taken / PurePosixPath(PROJECT).name
    return {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def _environment(
    client: object, tag: str, made_of: Ingredients, taken: Path, *, offline: bool, progress: Progress
) -> EnvironmentEvidence | Unavailable:
    """Copy the environment out of the image, and look at each byte of it."""
    progress.say(f"taking the environment out of {tag}")
    docker.take_out(client, tag, PREFIX, taken)
    prefix = Prefix(
        path=taken / PurePosixPath(PREFIX).name,
        provider="conda",
        accelerator=made_of.accelerator,
        python=Path(PREFIX) / "bin" / "python",
    )
    bring = None if offline else partial(weights.bring_wheels, progress=progress)
    return inspect(
        prefix,
        packages=made_of.packages,
        platform=made_of.platform,
        deep=True,
        home=PREFIX,
        fetch_missing=not offline,
        wheels=Wheels(cache=cache_root(), bring=bring),
        progress=progress,
    )


def _take_weights(client: object, tag: str, spec: ProjectSpec, taken: Path) -> Path:
    """Copy the model file out of an image that is to have it; gives where it is, or would be."""
    with suppress(UnavailableError):
        docker.take_out(client, tag, f"{WEIGHTS}/{spec.model.file}", taken)
    return taken / spec.model.file


def _probe(
    client: object, tag: str, spec: ProjectSpec, *, mounts: dict[Path, str], timeout: float, gpu: bool
) -> tuple[EmbeddingsEvidence | Unavailable, PrivacyEvidence | Unavailable]:
    files = {f"probe/{path.name}": path.read_bytes() for path in sorted(probe_folder().glob("*.py"))}
    files["request.json"] = probe.request(PurePosixPath(PROJECT), spec, golden.shipped_texts()).encode()
    command = ["/bin/sh", "-c", "exec python -I -B -X utf8 /verify/probe < /verify/request.json"]
    environment = {name: os.environ[name] for name in probe.COMPUTING if name in os.environ}
    environment |= {"NOMIC_SCAFFOLD_DEVICE": "cuda"} if gpu else {}
    try:
        code, out, err = docker.run_sealed(
            client, tag, command, files=files, mounts=mounts, timeout=timeout, environment=environment, gpu=gpu
        )
    except UnavailableError as error:
        gone = Unavailable(unavailable=error.message, hint=error.hint or "")
        return gone, gone
    embeddings, privacy = probe.understand(code, out.encode(), err)
    if isinstance(privacy, PrivacyEvidence):  # a container without a network is an empty network namespace
        privacy = privacy.model_copy(update={"watched": tuple(dict.fromkeys((*privacy.watched, "namespace")))})
    return embeddings, privacy
