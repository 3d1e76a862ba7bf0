"""Attachments on demand: what is cut from the kept bytes is what the parser saw when the message landed."""

from __future__ import annotations

import hashlib
from itertools import islice

import pytest

from chunk_sync.demo.mailbox import iter_messages
from chunk_sync.demo.poison import poison_messages
from chunk_sync.engine.attachments import attachment_content, file_name, raw_message
from chunk_sync.engine.convert import Conversion
from chunk_sync.errors import ChunkSyncError, UsageError
from chunk_sync.mail.parse import ParseLimits
from chunk_sync.store.database import Database
from chunk_sync.store.reading import Attachment, message_attachments
from chunk_sync_tests.landed_mail import land_mail
from chunk_sync_tests.mail.poison import POISON, TOP, multipart

PDF = b"Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n"
LETTER = TOP + multipart(b"\r\nhello", PDF)


def attachment(name: str | None) -> Attachment:
    """Metadata of an attachment that nobody reads."""
    return Attachment("2.1", name, "application/pdf", None, 3, b"", is_inline=False, message_id=5)


def test_every_attachment_is_what_its_metadata_says(database: Database) -> None:
    """Generated mail and mail that broke parsers: each attachment's content has the size and hash that landed."""
    raws = [message.raw for message in islice(iter_messages(seed=3), 300)]
    raws += [raw for _, raw in poison_messages()] + list(POISON.values())
    land_mail(database, raws)
    rows = database.execute("SELECT message_id, part, size, sha256 FROM attachments ORDER BY message_id, part")
    assert len(rows) > 100
    for row in rows:
        found, content = attachment_content(database, row["message_id"], row["part"])
        assert (row["size"], row["sha256"]) == (len(content), hashlib.sha256(content).digest())
        assert (row["message_id"], row["part"], row["sha256"]) == (found.message_id, found.part, found.sha256)


def test_every_message_comes_back_byte_for_byte(database: Database) -> None:
    """The exact bytes, whatever they are."""
    raws = [raw for _, raw in poison_messages()]
    land_mail(database, raws)
    ids = [row["id"] for row in database.execute("SELECT id FROM messages")]
    assert sorted(raws) == sorted(raw_message(database, message_id) for message_id in ids)


def test_the_limits_at_landing_do_not_matter_later(database: Database) -> None:
    """A part far beyond the default limits, kept because the settings were wider then, is found."""
    parts = [b"\r\nx"] * 1500 + [PDF]
    land_mail(database, [TOP + multipart(*parts)], conversion=Conversion(3, ParseLimits(parts=5000)))
    (row,) = database.execute("SELECT message_id, part FROM attachments")
    assert ("1501", b"%PDF") == (row["part"], attachment_content(database, row["message_id"], row["part"])[1])


def test_an_attachment_that_is_none_names_those_that_are(database: Database) -> None:
    """A wrong message or part is one clear line; a part that is text to read is no attachment."""
    land_mail(database, [LETTER])
    (message,) = database.execute("SELECT id FROM messages")
    assert ["2"] == [one.part for one in message_attachments(database, message["id"])]
    with pytest.raises(UsageError, match=r"has no attachment 1; there are: 2$"):
        attachment_content(database, message["id"], "1")
    with pytest.raises(UsageError, match=r"^no message 4711"):
        attachment_content(database, 4711, "1")


def test_bytes_that_were_not_kept_are_said_to_be_so(database: Database) -> None:
    """With CHUNK_SYNC_RAW=off there is metadata and no content, and the error names the setting."""
    land_mail(database, [LETTER], conversion=Conversion(None, ParseLimits()))
    (message,) = database.execute("SELECT id FROM messages")
    with pytest.raises(UsageError, match="were not kept: CHUNK_SYNC_RAW=off was set"):
        attachment_content(database, message["id"], "2")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("UPDATE message_raw SET data = 'x'", "gone or damaged"),
        ("UPDATE message_raw SET codec = 'none'", "gone or damaged"),
        ("UPDATE message_raw SET data = substr(data, 1, 20)", "gone or damaged"),
        ("DELETE FROM message_raw", "gone or damaged"),
        (r"UPDATE attachments SET sha256 = '\x00'", "its hash differs"),
        ("UPDATE attachments SET part = '7'", "its hash differs"),
    ],
)
def test_damage_is_an_error_and_never_content(database: Database, damage: str, expected: str) -> None:
    """Whatever is wrong with the kept bytes or the metadata, nothing else is given out for the attachment."""
    land_mail(database, [LETTER])
    (message,) = database.execute("SELECT id FROM messages")
    database.execute(damage)  # type: ignore[arg-type]
    (part,) = (one.part for one in message_attachments(database, message["id"]))
    with pytest.raises(ChunkSyncError, match=expected) as caught:
        attachment_content(database, message["id"], part)
    assert not isinstance(caught.value, UsageError)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("report.pdf", "report.pdf"),
        ("a/../../etc/passwd", "a_.._.._etc_passwd"),
        ("..", "attachment-5-2.1"),
        (".bashrc", "bashrc"),
        (None, "attachment-5-2.1"),
        ("é" * 250 + ".txt", "é" * 98 + ".txt"),
        ("x." + "é" * 250, "x." + "é" * 99),
    ],
)
def test_a_file_name_is_a_name(name: str | None, expected: str) -> None:
    """Never a path, never hidden, never longer than a file system takes."""
    assert expected == file_name(attachment(name))
