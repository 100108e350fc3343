"""Stand in for conda: the few calls that conda-lock makes, on py-rattler alone.

`install(folder)` writes an executable for `conda-lock lock|install --conda PATH`.  Channels are asked through
NOMIC_SCAFFOLD_MIRRORS, so that a lock's real addresses work on a machine without the channel.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def install(folder: Path) -> Path:
    """Write the executable; give its path."""
    program = folder / ("conda.bat" if sys.platform == "win32" else "conda")
    if sys.platform == "win32":
        program.write_text(f'@"{sys.executable}" "{__file__}" %*\n', encoding="utf-8")
    else:
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "$@"\n', encoding="utf-8")
        program.chmod(0o755)
    return program


def main(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        print("conda 26.7.1")
        return 0
    options = _parser().parse_args(arguments)
    match options.command:
        case "create" | "update" if options.dry_run:
            return _dry_run(options)
        case "create":
            asyncio.run(_create(options))
        case "list":
            print(json.dumps(_list(Path(options.prefix))))
        case "info":
            print(json.dumps({"pkgs_dirs": [os.environ.get("CONDA_PKGS_DIRS", "")]}))
        case "run":
            path = f"{options.prefix}/bin{os.pathsep}{os.environ['PATH']}"
            environment = {**os.environ, "PATH": path, "CONDA_PREFIX": options.prefix}
            return subprocess.run(options.argv, env=environment, check=False).returncode
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create")
    for flag in ("--dry-run", "--json", "--override-channels", "--quiet", "--yes", "--copy"):
        create.add_argument(flag, action="store_true")
    create.add_argument("--prefix", "-p")
    create.add_argument("--channel", "-c", action="append", default=[])
    create.add_argument("--file")
    create.add_argument("specs", nargs="*")
    listing = commands.add_parser("list")
    listing.add_argument("-p", "--prefix")
    listing.add_argument("--json", action="store_true")
    listing.add_argument("--no-pip", action="store_true")
    commands.add_parser("info").add_argument("--json", action="store_true")
    run = commands.add_parser("run")
    run.add_argument("--prefix", "-p")
    run.add_argument("argv", nargs=argparse.REMAINDER)
    return parser


def _subdir() -> str:
    from rattler import Subdir

    return os.environ.get("CONDA_SUBDIR") or str(Subdir.current())


def _client() -> Any:
    from rattler.networking import Client, MirrorMiddleware

    mirrors: dict[str, list[str]] = {}
    for pair in os.environ.get("NOMIC_SCAFFOLD_MIRRORS", "").split():
        channel, _, mirror = pair.partition("=")
        mirrors.setdefault(channel, []).append(mirror)
    return Client([MirrorMiddleware(mirrors)])


def _dry_run(options: argparse.Namespace) -> int:
    try:
        records = [_action(record) for record in asyncio.run(_solve(options))]
    except Exception as error:  # conda, too, says it in JSON
        print(json.dumps({"success": False, "message": str(error)}))
        return 1
    print(json.dumps({"success": True, "actions": {"FETCH": records, "LINK": records}}))
    return 0


async def _solve(options: argparse.Namespace) -> list[Any]:
    from rattler import (
        BuildString,
        Gateway,
        GenericVirtualPackage,
        MatchSpec,
        PackageName,
        Version,
        VirtualPackage,
        VirtualPackageOverrides,
        solve,
    )

    real = [channel for channel in options.channel if not channel.startswith("file://")]
    virtual: list[Any] = list(VirtualPackage.detect(VirtualPackageOverrides.from_env()))
    faked = [channel.removeprefix("file://") for channel in options.channel if channel.startswith("file://")]
    if faked:  # conda-lock hands its virtual packages over as a channel of fake records
        data = json.loads(Path(faked[0], _subdir(), "repodata.json").read_text(encoding="utf-8"))
        virtual = [
            GenericVirtualPackage(PackageName(item["name"]), Version(item["version"]), BuildString(item["build"]))
            for item in data["packages"].values()
        ]
    found = await solve(
        real,
        [MatchSpec(spec, strict=False) for spec in options.specs],
        gateway=Gateway(client=_client()),
        platforms=[_subdir(), "noarch"],  # type: ignore[list-item]
        virtual_packages=virtual,
    )
    await asyncio.sleep(0.05)
    return list(found)


def _action(record: Any) -> dict[str, Any]:
    stem = record.file_name.removesuffix(".conda").removesuffix(".tar.bz2")
    more = {"name": record.name.normalized, "version": str(record.version), "url": record.url, "dist_name": stem}
    return {**json.loads(record.to_json()), **more, "fn": record.file_name, "channel": record.channel}


async def _create(options: argparse.Namespace) -> None:
    from rattler import install

    records = list(_explicit(Path(options.file))) if options.file else await _solve(options)
    prefix = Path(options.prefix).absolute()  # a relative one would be written into files
    await install(records, target_prefix=prefix, show_progress=False, client=_client())
    await asyncio.sleep(0.05)


def _explicit(path: Path) -> Any:
    from rattler import BuildString, PackageRecord, RepoDataRecord
    from rattler.explicit_environment import ExplicitEnvironmentSpec

    for entry in ExplicitEnvironmentSpec.from_path(path).packages:
        url, _, digest = entry.url.partition("#")
        digest = digest.removeprefix("sha256:")
        base, filename = url.rsplit("/", 1)
        channel, subdir = base.rsplit("/", 1)
        name, version, build = filename.removesuffix(".conda").removesuffix(".tar.bz2").rsplit("-", 2)
        hashes = {"md5" if len(digest) == 32 else "sha256": bytes.fromhex(digest)} if digest else {}
        record = PackageRecord(name, version, BuildString(build), 0, subdir, **hashes)  # type: ignore[arg-type]
        yield RepoDataRecord(record, filename, url, channel)


def _list(prefix: Path) -> list[dict[str, str]]:
    from rattler import PrefixRecord

    return [
        {
            "name": record.name.normalized,
            "version": str(record.version),
            "build_string": str(record.build),
            "channel": str(record.channel),
            "dist_name": record.file_name.removesuffix(".conda").removesuffix(".tar.bz2"),
            "base_url": str(record.channel),
            "platform": record.subdir,
        }
        for record in map(PrefixRecord.from_path, sorted(prefix.glob("conda-meta/*.json")))
    ]


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # py-rattler can crash the interpreter while it finalizes
