"""Say whether locks match their inputs, by digests alone: no solve, no network, no heavy import."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from nomic_scaffold.formats import lock_inputs
from nomic_scaffold.formats.environment_yml import NAME as ENVIRONMENT
from nomic_scaffold.formats.lock_url import without_credentials
from nomic_scaffold.formats.toml_lines import line_of
from nomic_scaffold.models.lock import LockInputs, LockPaths, LockRecord
from nomic_scaffold.models.variant import Accelerator, Platform

Head = tuple[LockRecord, ...] | Literal["missing", "foreign"]
"""What a lock's head says; `foreign`: another tool wrote the lock, or somebody edited its head."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One reason for which a lock is not fresh."""

    kind: Literal["missing", "foreign", "changed", "incomplete", "derived"]
    message: str
    file: str
    line: int | None = None
    lock: str = ""
    """The lock that it is about."""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.message}"


def compare(
    inputs: Sequence[LockInputs],
    heads: Mapping[Accelerator, Head],
    texts: Mapping[str, str],
    *,
    digests: Mapping[Accelerator, Mapping[str, str]] | None = None,
) -> tuple[Finding, ...]:
    """Hold what is asked for now against what each lock says that it was made from.

    `texts` are environment.yml and scaffold.toml, for the lines of what is not a requirement; `digests` those of the
    packages of each platform as they stand in the file, None where nobody read so far.
    """
    found: list[Finding] = []
    for accelerator in dict.fromkeys(item.accelerator for item in inputs):
        of_it = [item for item in inputs if item.accelerator is accelerator]
        lock = LockPaths(accelerator=accelerator).lock
        found += _lock(
            of_it, heads.get(accelerator, "missing"), None if digests is None else digests[accelerator], lock, texts
        )
    # A changed line of environment.yml concerns every lock: it is told once.
    once: dict[tuple[str, int | None, str], Finding] = {}
    for finding in found:
        once.setdefault((finding.file, finding.line, finding.message), finding)
    return tuple(once.values())


def fresh(inputs: LockInputs, head: Head) -> LockRecord | None:
    """Give the record of a platform when its conda part is still what `inputs` ask for."""
    if isinstance(head, str):
        return None
    record = next((record for record in head if record.platform == inputs.platform), None)
    if record is None or record.merged or record.digest != lock_inputs.digest(lock_inputs.lines(inputs)):
        return None
    return record


def _lock(
    inputs: Sequence[LockInputs], head: Head, digests: Mapping[str, str] | None, lock: str, texts: Mapping[str, str]
) -> Iterable[Finding]:
    if head == "missing":
        yield Finding(kind="missing", message="is missing", file=lock, lock=lock)
        return
    if isinstance(head, str):
        yield Finding(kind="foreign", message="does not say what it was made from", file=lock, lock=lock)
        return
    records = {record.platform: record for record in head}
    incomplete: list[str] = []
    scaffold = texts.get(lock_inputs.SCAFFOLD, "")
    named = line_of(scaffold, ["variants", inputs[0].accelerator, "platforms"])
    for platform in sorted(records.keys() - {item.platform for item in inputs}):
        message = f"{lock} holds {platform}, which is not named here"
        yield Finding(kind="changed", message=message, file=lock_inputs.SCAFFOLD, line=named, lock=lock)
    for item in inputs:
        record = records.get(item.platform)
        if record is None:
            message = f"{lock} lacks {item.platform}"
            yield Finding(kind="missing", message=message, file=lock_inputs.SCAFFOLD, line=named, lock=lock)
            continue
        if record.digest != lock_inputs.digest(record.inputs):
            yield Finding(kind="foreign", message="its head was edited by hand", file=lock, lock=lock)
            continue
        yield from _changes(item, record, lock, texts)
        if record.merged:
            message = f"both sides of a merge changed {item.platform}, and it was not locked since"
            yield Finding(kind="changed", message=message, file=lock, lock=lock)
        elif digests is not None and record.packages != digests.get(item.platform):
            message = f"its packages for {item.platform} are not those that were locked"
            yield Finding(kind="foreign", message=message, file=lock, lock=lock)
        if item.pip and record.pypi != "locked":
            incomplete.append(item.platform)
    if incomplete:
        message = f"{lock} is incomplete: the pip section is not locked for {', '.join(incomplete)}"
        line = line_with(texts.get(ENVIRONMENT, ""), "pip:")
        yield Finding(kind="incomplete", message=message, file=ENVIRONMENT, line=line, lock=lock)


