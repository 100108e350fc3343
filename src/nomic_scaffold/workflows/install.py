"""Make a project's environment from its lock: choose the provider and the variant, say why, install."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from nomic_scaffold.adapters import lock_files, project, reach
from nomic_scaffold.checks.machine import Need, needs
from nomic_scaffold.errors import InputError, StaleLockError, UnavailableError, UsageError
from nomic_scaffold.formats import environment_yml, lock_check, lock_inputs, pylock
from nomic_scaffold.models.lock import LockedPackage, LockPaths, PypiLock
from nomic_scaffold.models.prefix import Prefix, Provider
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.spec import ProjectSpec
from nomic_scaffold.models.variant import Accelerator, Platform

CONDA_LOCK = "conda-lock.yml"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What will be installed, and why."""

    provider: Provider
    accelerator: Accelerator
    destination: Path
    reasons: tuple[str, ...]
    """Why this provider; whole sentences."""
    variant_reason: str = ""
    """Why this variant; a sentence, for conda."""
    wants: dict[str, tuple[Need, ...]] = field(default_factory=dict)
    """Variant id, e.g. `linux-64-cuda` -> what it wants of this machine."""


def choose(
    root: Path,
    spec: ProjectSpec,
    *,
    provider: Literal["auto"] | Provider,
    variant: Literal["auto"] | Accelerator,
    destination: Path | None,
    offline: bool,
    ask: Callable[[ProjectSpec], str | None] | None = None,
) -> Choice:
    """Decide what `install` makes on this machine. `ask` says None when a conda channel answers, else why not."""
    chosen, why = _provider(root, spec, provider=provider, offline=offline, ask=ask or ask_channels)
    if chosen == "pypi" and variant == Accelerator.CUDA:
        raise UsageError("the pypi provider has no CUDA variant", hint="leave out --variant, or use --provider conda")
    if chosen == "conda":
        accelerator, because, wants = _variant(spec, variant)
        return Choice(
            provider=chosen,
            accelerator=accelerator,
            destination=destination or project.environment_path(root, accelerator),
            reasons=(why,),
            variant_reason=because,
            wants=wants,
        )
    return Choice(
        provider=chosen,
        accelerator=Accelerator.CPU,
        destination=destination or project.environment_path(root, chosen),
        reasons=(why,),
    )


def install(
    root: Path,
    spec: ProjectSpec,
    choice: Choice,
    *,
    fresh: bool,
    offline: bool,
    progress: Progress,
    deep: bool = False,
    copy: bool = False,
) -> Prefix:
    """Make the chosen environment, or see that it is there and whole.

    For conda, `deep` reads every byte to see that, and `copy` makes no hard links into the cache.

    Raises StaleLockError when the lock no longer matches its inputs: `install` never resolves by itself.
    """
    if choice.provider == "conda":
        return _conda(root, spec, choice, fresh=fresh, offline=offline, progress=progress, deep=deep, copy=copy)
    from nomic_scaffold.adapters import pypi

    return pypi.install(
        _pylock(root, spec),
        choice.destination,
        wheels=root / "locks" / pylock.WHEELS,
        fresh=fresh,
        offline=offline,
        progress=progress,
    )


def slim(prefix: Prefix) -> str:
    """Leave out of a conda environment what an image does not need; gives a sentence on what that was."""
    from nomic_scaffold.adapters.conda.slim import slim as leave_out

    left = leave_out(prefix.path)
    return f"left out {left.files} files ({left.bytes / 1e6:.0f} MB) that embedding never opens"


def ask_channels(spec: ProjectSpec) -> str | None:
    """Say None when one of the project's conda channels answers, else why none does."""
    from nomic_scaffold.adapters.conda.client import CANONICAL, channel_access

    access = channel_access(os.environ)
    urls = {name: access.resolve(name if "://" in name else f"{CANONICAL}/{name}") for name in spec.channels}
    answers = reach.reach_all({name: f"{url}/noarch/repodata.json.zst" for name, url in urls.items()})
    if any(answer.why_not is None for answer in answers.values()):
        return None
    return "; ".join(f"{name}: {answer.why_not}" for name, answer in answers.items())


def _provider(
    root: Path,
    spec: ProjectSpec,
    *,
    provider: Literal["auto"] | Provider,
    offline: bool,
    ask: Callable[[ProjectSpec], str | None],
) -> tuple[Provider, str]:
    if provider != "auto":
        return provider, f"{provider}, as you asked."
    present = project.find_prefix(root)
    if present is not None:
        return present.provider, f"{present.provider}, as the environment that is here; --provider changes it."
    if not (root / CONDA_LOCK).is_file():
        return "pypi", f"pypi, because there is no {CONDA_LOCK} here."
    if offline:
        return "conda", "conda, the default; --offline asks no channel, --provider pypi uses wheels."
    why = ask(spec)
    if why is None:
        return "conda", "conda, the default: a channel answers."
    return "pypi", f"pypi, because no conda channel answers ({why})."


