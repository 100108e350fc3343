"""Build the project's image from its lock, and prove it from outside: `image build` and `image verify`."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath

from nomic_scaffold import __version__
from nomic_scaffold.adapters import git, golden, machine, probe, project, pypi, weights
from nomic_scaffold.adapters.conda.archive import archives_in, cache_root, file_name
from nomic_scaffold.adapters.conda.fetch import fetch, without_hash
from nomic_scaffold.adapters.conda.inspect import inspect
from nomic_scaffold.adapters.conda.wheels import Wheels
from nomic_scaffold.adapters.container import context
from nomic_scaffold.adapters.container import engine as docker
from nomic_scaffold.checks.image import check_image
from nomic_scaffold.disk.hashing import sha256_file
from nomic_scaffold.disk.shipped import probe_folder
from nomic_scaffold.errors import InputError, UnavailableError
from nomic_scaffold.formats import conda_lock
from nomic_scaffold.formats.manifest import beside
from nomic_scaffold.models.evidence import (
    EmbeddingsEvidence,
    Evidence,
    PrivacyEvidence,
    Unavailable,
    WeightsEvidence,
)
from nomic_scaffold.models.image import Builder, Image, WeightsIn
from nomic_scaffold.models.lock import LockedPackage, LockFile
from nomic_scaffold.models.prefix import Prefix
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.report import CheckResult
from nomic_scaffold.models.spec import ProjectSpec
from nomic_scaffold.models.variant import Accelerator, Platform

PREFIX, WEIGHTS = "/opt/env", "/opt/weights"
"""Where the template's Dockerfile puts them."""
LABELS = "dev.nomic-scaffold."
"""What our labels start with: `lock` (sha256 of the lock file), `weights` (sha256), `variant`."""
_LOCKS = {Accelerator.CPU: "conda-lock.yml", Accelerator.CUDA: "locks/cuda.conda-lock.yml"}

_SIZES = """
import glob, json, os
found = []
for path in glob.glob("/opt/env/conda-meta/*.json"):
    with open(path, encoding="utf-8") as file:
        record = json.load(file)
    if isinstance(record.get("files"), list):
        places = (os.path.join("/opt/env", name) for name in record["files"])
        found.append((record["name"], sum(os.lstat(place).st_size for place in places if os.path.lexists(place))))
print(json.dumps(sorted(found, key=lambda one: -one[1])))
"""


@dataclass(frozen=True, kw_only=True)
class Ingredients:
    """What an image is made of, by the project's files."""

    spec: ProjectSpec
    accelerator: Accelerator
    platform: Platform
    lock: LockFile
    lock_path: str
    packages: tuple[LockedPackage, ...]
    labels: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Built:
    """A finished build."""

    image: Image
    ingredients: Ingredients
    package_bytes: int
    """Archives that were installed, as downloaded."""
    largest: tuple[tuple[str, int], ...]
    """Installed bytes of each conda package, largest first."""
    log: Path

    @property
    def over_budget(self) -> bool:
        """Whether the image is larger than scaffold.toml allows."""
        budget = self.ingredients.spec.image_budget
        return budget is not None and self.image.size > budget


def ingredients(root: Path, *, accelerator: Accelerator, platform: Platform) -> Ingredients:
    """Read what the image is to be made of; raises InputError when the lock has nothing for the platform."""
    spec = project.read_spec(root)
    path = root / _LOCKS[accelerator]
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError("is missing", path=_LOCKS[accelerator], hint="nomic-scaffold lock") from error
    lock = conda_lock.parse(text, path=_LOCKS[accelerator], accelerator=accelerator)
    packages = lock.on(platform)
    if not packages:
        raise InputError(
            f"has no package for {platform}",
            path=_LOCKS[accelerator],
            hint="add the platform to scaffold.toml, then: nomic-scaffold lock",
        )
    without_hash(p for p in packages if p.manager == "conda")
    labels = {
        f"{LABELS}lock": sha256_file(path),
        f"{LABELS}weights": spec.model.sha256,
        f"{LABELS}variant": f"{platform}-{accelerator}",
        "org.opencontainers.image.title": spec.name,
    }
    return Ingredients(
        spec=spec,
        accelerator=accelerator,
        platform=platform,
        lock=lock,
        lock_path=_LOCKS[accelerator],
        packages=packages,
        labels=labels,
    )


