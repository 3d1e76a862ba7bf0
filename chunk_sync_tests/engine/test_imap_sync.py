"""The engine against real IMAP servers: what lands is what the server has, and what another puller gets."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import zstandard

from chunk_sync.demo.mailbox import iter_messages
from chunk_sync.engine.connect import source_opener
from chunk_sync.engine.run_chunks import Parts
from chunk_sync.engine.verify import verify_mailbox
from chunk_sync.settings import Settings
from chunk_sync.store.database import Database
from chunk_sync.store.mailboxes import Mailbox, add_mailbox
from chunk_sync_tests.factory import job_row
from chunk_sync_tests.servers.dovecot import DovecotServer
from chunk_sync_tests.servers.process import ImapServer
from chunk_sync_tests.syncing import sync_once

_MBSYNC = """
IMAPAccount lab
Host 127.0.0.1
Port {port}
User {user}
Pass {password}
SSLType None
AuthMechs LOGIN

IMAPStore far
Account lab

MaildirStore near
Path {maildir}/
Inbox {maildir}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Near
Sync Pull
SyncState *
"""


@pytest.fixture
def parts(database: Database, tmp_path: Path) -> Parts:
    """The engine with real sources."""
    settings = Settings.read({"CHUNK_SYNC_HOME": str(tmp_path), "CHUNK_SYNC_CHUNK_MESSAGES": "50"})
    return Parts(database, settings, source_opener(settings))


def connect(parts: Parts, server: ImapServer, tmp_path: Path, address: str | None = None) -> Mailbox:
    """Add the server's mailbox, its password in a file."""
    secret = tmp_path / "password"
    secret.write_text(server.password)
    return add_mailbox(
        parts.database,
        name="box",
        address=address or server.address,
        provider="imap",
        credential=f"file:{secret}",
    )


def sync(parts: Parts) -> dict[str, object]:
    """Request, plan and run a sync; the job's row."""
    return job_row(parts.database, sync_once(parts, "box"))


def landed(database: Database) -> dict[str, list[str]]:
    """Folder to sorted sha256 of the kept bytes."""
    return {path: sorted(hashlib.sha256(raw).hexdigest() for raw in raws) for path, raws in kept(database).items()}


def kept(database: Database) -> dict[str, list[bytes]]:
    """Folder to the kept bytes of every message in it."""
    rows = database.execute(
        "SELECT f.path, r.data FROM message_locations AS l JOIN folders AS f ON f.id = l.folder_id"
        " JOIN messages AS m ON m.id = l.message_id"
        " JOIN message_raw AS r ON r.tenant_id = m.tenant_id AND r.sha256 = m.raw_sha256"
    )
    found: dict[str, list[bytes]] = {}
    for row in rows:
        found.setdefault(row["path"], []).append(zstandard.decompress(row["data"]))
    return found


def test_what_lands_is_what_the_server_has(imap_server: ImapServer, parts: Parts, tmp_path: Path) -> None:
    """Three hundred messages in several folders: every one once, byte for byte; then exactly the new ones."""
    messages = list(iter_messages(320, seed=5, profile="small"))
    imap_server.add_mailbox(messages[:300])
    box = connect(parts, imap_server, tmp_path)
    job = sync(parts)
    assert ("completed", 300) == (job["status"], job["emails_processed"])
    assert {path: hashes for path, hashes in imap_server.snapshot().items() if hashes} == landed(parts.database)
    imap_server.add_mailbox(messages[300:])
    job = sync(parts)
    assert ("incremental", 20) == (job["sync_type"], job["emails_estimated"])
    assert all(v.ok for v in verify_mailbox(parts.database, parts.settings, parts.open_mailbox, box))


def test_over_tls_with_a_certificate_of_ones_own(dovecot_server: DovecotServer, parts: Parts, tmp_path: Path) -> None:
    """An imaps:// address with `?ca=` trusts that authority, and the mailbox lands."""
    dovecot_server.add_messages("INBOX", [m.raw for m in iter_messages(30, seed=6, profile="small")])
    connect(parts, dovecot_server, tmp_path, dovecot_server.tls_address + f"?ca={dovecot_server.ca_path}")
    job = sync(parts)
    assert ("completed", 30) == (job["status"], job["emails_processed"])


@pytest.mark.needs("isync")
def test_mbsync_gets_the_same_mail(dovecot_server: DovecotServer, parts: Parts, tmp_path: Path) -> None:
    """Another program that pulls the mailbox gets the same messages (it writes bare line feeds)."""
    dovecot_server.add_mailbox(iter_messages(200, seed=7, profile="small"))
    connect(parts, dovecot_server, tmp_path)
    sync(parts)
    maildir = tmp_path / "mbsync"
    maildir.mkdir()
    config = tmp_path / "mbsyncrc"
    server = {"port": dovecot_server.port, "user": dovecot_server.user, "password": dovecot_server.password}
    config.write_text(_MBSYNC.format(maildir=maildir, **server))
    program = shutil.which("mbsync")
    assert program is not None
    done = subprocess.run([program, "-c", str(config), "-a"], capture_output=True, text=True, check=False, timeout=600)
    assert 0 == done.returncode, done.stderr
    # mbsync leaves a mark of its own in every header.
    files = [path for folder in ("cur", "new") for path in maildir.rglob(f"{folder}/*")]
    pulled = sorted(re.sub(rb"X-TUID: .*\n", b"", path.read_bytes()) for path in files)
    ours = [raw.replace(b"\r\n", b"\n") for raws in kept(parts.database).values() for raw in raws]
    assert sorted(ours) == pulled
