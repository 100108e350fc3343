"""Round trips and digests of everything that a lock is written in."""

from __future__ import annotations

import hashlib
import random

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nomic_scaffold.errors import InputError
from nomic_scaffold.formats import conda_lock, explicit, lock_header, lock_inputs, lock_sizes, lock_sources
from nomic_scaffold.formats.conda_lock import LockText
from nomic_scaffold.formats.lock_url import has_credentials, without_credentials
from nomic_scaffold.models.lock import LockedPackage, LockInputs, LockRecord, Requirement
from nomic_scaffold.models.variant import Accelerator, Platform, VirtualPackage
from tests.support import records

NAMES = st.from_regex(r"[a-z_][a-z0-9_.-]{0,11}", fullmatch=True)
VERSIONS = st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}([a-z]{1,2}[0-9]?)?", fullmatch=True)
SPECS = st.sampled_from(
    ["", "*", ">=1,<2.0a0", "1.*", "==2", "!=3", "2", "1.10", "~=1.4", ">=3.10", "yes", "1e5", "0x1f"]
)
PLATFORMS = st.sampled_from(list(Platform))


@st.composite
def packages(draw: st.DrawFn) -> LockedPackage:
    name, version, platform = draw(NAMES), draw(VERSIONS), draw(PLATFORMS)
    manager = draw(st.sampled_from(["conda", "pip"]))
    build = draw(st.from_regex(r"[a-z0-9_]{1,12}", fullmatch=True)) if manager == "conda" else None
    stem = f"{name}-{version}-{build or 'py3-none-any'}"
    url = f"https://conda.anaconda.org/conda-forge/{platform}/{stem}.{'conda' if build else 'whl'}"
    depends = draw(st.dictionaries(NAMES, SPECS, max_size=5))
    return LockedPackage(
        name=name,
        version=version,
        manager=manager,
        platform=platform,
        url=url,
        sha256=hashlib.sha256(url.encode()).hexdigest(),
        md5=hashlib.md5(url.encode()).hexdigest() if build else None,
        depends=tuple(f"{depend} {spec}".strip() for depend, spec in sorted(depends.items())),
        build=build,
    )


def unique(found: list[LockedPackage]) -> list[LockedPackage]:
    return list({(package.manager, package.name, package.platform): package for package in found}.values())


def lock_of(found: list[LockedPackage], platforms: list[Platform]) -> LockText:
    lines = ("channel 1 conda-forge", "conda environment.yml numpy >=2")
    made = [
        LockRecord(
            platform=item,
            digest=lock_inputs.digest(lines),
            inputs=lines,
            packages=conda_lock.packages_digest(conda_lock.blocks([p for p in found if p.platform is item])),
            solver="s/1",
            pypi="none",
        )
        for item in platforms
    ]
    return LockText(
        records=tuple(made),
        content_hash={item: hashlib.sha256(item.encode()).hexdigest() for item in platforms},
        channels=({"url": "conda-forge", "used_env_vars": []},),
        blocks=conda_lock.blocks(found),
    )


@settings(deadline=None, max_examples=15)
@given(st.lists(packages(), max_size=8), st.sampled_from(list(Accelerator)))
def test_lock_parse_write_gives_the_same_bytes(found: list[LockedPackage], accelerator: Accelerator) -> None:
    found = unique(found)
    text = conda_lock.join(lock_of(found, list(Platform)), accelerator)
    pieces = conda_lock.split(text)
    assert pieces is not None
    assert conda_lock.join(pieces, accelerator) == text
    lock = conda_lock.parse(text, accelerator=accelerator)
    assert set(lock.packages) == set(found)
    foreign = text[text.index("version:") :]
    assert conda_lock.parse(foreign, accelerator=accelerator) == lock
    assert conda_lock.read_pieces(pieces, accelerator) == lock
    again = LockText(
        records=pieces.records,
        content_hash=lock.content_hash,
        channels=pieces.channels,
        blocks=conda_lock.blocks(lock.packages),
    )
    assert conda_lock.join(again, accelerator) == text


@settings(deadline=None, max_examples=500)
@given(st.one_of(NAMES, VERSIONS, SPECS, st.from_regex(r"[>*<=!~y]?[ -~]{1,12}", fullmatch=True)))
def test_a_text_is_written_as_pyyaml_writes_it(text: str) -> None:
    assert conda_lock._scalar(text) == yaml.safe_dump({"x": text}, width=1000).removeprefix("x: ").removesuffix("\n")


