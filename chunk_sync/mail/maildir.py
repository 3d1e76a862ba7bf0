"""Maildir sources: Maildir++ (`.Sent`), nested Maildirs, and folders that only hold Maildirs.

A message is named by its unique name, the part of the file name before `:2,` that no flag change
touches. Files move (new to cur, flags) while they are read, so a name that is not where it was is
looked up again, and only one that no complete listing shows is gone.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from chunk_sync.domain.spans import Span
from chunk_sync.errors import ErrorCategory, ErrorScope, ProviderError
from chunk_sync.mail.archive import disk_errors, key_of_name, name_of_key
from chunk_sync.mail.dates import instant
from chunk_sync.mail.imap_names import FolderName, readable_name, with_roles
from chunk_sync.mail.source import KnownMessage, ListedMessage, RawMessage, Snapshot, SourceFolder, SourceWithoutUids

_ROOT_KEY = "."
_MAX_DEPTH = 20
_ROUNDS = 6
_LOOKS = 2
_NAME = re.compile(r"(?P<unique>.+?)(?:[:;!]2,(?P<flags>[^:]*))?", re.DOTALL)
_TIMESTAMP = re.compile(r"(\d{1,10})(?!\d)")
_FLAGS = {
    "D": "\\Draft",
    "F": "\\Flagged",
    "P": "$Forwarded",
    "R": "\\Answered",
    "S": "\\Seen",
    "T": "\\Deleted",
}

# Where a unique name is now: the subfolder (cur or new) and the file's whole name.
Places = dict[str, tuple[str, str]]


@dataclass(slots=True)
class _Listing:
    stamp: tuple[int, ...]
    places: Places


class MaildirSource(SourceWithoutUids):
    """A tree of Maildirs; every error is a ProviderError."""

    def __init__(self, root: Path, max_message_bytes: int) -> None:
        self._root = root
        self._max_message_bytes = max_message_bytes
        self._listings: dict[str, _Listing] = {}

    def folders(self) -> list[SourceFolder]:
        """List the Maildirs of the tree, the inbox first."""
        with disk_errors("the Maildir", ErrorScope.ACCOUNT):
            return with_roles(
                FolderName(key_of_name(relative), _readable_path(relative)) for relative in _maildirs(self._root)
            )

    def snapshot(self, folder: SourceFolder) -> Snapshot:
        """Count a folder; Maildirs have no UIDs of their own, so epoch and next UID are 1 and 0."""
        return Snapshot(folder, 1, 0, len(self._list(folder.key)))

    def list_messages(self, snapshot: Snapshot, above_uid: int = 0) -> Iterator[ListedMessage]:
        """List a folder in the order of the file names, which begin with the time of arrival."""
        del above_uid  # there are no UIDs
        key = snapshot.folder.key
        for unique, place in sorted(self._known(key).items()):
            status = self._stat(key, place) or self._stat(key, self._known(key).get(unique))
            if status is not None and stat.S_ISREG(status.st_mode):
                received_at = _received_at(unique) or instant(status.st_mtime)
                yield ListedMessage(0, status.st_size, received_at, key_of_name(unique), _flags(*place))

    def fetch(
        self,
        span: Span,
        known: Collection[int] = (),
        *,
        eager: bool = False,  # noqa: ARG002 - there is no line
    ) -> Iterator[RawMessage | KnownMessage]:
        """Stream the span's messages; a file that cannot be read fails the span after all others came."""
        del known  # a file can change under its name
        key = span.folder_key
        ids = map(name_of_key, span.provider_ids or ())
        pending = dict(zip(ids, span.uids, strict=True))
        places, looks = self._known(key), 0
        failure: ProviderError | None = None
        for _ in range(_ROUNDS):
            for unique in [unique for unique in pending if unique in places]:
                try:
                    message = self._read(key, unique, places[unique], pending[unique])
                except ProviderError as exc:
                    failure = failure or exc
                    del pending[unique]
                    continue
                if message is not None:
                    del pending[unique]
                    yield message
            # Two complete listings without a message, and it is gone: one may lie within a clock tick.
            looks = looks + 1 if pending and pending.keys().isdisjoint(places) else 0
            if not pending or looks > _LOOKS:
                break
            places = self._list(key)
        else:
            message = "the Maildir changes faster than it can be read"
            failure = failure or ProviderError(message, ErrorCategory.TEMPORARY, code="EAGAIN")
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Forget the listings."""
        self._listings.clear()

    def __enter__(self) -> Self:
        """Enter."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()

    def _folder(self, key: str) -> Path:
        relative = name_of_key(key)
        if relative.startswith("/") or ".." in relative.split("/"):
            message = "a folder outside the Maildir"
            raise ProviderError(message, ErrorCategory.NOT_FOUND, scope=ErrorScope.FOLDER)
        return self._root / relative

    def _known(self, key: str) -> Places:
        """Take the last listing, when neither cur nor new changed since."""
        return self._list(key, known=self._listings.get(key))

    def _list(self, key: str, known: _Listing | None = None) -> Places:
        with disk_errors("the Maildir", ErrorScope.ACCOUNT):
            self._root.stat()
        with disk_errors("a folder of the Maildir", ErrorScope.FOLDER):
            folder = self._folder(key)
            if known is None or known.stamp != _stamp(folder):
                known = self._listings[key] = _list_folder(folder)
            return known.places

    def _stat(self, key: str, place: tuple[str, str] | None) -> os.stat_result | None:
        with disk_errors("a message of the Maildir", ErrorScope.CHUNK):
            try:
                return self._folder(key).joinpath(*place).stat() if place else None
            except FileNotFoundError:
                return None

    def _read(self, key: str, unique: str, place: tuple[str, str], uid: int) -> RawMessage | None:
        """Read one file; None when it is not there any more."""
        most = self._max_message_bytes
        with disk_errors("a message of the Maildir", ErrorScope.CHUNK):
            try:
                with self._folder(key).joinpath(*place).open("rb") as file:
                    status = os.fstat(file.fileno())
                    raw = file.read() if status.st_size <= most else None
            except FileNotFoundError:
                return None
        size = status.st_size if raw is None else len(raw)
        received_at = _received_at(unique) or instant(status.st_mtime)
        return RawMessage(uid, raw if size <= most else None, size, _flags(*place), received_at, key_of_name(unique))


