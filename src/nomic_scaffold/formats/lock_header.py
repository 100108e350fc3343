"""The comment at the head of a lock: what made it, from which inputs, and the digest of each platform's packages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from nomic_scaffold.models.lock import LockPaths, LockRecord, PypiPart
from nomic_scaffold.models.variant import Accelerator, Platform

_RECORD = re.compile(r"^#   (?P<platform>\S+) inputs=sha256:(?P<digest>[0-9a-f]{64})(?P<rest>( \S+=\S+)*)$")
_INPUT = re.compile(r"^#   (?P<line>\S.*?)(?:  @ (?P<platforms>\S.*))?$")
_STATES: dict[str, PypiPart] = {"locked": "locked", "missing": "missing", "none": "none"}


def render(accelerator: Accelerator, records: Sequence[LockRecord]) -> str:
    """Write the comment; every line ends with a line feed."""
    paths = LockPaths(accelerator=accelerator)
    rows = [
        "Made by: nomic-scaffold lock",
        "Don't edit: change environment.yml or scaffold.toml, then run that command again.",
        "Install with `nomic-scaffold install`, or with conda-lock or micromamba (docs/how-to/locks.md).",
        "conda-lock agrees that it is fresh:",
        f"  conda-lock lock --check-input-hash -f environment.yml -f {paths.environment}"
        f" --virtual-package-spec {paths.virtual_packages} --lockfile {paths.lock}",
        "Platforms:",
        *(f"  {_record(record)}" for record in records),
        "Inputs:",
        *(f"  {line}" for line in _folded(records)),
    ]
    return "".join(f"# {row}\n" for row in rows)


def parse(text: str) -> tuple[LockRecord, ...] | None:
    """Read the comment at the head of `text`; None when another tool wrote the lock."""
    section = ""
    found: dict[Platform, dict[str, str]] = {}
    inputs: list[tuple[str, frozenset[str] | None]] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if line in ("# Platforms:", "# Inputs:"):
            section = line
        elif section == "# Platforms:":
            match = _RECORD.match(line)
            if match is None or match["platform"] not in set(Platform):
                return None
            fields = dict(part.split("=", 1) for part in match["rest"].split())
            found[Platform(match["platform"])] = {**fields, "digest": match["digest"]}
        elif section == "# Inputs:":
            match = _INPUT.match(line)
            if match is None:
                return None
            inputs.append((match["line"], frozenset(match["platforms"].split()) if match["platforms"] else None))
    if not found or not inputs:
        return None
    return tuple(_read(platform, fields, inputs) for platform, fields in found.items())


def _read(
    platform: Platform, fields: dict[str, str], inputs: Iterable[tuple[str, frozenset[str] | None]]
) -> LockRecord:
    return LockRecord(
        platform=platform,
        digest=fields["digest"],
        inputs=tuple(line for line, platforms in inputs if platforms is None or platform in platforms),
        packages=fields.get("packages", "").removeprefix("sha256:"),
        solver=fields.get("solver", ""),
        pypi=_STATES.get(fields.get("pypi", ""), "missing"),
        pypi_solver=fields.get("pypi-solver", ""),
        left_out=tuple(fields["left-out"].split(",")) if "left-out" in fields else (),
        exclude_newer=fields.get("exclude-newer"),
        complete_hash=fields.get("complete-hash"),
        merged=fields.get("merged") == "yes",
    )


def _record(record: LockRecord) -> str:
    parts = [
        f"{record.platform}",
        f"inputs=sha256:{record.digest}",
        f"packages=sha256:{record.packages}",
        f"solver={record.solver}",
        f"pypi={record.pypi}",
        f"pypi-solver={record.pypi_solver}" if record.pypi_solver else "",
        f"left-out={','.join(record.left_out)}" if record.left_out else "",
        f"exclude-newer={record.exclude_newer}" if record.exclude_newer else "",
        f"complete-hash={record.complete_hash}" if record.complete_hash else "",
        "merged=yes" if record.merged else "",
    ]
    return " ".join(part for part in parts if part)


def _folded(records: Sequence[LockRecord]) -> list[str]:
    """Write each line once, with its platforms unless it is for all of them."""
    platforms: dict[str, list[str]] = {}
    for record in records:
        for line in record.inputs:
            platforms.setdefault(line, []).append(record.platform)
    return [
        line if len(having) == len(records) else f"{line}  @ {' '.join(having)}"
        for line, having in sorted(platforms.items(), key=lambda item: _order(item[0]))
    ]


def _order(line: str) -> tuple[int, int, str]:
    """Order as formats/lock_inputs.py does: channels by priority, requirements, virtual packages."""
    kind, _, rest = line.partition(" ")
    if kind == "channel":
        return 0, int(rest.split(" ", 1)[0]), line
    return (2 if kind == "virtual" else 1), 0, line
