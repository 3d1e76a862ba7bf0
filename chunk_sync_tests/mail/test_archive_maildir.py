"""Maildirs of all layouts are read exactly, also while other programs move their files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chunk_sync.domain.spans import Span, UidSet
from chunk_sync.errors import ErrorCategory, ErrorScope, ProviderError
from chunk_sync.mail.archive import key_of_name, name_of_key
from chunk_sync.mail.maildir import MaildirSource
from chunk_sync.mail.source import ListedMessage, RawMessage, SourceFolder
from chunk_sync_tests.mail.disk import public_folder, unprivileged

INBOX = SourceFolder(".", "INBOX", "inbox")
FIRST = "1700000000.M1P2.host,S=5"
ODD_BYTES = b"Subject: x\r\n\nmixed\nlines\r\n\0\xff"


def _maildir(path: Path) -> Path:
    for subfolder in ("cur", "new", "tmp"):
        (path / subfolder).mkdir(parents=True)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty Maildir."""
    return _maildir(tmp_path / "Maildir")


@pytest.fixture
def source(root: Path) -> Iterator[MaildirSource]:
    """A source of it, with a cap of 1,000 bytes."""
    with MaildirSource(root, 1000) as opened:
        yield opened


def _list(source: MaildirSource, folder: SourceFolder = INBOX) -> list[ListedMessage]:
    return list(source.list_messages(source.snapshot(folder)))


def _span(*provider_ids: str, key: str = ".") -> Span:
    return Span(key, 1, UidSet.of(range(10, 10 + len(provider_ids))), provider_ids)


def test_bytes_flags_and_dates_come_from_the_file(root: Path, source: MaildirSource) -> None:
    """The file's exact bytes, the suffix's flags, the time in front of the name."""
    (root / "cur" / f"{FIRST}:2,RSFTDP").write_bytes(ODD_BYTES)
    received_at = datetime.fromtimestamp(1_700_000_000, UTC)
    flags = ("\\Draft", "\\Flagged", "$Forwarded", "\\Answered", "\\Seen", "\\Deleted")
    assert [ListedMessage(0, len(ODD_BYTES), received_at, FIRST, flags=flags)] == _list(source)
    expected = RawMessage(10, ODD_BYTES, len(ODD_BYTES), flags, received_at, FIRST)
    assert [expected] == list(source.fetch(_span(FIRST)))


@pytest.mark.parametrize(
    ("name", "provider_id"),
    [
        ("1700000000.a.host", "1700000000.a.host"),
        ("1700000000.a.host:2,", "1700000000.a.host"),
        ("1700000000.a.host:2,Sa", "1700000000.a.host"),
        ("1700000000.a.host!2,S", "1700000000.a.host"),
        ("1700000000.a:b.host:2,S", "1700000000.a:b.host"),
        ("1700000000.a.host,S=3,W=4:2,", "1700000000.a.host,S=3,W=4"),
    ],
)
def test_the_unique_name_is_the_id(root: Path, source: MaildirSource, name: str, provider_id: str) -> None:
    """Whatever flags do to the name, the id stays."""
    (root / "cur" / name).write_bytes(b"x")
    assert [provider_id] == [message.provider_id for message in _list(source)]


def test_new_mail_is_not_seen(root: Path, source: MaildirSource) -> None:
    """A message in `new` was not seen, whatever its name says; without a time in the name the file's counts."""
    path = root / "new" / "letter:2,S"
    path.write_bytes(b"x")
    os.utime(path, (1_600_000_000, 1_600_000_000))
    (fetched,) = source.fetch(_span("letter"))
    assert ((), datetime.fromtimestamp(1_600_000_000, UTC)) == (fetched.flags, fetched.received_at)


def test_only_messages_are_listed(root: Path, source: MaildirSource) -> None:
    """Folders, hidden files and pipes in cur are no messages."""
    (root / "cur" / "folder").mkdir()
    (root / "cur" / ".hidden").write_bytes(b"x")
    (root / "tmp" / "1700000000.unfinished").write_bytes(b"x")
    os.mkfifo(root / "cur" / "pipe")
    (root / "new" / FIRST).write_bytes(b"")
    assert [ListedMessage(0, 0, datetime.fromtimestamp(1_700_000_000, UTC), FIRST, flags=())] == _list(source)


def test_all_layouts_are_found(tmp_path: Path) -> None:
    """Maildir++ (`.Work.2024`), nested Maildirs, modified UTF-7; the keys are the paths."""
    root = _maildir(tmp_path / "m")
    for folder in (".Sent", ".Work.2024", ".Entw&APw-rfe", "Old/2001"):
        _maildir(root / folder)
    (root / "Old" / "note").write_bytes(b"no folder")
    (root / "loop").symlink_to(root)
    expected = [
        INBOX,
        SourceFolder(".Entw&APw-rfe", "Entwürfe", "drafts"),
        SourceFolder("Old/2001", "Old/2001", None),
        SourceFolder(".Sent", "Sent", "sent"),
        SourceFolder(".Work.2024", "Work/2024", None),
    ]
    source = MaildirSource(root, 1000)
    assert expected == source.folders()
    (root / ".Work.2024" / "cur" / FIRST).write_bytes(b"x")
    assert [FIRST] == [message.provider_id for message in source.fetch(_span(FIRST, key=".Work.2024"))]


def test_a_folder_of_maildirs_is_a_mailbox_too(tmp_path: Path) -> None:
    """As mbsync and offlineimap write them: the root itself is none."""
    _maildir(tmp_path / "INBOX")
    _maildir(tmp_path / "Work")
    folders = MaildirSource(tmp_path, 1000).folders()
    assert [SourceFolder("INBOX", "INBOX", "inbox"), SourceFolder("Work", "Work", None)] == folders