def is_maildir_tree(root: Path) -> bool:
    """Say whether a folder is a Maildir or holds one; raises OSError when it cannot be read."""
    return next(_maildirs(root), None) is not None


def _maildirs(root: Path, relative: str = "", depth: int = 0) -> Iterator[str]:
    """Walk the tree and yield the Maildirs' paths relative to the root (`.` is the root itself).

    Symbolic links to folders are not followed: they make circles.
    """
    names: list[str] = []
    with os.scandir(root / relative) as entries:
        names.extend(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    if {"cur", "new"} <= set(names):
        yield relative or _ROOT_KEY
    if depth >= _MAX_DEPTH:
        return
    for name in sorted(names):
        if name not in {"cur", "new", "tmp"}:
            yield from _maildirs(root, f"{relative}/{name}" if relative else name, depth + 1)


def _readable_path(relative: str) -> str:
    """Make `.Work.2024` (Maildir++) and `Work/2024` (nested) both `Work/2024`; the root is the inbox."""
    if relative == _ROOT_KEY:
        return "INBOX"
    levels: list[str] = []
    for level in relative.split("/"):
        levels.extend(level[1:].split(".") if level.startswith(".") else [level])
    return "/".join(readable_name(os.fsencode(level)) for level in levels if level)


def _list_folder(folder: Path) -> _Listing:
    """List new, then cur: a message that moves in between is seen twice rather than never.

    A listing may miss a file that is renamed meanwhile, so it counts only when nothing changed.
    """
    seen: Places = {}
    for _ in range(_ROUNDS):
        stamp = _stamp(folder)
        places: Places = {}
        for subfolder in ("new", "cur"):
            for name in os.listdir(folder / subfolder):  # noqa: PTH208  one quick call and names only: a race is shorter
                match = _NAME.fullmatch(name)
                if match and not name.startswith("."):
                    places[match["unique"]] = (subfolder, name)
        if stamp == _stamp(folder):
            return _Listing(stamp, places)
        seen |= places
    return _Listing((), seen)


def _stamp(folder: Path) -> tuple[int, ...]:
    return tuple((folder / subfolder).stat().st_mtime_ns for subfolder in ("new", "cur"))


def _flags(subfolder: str, name: str) -> tuple[str, ...]:
    match = _NAME.fullmatch(name)
    letters = sorted(set(match["flags"] or "")) if match else []
    flags = tuple(_FLAGS[letter] for letter in letters if letter in _FLAGS)
    return flags if subfolder == "cur" else tuple(flag for flag in flags if flag != "\\Seen")


def _received_at(unique: str) -> datetime | None:
    match = _TIMESTAMP.match(unique)
    return instant(int(match[1])) if match else None
