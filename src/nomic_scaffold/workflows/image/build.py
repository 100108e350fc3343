"""The order of steps of `image build`: fetch everything here by hash, build the environment once, then the project."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nomic_scaffold.adapters import git, lock_files, project, weights
from nomic_scaffold.adapters.conda.archive import archives_in, cache_root, file_name
from nomic_scaffold.adapters.conda.fetch import fetch
from nomic_scaffold.adapters.conda.wheels import Wheels, find_wheels
from nomic_scaffold.adapters.container import building, context
from nomic_scaffold.adapters.container import engine as docker
from nomic_scaffold.disk import atomic
from nomic_scaffold.errors import InputError, UnavailableError
from nomic_scaffold.formats import dockerfile
from nomic_scaffold.models.image import Builder, Image, WeightsIn
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.workflows.image import tool_image
from nomic_scaffold.workflows.image.ingredients import Ingredients

RUNTIME = "runtime"
"""The stage of the template's Dockerfile that has the environment and the weights, and nothing of the project."""
_KEPT = "nomic-scaffold-environment"
"""Name of the images of that stage, each tagged by the digest of what it was made from."""

_SIZES = """
import csv, glob, json, os
found = []
def add(name, places):
    found.append((name, sum(os.lstat(place).st_size for place in places if os.path.lexists(place))))
for path in glob.glob("/opt/env/conda-meta/*.json"):
    with open(path, encoding="utf-8") as file:
        record = json.load(file)
    if isinstance(record.get("files"), list):
        add(record["name"], [os.path.join("/opt/env", name) for name in record["files"]])
for info in glob.glob("/opt/env/lib/python3*/site-packages/*.dist-info"):
    try:
        with open(info + "/INSTALLER") as file:
            if file.read().strip() == "conda":
                continue
        with open(info + "/RECORD", newline="", encoding="utf-8") as file:
            rows = [row[0] for row in csv.reader(file) if row]
    except OSError:
        continue
    add(os.path.basename(info).split("-")[0], [os.path.join(os.path.dirname(info), name) for name in rows])
print(json.dumps(sorted(found, key=lambda one: (-one[1], one[0]))))
"""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """How an image is to be built."""

    tag: str
    weights_in: WeightsIn = "bake"
    base: str | None = None
    """The last stage starts from it, instead of the Dockerfile's."""
    tool_image: str | None = None
    """The tool's own image, instead of the one that is built from what is installed here."""
    tool_base: str | None = None
    """The tool's own image starts from it."""
    cached: bool = True
    builder: Builder = "classic"
    offline: bool = False


@dataclass(frozen=True, kw_only=True)
class Built:
    """A finished build."""

    image: Image
    ingredients: Ingredients
    largest: tuple[tuple[str, int], ...]
    """Installed bytes of each package, largest first."""
    log: Path

    @property
    def over_budget(self) -> bool:
        """Whether the image is larger than scaffold.toml allows."""
        budget = self.ingredients.budget
        return budget is not None and self.image.size > budget


def build(root: Path, made_of: Ingredients, wishes: Wishes, *, progress: Progress) -> Built:
    """Fetch everything here, by hash, then build with no network; raises what the engine says in plain words."""
    text = _dockerfile(root)
    work = root / project.STATE / "image"
    (work / "build.log").unlink(missing_ok=True)
    with docker.engine() as client:
        job = _Job(
            client=client, root=root, work=work, made_of=made_of, wishes=wishes, progress=progress, dockerfile=text
        )
        image = job.run()
        largest = job.sizes(image)
    return Built(image=image, ingredients=made_of, largest=largest, log=work / "build.log")


