"""Lock the pip section of a conda environment: what conda gives is taken as it is, and only the rest from an index.

conda's Python packages are shown to uv as empty wheels of exactly conda's versions (`2.5.2+conda`), in an index of
their own that is asked first: uv itself finds out whether a PyPI package can live with them, and says why when it
can't, and the real index is asked only for what conda lacks. Nothing is taken twice.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from nomic_scaffold.adapters.pypi.index import no_index, uv_environment
from nomic_scaffold.adapters.pypi.uv import run_uv, until, version
from nomic_scaffold.errors import InputError, ScaffoldError, UnsolvableError
from nomic_scaffold.formats.lock_url import without_credentials
from nomic_scaffold.formats.names import pypi_name
from nomic_scaffold.models.lock import LockedPackage, LockInputs
from nomic_scaffold.models.variant import Platform

_MARK = "+conda"
_MANYLINUX = (17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)
"""Minor versions of glibc 2 that uv has a platform for."""
_IMPATIENT = {"UV_HTTP_RETRIES": "0", "UV_HTTP_CONNECT_TIMEOUT": "2", "UV_HTTP_TIMEOUT": "5"}
_NO_WHEELS = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*?)(?:\[[^\]]*\])?(?:[<>=!~][^\s]*)? has no (?:usable )?wheels")


@dataclass(frozen=True, kw_only=True)
class PypiPart:
    """The pip section of one platform, locked."""

    packages: tuple[LockedPackage, ...]
    left_out: tuple[str, ...]
    """Packages that an extra asks for and that have no file for this platform."""
    resolver: str
    """What found them, e.g. `uv/0.13.0`."""


@dataclass(frozen=True, kw_only=True)
class _Target:
    """What uv resolves for."""

    python: str
    platform: str
    tags: tuple[Tag, ...]


@dataclass(frozen=True, kw_only=True)
class _Options:
    offline: bool
    environ: Mapping[str, str]
    upgrade: tuple[str, ...]
    exclude_newer: date | None
    provided: tuple[str, ...]
    """What conda gives, by its name on PyPI."""


def solve_for_conda(
    inputs: LockInputs,
    conda: Sequence[LockedPackage],
    *,
    keep: Sequence[LockedPackage] = (),
    upgrade: Sequence[str] = (),
    offline: bool = False,
    patient: bool = True,
    exclude_newer: date | None = None,
) -> PypiPart:
    """Lock `inputs.pip` beside the packages of `conda`; versions of `keep` stay but for those in `upgrade`.

    Raises InputError for a package that both managers are asked for, UnsolvableError, and UnavailableError when no
    index answers (unless `patient` within seconds).
    """
    provided = _provided(conda)
    asked = tuple(_requirement(item.text, item.file, item.line) for item in inputs.pip)
    _refuse_both(inputs, asked, provided)
    target = _target(inputs, conda)
    with tempfile.TemporaryDirectory(prefix="nomic-scaffold-") as scratch:
        folder = Path(scratch).resolve()
        options = _Options(
            offline=offline,
            environ=_environment(folder, patient=patient),
            upgrade=tuple(upgrade),
            exclude_newer=exclude_newer,
            provided=tuple(provided),
        )
        _write_stubs(folder, provided)
        try:
            return _compile(folder, asked, target, options, inputs, keep=keep)
        except UnsolvableError as error:
            lacking = _without_files(str(error), asked)
            if not lacking or not _only_extras_want(lacking, folder, asked, target, options, inputs):
                raise UnsolvableError(
                    f"{inputs.id}, pip section: {error.message}", hint=_loosen(error.message, asked, inputs)
                ) from error
        return _compile(folder, asked, target, options, inputs, keep=keep, without=lacking)


def _compile(
    folder: Path,
    asked: Sequence[Requirement],
    target: _Target,
    options: _Options,
    inputs: LockInputs,
    *,
    keep: Sequence[LockedPackage] = (),
    without: Sequence[str] = (),
) -> PypiPart:
    wanted, made = folder / "requirements.in", folder / "pylock.toml"
    wanted.write_text("".join(f"{item}\n" for item in asked), encoding="utf-8")
    made.unlink(missing_ok=True)
    if kept := _preferences(keep):
        made.write_text(kept, encoding="utf-8")
    arguments: list[str | Path] = [
        "pip",
        "compile",
        wanted,
        "--only-binary",
        ":all:",
        "--python",
        sys.executable,
    ]
    arguments += ["--python-version", target.python, "--python-platform", target.platform]
    arguments += ["--constraints", folder / "conda.txt"]
    if no_index(options.environ):
        arguments += ["--find-links", folder / "wheels"]
    if without:
        (folder / "excludes.txt").write_text("".join(f"{name}\n" for name in without), encoding="utf-8")
        arguments += ["--excludes", folder / "excludes.txt"]
    arguments += [part for name in options.upgrade for part in ("--upgrade-package", name)]
    # uv must speak up to say that an index gives no publish times. conda's own packages have none, and need none.
    arguments += until(options.exclude_newer) or ["--quiet"]
    if options.exclude_newer:
        arguments += [part for name in options.provided for part in ("--exclude-newer-package", f"{name}=false")]
    run_uv([*arguments, "--output-file", made], offline=options.offline, cwd=folder, environ=options.environ)
    depends = _who_asks(folder, made, arguments, options)
    packages = [
        _package(entry, target, inputs.platform, depends.get(canonicalize_name(entry["name"]), ()))
        for entry in tomllib.loads(made.read_text(encoding="utf-8")).get("packages", [])
        if not str(entry.get("version", "")).endswith(_MARK)
    ]
    return PypiPart(packages=tuple(packages), left_out=tuple(sorted(without)), resolver=version())


def _who_asks(
    folder: Path, made: Path, arguments: Sequence[str | Path], options: _Options
) -> dict[str, tuple[str, ...]]:
    """Ask once more, from uv's cache and bound to what was found, who asks for which: pylock.toml is silent."""
    entries = tomllib.loads(made.read_text(encoding="utf-8")).get("packages", [])
    pins = folder / "pins.txt"
    pins.write_text("".join(f"{entry['name']}=={entry['version']}\n" for entry in entries), encoding="utf-8")
    try:
        told = run_uv(
            [*arguments, "--constraints", pins, "--annotation-style", "line", "--no-header"],
            offline=True,
            cwd=folder,
            environ=options.environ,
        )
    except ScaffoldError:
        return {}  # no cache: the order of installing is lost, and pip needs none
    found: dict[str, set[str]] = {}
    for line in told.splitlines():
        name, mark, rest = line.partition("# via ")
        if not mark:
            continue
        needed = canonicalize_name(re.split(r"[=\[ ]", name.strip())[0])
        for asker in rest.split(","):
            found.setdefault(canonicalize_name(asker.strip().partition("[")[0]), set()).add(needed)
    return {name: tuple(sorted(needs)) for name, needs in found.items()}


