"""Mbox files are cut at their separators, in bounded memory, and their messages keep their names."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunk_sync.domain.spans import Span, UidSet
from chunk_sync.errors import ErrorCategory, ErrorScope, ProviderError
from chunk_sync.mail import mbox_index
from chunk_sync.mail.mbox import MboxSource
from chunk_sync.mail.source import ListedMessage, SourceFolder
from chunk_sync_tests.mail.disk import public_folder

FROM = b"From ann@example.com Mon Jan  1 12:00:00 2024\n"
RECEIVED_AT = datetime(2024, 1, 1, 12, tzinfo=UTC)


def _id(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:32]


def _read(path: Path, limit: int = 1 << 30) -> list[bytes | None]:
    with MboxSource(path, limit) as source:
        (folder,) = source.folders()
        listed = list(source.list_messages(source.snapshot(folder)))
        span = Span(folder.key, 1, UidSet.of(range(1, len(listed) + 1)), tuple(m.provider_id or "" for m in listed))
        fetched = list(source.fetch(span))
        assert [(m.provider_id, m.size) for m in listed] == [(m.provider_id, m.size) for m in fetched]
        assert list(range(1, len(listed) + 1)) == [m.uid for m in fetched]
        return [message.raw for message in fetched]


def _file(folder: Path, data: bytes, name: str = "mail.mbox") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_messages_dates_and_names(tmp_path: Path) -> None:
    """Separators are no part of a message, nor the blank line before them; the date is the separator's."""
    first, second = b"Subject: 1\n\none\n", b"Subject: 2\n\ntwo\n\n"
    path = _file(tmp_path, FROM + first + b"\n" + FROM.replace(b"12:00", b"13:30") + second + b"\n")
    with MboxSource(path, 1000) as source:
        (folder,) = source.folders()
        assert SourceFolder("mail.mbox", "mail", None) == folder
        snapshot = source.snapshot(folder)
        assert (1, 0, 2) == (snapshot.uidvalidity, snapshot.uid_next, snapshot.message_count)
        assert [
            ListedMessage(0, len(first), RECEIVED_AT, _id(first)),
            ListedMessage(0, len(second), RECEIVED_AT.replace(hour=13, minute=30), _id(second)),
        ] == list(source.list_messages(snapshot))
    assert [first, second] == _read(path)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (FROM, [b""]),
        (FROM.rstrip(), [b""]),
        (FROM + b"Subject: cut off", [b"Subject: cut off"]),
        (FROM + b"a: b\r\n\r\nx\r\n\r\n" + FROM + b"y\r\n", [b"a: b\r\n\r\nx\r\n", b"y\r\n"]),
        (FROM + b"\n>From me\n>>From you\nx>From\n> From\n", [b"\nFrom me\n>From you\nx>From\n> From\n"]),
        (b">From x\n" + FROM + b">From y", [b"From y"]),
        (FROM + b"\nFrom here on\nand\n\nFrom there on\n", [b"\nFrom here on\nand\n\nFrom there on\n"]),
        (FROM + b"a\n" + FROM + b"b\n", [b"a\n", b"b\n"]),
        (b"From - Tue Apr 27 19:42:12 1999\na\n\nFrom \nb\n", [b"a\n", b"b\n"]),
        (b"From 1@xxx Mon Jan 01 12:00:00 +0000 2024\r\na\r\n", [b"a\r\n"]),
        (b"preamble\n\n" + FROM + b"a\n", [b"a\n"]),
    ],
)
def test_separators(tmp_path: Path, data: bytes, expected: list[bytes]) -> None:
    """Quoting of one level, CRLF, files cut off, lines that only look like separators, Thunderbird's."""
    assert expected == _read(_file(tmp_path, data))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"From a@b Mon Jan  1 12:00:00 2024", RECEIVED_AT),
        (b"From a@b Mon Jan  1 14:00:00 2024 +0200", RECEIVED_AT),
        (b"From a@b Mon Jan  1 12:00:00 +0000 2024", RECEIVED_AT),
        (b"From - Mon Jan 01 12:00:00 2024", RECEIVED_AT),
        (b"From a@b Foo Jan 99 12:00:00 2024", None),
        (b"From ", None),
    ],
)
def test_dates_of_separators(tmp_path: Path, line: bytes, expected: datetime | None) -> None:
    """UTC unless a zone is given; None when there is no date."""
    source = MboxSource(_file(tmp_path, line + b"\nx\n"), 1000)
    (folder,) = source.folders()
    assert [expected] == [message.received_at for message in source.list_messages(source.snapshot(folder))]


