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
from nomic_scaffold.checks.mixture import mixture
from nomic_scaffold.errors import CheckFailedError, ScaffoldError, StaleLockError, UnavailableError, UsageError
from nomic_scaffold.formats import pylock
from nomic_scaffold.models.lock import LockedPackage, PypiLock
from nomic_scaffold.models.prefix import Prefix, Provider
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.spec import ProjectSpec
from nomic_scaffold.models.variant import Accelerator, Platform, VirtualPackage

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
    """Variant id, e.g. `linux-64-cuda` -> what it wants of this machine; all variants where none is for it."""
    refusal: ScaffoldError | None = None
    """Why `install` will not make it."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a machine is to conda."""

    platform: str
    """e.g. `linux-64`; may be one that nothing is locked for."""
    has: tuple[VirtualPackage, ...]


def choose(
    root: Path,
    spec: ProjectSpec,
    *,
    provider: Literal["auto"] | Provider,
    variant: Literal["auto"] | Accelerator,
    destination: Path | None,
    offline: bool,
    ask: Callable[[ProjectSpec], str | None] | None = None,
    machine: Machine | None = None,
) -> Choice:
    """Decide what `install` makes on `machine` (this one), and whether it will.

    `ask` says None when a conda channel answers, else why not.
    """
    chosen, why = _provider(root, spec, provider=provider, offline=offline, ask=ask or ask_channels)
    if chosen == "pypi" and variant == Accelerator.CUDA:
        raise UsageError("the pypi provider has no CUDA variant", hint="leave out --variant, or use --provider conda")
    machine = machine or _this_machine()
    here = [v for v in spec.variants if v.platform == machine.platform]
    wants = {v.id: needs(v.virtual_packages, machine.has) for v in here or spec.variants}
    if chosen == "pypi":
        return Choice(
            provider=chosen,
            accelerator=Accelerator.CPU,
            destination=destination or project.environment_path(root, chosen),
            reasons=(why,),
            wants=wants,
        )
    accelerator, because = _variant(machine.platform, [v.accelerator for v in here], variant, wants)
    return Choice(
        provider=chosen,
        accelerator=accelerator,
        destination=destination or project.environment_path(root, accelerator),
        reasons=(why,),
        variant_reason=because,
        wants=wants,
        refusal=_refusal(spec, machine.platform, [v.accelerator for v in here], accelerator, wants),
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

    Raises the choice's refusal, and StaleLockError when the lock no longer matches its inputs: `install` never resolves
    by itself.
    """
    if choice.refusal is not None:
        raise choice.refusal
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


def _this_machine() -> Machine:
    from nomic_scaffold.adapters.conda import virtual

    return Machine(platform=virtual.subdir(), has=virtual.virtual_packages())


def _variant(
    platform: str,
    here: Sequence[Accelerator],
    asked: Literal["auto"] | Accelerator,
    wants: Mapping[str, Sequence[Need]],
) -> tuple[Accelerator, str]:
    """Choose CPU or CUDA, and say why."""
    if asked != "auto":
        return asked, f"variant {asked}, as you asked."
    if Accelerator.CUDA not in here:
        return Accelerator.CPU, f"variant cpu: scaffold.toml has no cuda variant for {platform}."
    unmet = [need for need in wants[f"{platform}-cuda"] if not need.met]
    if not unmet:
        cuda = next((need for need in wants[f"{platform}-cuda"] if need.name == "__cuda"), None)
        why = (
            f"the NVIDIA driver here has CUDA {cuda.has}, {cuda.wants} is enough" if cuda else "this machine has it all"
        )
        return Accelerator.CUDA, f"variant cuda: {why}."
    if Accelerator.CPU not in here:
        return Accelerator.CUDA, f"variant cuda, the only one for {platform}."
    return Accelerator.CPU, f"variant cpu; cuda wants {unmet[0]}."


def _refusal(
    spec: ProjectSpec,
    platform: str,
    here: Sequence[Accelerator],
    accelerator: Accelerator,
    wants: Mapping[str, Sequence[Need]],
) -> ScaffoldError | None:
    """Say why a variant can't be installed on a machine; None when it can."""
    if platform not in set(Platform):
        return UsageError(
            f"this machine is {platform}; environments are for {', '.join(Platform)}",
            hint="nomic-scaffold install --provider pypi",
        )
    if not here:
        named = ", ".join(sorted({v.platform for v in spec.variants}))
        return UsageError(
            f"scaffold.toml has no variant for {platform}, only for {named}",
            hint=f'add "{platform}" to platforms in scaffold.toml, then: nomic-scaffold lock',
        )
    if accelerator not in here:
        return UsageError(
            f"scaffold.toml has no {accelerator} variant for {platform}", hint="nomic-scaffold install --variant auto"
        )
    unmet = [need for need in wants[f"{platform}-{accelerator}"] if not need.met]
    if not unmet:
        return None
    return UnavailableError(
        f"this machine can't run {platform}-{accelerator}: it wants {unmet[0]}",
        hint="update the driver, or add a cpu variant to scaffold.toml and run: nomic-scaffold lock"
        if accelerator is Accelerator.CUDA and Accelerator.CPU not in here
        else "nomic-scaffold install --explain",
    )


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

    def pip_part(prefix: Prefix, packages: Sequence[LockedPackage], wheels: Mapping[str, Path]) -> None:
        from nomic_scaffold.adapters.pypi.into_conda import install_into

        install_into(prefix, packages, wheels=wheels, offline=offline, progress=progress)

    made = install_conda(
        Wanted(
            packages=lock_files.fresh_packages(root, choice.accelerator, platform, progress=progress),
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
    refuse_mixture(made)
    return made


def refuse_mixture(prefix: Prefix) -> None:
    """Raise CheckFailedError when a CPU environment carries something for CUDA, or a CUDA one a CPU build of torch."""
    from nomic_scaffold.adapters.conda.accelerated import look

    seen = look(prefix.path)
    wrong = mixture(prefix.accelerator, packages=seen.packages, modules=seen.modules, torch_cuda=seen.torch_cuda)
    if wrong:
        raise CheckFailedError(
            f"{prefix.path} is the {prefix.accelerator} variant, and {wrong}",
            hint="pin the build in [variants] of scaffold.toml, then nomic-scaffold lock",
        )


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