def default_tag(made_of: Ingredients) -> str:
    """Name the project's image: `myproject:cpu`."""
    name = re.sub(r"[^a-z0-9]+", "-", made_of.spec.name.lower()).strip("-") or made_of.spec.package
    return f"{name}:{made_of.accelerator}"


def image_platform() -> Platform:
    """Give the Linux platform of this machine's processor."""
    return Platform.LINUX_AARCH64 if machine.facts().platform in ("linux-aarch64", "osx-arm64") else Platform.LINUX_64


def build(
    root: Path,
    made_of: Ingredients,
    *,
    tag: str,
    weights_in: WeightsIn,
    base: str | None,
    builder_image: str | None,
    certificates: Sequence[Path],
    cached: bool,
    builder: Builder,
    offline: bool,
    progress: Progress,
) -> Built:
    """Fetch everything here, by hash, then build with no network; raises what the engine says in plain words."""
    with docker.engine() as client:
        work = root / project.STATE / "image"
        shutil.rmtree(work / "fetched", ignore_errors=True)
        extra = _fetched(root, made_of, work / "fetched", weights_in=weights_in, offline=offline, progress=progress)
        for path in certificates:
            extra[f"fetched/certificates/{path.stem}.crt"] = path
        tar = work / "context.tar"
        context.write_context(root, tar, extra=extra)
        revision = git.revision(root)
        labels = {**made_of.labels, **({"org.opencontainers.image.revision": revision} if revision else {})}
        arguments = {"VARIANT": str(made_of.accelerator), "WEIGHTS": weights_in}
        arguments |= {"BASE": base} if base else {}
        arguments |= {"BUILDER": builder_image} if builder_image else {}
        progress.say(f"building {tag} ({tar.stat().st_size / 1e6:.0f} MB of context, no network)")
        try:
            image = docker.build(
                client,
                tar,
                tag=tag,
                arguments=arguments,
                labels=labels,
                log=work / "build.log",
                cached=cached,
                builder=builder,
                network="none",
                progress=progress,
            )
            largest = _installed(client, tag)
        finally:
            tar.unlink(missing_ok=True)
            shutil.rmtree(work / "fetched", ignore_errors=True)
    return Built(
        image=image,
        ingredients=made_of,
        package_bytes=_package_bytes(made_of),
        largest=largest,
        log=work / "build.log",
    )


def look(
    root: Path, made_of: Ingredients, *, tag: str, timeout: float, progress: Progress
) -> tuple[Image, tuple[CheckResult, ...], Evidence]:
    """Take the evidence out of the image, to be judged like any machine's; with what is judged of the image itself.

    The environment is copied out and held, byte by byte, against the locked archives; the model file against its pin;
    the project's `embed` runs inside, sealed: no network, read-only, no capability, no root.
    """
    spec = made_of.spec
    with docker.engine() as client, tempfile.TemporaryDirectory(prefix="nomic-scaffold-image-") as name:
        image = docker.describe(client, tag)
        taken = Path(name)
        progress.say(f"taking the environment out of {tag}")
        docker.take_out(client, tag, PREFIX, taken)
        prefix = Prefix(
            path=taken / PurePosixPath(PREFIX).name,
            provider="conda",
            accelerator=made_of.accelerator,
            python=Path(PREFIX) / "bin" / "python",
        )
        environment = inspect(
            prefix,
            packages=made_of.packages,
            platform=made_of.platform,
            deep=True,
            home=PREFIX,
            wheels=Wheels(cache=cache_root(), bring=partial(weights.bring_wheels, progress=progress)),
            progress=progress,
        )
        baked = _take_weights(client, tag, spec, taken)
        seen = weights.inspect(baked or project.weights_path(root, spec), spec.model, progress=progress)
        progress.say("embedding the probe's texts inside, sealed")
        mounts = {} if baked else {project.weights_path(root, spec).parent: WEIGHTS}
        embeddings, privacy = _probe(client, tag, spec, mounts=mounts, timeout=timeout)
    evidence = Evidence(
        tool_version=__version__,
        made_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        machine=machine.facts().model_copy(update={"platform": str(made_of.platform)}),
        environment=environment,
        weights=seen,
        embeddings=embeddings,
        privacy=privacy,
    )
    return image, check_image(image, labels=made_of.labels, budget=spec.image_budget), evidence


