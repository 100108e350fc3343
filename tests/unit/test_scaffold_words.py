"""Every way to get scaffold.toml wrong is told in plain words, with the line."""

from __future__ import annotations

import pytest

from nomic_scaffold.errors import InputError
from nomic_scaffold.formats import scaffold_toml

RIGHT = """schema = 1
[tool]
version = "0.1.0"
[project]
name = "p"
package = "p"
python = "3.13"
languages = ["en"]
[variants.cpu]
platforms = ["linux-64"]
[variants.cpu.requirements]
linux-64 = ["pytorch"]
[virtual-packages]
[model]
repository = "a/b"
revision = "0000000000000000000000000000000000000000"
file = "m.gguf"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
size = 1
dimension = 768
max-tokens = 8192
[tolerance]
cosine-distance = 1e-9
component = 1e-6
[pypi]
python = "3.11"
requirements = []
"""


def test_the_right_one_is_read() -> None:
    assert scaffold_toml.parse(RIGHT).model.size == 1


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('sha256 = "0', 'sha256 = "X', 18, "model.sha256 must be 64 hexadecimal digits, in lower case, not 'X000"),
        ('revision = "00', 'revision = "', 16, "model.revision must be the 40 hexadecimal digits of a commit"),
        ('python = "3.13"', "python = 3.13", 7, "project.python must be text in quotes, not 3.13"),
        ('python = "3.13"', 'python = "3"', 7, "project.python must be a minor version, such as 3.13, not '3'"),
        ('["en"]', '["English"]', 8, "must be ISO 639 codes in lower case, such as en or zh, not 'English'"),
        ('["en"]', "[]", 8, "project.languages must be a list that is not empty"),
        ('["en"]', '"en"', 8, "project.languages must be a list in [ ], not 'en'"),
        ('package = "p"', 'package = "P-q"', 6, "must be a name that Python can import"),
        ("size = 1", "size = 0", 19, "model.size must be greater than 0, not 0"),
        ("size = 1", 'size = "1 MB"', 19, "model.size must be a whole number, not '1 MB'"),
        ("size = 1\n", "", 14, "model.size is missing"),
        ("max-tokens", "max-token", 21, "model.max-token is no key of scaffold.toml; did you mean max-tokens?"),
        ('["linux-64"]', '["linux-65"]', 10, "must be one of 'linux-64'"),
        ("[variants.cpu]", "[variants.gpu]", 9, "variants.gpu must be one of 'cpu' or 'cuda', not 'gpu'"),
        ("schema = 1", "schema = 2", 1, "schema must be 1, not 2"),
        ("component = 1e-6", "component = 1", 24, "tolerance.component must be less than 1"),
        (
            "[pypi]",
            "[image]\nbudget = 1\n[pypi]",
            26,
            "image.budget is no key of scaffold.toml; did you mean budget-mb?",
        ),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(old: str, new: str, line: int, words: str) -> None:
    assert old in RIGHT
    wrong = RIGHT.replace(old, new, 1)
    with pytest.raises(InputError) as caught:
        scaffold_toml.parse(wrong)
    assert words in caught.value.message
    assert caught.value.message.startswith(f"scaffold.toml:{line}: ")
    assert "String should" not in caught.value.message
    assert caught.value.hint is not None
    assert caught.value.hint.endswith("/docs/reference/scaffold-toml.md")