def _changes(inputs: LockInputs, record: LockRecord, lock: str, texts: Mapping[str, str]) -> Iterable[Finding]:
    now, before = lock_inputs.lines(inputs), record.inputs
    gone = {line: _subject(line) for line in before if line not in now}
    places = {lock_inputs.requirement_line(item): item for item in (*inputs.requirements, *inputs.pip)}
    for line in now:
        if line in before:
            continue
        old = next((other for other, subject in gone.items() if subject == _subject(line)), None)
        if old is not None:
            del gone[old]
        requirement = places.get(line)
        file, number = (requirement.file, requirement.line) if requirement else _place(line, inputs, texts)
        was = f"locked with {_shown(old)!r}" if old else "not in the lock"
        yield Finding(kind="changed", message=f"{_shown(line)!r} is {was}", file=file, line=number, lock=lock)
    for line in gone:
        file, number = _place(line, inputs, texts)
        message = f"{_shown(line)!r} is locked, but no longer there"
        yield Finding(kind="changed", message=message, file=file, line=number, lock=lock)


def _subject(line: str) -> tuple[str, ...]:
    """Tell what a line is about, so that its old form can be found: its kind and its package."""
    kind, first, *rest = line.split(" ")
    if kind in ("conda", "pip"):
        name = (rest or [""])[0]
        for mark in "=<>!~[;@":
            name = name.partition(mark)[0]
        return kind, first, name.lower()
    return kind, first


def _shown(line: str) -> str:
    """Write a line as people did, but for a login: this is read in public."""
    kind, _, rest = line.partition(" ")
    return without_credentials(rest.partition(" ")[2] if kind in ("conda", "pip", "channel") else rest)


def _place(line: str, inputs: LockInputs, texts: Mapping[str, str]) -> tuple[str, int | None]:
    """Find where a line stands, or the list or table where it would stand."""
    kind, _, rest = line.partition(" ")
    if kind == "channel":
        text = texts.get(ENVIRONMENT, "")
        return ENVIRONMENT, line_with(text, rest.partition(" ")[2]) or line_with(text, "channels:")
    file = lock_inputs.SCAFFOLD if kind == "virtual" else rest.partition(" ")[0]
    text = texts.get(file, "")
    if kind == "virtual":
        return file, _virtual_line(text, rest.split()[0], inputs)
    if file == ENVIRONMENT:
        return file, (line_with(text, "pip:") if kind == "pip" else None) or line_with(text, "dependencies:")
    return file, line_of(text, ["variants", inputs.accelerator, "requirements"])


def _virtual_line(text: str, name: str, inputs: LockInputs) -> int | None:
    """Find the variant's own line of a virtual package, else the platform's, else the table."""
    of_variant = line_of(text, ["variants", inputs.accelerator, "virtual-packages", name])
    of_platform = line_of(text, ["virtual-packages", inputs.platform, name])
    rows = text.splitlines()
    holding = (line for line in (of_variant, of_platform) if line is not None and name in rows[line - 1])
    return next(holding, of_platform)


def line_with(text: str, word: str) -> int | None:
    """Find the first line, from 1, that holds `word` outside of a comment."""
    rows = enumerate(text.splitlines(), 1)
    return next((number for number, row in rows if word in row.partition("#")[0]), None)


def platforms_of(head: Head) -> tuple[Platform, ...]:
    """Give the platforms of a lock whose head could be read."""
    return () if isinstance(head, str) else tuple(record.platform for record in head)
