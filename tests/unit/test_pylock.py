"""locks/pylock.toml as text."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from packaging.pylock import Pylock

from nomic_scaffold.disk.shipped import shipped
from nomic_scaffold.errors import InputError
from nomic_scaffold.formats import pylock
from nomic_scaffold.models.lock import PypiFile, PypiLock, PypiPackage

SHA = "ab" * 32
HEAD = 'lock-version = "1.0"\ncreated-by = "x"\nrequires-python = ">=3.11"\n'
TEA = f"""{HEAD}
[[packages]]
name = "tea"
version = "1.0"
wheels = [{{ path = "wheels/tea-1.0-py3-none-any.whl", hashes = {{ sha256 = "{SHA}" }} }}]
"""


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("<<<<<<< HEAD\n" + TEA, 1, "not valid TOML"),
        (TEA.replace('"1.0"\ncreated', '"2.0"\ncreated'), 1, "lock-version"),
        (TEA.replace('name = "tea"\n', ""), 5, "packages.0.name"),
        (TEA + '[[packages]]\nname = "cup"\nversion = "1"\nvcs = { type = "git" }\n', 9, "cup: comes from"),
        (TEA + '[[packages]]\nname = "cup"\nversion = "1"\n', 9, "cup: has no wheel"),
        (TEA.replace('version = "1.0"\nwheels', "wheels"), 5, "tea: has no version"),
        (TEA.replace("sha256 =", "md5 ="), 5, "tea: tea-1.0-py3-none-any.whl has no sha256"),
        (TEA.replace(SHA, SHA[:-1]), 5, "has no sha256"),
        (TEA + "colour = 1\n", 5, "colour"),
        (TEA + '[tool.nomic-scaffold]\ninputs-digest = "short"\n', None, "inputs-digest"),
    ],
    ids=["conflict", "version", "no-name", "git", "no-wheel", "no-version", "md5", "short", "key", "digest"],
)
def test_a_bad_lock_is_told_by_its_line(text: str, line: int | None, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        pylock.parse(text, path="locks/pylock.toml")
    assert raised.value.line == line
    assert "nomic-scaffold lock" in (raised.value.hint or "")


def test_another_tools_lock_is_read() -> None:
    text = TEA.replace('path = "wheels/', 'upload-time = 2026-07-23T20:16:12Z, size = 7, url = "https://a.example/%20/')
    lock = pylock.parse(text)
    assert lock.inputs_digest is None
    assert lock.packages[0].files == (PypiFile(filename="tea-1.0-py3-none-any.whl", sha256=SHA, size=7),)


HEX = st.binary(min_size=32, max_size=32).map(bytes.hex)


@st.composite
def packages(draw: st.DrawFn) -> PypiPackage:
    name = draw(st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True))
    version = draw(st.sampled_from(["1.0", "2.0+cpu", "3.5rc1"]))
    tags = draw(st.lists(st.sampled_from(["py3-none-any", "cp311-cp311-win_amd64"]), min_size=1, unique=True))
    return PypiPackage(
        name=name,
        version=version,
        marker=draw(st.sampled_from([None, "sys_platform == 'win32'", 'os_name == "nt"'])),
        files=tuple(
            PypiFile(
                filename=f"{name}-{version}-{tag}.whl",
                sha256=draw(HEX),
                size=draw(st.none() | st.integers(1, 10**12)),
            )
            for tag in tags
        ),
    )


LOCKS = st.builds(
    PypiLock,
    requires_python=st.just(">=3.11"),
    inputs_digest=st.none() | st.just(SHA),
    packages=st.lists(packages(), max_size=4, unique_by=lambda package: package.name).map(tuple),
)


@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(LOCKS)
def test_what_is_written_is_read_again_and_valid(lock: PypiLock) -> None:
    text = pylock.write(lock)
    assert pylock.write(pylock.parse(text)) == text
    assert pylock.digest(pylock.parse(text)) == pylock.digest(lock)
    Pylock.from_dict(tomllib.loads(text)).validate()


def test_the_shipped_reference_lock_is_valid_and_names_no_place() -> None:
    text = shipped("locks", "pylock.toml").read_text(encoding="utf-8")
    lock = pylock.parse(text)
    Pylock.from_dict(tomllib.loads(text)).validate()
    assert pylock.write(lock) == text
    assert "://" not in text
    assert {"nomic", "gpt4all", "numpy", "tokenizers", "pytest"} <= {package.name for package in lock.packages}


@pytest.mark.parametrize(
    ("requirements", "python", "same"),
    [(("b", "a"), "3.11", True), ((" a", "b "), "3.11", True), (("a",), "3.11", False), (("a", "b"), "3.12", False)],
    ids=["order", "blanks", "fewer", "python"],
)
def test_the_digest_of_inputs_changes_when_they_do(requirements: tuple[str, ...], python: str, same: bool) -> None:
    assert (pylock.inputs_digest(requirements, python) == pylock.inputs_digest(("a", "b"), "3.11")) is same
