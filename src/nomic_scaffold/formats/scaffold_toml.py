"""Read scaffold.toml: what a project pins beyond its environment.yml."""

from __future__ import annotations

import re
import tomllib
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from nomic_scaffold.errors import InputError, page
from nomic_scaffold.formats.environment_yml import EnvironmentYml
from nomic_scaffold.formats.scaffold_words import told
from nomic_scaffold.formats.toml_lines import line_of
from nomic_scaffold.models.boundary import Boundary
from nomic_scaffold.models.spec import ModelPin, ProjectSpec, Tolerance
from nomic_scaffold.models.variant import Accelerator, Platform, Variant, VirtualPackage

NAME = "scaffold.toml"
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Revision = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")]
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]*$")]


class ToolTable(Boundary):
    """The tool that made the project."""

    version: str


class ProjectTable(Boundary):
    """What the project is called and which texts it embeds."""

    name: str
    package: Identifier
    python: Annotated[str, StringConstraints(pattern=r"^3\.\d+$")]
    languages: Annotated[tuple[Language, ...], Field(min_length=1)]


class VariantTable(Boundary):
    """One accelerator: its platforms, and what makes its locks what they are."""

    platforms: Annotated[tuple[Platform, ...], Field(min_length=1)]
    requirements: dict[Platform | Literal["all"], tuple[str, ...]]
    virtual_packages: dict[str, str] = Field(default_factory=dict, alias="virtual-packages")


class ModelTable(Boundary):
    """The pinned model file."""

    repository: str
    revision: Revision
    file: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    sha256: Sha256
    size: Annotated[int, Field(gt=0)]
    dimension: Annotated[int, Field(ge=64)]
    max_tokens: Annotated[int, Field(gt=0, alias="max-tokens")]


class ToleranceTable(Boundary):
    """How far vectors may be from the golden ones."""

    cosine_distance: Annotated[float, Field(gt=0, lt=1, alias="cosine-distance")]
    component: Annotated[float, Field(gt=0, lt=1)]


class PypiTable(Boundary):
    """What `locks/pylock.toml` resolves."""

    python: Annotated[str, StringConstraints(pattern=r"^3\.\d+$")]
    requirements: tuple[str, ...]


class ImageTable(Boundary):
    """Limits of the Docker image."""

    budget_mb: dict[Accelerator, Annotated[int, Field(gt=0)]] = Field(default={}, alias="budget-mb")


class ScaffoldToml(Boundary):
    """scaffold.toml as written."""

    schema_version: Literal[1] = Field(alias="schema")
    tool: ToolTable
    project: ProjectTable
    variants: dict[Accelerator, VariantTable]
    virtual_packages: dict[Platform, dict[str, str]] = Field(alias="virtual-packages")
    model: ModelTable
    tolerance: ToleranceTable
    pypi: PypiTable
    image: ImageTable = ImageTable()


def parse(text: str, *, path: str = NAME) -> ScaffoldToml:
    """Read the text of a scaffold.toml.

    Raises InputError with the line of the offending key, as far as it can be told.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        raise InputError(
            f"not valid TOML: {error}", path=path, line=int(line[1]) if line else None, hint="mend that line"
        ) from error
    try:
        return ScaffoldToml.model_validate(data)
    except ValidationError as error:
        # A misspelled key is missing too: say what is there before what is not.
        first = min(error.errors(), key=lambda one: one["type"] == "missing")
        keys = [str(part) for part in first["loc"] if part != "[key]"]
        raise InputError(
            told(first, known=_keys_beside(keys)),
            path=path,
            line=line_of(text, keys),
            hint=f"every key is described in {page('reference/scaffold-toml.md')}",
        ) from error


def _keys_beside(keys: list[str]) -> list[str]:
    """Give the keys that the table of the last of `keys` may have."""
    tables: dict[str, type[Boundary]] = {
        "tool": ToolTable,
        "project": ProjectTable,
        "variants": VariantTable,
        "model": ModelTable,
        "tolerance": ToleranceTable,
        "pypi": PypiTable,
        "image": ImageTable,
    }
    table = tables.get(keys[0], ScaffoldToml) if len(keys) > 1 else ScaffoldToml
    return [field.alias or name for name, field in table.model_fields.items()]


def resolve(toml: ScaffoldToml, environment: EnvironmentYml) -> ProjectSpec:
    """Join scaffold.toml and environment.yml into the project's specification."""
    variants = tuple(
        Variant(
            platform=platform,
            accelerator=accelerator,
            requirements=(*table.requirements.get("all", ()), *table.requirements.get(platform, ())),
            virtual_packages=tuple(
                _virtual_package(name, value)
                for name, value in sorted({**toml.virtual_packages.get(platform, {}), **table.virtual_packages}.items())
            ),
        )
        for accelerator, table in toml.variants.items()
        for platform in table.platforms
    )
    model = toml.model
    return ProjectSpec(
        name=toml.project.name,
        package=toml.project.package,
        tool_version=toml.tool.version,
        channels=environment.channels,
        requirements=environment.requirements,
        pip_requirements=environment.pip_requirements,
        variants=variants,
        model=ModelPin(
            repository=model.repository,
            revision=model.revision,
            file=model.file,
            sha256=model.sha256,
            size=model.size,
            dimension=model.dimension,
            max_tokens=model.max_tokens,
        ),
        languages=toml.project.languages,
        tolerance=Tolerance(cosine_distance=toml.tolerance.cosine_distance, component=toml.tolerance.component),
        python=toml.project.python,
        pypi_requirements=toml.pypi.requirements,
        pypi_python=toml.pypi.python,
        image_budgets={name: size * 1_000_000 for name, size in toml.image.budget_mb.items()},
    )


def _virtual_package(name: str, value: str) -> VirtualPackage:
    version, _, build = value.partition(" ")
    return VirtualPackage(name=name, version=version, build=build or "0")
