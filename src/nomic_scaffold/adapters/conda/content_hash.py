"""conda-lock's own content hashes, from its own library: `conda-lock lock --check-input-hash` compares these.

Asked only for what formats/content_hash.py does not hash by itself.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from nomic_scaffold.errors import InputError
from nomic_scaffold.formats.content_hash import ContentHashes
from nomic_scaffold.models.variant import Platform


def content_hashes(
    environment: str, overlay: str, virtual_packages: str, *, platforms: Iterable[Platform]
) -> ContentHashes:
    """Compute the hashes over three texts: environment.yml, what the variant adds, its virtual packages.

    Importing conda_lock takes a second: call this beside a solve. Raises InputError for what conda-lock can't read.
    """
    logging.getLogger("conda_lock").setLevel(logging.ERROR)  # it warns of each line with another platform's selector
    from conda_lock.content_hash import compute_content_hashes
    from conda_lock.src_parser import make_lock_spec
    from conda_lock.virtual_package import virtual_package_repo_from_specification

    with tempfile.TemporaryDirectory(prefix="nomic-scaffold-") as scratch:
        folder = Path(scratch)
        for name, text in {
            "environment.yml": environment,
            "overlay.yml": overlay,
            "virtual-packages.yml": virtual_packages,
            "names.json": "{}",
        }.items():
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
        try:
            spec = make_lock_spec(
                src_files=[folder / "environment.yml", folder / "overlay.yml"],
                platform_overrides=[str(platform) for platform in platforms],
                mapping_url=str(folder / "names.json"),  # else it is fetched from the network
            )
        except Exception as error:  # conda-lock raises what its parsers raise
            raise InputError(
                f"conda-lock can't read it: {error}", path="environment.yml", hint="write requirements as conda does"
            ) from error
        repository = virtual_package_repo_from_specification(folder / "virtual-packages.yml")
        shutil.rmtree(repository.base_path, ignore_errors=True)  # it would go at the interpreter's exit only
        whole = compute_content_hashes(spec, repository)
        spec.dependencies = {
            name: [item for item in items if item.manager != "pip"] for name, items in spec.dependencies.items()
        }
        conda_only = compute_content_hashes(spec, repository)
    return ContentHashes(
        whole={Platform(name): value for name, value in whole.items()},
        conda_only={Platform(name): value for name, value in conda_only.items()},
        channels=tuple({"url": item.url, "used_env_vars": list(item.used_env_vars)} for item in spec.channels),
    )
