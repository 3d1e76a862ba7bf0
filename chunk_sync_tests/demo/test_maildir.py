"""The Maildir writer: Maildir++ as Dovecot lays it out, whole or not at all."""

from __future__ import annotations

import hashlib
import mailbox
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest

from chunk_sync.demo.mailbox import GeneratedMessage, iter_messages
from chunk_sync.demo.maildir import (
    MARKER,
    deliver,
    demo_maildir,
    folder_directory,
    modified_utf7,
    write_maildir,
)
from chunk_sync.errors import UsageError

_COUNT = 150


def _files(path: Path) -> dict[str, str]:
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in path.rglob("*")
        if file.is_file()
    }


def _never() -> Iterator[GeneratedMessage]:
    pytest.fail("the messages were asked for")
    yield


def test_it_is_a_maildir(tmp_path: Path) -> None:
    """Python's own reader finds every message with its flags, in Maildir++ folders."""
    messages = list(iter_messages(_COUNT))
    summary = write_maildir(tmp_path / "mail", messages)
    assert _COUNT == summary.messages
    assert sum(len(message.raw) for message in messages) == summary.bytes
    root = mailbox.Maildir(tmp_path / "mail", create=False)
    assert {"Archive.2024", "Junk", "Lists.postgresql", "Sent", "&BBIERQRWBDQEPQRW-"} == set(root.list_folders())
    assert summary.folders["INBOX"] == len(root)
    assert summary.folders["Вхідні"] == len(root.get_folder("&BBIERQRWBDQEPQRW-"))
    expected = sorted(message.raw for message in messages if message.folder == "Sent")
    sent = root.get_folder("Sent")
    assert expected == sorted(sent.get_bytes(key) for key in sent.iterkeys())
    assert {"S"} == {message.get_flags() for message in sent}


def test_names_and_times_come_from_the_message(tmp_path: Path) -> None:
    """A file name carries moment, size and size on the wire, sorted flags; the file has the moment too."""
    moment = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
    raw = b"Subject: x\n\nbare line feeds\n"
    deliver(tmp_path / "mail", [GeneratedMessage("INBOX", raw, moment, ("\\Seen", "\\Flagged", "$Forwarded"))])
    (file,) = (tmp_path / "mail" / "cur").iterdir()
    seconds = int(moment.timestamp())
    digest = hashlib.sha256(raw).hexdigest()[:16]
    assert f"{seconds}.{digest}.demo,S={len(raw)},W={len(raw) + 3}:2,FS" == file.name
    assert seconds == file.stat().st_mtime


def test_the_same_twice_is_two_messages(tmp_path: Path) -> None:
    """The same bytes at the same moment get names of their own, in one call or in two."""
    message = next(iter_messages(1))
    deliver(tmp_path / "mail", [message, message])
    deliver(tmp_path / "mail", [message])
    found = list(tmp_path.rglob("cur/*"))
    assert 3 == len(found)
    assert 3 == len({file.name.partition(",")[0] for file in found})


def test_writing_again_does_nothing(tmp_path: Path) -> None:
    """A complete mailbox of the same recipe is left alone, and its messages are not even made."""
    first = demo_maildir(tmp_path / "mail", _COUNT, 7)
    recipe = f"demo 7 {_COUNT}"
    before = {file: file.stat().st_ino for file in tmp_path.rglob("*")}
    assert first == demo_maildir(tmp_path / "mail", _COUNT, 7)
    assert before == {file: file.stat().st_ino for file in tmp_path.rglob("*")}
    assert recipe in (tmp_path / "mail" / MARKER).read_text()


def test_a_complete_mailbox_needs_no_messages(tmp_path: Path) -> None:
    """The messages of a recipe that is there already are not asked for."""
    first = write_maildir(tmp_path / "mail", iter_messages(10), recipe="ten")
    assert first == write_maildir(tmp_path / "mail", _never(), recipe="ten")


def test_two_machines_write_the_same(tmp_path: Path) -> None:
    """Names and bytes depend on the recipe only."""
    demo_maildir(tmp_path / "one", _COUNT)
    demo_maildir(tmp_path / "two", _COUNT)
    assert _files(tmp_path / "one") == _files(tmp_path / "two")


def test_another_recipe_replaces_the_mailbox(tmp_path: Path) -> None:
    """A larger demo takes the place of the smaller one and keeps its files' names."""
    demo_maildir(tmp_path / "mail", 50)
    before = _files(tmp_path / "mail")
    summary = demo_maildir(tmp_path / "mail", 60)
    after = _files(tmp_path / "mail")
    assert 60 == summary.messages
    assert {name for name in before if name != MARKER} < set(after)
    assert ["mail"] == [entry.name for entry in tmp_path.iterdir()]


def test_an_interrupted_write_is_done_again(tmp_path: Path) -> None:
    """What an interruption leaves is not taken for a mailbox, and the next call cleans it up."""

    def interrupted() -> Iterator[GeneratedMessage]:
        yield from islice(iter_messages(100), 40)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_maildir(tmp_path / "mail", interrupted(), recipe="hundred")
    assert not (tmp_path / "mail").exists()
    assert any(tmp_path.iterdir())
    summary = write_maildir(tmp_path / "mail", iter_messages(100), recipe="hundred")
    assert 100 == summary.messages
    assert 100 == len(list(tmp_path.rglob("cur/*")))
    assert ["mail"] == [entry.name for entry in tmp_path.iterdir()]


def test_an_interruption_keeps_the_earlier_mailbox(tmp_path: Path) -> None:
    """Until the new one is whole, the old one stays."""
    demo_maildir(tmp_path / "mail", 20)
    before = _files(tmp_path / "mail")

    def interrupted() -> Iterator[GeneratedMessage]:
        yield from iter_messages(5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_maildir(tmp_path / "mail", interrupted(), recipe="other")
    assert before == _files(tmp_path / "mail")


@pytest.mark.parametrize("marker", [None, "not json", "[]", '{"recipe": "x"}'])
def test_somebody_elses_folder_is_left_alone(tmp_path: Path, marker: str | None) -> None:
    """A folder that is not an intact demo mailbox is neither used nor emptied."""
    (tmp_path / "letter").write_text("precious")
    if marker is not None:
        (tmp_path / MARKER).write_text(marker)
    with pytest.raises(UsageError, match="is not a demo mailbox"):
        demo_maildir(tmp_path, 5)
    assert "precious" == (tmp_path / "letter").read_text()


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    """A folder that was made beforehand is used."""
    (tmp_path / "mail").mkdir()
    assert 5 == demo_maildir(tmp_path / "mail", 5).messages


@pytest.mark.parametrize(
    ("folder", "directory"),
    [
        ("INBOX", ""),
        ("Inbox", ""),
        ("Archive/2024", ".Archive.2024"),
        ("Вхідні", ".&BBIERQRWBDQEPQRW-"),
        ("Tom & Jerry", ".Tom &- Jerry"),
    ],
)
def test_folder_directories(folder: str, directory: str) -> None:
    """Levels are dots, names are modified UTF-7, the inbox is the root."""
    assert directory == folder_directory(folder)


def test_a_dot_in_a_folder_is_refused() -> None:
    """It would silently become two levels."""
    with pytest.raises(UsageError, match="cannot have a dot"):
        folder_directory("v1.0")


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
        ("😀", "&2D3eAA-"),
        ("a&b", "a&-b"),
    ],
)
def test_modified_utf7(text: str, encoded: str) -> None:
    """The example of RFC 3501, a character outside the BMP, and the shift character itself."""
    assert encoded == modified_utf7(text)
