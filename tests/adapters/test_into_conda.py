"""What is left of an installer in an environment."""

from __future__ import annotations

from pathlib import Path

from nomic_scaffold.adapters.pypi.into_conda import forget_times


def test_nothing_of_when_a_wheel_was_seen_stays(tmp_path: Path) -> None:
    info = tmp_path / "lib" / "python3.13" / "site-packages" / "tea-1.0.dist-info"
    info.mkdir(parents=True)
    kept = b"tea/__init__.py,sha256=aa,10\ntea-1.0.dist-info/RECORD,,\n"
    (info / "RECORD").write_bytes(b"tea-1.0.dist-info/uv_cache.json,sha256=bb,20\n" + kept)
    (info / "uv_cache.json").write_text('{"timestamp": 1}')
    forget_times(tmp_path)
    assert (info / "RECORD").read_bytes() == kept
    assert not (info / "uv_cache.json").exists()
