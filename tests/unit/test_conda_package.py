"""What packages say of themselves, and what they are refused for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nomic_scaffold.errors import InputError
from nomic_scaffold.formats.conda_members import Member
from nomic_scaffold.formats.conda_package import agrees, dumps, loads, manifest, placed, python_layout
from nomic_scaffold.models.package import PackageManifest

SHA = "ab" * 32
INDEX = {"name": "p", "version": "1.0", "build": "0", "subdir": "noarch"}


def file_entry(path: str, **more: object) -> dict[str, Any]:
    return {"_path": path, "path_type": "hardlink", "sha256": SHA, "size_in_bytes": 3} | more


def read(
    entries: list[dict[str, Any]],
    members: list[Member],
    *,
    index: dict[str, object] | None = None,
    points: list[str] | None = None,
) -> PackageManifest:
    info = {"index.json": json.dumps({**INDEX, **(index or {})}), "paths.json": json.dumps({"paths": entries})}
    if points is not None:
        info["link.json"] = json.dumps({"noarch": {"type": "python", "entry_points": points}})
    return manifest({name: text.encode() for name, text in info.items()}, members, package="p-1.0-0.conda")


@pytest.mark.parametrize(
    ("member", "why"),
    [
        pytest.param(Member("../evil", "file"), "'../evil' leads outside", id="parent"),
        pytest.param(Member("a/../../evil", "file"), "'a/../../evil' leads outside", id="parent further in"),
        pytest.param(Member("/etc/evil", "file"), "'/etc/evil' is an absolute name", id="absolute"),
        pytest.param(Member("C:evil", "file"), "'C:evil' is an absolute name", id="drive"),
        pytest.param(Member("a\\..\\evil", "file"), "backslash", id="backslash"),
        pytest.param(Member("a/pipe", "special"), "device or a pipe", id="device"),
        pytest.param(Member("a/l", "link", target="../../etc/passwd"), "leads to '../../etc/passwd'", id="link out"),
        pytest.param(Member("l", "link", target="/etc/passwd"), "leads to '/etc/passwd'", id="absolute link"),
        pytest.param(Member("h", "hard", target="../../secret"), "link to '../../secret'", id="hard link out"),
    ],
)
def test_an_archive_that_reaches_outside_is_refused(member: Member, why: str) -> None:
    with pytest.raises(InputError, match="is refused") as caught:
        read([], [member])
    assert why in caught.value.message


@pytest.mark.parametrize(
    ("members", "why"),
    [
        pytest.param([Member("a", "file"), Member("./a", "file")], "it holds 'a' twice", id="one file twice"),
        pytest.param([Member("a", "link", target="b"), Member("a/", "directory")], "'a' twice", id="a link hidden"),
        pytest.param([Member("l", "link", target="d"), Member("l/x", "file")], "below its link 'l'", id="below a link"),
        pytest.param(
            [Member("a/up", "link", target=".."), Member("out", "link", target="a/up/..")],
            "its link 'out' leads to 'a/up/..', outside the prefix",
            id="behind a link",
        ),
        pytest.param(
            [Member("a/l", "link", target="../x"), Member("h", "hard", target="a/l")],
            "its entry 'h' is a link to 'a/l'",
            id="a hard link to a link",
        ),
        pytest.param([Member("h", "hard", target="a")], "'h' is a link to 'a'", id="a hard link to nothing"),
        pytest.param([Member("Info/paths.json", "file")], "in info/ where the disk knows no upper", id="upper case"),
    ],
)
def test_entries_that_reach_outside_together_are_refused(members: list[Member], why: str) -> None:
    with pytest.raises(InputError, match="is refused") as caught:
        read([], members)
    assert why in caught.value.message


@pytest.mark.parametrize(
    "members",
    [
        pytest.param(
            [Member("d/", "directory"), Member("./d", "directory"), Member("d/a", "file")], id="a folder twice"
        ),
        pytest.param([Member("a", "file"), Member("b", "hard", target="./a")], id="a hard link"),
        pytest.param([Member("a/l", "link", target="b"), Member("a/b", "link", target="l")], id="links in a circle"),
        pytest.param([Member("lib64", "link", target="lib"), Member("lib/a", "file")], id="a link to a folder"),
    ],
)
def test_entries_that_packages_have_are_taken(members: list[Member]) -> None:
    assert read([], members).files == ()


def test_links_within_the_prefix_are_taken() -> None:
    found = read(
        [{"_path": "lib/a.so", "path_type": "softlink", "sha256": SHA, "size_in_bytes": 3}],
        [Member("lib/a.so", "link", target="../lib64/./a.so.1")],
    )
    assert found.files[0].link == "../lib64/./a.so.1"


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        pytest.param(file_entry("../x"), "its file '../x' leads outside", id="path outside"),
        pytest.param(file_entry("/x"), "its file '/x' is an absolute name", id="absolute path"),
        pytest.param(file_entry("b"), "it lists 'b' and does not hold it", id="not held"),
        pytest.param(file_entry("a", size_in_bytes=4), "'a' has 4 bytes, and holds 3", id="another size"),
        pytest.param(file_entry("a", sha256=None), "no sha256 of 'a'", id="no hash"),
        pytest.param({"_path": "a"}, "can't be read (KeyError", id="incomplete entry"),
    ],
)
def test_a_list_of_files_that_lies_is_refused(entry: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError) as caught:
        read([entry], [Member("a", "file", 3)])
    assert why in caught.value.message


@pytest.mark.parametrize(
    "point",
    ["../../evil = m:f", "a/b = m:f", ".. = m:f", "x = m:f; import os", "x = m:f()", "x = :", "x = m"],
)
def test_a_program_that_is_no_plain_name_is_refused(point: str) -> None:
    with pytest.raises(InputError, match="its program"):
        read([], [], index={"noarch": "python"}, points=[point])


def test_python_that_keeps_packages_outside_is_refused() -> None:
    with pytest.raises(InputError, match="leads outside"):
        read([], [], index={"name": "python", "python_site_packages_path": "../../lib"})


def test_an_info_folder_that_is_no_json_is_refused() -> None:
    with pytest.raises(InputError, match="can't be read"):
        manifest({"index.json": b"{"}, [], package="p-1.0-0.conda")


def test_old_packages_without_paths_json_are_read_from_their_lists() -> None:
    placeholder = "/opt/build/p"
    info = {
        "index.json": json.dumps(INDEX).encode(),
        "files": b"bin/a\nlib/b\nlib/c\n",
        "has_prefix": f'"{placeholder}" binary "lib/b"\nbin/a\n'.encode(),
    }
    members = [Member("bin/a", "file", 3, 0o755, sha256=SHA), Member("lib/b", "file", 4, sha256=SHA)]
    found = manifest(info, [*members, Member("lib/c", "link", target="b")], package="p")
    assert [(f.path, f.placeholder, f.file_mode, f.link) for f in found.files] == [
        ("bin/a", "/opt/anaconda1anaconda2anaconda3", "text", None),
        ("lib/b", placeholder, "binary", None),
        ("lib/c", None, None, "b"),
    ]


def noarch() -> tuple[PackageManifest, dict[str, bytes]]:
    entries = [
        file_entry("site-packages/a.py", prefix_placeholder="/opt/x", file_mode="text"),
        {"_path": "bin/l", "path_type": "softlink", "sha256": SHA, "size_in_bytes": 3},
    ]
    members = [Member("site-packages/a.py", "file", 3, 0o644), Member("bin/l", "link", target="a")]
    info = {
        "index.json": json.dumps({**INDEX, "noarch": "python"}).encode(),
        "paths.json": json.dumps({"paths": entries}).encode(),
        "link.json": json.dumps({"noarch": {"entry_points": ["a = a.b:c.d"]}}).encode(),
    }
    return manifest(info, members, package="p"), info


def test_a_manifest_survives_being_written_and_read() -> None:
    found, _ = noarch()
    assert loads(dumps(found)) == found


@pytest.mark.parametrize("damage", [lambda d: d[:-1], lambda d: d.replace(b'"p"', b'"q"', 1), lambda d: b"{}"])
def test_a_damaged_manifest_is_not_believed(damage: Any) -> None:
    found, _ = noarch()
    assert loads(damage(dumps(found))) is None


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("index.json", b'"1.0"', b'"1.1"'),
        ("index.json", b'"python"', b'"generic"'),
        ("paths.json", SHA.encode(), b"cd" * 32),
        ("paths.json", b"a.py", b"b.py"),
        ("paths.json", b"/opt/x", b"/opt/y"),
        ("paths.json", b'"size_in_bytes": 3', b'"size_in_bytes": 4'),
        ("link.json", b"c.d", b"c.e"),
    ],
)
def test_a_manifest_noted_earlier_must_be_what_the_archive_says(name: str, old: bytes, new: bytes) -> None:
    found, info = noarch()
    assert agrees(found, info)
    assert old in info[name]
    assert not agrees(found, {**info, name: info[name].replace(old, new, 1)})


@pytest.mark.parametrize(
    ("path", "noarch_kind", "windows", "place"),
    [
        ("site-packages/a/b.py", "python", False, "lib/python3.13/site-packages/a/b.py"),
        ("site-packages/a/b.py", "python", True, "Lib/site-packages/a/b.py"),
        ("python-scripts/run", "python", False, "bin/run"),
        ("python-scripts/run", "python", True, "Scripts/run"),
        ("share/x", "python", False, "share/x"),
        ("site-packages/a.py", "generic", False, "site-packages/a.py"),
        ("site-packages/a.py", None, False, "site-packages/a.py"),
    ],
)
def test_noarch_python_files_go_where_python_looks(path: str, noarch_kind: Any, windows: bool, place: str) -> None:
    assert placed(path, noarch_kind, python_layout("3.13.1", windows=windows)) == place


def test_python_may_say_itself_where_it_keeps_packages() -> None:
    layout = python_layout("3.14.0", windows=False, site_packages="lib/python3.14t/site-packages")
    assert placed("site-packages/a.py", "python", layout) == "lib/python3.14t/site-packages/a.py"
