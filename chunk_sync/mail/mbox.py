"""Mbox sources: one file is one folder, a directory of *.mbox files is a mailbox of them.

The index is kept as long as the file's time and size stay; a message whose bytes are not what its name
says any more is looked up in a fresh index, so a file that is rewritten meanwhile yields nothing wrong.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from chunk_sync.domain.spans import Span
from chunk_sync.errors import ErrorCategory, ErrorScope, ProviderError
from chunk_sync.mail.archive import disk_errors, key_of_name, name_of_key
from chunk_sync.mail.imap_names import FolderName, readable_name, with_roles
from chunk_sync.mail.mbox_index import MboxEntry, index_mbox, mbox_files, read_message
from chunk_sync.mail.source import KnownMessage, ListedMessage, RawMessage, Snapshot, SourceFolder, SourceWithoutUids

_ROUNDS = 3
_HEADERS_END = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"^(?:X-)?Status:[ \t]*([A-Z]*)", re.MULTILINE | re.IGNORECASE)
_FLAGS = {"A": "\\Answered", "D": "\\Deleted", "F": "\\Flagged", "R": "\\Seen", "T": "\\Draft"}


@dataclass(frozen=True, slots=True)
class _Index:
    stamp: tuple[int, int]
    entries: dict[str, MboxEntry]


class MboxSource(SourceWithoutUids):
    """One mbox file or a folder of them; every error is a ProviderError."""

    def __init__(self, path: Path, max_message_bytes: int) -> None:
        self._path = path
        self._max_message_bytes = max_message_bytes
        self._indexes: dict[str, _Index] = {}

    def folders(self) -> list[SourceFolder]:
        """List the files, each named after itself without `.mbox`."""
        with disk_errors("the mbox archive", ErrorScope.ACCOUNT):
            self._path.stat()
            return with_roles(
                FolderName(key_of_name(file.name), readable_name(os.fsencode(file.name.removesuffix(".mbox"))))
                for file in mbox_files(self._path)
            )

    def snapshot(self, folder: SourceFolder) -> Snapshot:
        """Count a file's messages; mbox has no UIDs, so epoch and next UID are 1 and 0."""
        with self._file(folder.key) as file:
            return Snapshot(folder, 1, 0, len(self._index(folder.key, file)))

    def list_messages(self, snapshot: Snapshot, above_uid: int = 0) -> Iterator[ListedMessage]:
        """List a file's messages in their order."""
        del above_uid  # there are no UIDs
        with self._file(snapshot.folder.key) as file:
            entries = self._index(snapshot.folder.key, file)
        for entry in entries.values():
            yield ListedMessage(0, entry.size, entry.received_at, entry.provider_id)

    def fetch(
        self,
        span: Span,
        known: Collection[int] = (),
        *,
        eager: bool = False,  # noqa: ARG002 - there is no line
    ) -> Iterator[RawMessage | KnownMessage]:
        """Stream the span's messages; those that a fresh index does not have are gone."""
        del known  # a file can change under its name
        key = span.folder_key
        pending = dict(zip(span.provider_ids or (), span.uids, strict=True))
        for fresh in range(_ROUNDS):
            with self._file(key) as file:
                entries = self._index(key, file, fresh=bool(fresh))
                for provider_id in [provider_id for provider_id in pending if provider_id in entries]:
                    message = self._read(file, entries[provider_id], pending[provider_id])
                    if message is not None:
                        del pending[provider_id]
                        yield message
            if pending.keys().isdisjoint(entries):
                return
        message = "the mbox file changes faster than it can be read"
        raise ProviderError(message, ErrorCategory.TEMPORARY, code="EAGAIN")

    def close(self) -> None:
        """Forget the indexes."""
        self._indexes.clear()

    def __enter__(self) -> Self:
        """Enter."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()

    def _file(self, key: str) -> BinaryIO:
        name = name_of_key(key)
        with disk_errors("the mbox archive", ErrorScope.ACCOUNT):
            in_folder = self._path.is_dir()
            self._path.stat()
        with disk_errors("the mbox file", ErrorScope.FOLDER if in_folder else ErrorScope.ACCOUNT):
            if "/" in name or name in {"", ".", ".."} or (not in_folder and name != self._path.name):
                raise FileNotFoundError(2, "No such file or directory")
            return (self._path / name if in_folder else self._path).open("rb")

    def _index(self, key: str, file: BinaryIO, *, fresh: bool = False) -> dict[str, MboxEntry]:
        with disk_errors("the mbox file", ErrorScope.FOLDER):
            status = os.fstat(file.fileno())
            stamp = (status.st_mtime_ns, status.st_size)
            known = self._indexes.get(key)
            if known is None or fresh or known.stamp != stamp:
                known = self._indexes[key] = _Index(stamp, index_mbox(file))
            return known.entries

    def _read(self, file: BinaryIO, entry: MboxEntry, uid: int) -> RawMessage | None:
        """Read one message; None when the bytes there are not the message any more."""
        if entry.size > self._max_message_bytes:
            return RawMessage(uid, None, entry.size, (), entry.received_at, entry.provider_id)
        with disk_errors("a message of the mbox file", ErrorScope.CHUNK):
            raw = b"".join(read_message(file, entry.start, entry.end))
        if not entry.provider_id.startswith(hashlib.sha256(raw).hexdigest()[:32]):
            return None
        return RawMessage(uid, raw, len(raw), _flags(raw), entry.received_at, entry.provider_id)


def _flags(raw: bytes) -> tuple[str, ...]:
    """Read the flags that mail programs keep in `Status:` and `X-Status:` headers."""
    end = _HEADERS_END.search(raw)
    letters = b"".join(_STATUS.findall(raw, 0, end.start() if end else len(raw))).decode("ascii").upper()
    return tuple(_FLAGS[letter] for letter in sorted(set(letters)) if letter in _FLAGS)