def _variant(
    spec: ProjectSpec, asked: Literal["auto"] | Accelerator
) -> tuple[Accelerator, str, dict[str, tuple[Need, ...]]]:
    """Choose CPU or CUDA for this machine; raises UsageError when no lock is for this platform, or not for `asked`."""
    from nomic_scaffold.adapters.conda import virtual

    platform, found = virtual.platform(), virtual.virtual_packages()
    here = {v.accelerator: v for v in spec.variants if v.platform == platform}
    if not here:
        named = ", ".join(sorted({v.platform for v in spec.variants}))
        raise UsageError(
            f"scaffold.toml has no variant for {platform}, only for {named}",
            hint=f'add "{platform}" to platforms in scaffold.toml, then: nomic-scaffold lock',
        )
    wants = {variant.id: needs(variant.virtual_packages, found) for variant in here.values()}
    if asked != "auto":
        if asked not in here:
            raise UsageError(
                f"scaffold.toml has no {asked} variant for {platform}", hint="nomic-scaffold install --variant auto"
            )
        return asked, f"variant {asked}, as you asked.", wants
    if Accelerator.CUDA not in here:
        return Accelerator.CPU, f"variant cpu: scaffold.toml has no cuda variant for {platform}.", wants
    unmet = [need for need in wants[here[Accelerator.CUDA].id] if not need.met]
    if not unmet:
        cuda = next((need for need in wants[here[Accelerator.CUDA].id] if need.name == "__cuda"), None)
        why = (
            f"the NVIDIA driver here has CUDA {cuda.has}, {cuda.wants} is enough" if cuda else "this machine has it all"
        )
        return Accelerator.CUDA, f"variant cuda: {why}.", wants
    if Accelerator.CPU not in here:
        raise UnavailableError(
            f"the only variant for {platform} is cuda, and this machine lacks: {unmet[0]}",
            hint="update the driver, or add a cpu variant to scaffold.toml and run: nomic-scaffold lock",
        )
    return Accelerator.CPU, f"variant cpu; cuda wants {unmet[0]}.", wants


def _conda(
    root: Path,
    spec: ProjectSpec,
    choice: Choice,
    *,
    fresh: bool,
    offline: bool,
    progress: Progress,
    deep: bool,
    copy: bool,
) -> Prefix:
    from nomic_scaffold.adapters import weights
    from nomic_scaffold.adapters.conda import virtual
    from nomic_scaffold.adapters.conda.archive import cache_root
    from nomic_scaffold.adapters.conda.install import Wanted
    from nomic_scaffold.adapters.conda.install import install as install_conda
    from nomic_scaffold.adapters.conda.wheels import Wheels

    platform = virtual.platform()
    unmet = [need for need in choice.wants.get(f"{platform}-{choice.accelerator}", ()) if not need.met]
    if unmet:
        raise UnavailableError(
            f"this machine can't run {platform}-{choice.accelerator}: it wants {unmet[0]}",
            hint="nomic-scaffold install --explain",
        )

    def pip_part(prefix: Prefix, packages: Sequence[LockedPackage], wheels: Mapping[str, Path]) -> None:
        from nomic_scaffold.adapters.pypi.into_conda import install_into

        install_into(prefix, packages, wheels=wheels, offline=offline, progress=progress)

    return install_conda(
        Wanted(
            packages=locked_packages(root, choice.accelerator, platform, progress=progress),
            platform=platform,
            accelerator=choice.accelerator,
            requested=spec.requirements,
        ),
        choice.destination,
        offline=offline,
        progress=progress,
        fresh=fresh,
        deep=deep,
        copy=copy,
        pip=pip_part,
        wheels=Wheels(
            cache=cache_root(),
            folders=(root / "locks" / pylock.WHEELS,),
            bring=None if offline else partial(weights.bring_wheels, progress=progress),
        ),
    )


def locked_packages(
    root: Path, accelerator: Accelerator, platform: Platform, *, progress: Progress
) -> tuple[LockedPackage, ...]:
    """Read what the lock of `accelerator` has for `platform`.

    Raises StaleLockError when its inputs have changed since, InputError when it has nothing for the platform.
    """
    paths = LockPaths(accelerator=accelerator)
    texts = {name: lock_files.read_text(root / name) for name in (environment_yml.NAME, lock_inputs.SCAFFOLD)}
    inputs = lock_inputs.read(texts[environment_yml.NAME], texts[lock_inputs.SCAFFOLD])
    of_it = [item for item in inputs if (item.accelerator, item.platform) == (accelerator, platform)]
    head = lock_files.read_head(root / paths.lock)
    for finding in lock_check.compare(of_it, {accelerator: _only(head, platform)}, texts):
        match finding.kind:
            case "missing":
                raise InputError(finding.message, path=finding.file, hint="nomic-scaffold lock")
            case "changed":
                raise StaleLockError(
                    finding.message,
                    path=finding.file,
                    line=finding.line,
                    hint="nomic-scaffold lock, then install again",
                )
            case "foreign":
                progress.say(f"{paths.lock} was made by another tool; whether it is fresh can't be told")
            case "incomplete":
                progress.say(f"{paths.lock} lacks the pip section of environment.yml; nomic-scaffold lock adds it")
            case "derived":
                pass
    return lock_files.locked_packages(root, accelerator, platform)


def _only(head: lock_check.Head, platform: Platform) -> lock_check.Head:
    return head if isinstance(head, str) else tuple(record for record in head if record.platform == platform)


def _pylock(root: Path, spec: ProjectSpec) -> PypiLock:
    lock = project.read_pylock(root)
    wanted = pylock.inputs_digest(spec.pypi_requirements, spec.pypi_python)
    if lock.inputs_digest not in (None, wanted):
        raise StaleLockError(
            "was made from other requirements than [pypi] of scaffold.toml now has",
            path=f"locks/{pylock.NAME}",
            hint="nomic-scaffold lock",
        )
    return lock