def _environment(folder: Path, *, patient: bool) -> dict[str, str]:
    """Put the index of conda's packages before the user's own."""
    environment = uv_environment({**({} if patient else _IMPATIENT), **os.environ}, for_everyone=True)
    first = (folder / "index").as_uri()
    environment["UV_INDEX"] = " ".join([first, environment.get("UV_INDEX", "")]).strip()
    return environment


def _provided(conda: Iterable[LockedPackage]) -> dict[str, LockedPackage]:
    """Find conda's Python packages by their name on PyPI."""
    found: dict[str, LockedPackage] = {}
    for package in conda:
        wants = {depend.partition(" ")[0] for depend in package.depends}
        if package.manager == "conda" and wants & {"python", "python_abi"}:
            found[pypi_name(package.name)] = package
    return found


def _requirement(text: str, file: str, line: int | None) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        raise InputError(
            f"{text!r} in the pip section can't be locked: {str(error).splitlines()[0]}",
            path=file,
            line=line,
            hint="write a name with versions, e.g. - nomic[local] ==3.9.*",
        ) from error


def _loosen(message: str, asked: Sequence[Requirement], inputs: LockInputs) -> str:
    """Name the lines of the pip section that uv's words speak of; all of them when it speaks of none."""
    written = list(zip(asked, inputs.pip, strict=True))
    told = [
        item
        for requirement, item in written
        if re.search(rf"(?<![\w.-]){re.escape(requirement.name)}(?![\w-])", message)
    ]
    places = ", ".join(f"{item.text!r} ({item.file}:{item.line})" for item in told or inputs.pip)
    return f"loosen {places}, or name the index that has it"


def _refuse_both(inputs: LockInputs, asked: Sequence[Requirement], provided: Mapping[str, LockedPackage]) -> None:
    for requirement, written in zip(asked, inputs.pip, strict=True):
        package = provided.get(canonicalize_name(requirement.name))
        if package is None:
            continue
        source = next(
            (i for i in inputs.requirements if re.match(rf"{re.escape(package.name)}(?![\w-])", i.text)), None
        )
        by = f"line {source.line} asks conda for it" if source else "other conda packages need it"
        raise InputError(
            f"{requirement.name} would come by both managers: pip here, "
            f"and conda ({package.name} {package.version}; {by})",
            path=written.file,
            line=written.line,
            hint="take one of the two out",
        )


def _write_stubs(folder: Path, provided: Mapping[str, LockedPackage]) -> None:
    (folder / "wheels").mkdir()
    pins = []
    for name, package in provided.items():
        try:
            version = str(Version(package.version + _MARK))
        except InvalidVersion:
            continue  # no version of PyPI's: nothing of the pip section can ask for one
        stem = f"{name.replace('-', '_')}-{version}"
        path = folder / "wheels" / f"{stem}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            info = f"{stem}.dist-info"
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
        page = folder / "index" / name / "index.html"
        page.parent.mkdir(parents=True)
        page.write_text(f'<a href="{path.as_uri()}">{path.name}</a>', encoding="utf-8")
        pins.append(f"{name}=={version}\n")
    (folder / "conda.txt").write_text("".join(pins), encoding="utf-8")