_LINES = st.lists(
    st.sampled_from([b"", b"a", b"From x", b">From x", b">>From x", b"From a@b Mon Jan  1 12:00:00 2024", b"\xff\0"])
)


@given(st.lists(_LINES.map(b"\n".join), min_size=1, max_size=5), st.sampled_from([1100, 2000, 1 << 20]))
def test_what_was_written_by_the_book_is_read_back(messages: list[bytes], block: int) -> None:
    """mboxrd: every `From ` line quoted, a blank line after each message; in blocks of any size."""
    written = b"".join(
        FROM
        + b"".join((b">" + line if line.lstrip(b">").startswith(b"From ") else line) + b"\n" for line in m.split(b"\n"))
        + b"\n"
        for m in messages
    )
    with pytest.MonkeyPatch.context() as patch, public_folder() as folder:
        patch.setattr(mbox_index, "_BLOCK", block)
        assert [message + b"\n" for message in messages] == _read(_file(folder, written))


@given(st.binary())
def test_any_bytes_are_an_mbox(data: bytes) -> None:
    """No content fails, and each message is found under its name."""
    with public_folder() as folder:
        assert len(_read(_file(folder, FROM + data))) >= 1


def test_identical_copies_have_names_of_their_own(tmp_path: Path) -> None:
    """The second copy of the same bytes ends in .2, the third in .3."""
    path = _file(tmp_path, (FROM + b"same\n\n") * 3 + FROM + b"other\n\n")
    source = MboxSource(path, 1000)
    (folder,) = source.folders()
    names = [message.provider_id for message in source.list_messages(source.snapshot(folder))]
    same = _id(b"same\n")
    assert [same, f"{same}.2", f"{same}.3", _id(b"other\n")] == names
    assert [b"same\n"] * 3 + [b"other\n"] == _read(path)


def test_names_survive_compacting_and_appending(tmp_path: Path) -> None:
    """The file is rewritten and grows: each message that stays keeps its name and is still fetched."""
    parts = [FROM + b"Subject: %d\n\nx\n" % number for number in range(4)]
    path = _file(tmp_path, b"\n".join(parts))
    with MboxSource(path, 1000) as source:
        (folder,) = source.folders()
        ids = tuple(m.provider_id or "" for m in source.list_messages(source.snapshot(folder)))
        path.write_bytes(b"\n".join([parts[3], parts[1], FROM + b"new\n"]))
        fetched = {m.provider_id: m.raw for m in source.fetch(Span(folder.key, 1, UidSet.of(range(1, 5)), ids))}
    assert {ids[1]: b"Subject: 1\n\nx\n", ids[3]: b"Subject: 3\n\nx\n"} == fetched


def test_a_change_that_time_and_size_hide_yields_nothing_wrong(tmp_path: Path) -> None:
    """Same size, same time, other bytes: the hash shows it, the message is looked up anew and is gone."""
    path = _file(tmp_path, FROM + b"aaaa\n\n" + FROM + b"bbbb\n")
    with MboxSource(path, 1000) as source:
        (folder,) = source.folders()
        ids = tuple(m.provider_id or "" for m in source.list_messages(source.snapshot(folder)))
        times = path.stat()
        path.write_bytes(FROM + b"cccc\n\n" + FROM + b"bbbb\n")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        fetched = [m.raw for m in source.fetch(Span(folder.key, 1, UidSet.of([1, 2]), ids))]
    assert [b"bbbb\n"] == fetched


