"""Every task of this repository: `nox -l` lists them, `make` is a front for the common ones."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "tests"]

PROJECT = nox.project.load_toml("pyproject.toml")
DEPENDENCIES = PROJECT["project"]["dependencies"]


def install(session: nox.Session, *groups: str) -> None:
    """Install this tool, editable, and the dependency groups."""
    if not list(Path(session.virtualenv.location).rglob("nomic_scaffold-*.dist-info")):
        session.log("installing the tool and its libraries: about half a minute, once")
    wanted = [line for group in groups for line in nox.project.dependency_groups(PROJECT, group)]
    session.install("--quiet", "-e", ".", *wanted, env={"PIP_DISABLE_PIP_VERSION_CHECK": "1"})


@nox.session
def lint(session: nox.Session) -> None:
    install(session, "lint", "test")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    # What runs without this tool, or beside it. Where torch is not installed, what is made of it has no type.
    package = Path(session.create_tmp()) / "my_project"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree("template/src/{{ package }}", package)
    lenient = ["--allow-untyped-decorators", "--allow-subclassing-any", "--no-warn-return-any"]
    beside = ["mypy", "--config-file=", "--strict", "--ignore-missing-imports", *lenient]
    session.run(*beside, *(f"src/nomic_scaffold/_probe/{name}.py" for name in ("__main__", "cases", "watch")))
    session.run(*beside, str(package))
    scripts = sorted(str(path) for folder in ("tools", "benchmarks") for path in Path(folder).glob("[a-z]*.py"))
    session.run(*beside, "--explicit-package-bases", *scripts, env={"MYPYPATH": "src:."})
    session.run("lint-imports", "--no-logo")
    session.run("zizmor", "--offline", "--quiet", ".github", "template/.github")
    session.run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows())
    session.run("python", "docs/generate.py", "--check")


@nox.session
def tests(session: nox.Session) -> None:
    """`nox -s tests -- ARGUMENTS` passes them on to pytest; `-- -m network` is for machines with a network."""
    install(session, "test")
    # By file, so that what a file's tests share is made once; in order, so that the short ones come last.
    # One process more than there are cores, since tests of images wait for their engine.
    parallel = ["-n", str(min(4, 1 + (os.cpu_count() or 1))), "--dist", "loadfile", "--no-loadscope-reorder"]
    session.run("pytest", *parallel, "-m", "not network", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    install(session)
    session.run("python", "tools/demo.py", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    install(session)
    session.run("python", "docs/generate.py")


@nox.session
def build(session: nox.Session) -> None:
    session.install("--quiet", "build")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build")


@nox.session(name="refresh-locks")
def refresh_locks(session: nox.Session) -> None:
    """Solve the reference locks of the default answers anew."""
    install(session)
    session.run("python", "tools/refresh_locks.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """`nox -s bench -- NAME` runs one; the figures land in docs/explanation/."""
    install(session, "test")
    chosen = session.posargs or sorted(path.stem for path in Path("benchmarks").glob("[a-z]*.py"))
    for name in chosen:
        session.run("python", f"benchmarks/{name}.py")


def workflows() -> list[str]:
    """Every workflow file, ours and the template's."""
    return [
        str(path) for root in (".github", "template/.github") for path in sorted(Path(root).glob("workflows/*.yml"))
    ]


@nox.session(name="refresh-tool-lock")
def refresh_tool_lock(session: nox.Session) -> None:
    """Pin what the tool's own image installs, every file by its hash."""
    session.install("--quiet", "uv")
    target = Path("locks/tool/requirements.txt")
    header = "# What nomic-scaffold's own image installs, every file by its hash.  Made by: nox -s refresh-tool-lock\n"
    options = ["--universal", "--generate-hashes", "--python-version", "3.11", "--no-header", "--no-annotate", "-q"]
    build_requirements = Path(session.create_tmp()) / "build.in"
    build_requirements.write_text("\n".join(PROJECT["build-system"]["requires"]) + "\n")
    session.run("uv", "pip", "compile", "pyproject.toml", str(build_requirements), *options, "-o", str(target))
    target.write_text(header + target.read_text())