@dataclass(frozen=True, kw_only=True)
class _Job:
    client: Any
    root: Path
    work: Path
    made_of: Ingredients
    wishes: Wishes
    progress: Progress
    dockerfile: str

    def run(self) -> Image:
        arguments = self._arguments()
        members: dict[str, Path | bytes] = {**context.project_members(self.root)}
        head = dockerfile.until(self.dockerfile, RUNTIME)
        if head is None:  # a Dockerfile of its own: built in one go
            members |= self._fetched()
            return self._order(members, tag=self.wishes.tag, arguments=arguments | self._labels(), target=None)
        kept = f"{_KEPT}:{self._digest(head, arguments)}"
        if not self.wishes.cached or docker.find(self.client, kept) is None:
            self._order({**members, **self._fetched()}, tag=kept, arguments=arguments, target=RUNTIME)
        else:
            self.progress.say(f"the environment is built already: {kept}")
        members["Dockerfile"] = dockerfile.after(self.dockerfile, RUNTIME, kept).encode()
        return self._order(members, tag=self.wishes.tag, arguments=arguments | self._labels(), target=None)

    def sizes(self, image: Image) -> tuple[tuple[str, int], ...]:
        """Ask the image what each package weighs as installed; remembered by its layers, which are what decides."""
        layers = hashlib.sha256("\n".join(image.diff_ids[:-1]).encode()).hexdigest()
        note = self.work / "sizes.json"
        try:
            noted = json.loads(note.read_bytes())
            if noted["layers"] == layers:
                return tuple((str(name), int(size)) for name, size in noted["sizes"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        code, out, err = docker.run_sealed(
            self.client, image.tag, ["python", "-I", "-c", _SIZES], files={}, mounts={}, timeout=120
        )
        if code:
            raise UnavailableError(
                f"the image can't run its Python: {err.strip()[-300:]}", hint="see the log of the build"
            )
        found = tuple((str(name), int(size)) for name, size in json.loads(out))
        atomic.write_text(note, json.dumps({"layers": layers, "sizes": found}))
        return found

    def _arguments(self) -> dict[str, str]:
        wishes, platform = self.wishes, self.made_of.platform
        builder = wishes.tool_image
        if builder is None:
            builder = tool_image.have(
                self.client,
                self.work,
                base=wishes.tool_base,
                platform=platform,
                builder=wishes.builder,
                offline=wishes.offline,
                progress=self.progress,
            )
        arguments = {"BUILDER": builder, "VARIANT": str(self.made_of.accelerator), "WEIGHTS": wishes.weights_in}
        return arguments | ({"BASE": wishes.base} if wishes.base else {})

    def _labels(self) -> dict[str, str]:
        return {
            "LOCK_SHA256": self.made_of.lock_sha256,
            "WEIGHTS_SHA256": self.made_of.spec.model.sha256,
            "VARIANT_ID": self.made_of.variant,
            "REVISION": git.revision(self.root) or "",
        }

    def _digest(self, head: str, arguments: dict[str, str]) -> str:
        """Digest what decides the environment's image: the lock, the model file, both bases, the Dockerfile's part."""
        named = {name: value or dockerfile.default(head, name) or "" for name, value in arguments.items()}
        named.setdefault("BASE", dockerfile.default(head, "BASE") or "")
        for name in ("BUILDER", "BASE"):
            named[name] = docker.have(self.client, named[name], platform=self.made_of.platform, progress=self.progress)
        weighs = self.made_of.spec.model.sha256 if self.wishes.weights_in == "bake" else ""
        parts = [head, sorted(named.items()), self.made_of.lock_sha256, self.made_of.variant, weighs]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def _order(
        self, members: dict[str, Path | bytes], *, tag: str, arguments: dict[str, str], target: str | None
    ) -> Image:
        tar = self.work / "context.tar"
        context.write_context(tar, members)
        self.progress.say(f"building {tag} ({tar.stat().st_size / 1e6:.0f} MB of context, no network)")
        order = building.Order(
            context=tar,
            tag=tag,
            arguments=arguments,
            platform=self.made_of.platform,
            target=target,
            cached=self.wishes.cached,
        )
        try:
            return building.build(
                self.client, order, builder=self.wishes.builder, log=self.work / "build.log", progress=self.progress
            )
        finally:
            tar.unlink(missing_ok=True)

    def _fetched(self) -> dict[str, Path]:
        """Have every archive, wheel and the model file here; name in the context -> file here."""
        made_of, offline, progress = self.made_of, self.wishes.offline, self.progress
        archives = archives_in(cache_root())
        conda = [p for p in made_of.packages if p.manager == "conda"]
        missing = archives.lacking(conda)
        if missing and offline:
            raise UnavailableError(
                f"{len(missing)} packages are not in the cache, and --offline asks for no network",
                hint="once with a network: nomic-scaffold image build",
            )
        if missing:
            fetch(missing, archives, progress=progress)
        found = {f"fetched/pkgs/archives/{p.sha256}/{file_name(p)}": archives.place(p) for p in conda}
        wheels = [p for p in made_of.packages if p.manager == "pip"]
        bring = None if offline else partial(weights.bring_wheels, progress=progress)
        there = find_wheels(wheels, Wheels(cache=cache_root(), bring=bring))
        if there.lacking:
            raise UnavailableError(
                f"{len(there.lacking)} wheels of the lock can't be had: {next(iter(there.lacking.values()))}",
                hint="nomic-scaffold doctor, then nomic-scaffold image build",
            )
        for package in wheels:
            path = there.wheels[package.name]
            found[f"fetched/pkgs/wheels/{package.sha256}/{path.name}"] = path
        if self.wishes.weights_in == "bake":
            found |= self._weights()
        return found

    def _weights(self) -> dict[str, Path]:
        path = project.weights_path(self.root, self.made_of.spec)
        done = weights.bring(self.made_of.spec.model, path, offline=self.wishes.offline, progress=self.progress)
        return {f"fetched/store/{one.sha256}/{Path(one.path).name}": Path(one.path) for one in done}


def _dockerfile(root: Path) -> str:
    text = lock_files.read_text(root / "Dockerfile")
    if not dockerfile.has_a_stage(text):
        hint = "restore it from git: git checkout -- Dockerfile"
        raise InputError("has no stage: no line starts with FROM", path="Dockerfile", hint=hint)
    return text
