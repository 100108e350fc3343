"""Strings from all of Unicode, the same ones at every run."""

from __future__ import annotations

import random

RANGES = {
    "Latin": (0x20, 0x250),
    "phonetic letters, combining marks": (0x250, 0x370),
    "Greek to Hebrew": (0x370, 0x600),
    "Arabic to Sinhala": (0x600, 0xE00),
    "Thai to Georgian": (0xE00, 0x1100),
    "Hangul jamo to Greek extended": (0x1100, 0x2000),
    "punctuation, symbols, arrows, shapes": (0x2000, 0x2C00),
    "Glagolitic to Japanese kana": (0x2C00, 0x3100),
    "bopomofo, CJK signs and ideographs": (0x3100, 0xA000),
    "Yi to Meetei Mayek": (0xA000, 0xAC00),
    "Hangul syllables": (0xAC00, 0xD800),
    "private use, compatibility and full-width forms": (0xE000, 0x10000),
    "plane 1: old scripts, mathematics, emoji": (0x10000, 0x20000),
    "planes 2 and 3: rare ideographs": (0x20000, 0x40000),
    "planes 4 to 16: unassigned, tags, private use": (0x40000, 0x110000),
}
"""Between them every code point that isn't a control character or half a pair."""


def strings(ranges: list[tuple[int, int]], count: int, *, longest: int, seed: int = 4) -> list[str]:
    """Draw strings of 1 to `longest` characters, a seventh of them blanks, from one range or several each."""
    draw = random.Random(seed)
    found: list[str] = []
    while len(found) < count:
        chosen = draw.sample(ranges, min(len(ranges), draw.choice([1, 1, 2, 4])))
        text = "".join(
            " " if draw.random() < 0.15 else chr(draw.randrange(*draw.choice(chosen)))
            for _ in range(draw.randint(1, longest))
        )
        if text.strip():
            found.append(text)
    return found
