from __future__ import annotations

import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from nomic_scaffold.checks.codes import CODES
from nomic_scaffold.formats import report_html
from nomic_scaffold.models.report import Report, Status
from tests.support import synthetic

EXPLANATIONS = {code: declared.explanation for code, declared in CODES.items()}
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium on this machine; make system-packages installs it")
    return found


def opened(browser: str, folder: Path, page: str) -> tuple[str, str]:
    """Open a page in a fresh profile; give the document as the browser has it, and what it complained of."""
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    command = [browser, *flags, f"--user-data-dir={folder}/profile", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120, check=True)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.parametrize("which", ["passed", "failed"])
def test_a_real_browser_shows_the_report_and_complains_of_nothing(which: str, browser: str, tmp_path: Path) -> None:
    report: Report = getattr(synthetic, which)()
    document, complaints = opened(browser, tmp_path, report_html.render(report, explanations=EXPLANATIONS))
    assert complaints == ""
    for section in ("verdict", "chain", "similarity", "golden", "languages-read", "machine", "embeddings"):
        assert f'id="{section}"' in document
    assert document.count("<svg") == 2
    assert ("What did not pass" in document) is (which == "failed")


@pytest.mark.parametrize("width", [1280, 500], ids=["desktop", "phone"])
@pytest.mark.parametrize(("scheme", "dark"), [(0, True), (1, False)], ids=["dark", "light"])
def test_a_report_of_the_real_size_is_dark_or_light_as_its_reader_wants(
    scheme: int, dark: bool, width: int, browser: str, tmp_path: Path
) -> None:
    report = synthetic.large()
    assert len(report.figures.deviations) == 55
    assert {result.status for result in report.results} == {Status.PASS}
    page, picture = tmp_path / "report.html", tmp_path / "report.png"
    page.write_text(report_html.render(report, explanations=EXPLANATIONS), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={width},2400"]
    wanted = f"--blink-settings=preferredColorScheme={scheme}"
    command = [browser, *flags, wanted, f"--user-data-dir={tmp_path}/profile", f"--screenshot={picture}"]
    subprocess.run([*command, page.as_uri()], capture_output=True, timeout=120, check=True)
    size, corner = first_pixel(picture.read_bytes())
    assert size == (width, 2400)
    assert all(value < 64 for value in corner) if dark else all(value > 192 for value in corner)


def first_pixel(png: bytes) -> tuple[tuple[int, int], bytes]:
    """Read a PNG's size and the red, green and blue of its upper left pixel, which no filter changes."""
    chunks, data = {}, b""
    place = 8
    while place < len(png):
        size, name = struct.unpack(">I4s", png[place : place + 8])
        chunks[name] = png[place + 8 : place + 8 + size]
        data += chunks[name] if name == b"IDAT" else b""
        place += size + 12
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    return (width, height), zlib.decompressobj().decompress(data, 4)[1:4]


def test_a_style_that_is_not_the_pages_own_is_refused_by_the_browser(browser: str, tmp_path: Path) -> None:
    page = report_html.render(synthetic.passed(), explanations=EXPLANATIONS)
    _, complaints = opened(browser, tmp_path, page.replace("</head>", "<style>body{color:red}</style></head>"))
    assert "Content Security Policy" in complaints
