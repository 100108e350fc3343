"""What a benchmark measured goes between the markers of a page, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks._tables import goals, write_between_markers

DOCS = Path(__file__).resolve().parents[2] / "docs" / "explanation"
PAGE = "# Speed\n\n<!-- benchmark: lock -->\nold\n<!-- end of benchmark: lock -->\n\nThe rest.\n"


def test_only_what_is_between_the_markers_changes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    write_between_markers(page, "lock", "| a |\n|---|\n")
    assert page.read_text() == PAGE.replace("old", "| a |\n|---|")


@pytest.mark.parametrize("gone", ["<!-- benchmark: lock -->\n", "<!-- end of benchmark: lock -->\n"])
def test_a_page_without_a_marker_is_an_error_and_stays_as_it_was(tmp_path: Path, gone: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace(gone, ""))
    with pytest.raises(ValueError, match="lacks the line"):
        write_between_markers(page, "lock", "new")
    assert page.read_text() == PAGE.replace(gone, "")


@pytest.mark.parametrize(
    ("page", "name"),
    [("lock-format.md", "lock"), *(("tool-speed.md", n) for n in ("startup", "new", "hashing", "wheel"))],
)
def test_the_pages_have_a_place_for_their_tables(tmp_path: Path, page: str, name: str) -> None:
    copy = tmp_path / page
    copy.write_text((DOCS / page).read_text(encoding="utf-8"), encoding="utf-8")
    write_between_markers(copy, name, "| measured |")
    assert "| measured |" in copy.read_text(encoding="utf-8")


def test_a_goal_says_whether_it_is_met() -> None:
    assert goals(("under 1 s", "0.5 s", True), ("under 5 MB", "6 MB", False)).splitlines() == [
        "| goal | measured |  |",
        "|---|---|---|",
        "| under 1 s | 0.5 s | met |",
        "| under 5 MB | 6 MB | **missed** |",
    ]
