"""What this machine is to conda: its platform and its virtual packages."""

from __future__ import annotations

from nomic_scaffold.errors import UsageError
from nomic_scaffold.models.variant import Platform, VirtualPackage


def subdir() -> str:
    """Give conda's name of this machine's platform, whatever it is."""
    from rattler import Subdir

    return str(Subdir.current())


def platform() -> Platform:
    """Give this machine's platform; raises UsageError for one that pytorch is not built for."""
    name = subdir()
    try:
        return Platform(name)
    except ValueError as error:
        known = ", ".join(Platform)
        raise UsageError(
            f"this machine is {name}; environments are for {known}", hint="nomic-scaffold install --provider pypi"
        ) from error


def virtual_packages() -> tuple[VirtualPackage, ...]:
    """Detect this machine's virtual packages; CONDA_OVERRIDE_... variables count, as for conda."""
    from rattler import VirtualPackage as Detected
    from rattler import VirtualPackageOverrides

    found = [package.into_generic() for package in Detected.detect(VirtualPackageOverrides.from_env())]
    return tuple(
        VirtualPackage(name=p.name.normalized, version=str(p.version), build=str(p.build_string)) for p in found
    )