def _target(inputs: LockInputs, conda: Iterable[LockedPackage]) -> _Target:
    python = next((package.version for package in conda if package.name == "python"), None)
    if python is None:
        raise InputError(
            "has a pip section but no python", path="environment.yml", hint="add python 3.13.* to its dependencies"
        )
    major, minor = (int(part) for part in python.split(".")[:2])
    virtual = {package.name: package.version for package in inputs.virtual_packages}
    match inputs.platform:
        case Platform.LINUX_64 | Platform.LINUX_AARCH64:
            machine = "x86_64" if inputs.platform is Platform.LINUX_64 else "aarch64"
            glibc = int(virtual.get("__glibc", "2.28").split(".")[1])
            name = f"{machine}-manylinux_2_{max((v for v in _MANYLINUX if v <= glibc), default=17)}"
            platforms = [f"manylinux_2_{version}_{machine}" for version in range(glibc, 4, -1)]
            platforms += [f"{old}_{machine}" for old in ("manylinux2014", "manylinux2010", "manylinux1")]
        case Platform.OSX_ARM64:
            name = "aarch64-apple-darwin"
            version = Version(virtual.get("__osx", "13.0"))
            platforms = list(mac_platforms((version.major, version.minor), "arm64"))
        case Platform.WIN_64:
            name, platforms = "x86_64-pc-windows-msvc", ["win_amd64"]
    tags = [
        *cpython_tags((major, minor), platforms=platforms),
        *compatible_tags((major, minor), interpreter=f"cp{major}{minor}", platforms=platforms),
    ]
    return _Target(python=f"{major}.{minor}", platform=name, tags=tuple(tags))


def _preferences(keep: Iterable[LockedPackage]) -> str:
    """Write the packages to keep as a pylock.toml: uv stays with the versions that it finds in its output file."""
    rows = []
    for package in keep:
        if package.manager == "pip" and package.sha256:
            rows += ["[[packages]]", f'name = "{package.name}"', f'version = "{package.version}"']
            rows.append(f'wheels = [{{ url = "{package.url}", hashes = {{ sha256 = "{package.sha256}" }} }}]')
    head = ['lock-version = "1.0"', 'created-by = "nomic-scaffold"']
    return "\n".join([*head, *rows, ""]) if rows else ""


def _package(entry: Mapping[str, object], target: _Target, platform: Platform, depends: Sequence[str]) -> LockedPackage:
    name, version = canonicalize_name(str(entry["name"])), str(entry.get("version", ""))
    wheel = _best(entry.get("wheels", ()), target)
    if wheel is None:
        raise UnsolvableError(
            f"{name} {version} has no wheel for {platform} and Python {target.python}",
            hint="loosen its line in the pip section of environment.yml",
        )
    url, sha256, size = wheel
    return LockedPackage(
        name=name,
        version=version,
        manager="pip",
        platform=platform,
        url=url,
        sha256=sha256,
        md5=None,
        depends=tuple(f"{item} *" for item in depends),
        size=size,
    )


def _best(wheels: object, target: _Target) -> tuple[str, str, int | None] | None:
    rank = {tag: place for place, tag in enumerate(target.tags)}
    ranked = []
    for wheel in wheels if isinstance(wheels, list) else ():
        url, sha256 = str(wheel.get("url", "")), wheel.get("hashes", {}).get("sha256")
        filename = unquote(urlsplit(url).path).rpartition("/")[2]
        try:
            *_, tags = parse_wheel_filename(filename)
        except InvalidWheelFilename:
            continue
        places = [rank[tag] for tag in tags if tag in rank]
        if places and sha256 and url.startswith(("https:", "http:")):
            ranked.append((min(places), filename, without_credentials(url), str(sha256), wheel.get("size")))
    return min(ranked)[2:] if ranked else None


def _without_files(message: str, asked: Sequence[Requirement]) -> tuple[str, ...]:
    """Read from uv's explanation which packages have no file for the platform, if nobody asked for them by name."""
    names = {canonicalize_name(match) for match in _NO_WHEELS.findall(message)}
    return () if names & {canonicalize_name(item.name) for item in asked} else tuple(sorted(names))


def _only_extras_want(
    names: Sequence[str],
    folder: Path,
    asked: Sequence[Requirement],
    target: _Target,
    options: _Options,
    inputs: LockInputs,
) -> bool:
    """Say whether nothing but extras brings these packages in: without extras there is a solution without them."""
    bare = [Requirement(str(item)) for item in asked]
    for item in bare:
        item.extras = set()
    try:
        part = _compile(folder, bare, target, options, inputs)
    except UnsolvableError:
        return False
    return not {package.name for package in part.packages} & set(names)
