"""Folder names are decoded for people and kept for the server; roles are given once."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunk_sync.mail.imap_names import FolderName, decode_modified_utf7, readable_name, with_roles
from chunk_sync.mail.source import SourceFolder


def encode_modified_utf7(name: str) -> bytes:
    """Encode as RFC 3501 §5.1.3 says: an independent way round, for the test."""
    parts: list[bytes] = []
    for run in re.findall(r"[\x20-\x7e]+|[^\x20-\x7e]+", name):
        if re.fullmatch(r"[\x20-\x7e]+", run):
            parts.append(run.replace("&", "&-").encode("ascii"))
        else:
            packed = base64.b64encode(run.encode("utf-16-be")).rstrip(b"=").replace(b"/", b",")
            parts.append(b"&" + packed + b"-")
    return b"".join(parts)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"INBOX", "INBOX"),
        (b"Entw&APw-rfe", "Entwürfe"),
        (b"R&-D", "R&D"),
        (b"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
        (b"&2D3eAA-", "\U0001f600"),
        (b"&-", "&"),
        (b"", ""),
    ],
)
def test_names_of_the_rfc_are_decoded(raw: bytes, expected: str) -> None:
    """RFC 3501's examples, and characters beyond the first plane."""
    assert expected == decode_modified_utf7(raw)


@given(st.text())
def test_every_name_comes_back(name: str) -> None:
    """Whatever a folder is called, its encoded name decodes to it."""
    expected = None if "\ufffd" in name else name
    assert expected == decode_modified_utf7(encode_modified_utf7(name))


@pytest.mark.parametrize("raw", [b"a&b", b"&", b"&AP-", b"&2D0-", b"&A-", b"M\xc3\xbcll"])
def test_what_is_not_modified_utf7_is_said_so(raw: bytes) -> None:
    """A lone ampersand, half a character, a lone surrogate, raw UTF-8."""
    assert decode_modified_utf7(raw) is None


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"R&D", "R&D"),
        ("Müll".encode(), "Müll"),
        ("Müll".encode("latin-1"), "Müll"),
        (b"&AAA-", "\ufffd"),
        (b"&2D0-", "&2D0-"),
    ],
)
def test_other_names_are_readable_all_the_same(raw: bytes, expected: str) -> None:
    """Servers that send plain UTF-8 or Latin-1, and names that PostgreSQL would refuse."""
    assert expected == readable_name(raw)


@given(st.binary())
def test_any_bytes_are_a_readable_name(raw: bytes) -> None:
    """No name fails, and every one can be stored."""
    readable_name(raw).encode("utf-8")
    assert "\0" not in readable_name(raw)


def _names(*paths: str, **attributes: str) -> list[FolderName]:
    return [FolderName(path, path, frozenset({attributes[path]} if path in attributes else ())) for path in paths]


def test_the_inbox_comes_first_and_the_rest_by_path() -> None:
    """Folders are listed in an order that does not depend on the server's."""
    folders = with_roles(_names("b", "Inbox", "A", "a/x"))
    assert ["Inbox", "A", "a/x", "b"] == [folder.path for folder in folders]
    assert folders[0].role == "inbox"


def test_special_use_decides_the_role() -> None:
    """An attribute of RFC 6154 beats a well-known name, which then has none."""
    folders = with_roles(_names("Sent", "Versendet", Versendet="\\sent"))
    assert [SourceFolder("Sent", "Sent", None), SourceFolder("Versendet", "Versendet", "sent")] == folders


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("Sent Items", "sent"),
        ("INBOX/Entwürfe", "drafts"),
        ("[Gmail]/All Mail", "all"),
        ("[Google Mail]/Bin", "trash"),
        ("Deleted Messages", "trash"),
        ("Spam", "junk"),
        ("Archive", "archive"),
        ("Work/Sent", None),
        ("Letters", None),
    ],
)
def test_well_known_names_have_roles(path: str, role: str | None) -> None:
    """Where the server says nothing, the name at the top level does."""
    assert [role] == [folder.role for folder in with_roles(_names(path))]


def test_a_role_is_given_once() -> None:
    """Of two folders with the name of a role, the first has it."""
    assert ["junk", None] == [folder.role for folder in with_roles(_names("Junk", "Spam"))]