@settings(deadline=None, max_examples=12)
@given(st.lists(packages(), max_size=10), st.sets(PLATFORMS, min_size=1))
def test_a_subset_is_what_locking_only_these_platforms_gives(found: list[LockedPackage], wanted: set[Platform]) -> None:
    found = unique(found)
    whole = conda_lock.join(lock_of(found, list(Platform)), Accelerator.CUDA)
    part = [package for package in found if package.platform in wanted]
    assert conda_lock.subset(whole, wanted) == conda_lock.join(lock_of(part, sorted(wanted)), Accelerator.CUDA)


def test_a_subset_of_what_is_not_locked_is_refused() -> None:
    text = conda_lock.join(lock_of([], [Platform.LINUX_64]), Accelerator.CPU)
    with pytest.raises(InputError):
        conda_lock.subset(text, [Platform.WIN_64])
    with pytest.raises(InputError):
        conda_lock.subset("version: 1\n", [Platform.LINUX_64])


@settings(deadline=None, max_examples=15)
@given(st.lists(packages(), max_size=8), st.randoms())
def test_the_order_of_packages_does_not_matter(found: list[LockedPackage], shuffle: random.Random) -> None:
    found = unique(found)
    other = list(found)
    shuffle.shuffle(other)
    first, second = (conda_lock.join(lock_of(item, list(Platform)), Accelerator.CPU) for item in (found, other))
    assert first == second


def inputs(texts: list[str], platform: Platform = Platform.LINUX_64) -> LockInputs:
    return LockInputs(
        platform=platform,
        accelerator=Accelerator.CPU,
        channels=("conda-forge",),
        requirements=tuple(
            Requirement(text=text, manager="conda", file="environment.yml", line=number)
            for number, text in enumerate(texts, 5)
        ),
        pip=(),
        virtual_packages=(VirtualPackage(name="__glibc", version="2.28"),),
    )


REQUIREMENTS = st.lists(st.sampled_from(["numpy >=2", "python 3.13.*", "rich", "pip", "pytorch >=2.6"]), max_size=5)


@given(REQUIREMENTS, st.randoms())
def test_a_digest_goes_by_what_is_asked_and_not_by_order_or_spaces(texts: list[str], shuffle: random.Random) -> None:
    def digest(written: list[str]) -> str:
        return lock_inputs.digest(lock_inputs.lines(inputs(written)))

    other = [text.replace(" ", "   ") for text in texts]
    shuffle.shuffle(other)
    assert digest(texts) == digest(other)
    assert digest([*texts, "another"]) != digest(texts)
    assert digest([*texts, "another"]) != digest([*texts, "another >1"])


def test_the_order_of_channels_counts() -> None:
    text = records.ENVIRONMENT.format(channel="conda-forge\n  - bioconda", lines="")
    swapped = text.replace("conda-forge\n  - bioconda", "bioconda\n  - conda-forge")
    scaffold = records.SCAFFOLD.format(cpu="cpu*", cuda="cuda*", pypi="", revision="0" * 40, sha256="5a" * 32)
    first, second = (lock_inputs.read(item, scaffold)[0] for item in (text, swapped))
    assert lock_inputs.digest(lock_inputs.lines(first)) != lock_inputs.digest(lock_inputs.lines(second))


@given(st.dictionaries(PLATFORMS, REQUIREMENTS, min_size=1), st.sampled_from(["locked", "missing", "none"]))
def test_the_head_of_a_lock_gives_back_what_it_was_made_from(asked: dict[Platform, list[str]], pypi: str) -> None:
    made = []
    for platform, texts in sorted(asked.items()):
        lines = lock_inputs.lines(inputs(texts, platform))
        record = LockRecord(
            platform=platform,
            digest=lock_inputs.digest(lines),
            inputs=lines,
            packages="1" * 64,
            solver="py-rattler/0.28.0",
            pypi=pypi,  # type: ignore[arg-type]
            left_out=("gpt4all",) if pypi == "locked" else (),
            exclude_newer="2026-08-01" if pypi == "none" else None,
        )
        made.append(record)
    assert lock_header.parse(lock_header.render(Accelerator.CPU, made) + "version: 1\n") == tuple(made)


@pytest.mark.parametrize("text", ["", "version: 1\n", "# Platforms:\n#   linux-64 inputs=sha256:12\n", "# a comment\n"])
def test_a_head_of_another_tool_is_none(text: str) -> None:
    assert lock_header.parse(text) is None


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("pytorch", ("pytorch", "", "")),
        ("pytorch >=2.6", ("pytorch", ">=2.6", "")),
        ("pytorch>=2.6,<3", ("pytorch", ">=2.6,<3", "")),
        ("pytorch * cpu*", ("pytorch", "", "cpu*")),
        ("pytorch 2.9.* cpu_mkl*", ("pytorch", "2.9.*", "cpu_mkl*")),
        ("pytorch=2.9=cpu_mkl*", ("pytorch", "2.9", "cpu_mkl*")),
        ("pytorch =2.9", ("pytorch", "=2.9", "")),
        ("libnghttp2 1.*", ("libnghttp2", "1.*", "")),
        ("conda-forge::pytorch", None),
        ("pytorch[build=cpu*]", None),
    ],
)
def test_a_match_spec_is_taken_apart(text: str, parts: tuple[str, str, str] | None) -> None:
    assert lock_sources.split_spec(text) == parts