def test_names_that_are_no_text_survive(root: Path, source: MaildirSource) -> None:
    """Bytes that are not UTF-8 become %-escapes in keys and ids, and lead back to the file."""
    name = os.fsdecode(b"1700000000.\xff%41.host")
    (root / "cur" / f"{name}:2,").write_bytes(b"x")
    _maildir(root / os.fsdecode(b".caf\xe9"))
    (message,) = _list(source)
    assert message.provider_id == "1700000000.%FF%2541.host"
    assert name == name_of_key(message.provider_id)
    assert [b"x"] == [found.raw for found in source.fetch(_span(message.provider_id))]
    assert SourceFolder(".caf%E9", "café", None) in source.folders()
    assert key_of_name("Entwürfe 100%") == "Entwürfe 100%25"


def test_a_message_that_moves_is_still_found(root: Path, source: MaildirSource) -> None:
    """Renamed between listing and fetch, and again in the middle of the fetch."""
    names = [f"170000000{index}.x.host" for index in range(3)]
    for name in names:
        (root / "new" / name).write_bytes(name.encode())
    assert names == [message.provider_id for message in _list(source)]
    (root / "new" / names[0]).rename(root / "cur" / f"{names[0]}:2,S")
    stream = source.fetch(_span(*names))
    fetched = [next(stream)]
    (root / "new" / names[1]).rename(root / "cur" / f"{names[1]}:2,F")
    (root / "new" / names[2]).rename(root / "cur" / f"{names[2]}:2,")
    fetched += stream
    assert {name: name.encode() for name in names} == {message.provider_id: message.raw for message in fetched}
    assert {10: ("\\Seen",), 11: ("\\Flagged",), 12: ()} == {message.uid: message.flags for message in fetched}


def test_a_message_that_vanished_is_absent(root: Path, source: MaildirSource) -> None:
    """Deleted between listing and fetch: no failure, and the others arrive."""
    for name in ("1.a", "2.b"):
        (root / "cur" / f"{name}:2,").write_bytes(b"x")
    _list(source)
    (root / "cur" / "1.a:2,").unlink()
    assert ["2.b"] == [message.provider_id for message in source.fetch(_span("1.a", "2.b", "3.never"))]


def test_a_listing_that_time_does_not_betray_is_not_believed(root: Path, source: MaildirSource) -> None:
    """Files moved within one tick of the disk's clock: nothing is gone before a fresh listing said so."""
    assert _list(source) == []
    folders = (root / "new", root / "cur")
    before = [folder.stat().st_mtime_ns for folder in folders]
    (root / "cur" / f"{FIRST}:2,").write_bytes(b"x")
    for folder, moment in zip(folders, before, strict=True):
        os.utime(folder, ns=(moment, moment))
    assert [FIRST] == [message.provider_id for message in source.fetch(_span(FIRST))]


def test_what_arrives_is_in_the_next_snapshot(root: Path, source: MaildirSource) -> None:
    """A snapshot counts what is there now."""
    assert source.snapshot(INBOX).message_count == 0
    (root / "new" / FIRST).write_bytes(b"x")
    assert source.snapshot(INBOX).message_count == 1


def test_a_message_above_the_cap_comes_without_its_bytes(root: Path, source: MaildirSource) -> None:
    """Only its size is told."""
    (root / "cur" / FIRST).write_bytes(b"x" * 1001)
    (root / "cur" / "1700000001.y").write_bytes(b"x" * 1000)
    fetched = {
        message.provider_id: (message.raw, message.size) for message in source.fetch(_span(FIRST, "1700000001.y"))
    }
    assert {FIRST: (None, 1001), "1700000001.y": (b"x" * 1000, 1000)} == fetched


def _error(source: MaildirSource, key: str = ".") -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        list(source.fetch(_span(FIRST, key=key)))
    return caught.value


def test_what_is_gone_is_not_found(root: Path, source: MaildirSource) -> None:
    """A lost folder concerns the folder, a lost archive the account; a key cannot lead outside."""
    (root / "cur" / FIRST).write_bytes(b"x")
    for key in (".Gone", "../Maildir", "/etc"):
        error = _error(source, key)
        assert (ErrorCategory.NOT_FOUND, ErrorScope.FOLDER) == (error.category, error.scope)
    _list(source)
    root.rename(root.with_name("elsewhere"))
    for error in (_error(source), _error(MaildirSource(root, 1))):
        assert (ErrorCategory.NOT_FOUND, ErrorScope.ACCOUNT) == (error.category, error.scope)
    with pytest.raises(ProviderError) as caught:
        source.folders()
    assert caught.value.scope is ErrorScope.ACCOUNT


def test_a_file_that_cannot_be_read_fails_after_the_others() -> None:
    """One message without permission: all others arrive, then the error."""
    got: list[str | None] = []
    with public_folder() as folder:
        root = _maildir(folder / "m")
        for name in ("1.a", "2.b", "3.c"):
            (root / "cur" / name).write_bytes(b"x")
        (root / "cur" / "1.a").chmod(0)
        stream = MaildirSource(root, 100).fetch(_span("1.a", "2.b", "3.c"))
        with unprivileged(), pytest.raises(ProviderError) as caught:
            got.extend(message.provider_id for message in stream)
    assert (ErrorCategory.PERMISSION, "EACCES") == (caught.value.category, caught.value.code)
    assert got == ["2.b", "3.c"]