def _take_weights(client: object, tag: str, spec: ProjectSpec, taken: Path) -> Path | None:
    """Copy the model file out of the image; None when it is to be mounted."""
    try:
        docker.take_out(client, tag, f"{WEIGHTS}/{spec.model.file}", taken)
    except UnavailableError:
        return None
    return taken / spec.model.file


def _probe(
    client: object, tag: str, spec: ProjectSpec, *, mounts: dict[Path, str], timeout: float
) -> tuple[EmbeddingsEvidence | Unavailable, PrivacyEvidence | Unavailable]:
    files = {f"probe/{path.name}": path.read_bytes() for path in sorted(probe_folder().glob("*.py"))}
    files["request.json"] = probe.request(PurePosixPath("/project"), spec, golden.shipped_texts()).encode()
    command = ["/bin/sh", "-c", "exec python -I -B -X utf8 /verify/probe < /verify/request.json"]
    try:
        code, out, err = docker.run_sealed(client, tag, command, files=files, mounts=mounts, timeout=timeout)
    except UnavailableError as error:
        gone = Unavailable(unavailable=error.message, hint=error.hint or "")
        return gone, gone
    embeddings, privacy = probe.understand(code, out.encode(), err)
    if isinstance(privacy, PrivacyEvidence):  # a container without a network is an empty network namespace
        privacy = privacy.model_copy(update={"watched": tuple(dict.fromkeys((*privacy.watched, "namespace")))})
    return embeddings, privacy


def _package_bytes(made_of: Ingredients) -> int:
    archives = archives_in(cache_root())
    return sum(archives.place(p).stat().st_size for p in made_of.packages if p.manager == "conda")


def _fetched(
    root: Path, made_of: Ingredients, folder: Path, *, weights_in: WeightsIn, offline: bool, progress: Progress
) -> dict[str, Path]:
    """Have every archive, wheel and the model file here; name in the context -> file here."""
    extra: dict[str, Path] = {}
    archives = archives_in(cache_root())
    conda = [p for p in made_of.packages if p.manager == "conda"]
    missing = [p for p in conda if not _have(archives.place(p), p)]
    if missing and offline:
        raise UnavailableError(
            f"{len(missing)} packages are not in the cache, and --offline asks for no network",
            hint="once with a network: nomic-scaffold image build",
        )
    if missing:
        fetch(missing, archives, progress=progress)
    for package in conda:
        extra[f"fetched/pkgs/archives/{package.sha256}/{file_name(package)}"] = archives.place(package)
    wheels = [p for p in made_of.packages if p.manager == "pip"]
    if wheels:
        python = made_of.spec.python
        for path in pypi.download(
            wheels, folder / "wheels", python=python, platform=made_of.platform, progress=progress
        ):
            extra[f"fetched/wheels/{path.name}"] = path
    if weights_in == "bake":
        path, pin = project.weights_path(root, made_of.spec), made_of.spec.model
        seen = weights.inspect(path, pin, progress=progress)
        if not isinstance(seen, WeightsEvidence) or seen.sha256 != pin.sha256:
            raise UnavailableError(
                f"{pin.file} is not there, or not the pinned one", hint="nomic-scaffold weights pull"
            )
        extra[f"fetched/store/{pin.sha256}/{pin.file}"] = path
        for file in beside(pin, weights.read_manifests()):
            extra[f"fetched/store/{file.sha256}/{file.file}"] = other = path.with_name(file.file)
            if not other.is_file():
                raise UnavailableError(f"{file.file} is not there", hint="nomic-scaffold weights pull")
    return extra


def _installed(client: object, tag: str) -> tuple[tuple[str, int], ...]:
    """Ask the image what each conda package weighs as installed."""
    code, out, err = docker.run_sealed(client, tag, ["python", "-I", "-c", _SIZES], files={}, mounts={}, timeout=120)
    if code:
        raise UnavailableError(f"the image can't run its Python: {err.strip()[-300:]}", hint="see the log of the build")
    return tuple((str(name), int(size)) for name, size in json.loads(out))


def _have(place: Path, package: LockedPackage) -> bool:
    return place.is_file() and sha256_file(place) == package.sha256