def test_the_overlay_joins_what_both_files_ask_of_a_package() -> None:
    scaffold = records.SCAFFOLD.format(cpu="cpu*", cuda="cuda*", pypi="", revision="0" * 40, sha256="5a" * 32)
    scaffold = scaffold.replace(
        '{ all = ["pytorch * cpu*"] }', '{ linux-64 = ["pytorch <3 cpu_mkl*"], all = ["blas 1"] }'
    )
    found = lock_inputs.read(records.ENVIRONMENT.format(channel="conda-forge", lines=""), scaffold)
    text = lock_sources.environment([item for item in found if item.accelerator is Accelerator.CPU])
    assert text.endswith('dependencies:\n  - "blas 1"\n  - "pytorch >=2,<3 cpu_mkl*"  # [linux64]\n')


def test_two_builds_of_one_package_are_refused() -> None:
    scaffold = records.SCAFFOLD.format(cpu="cpu*", cuda="cuda*", pypi="", revision="0" * 40, sha256="5a" * 32)
    environment = records.ENVIRONMENT.format(channel="conda-forge", lines="  - pytorch * cuda*\n")
    with pytest.raises(InputError, match=r"scaffold.toml:5: pytorch is asked for with two builds: cuda\* and cpu\*"):
        lock_sources.environment(lock_inputs.read(environment, scaffold)[:1])


@settings(deadline=None, max_examples=15)
@given(st.lists(packages(), max_size=12), st.randoms())
def test_an_explicit_file_lists_every_conda_package_once_in_an_order_of_its_own(
    found: list[LockedPackage], shuffle: random.Random
) -> None:
    found = [package for package in unique(found) if package.platform is Platform.LINUX_64]
    record = LockRecord(
        platform=Platform.LINUX_64, digest="0" * 64, inputs=(), packages="1" * 64, solver="s", pypi="none"
    )
    other = list(found)
    shuffle.shuffle(other)
    for sha256 in (False, True):
        text, same = (explicit.render(item, record, source="conda-lock.yml", sha256=sha256) for item in (found, other))
        assert text == same
        rows = explicit.parse(text)
        assert rows is not None
        conda = [package for package in found if package.manager == "conda"]
        assert sorted(rows) == sorted((p.url, (p.sha256 if sha256 else p.md5) or "") for p in conda)
        assert explicit.made_from(text) == ("0" * 64, record.packages)


@settings(max_examples=15)
@given(st.dictionaries(st.from_regex(r"[0-9a-f]{64}", fullmatch=True), st.integers(0, 10**10), max_size=5))
def test_sizes_round_trip(sizes: dict[str, int]) -> None:
    text = lock_sizes.render([], {})
    assert lock_sizes.parse(text) == {}
    found = [
        LockedPackage(
            name="x", version="1", manager="pip", platform=Platform.WIN_64, url="", sha256=sha256, md5=None, size=size
        )
        for sha256, size in sizes.items()
    ]
    text = lock_sizes.render(found, {})
    assert lock_sizes.parse(text) == sizes
    assert lock_sizes.subset(text, sizes) == text
    assert lock_sizes.subset(text, []) == lock_sizes.render([], {})


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sizes": 3}', '{"sizes": {"a": "b"}}', "<<<<<<< ours"])
def test_sizes_that_cannot_be_read_are_none(text: str) -> None:
    assert lock_sizes.parse(text) == {}


@pytest.mark.parametrize(
    ("url", "held"),
    [
        ("https://conda.anaconda.org/conda-forge", False),
        ("conda-forge", False),
        ("https://me:secret@host/channel", True),
        ("https://me@host/channel", True),
        ("https://host/t/abc-123/channel", True),
        ("https://host/t/abc-123", True),
        ("https://${USER}:${PASSWORD}@host/channel", False),
        ("https://$USER:secret@host/channel", True),
        ("https://host/t/${TOKEN}/channel", False),
        ("https://host/file.whl?X-Amz-Signature=abc", True),
        ("https://host/file.whl?access_token=abc", True),
        ("https://host/file.whl?version=2", False),
    ],
)
def test_a_login_in_an_address_is_seen(url: str, held: bool) -> None:
    assert has_credentials(url) is held
    assert not has_credentials(without_credentials(url).partition("?")[0])
