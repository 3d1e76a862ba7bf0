"""Maildir++ on disk, as Dovecot lays it out: the one writer of this room.

INBOX is the root, `Archive/2024` is the folder `.Archive.2024`, names are in IMAP's modified UTF-7.
File names are deterministic: the moment of delivery, then the content's hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from chunk_sync.demo.mailbox import DEFAULT_COUNT, DEFAULT_SEED, INBOX, GeneratedMessage, iter_messages
from chunk_sync.demo.profiles import ProfileName
from chunk_sync.errors import UsageError

MARKER = ".demo.json"
GENERATION = 1  # raise it when the same seed begins to give other bytes: mailboxes are then written anew
_FLAG_LETTERS = {"\\Draft": "D", "\\Flagged": "F", "\\Answered": "R", "\\Seen": "S", "\\Deleted": "T"}
_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e]+")


@dataclass(frozen=True, slots=True)
class MaildirSummary:
    """What a Maildir was given: messages, their bytes, messages per folder."""

    messages: int
    bytes: int
    folders: dict[str, int] = field(default_factory=dict[str, int])


def demo_maildir(
    path: Path, count: int = DEFAULT_COUNT, seed: int = DEFAULT_SEED, profile: ProfileName = "demo"
) -> MaildirSummary:
    """Write the demo mailbox below `path`; does nothing when this very mailbox is there already."""
    return write_maildir(path, iter_messages(count, seed, profile), recipe=f"{profile} {seed} {count} v{GENERATION}")


def write_maildir(path: Path, messages: Iterable[GeneratedMessage], *, recipe: str = "") -> MaildirSummary:
    """Write a whole Maildir: all of it, or nothing that a reader could take for it.

    `recipe` names the content: when `path` holds a complete Maildir of the same recipe, its summary is
    returned and `messages` is left alone. An earlier demo mailbox of another recipe is replaced.
    Raises UsageError when `path` holds anything else.
    """
    path = path.absolute()
    found = _read_marker(path)
    if found is None and path.exists() and (not path.is_dir() or any(path.iterdir())):
        message = f"{path} is not a demo mailbox: give a new or empty folder"
        raise UsageError(message)
    if found is not None and recipe and found[0] == recipe:
        return found[1]
    writing = path.with_name(f".{path.name}.writing")
    shutil.rmtree(writing, ignore_errors=True)
    summary = deliver(writing, messages)
    marker = json.dumps({"recipe": recipe, **asdict(summary)}, ensure_ascii=False, indent=1)
    (writing / MARKER).write_text(marker + "\n", "utf-8")
    _put_in_place(writing, path)
    return summary


def deliver(path: Path, messages: Iterable[GeneratedMessage]) -> MaildirSummary:
    """Add messages to a Maildir that may be in use: each appears whole (tmp, then rename)."""
    _Folder.open(path)
    open_folders: dict[str, _Folder] = {}
    counts: Counter[str] = Counter()
    size = 0
    for message in messages:
        if message.folder not in open_folders:
            open_folders[message.folder] = _Folder.open(path, message.folder)
        open_folders[message.folder].add(message)
        counts[message.folder] += 1
        size += len(message.raw)
    return MaildirSummary(counts.total(), size, dict(counts))


def folder_directory(folder: str) -> str:
    """Name a folder's directory within the Maildir, "" for INBOX; raises UsageError for a dot, the level separator."""
    if folder.upper() == INBOX:
        return ""
    if "." in folder:
        message = f"folder {folder!r}: a Maildir++ folder cannot have a dot in its name"
        raise UsageError(message)
    return "." + modified_utf7(folder).replace("/", ".")


def modified_utf7(text: str) -> str:
    """Encode a folder name as IMAP does (RFC 3501, 5.1.3)."""

    def shifted(match: re.Match[str]) -> str:
        encoded = base64.b64encode(match[0].encode("utf-16-be")).decode()
        return "&" + encoded.rstrip("=").replace("/", ",") + "-"

    return _NOT_PRINTABLE.sub(shifted, text.replace("&", "&-"))


@dataclass(slots=True)
class _Folder:
    """A folder that is being written to; `taken` holds the unique names that are in use."""

    path: Path
    taken: set[str]

    @classmethod
    def open(cls, root: Path, folder: str = INBOX) -> _Folder:
        """Open a folder of a Maildir, made when it is not there."""
        path = root / folder_directory(folder)
        taken: set[str] = set()
        for part in ("tmp", "new", "cur"):
            (path / part).mkdir(parents=True, exist_ok=True)
            taken.update(file.name.partition(",")[0] for file in (path / part).iterdir())
        if path != root:
            (path / "maildirfolder").touch()
        return cls(path, taken)

    def add(self, message: GeneratedMessage) -> None:
        """Write one message; flags that have no letter in Maildir are left out."""
        raw, moment = message.raw, int(message.received_at.timestamp())
        wire_size = len(raw) + raw.count(b"\n") - raw.count(b"\r\n")  # as IMAP counts: lines end in CRLF
        letters = "".join(sorted(_FLAG_LETTERS[flag] for flag in message.flags if flag in _FLAG_LETTERS))
        unique = self._unique(f"{moment}.{hashlib.sha256(raw).hexdigest()[:16]}.demo")
        written = self.path / "tmp" / unique
        written.write_bytes(raw)
        os.utime(written, (moment, moment))
        written.rename(self.path / "cur" / f"{unique},S={len(raw)},W={wire_size}:2,{letters}")

    def _unique(self, base: str) -> str:
        unique, copies = base, 0
        while unique in self.taken:
            copies += 1
            unique = f"{base}{copies}"
        self.taken.add(unique)
        return unique


def _read_marker(path: Path) -> tuple[str, MaildirSummary] | None:
    """Read recipe and summary; None when there is no complete demo mailbox."""
    try:
        marker = json.loads((path / MARKER).read_text("utf-8"))
        return marker.pop("recipe"), MaildirSummary(**marker)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _put_in_place(written: Path, path: Path) -> None:
    """Swap the new Maildir in; an earlier one is moved aside first and then removed."""
    old = path.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.rename(old)
    written.rename(path)
    shutil.rmtree(old, ignore_errors=True)