def test_flags_come_from_the_status_fields(tmp_path: Path) -> None:
    """As mutt and Dovecot write them; the body is not looked at."""
    path = _file(tmp_path, FROM + b"Status: RO\nX-Status: AF\n\nStatus: D\n")
    source = MboxSource(path, 1000)
    (folder,) = source.folders()
    (listed,) = source.list_messages(source.snapshot(folder))
    (fetched,) = source.fetch(Span(folder.key, 1, UidSet.of([1]), (listed.provider_id or "",)))
    assert fetched.flags == ("\\Answered", "\\Flagged", "\\Seen")


def test_a_folder_of_files_is_a_mailbox_of_folders(tmp_path: Path) -> None:
    """Each *.mbox file is one, other files are none."""
    for name in ("Inbox.mbox", "Sent.mbox", "Entw&APw-rfe.mbox", "notes.txt"):
        _file(tmp_path, FROM + b"x\n", name)
    (tmp_path / "deep.mbox").mkdir()
    expected = [
        SourceFolder("Inbox.mbox", "Inbox", "inbox"),
        SourceFolder("Entw&APw-rfe.mbox", "Entwürfe", "drafts"),
        SourceFolder("Sent.mbox", "Sent", "sent"),
    ]
    assert expected == MboxSource(tmp_path, 1000).folders()


def test_a_message_above_the_cap_comes_without_its_bytes(tmp_path: Path) -> None:
    """Its name does not depend on the cap."""
    path = _file(tmp_path, FROM + b"x" * 1001 + b"\n\n" + FROM + b"y\n")
    assert [None, b"y\n"] == _read(path, limit=1000)
    assert [b"x" * 1001 + b"\n", b"y\n"] == _read(path, limit=2000)


def test_indexing_takes_little_memory(tmp_path: Path) -> None:
    """A file of 40 MB with one endless line is indexed in a few MB."""
    path = tmp_path / "big.mbox"
    with path.open("wb") as file:
        for _ in range(20):
            file.write(FROM + b"x" * (1 << 20) + b"\n\n")
        file.write(FROM)
        for _ in range(20):
            file.write(b"y" * (1 << 20))
    tracemalloc.start()
    try:
        source = MboxSource(path, 1000)
        assert source.snapshot(source.folders()[0]).message_count == 21
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 << 20


def test_quoting_is_undone_at_the_beginning_of_lines_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is longer than a block does not begin anew with the next block."""
    monkeypatch.setattr(mbox_index, "_BLOCK", 70_000)
    body = b"x" * 70_000 + b">From y\n"
    assert [body + b"From z\n"] == _read(_file(tmp_path, FROM + body + b">From z\n"))


def test_what_is_gone_is_not_found(tmp_path: Path) -> None:
    """A lost file of a folder concerns the folder, a lost archive the account; a key cannot lead outside."""
    _file(tmp_path, b"", "outside.mbox")
    box = tmp_path / "box"
    box.mkdir()
    source = MboxSource(box, 1000)
    for key in ("gone.mbox", "../outside.mbox", "..", ""):
        with pytest.raises(ProviderError) as caught:
            list(source.fetch(Span(key, 1, UidSet.of([1]), ("x",))))
        assert (ErrorCategory.NOT_FOUND, ErrorScope.FOLDER) == (caught.value.category, caught.value.scope)
    box.rmdir()
    for call in (source.folders, lambda: source.snapshot(SourceFolder("a", "a"))):
        with pytest.raises(ProviderError) as caught:
            call()
        assert (ErrorCategory.NOT_FOUND, ErrorScope.ACCOUNT) == (caught.value.category, caught.value.scope)
