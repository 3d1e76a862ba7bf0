"""The mailboxes that are pulled: generated once into a Maildir below the work folder, served by Dovecot.

`small` is a list archive (half of the messages below 2.7 KB), `real` has HTML alternatives, attachments, odd charsets
and broken structure (half below 18 KB, one in a hundred above 1.2 MB). Everything lies in INBOX.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chunk_sync.demo.mailbox import INBOX, GeneratedMessage, iter_messages
from chunk_sync.demo.maildir import GENERATION, write_maildir
from chunk_sync.demo.profiles import ProfileName
from chunk_sync_tests.servers.dovecot import DovecotServer, as_served

SEED = 1
_FACTS = ".facts.json"


@dataclass(frozen=True, slots=True)
class Corpus:
    """A mailbox on disk: sizes in bytes as an IMAP server counts, `digest` over the hashes of all messages."""

    name: str
    recipe: str
    maildir: str
    messages: int
    bytes: int
    p50: int
    mean: int
    p99: int
    largest: int
    digest: str

    def line(self) -> str:
        """Say what it is."""
        return (
            f"{self.name}: {self.messages:,} messages, {self.bytes / 1e6:,.0f} MB, p50 {self.p50 / 1000:.1f} KB,"
            f" mean {self.mean / 1000:.1f} KB, p99 {self.p99 / 1000:.0f} KB, largest {self.largest / 1e6:.1f} MB"
        )


def digest_of(hashes: list[str]) -> str:
    """Name a multiset of messages by the hashes of their bytes."""
    return hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()


def make(work: Path, name: ProfileName, messages: int) -> Corpus:
    """Generate a mailbox, or find it where it was generated before."""
    path = work / "corpora" / f"{name}-{messages}"
    recipe = f"benchmark {name} {SEED} {messages} v{GENERATION}"
    facts = path / _FACTS
    if facts.exists():
        known = Corpus(**json.loads(facts.read_text()))
        if known.recipe == recipe:
            return known
    shutil.rmtree(path, ignore_errors=True)
    write_maildir(path, _in_one_folder(name, messages), recipe=recipe)
    corpus = _describe(path, name, recipe)
    facts.write_text(json.dumps(dataclasses.asdict(corpus)))
    return corpus


def _in_one_folder(name: ProfileName, messages: int) -> Iterator[GeneratedMessage]:
    return (dataclasses.replace(message, folder=INBOX) for message in iter_messages(messages, SEED, name))


def _describe(path: Path, name: str, recipe: str) -> Corpus:
    sizes: list[int] = []
    hashes: list[str] = []
    for file in (path / "cur").iterdir():
        raw = as_served(file.read_bytes())
        sizes.append(len(raw))
        hashes.append(hashlib.sha256(raw).hexdigest())
    sizes.sort()
    return Corpus(
        name,
        recipe,
        str(path),
        len(sizes),
        sum(sizes),
        p50=sizes[len(sizes) // 2],
        mean=round(statistics.mean(sizes)),
        p99=sizes[len(sizes) * 99 // 100],
        largest=sizes[-1],
        digest=digest_of(hashes),
    )


@contextmanager
def served(corpus: Corpus) -> Iterator[DovecotServer]:
    """Serve a mailbox; Dovecot's indexes stay in its folder for the next time."""
    with_mail = DovecotServer()
    link = with_mail.maildir()
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(corpus.maildir)
    _hand_over(Path(corpus.maildir))
    with with_mail as server:
        yield server


def _hand_over(folder: Path) -> None:
    """Give the mailbox to the user that Dovecot runs as when we are root."""
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, "nobody", "nogroup")


def pid_of(server: DovecotServer) -> int:
    """Find Dovecot's master process, the leader of its group."""
    return next(pid for pid in server.processes() if os.getpgid(pid) == pid)
