"""Read a weights manifest: the official files of a model, by hash, and where they can be had."""

from __future__ import annotations

import tomllib

from pydantic import ValidationError

from nomic_scaffold.errors import InputError
from nomic_scaffold.models.spec import ModelPin
from nomic_scaffold.models.weights import HubSource, Manifest, OfficialFile


def parse(text: str, *, path: str) -> Manifest:
    """Read the text of a manifest; raises InputError that names `path` and the key."""
    try:
        return Manifest.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"not valid TOML: {error}", path=path) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{key}: {first['msg']} (found {first.get('input')!r})", path=path) from error


def wanted_file(pin: ModelPin, manifests: tuple[Manifest, ...]) -> OfficialFile:
    """Find the pinned file by its hash, or say where the pin's own repository must have it."""
    for manifest in manifests:
        for file in manifest.files:
            if file.sha256 == pin.sha256:
                return file.model_copy(update={"file": pin.file})
    return OfficialFile(
        file=pin.file,
        what="the pinned file",
        sha256=pin.sha256,
        size=pin.size,
        sources=(HubSource(kind="huggingface", repository=pin.repository, revision=pin.revision, path=pin.file),),
    )


def beside(pin: ModelPin, manifests: tuple[Manifest, ...]) -> tuple[OfficialFile, ...]:
    """Find the files that the pinned one is of no use without: a safetensors file carries no vocabulary."""
    if not pin.file.endswith(".safetensors"):
        return ()
    return tuple(file for manifest in manifests for file in manifest.files if file.file == "vocab.txt")
