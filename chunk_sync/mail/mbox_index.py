"""Where the messages of an mbox file are: one pass in blocks, memory for the index and one block only.

A message is named by the hash of its bytes, so that compacting the file or appending to it renames none.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from chunk_sync.mail.dates import parse_date

_BLOCK = 1 << 20
_LONGEST_SEPARATOR = 1 << 10
_SHORTEST_LINE = 1 << 16
# A body may hold a line that begins with "From ": a separator has a date too, or nothing (Thunderbird).
_SEPARATOR = re.compile(rb"From (?:[^\r\n]*\d{1,2}:\d\d[^\r\n]*\d{4}[^\r\n]*|-? *)\r?\n")
_DATED = re.compile(
    rb"From +(?:\S+ +)?((?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d \d\d:\d\d(?::\d\d)? [^\r\n]*)\r?\n"
)
_QUOTED = re.compile(rb"(?<=\n)>(>*From )")
_QUOTED_FIRST = re.compile(rb"\A>(>*From )")
_BLANK_ENDS = (b"\r\n\r\n", b"\n\n")


@dataclass(frozen=True, slots=True)
class MboxEntry:
    """One message in the file: `start` and `end` are file offsets, `size` the bytes that a reader gets."""

    provider_id: str
    start: int
    end: int
    size: int
    received_at: datetime | None


def looks_like_mbox(path: Path) -> bool:
    """Say whether a path is an mbox file or a folder with *.mbox files; raises OSError when unreadable."""
    if path.is_dir():
        return any(mbox_files(path))
    with path.open("rb") as file:
        return file.read(5) in {b"", b"From "}


def mbox_files(path: Path) -> Iterator[Path]:
    """Yield the mbox files of a folder, or the file itself."""
    if not path.is_dir():
        yield path
        return
    yield from sorted(file for file in path.iterdir() if file.suffix == ".mbox" and file.is_file())


def index_mbox(file: BinaryIO) -> dict[str, MboxEntry]:
    """Find and name all messages; the k-th identical copy (k from 2) is named with `.k` at its end."""
    copies: Counter[str] = Counter()
    entries: dict[str, MboxEntry] = {}
    for line, start, end in list(_slices(file)):
        digest, size = hashlib.sha256(), 0
        for block in read_message(file, start, end):
            digest.update(block)
            size += len(block)
        name = digest.hexdigest()[:32]
        copies[name] += 1
        provider_id = name if copies[name] == 1 else f"{name}.{copies[name]}"
        entries[provider_id] = MboxEntry(provider_id, start, end, size, _separator_date(line))
    return entries


def read_message(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    """Read a slice in blocks, one level of `>From ` quoting removed."""
    file.seek(start)
    return _unquoted(_blocks(file, end - start))


def _blocks(file: BinaryIO, length: int) -> Iterator[bytes]:
    while length > 0 and (block := file.read(min(_BLOCK, length))):
        length -= len(block)
        yield block


def _unquoted(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Remove one `>` before `From `; hold back an unfinished line, unless it is endless."""
    held, at_line_start = b"", True
    for block in blocks:
        data = held + block
        cut = data.rfind(b"\n") + 1 or (len(data) if len(data) > _SHORTEST_LINE else 0)
        held = data[cut:]
        if cut:
            yield _unquote(data[:cut], at_line_start=at_line_start)
            at_line_start = data[cut - 1 : cut] == b"\n"
    if held:
        yield _unquote(held, at_line_start=at_line_start)


def _unquote(data: bytes, *, at_line_start: bool) -> bytes:
    data = _QUOTED.sub(rb"\1", data)
    return _QUOTED_FIRST.sub(rb"\1", data) if at_line_start else data


def _slices(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield separator line, start and end of each message."""
    previous: tuple[bytes, int] | None = None
    for offset, line, blank in _separators(file):
        if previous is not None:
            yield previous[0], previous[1], offset - blank
        previous = (line, offset + len(line))
    if previous is not None:
        end = file.seek(0, 2)
        file.seek(max(previous[1], end - 4))
        tail = file.read(4)
        # The writer's blank line after a message is not part of it, also when nothing follows.
        blank = next((len(ending) // 2 for ending in _BLANK_ENDS if tail.endswith(ending)), 0)
        yield previous[0], previous[1], end - blank


def _separators(file: BinaryIO) -> Iterator[tuple[int, bytes, int]]:
    """Yield offset, line and length of the blank line before it, of every separator."""
    file.seek(0)
    window, base, searched = b"\n\n", -2, -2  # the file's beginning counts as a blank line
    final = False
    while not final:
        block = file.read(_BLOCK)
        final = len(block) < _BLOCK
        window += block + (b"\n" if final else b"")
        limit = len(window) if final else len(window) - _LONGEST_SEPARATOR
        position = window.find(b"\nFrom ", searched - base, limit)
        while position >= 0:
            line = window[position + 1 : window.find(b"\n", position + 1, position + _LONGEST_SEPARATOR) + 1]
            blank = _blank_before(window, position)
            if (blank and _SEPARATOR.fullmatch(line)) or _DATED.fullmatch(line):
                yield base + position + 1, line, blank
            position = window.find(b"\nFrom ", position + 1, limit)
        # A match ends at most 5 bytes before the limit; two bytes of context tell a blank line.
        searched = max(searched, base + limit - 5)
        keep = max(0, searched - base - 2)
        window, base = window[keep:], base + keep


def _blank_before(window: bytes, position: int) -> int:
    """Count the bytes of the blank line that ends at `position`; 0 when that line is not blank."""
    if window[position - 1 : position] == b"\n":
        return 1
    return 2 if window[position - 2 : position] == b"\n\r" else 0


def _separator_date(line: bytes) -> datetime | None:
    match = _DATED.fullmatch(line)
    return parse_date(match[1].decode("latin-1")) if match else None
