"""Addresses name mailboxes, hold no secrets, and are refused with one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunk_sync.errors import UsageError
from chunk_sync.mail.address import MailboxAddress, check_address, parse_address
from chunk_sync.mail.connect import open_source
from chunk_sync_tests.mail.disk import unprivileged


@pytest.mark.parametrize(
    ("text", "expected", "canonical"),
    [
        (
            "imaps://ann@imap.example.com/",
            MailboxAddress("imaps", "imap.example.com", 993, "ann"),
            "imaps://ann@imap.example.com/",
        ),
        (
            "imaps://ann%40example.com@imap.example.com",
            MailboxAddress("imaps", "imap.example.com", 993, "ann@example.com"),
            "imaps://ann%40example.com@imap.example.com/",
        ),
        (
            "imaps://ann@example.com@IMAP.example.com:993/",
            MailboxAddress("imaps", "imap.example.com", 993, "ann@example.com"),
            "imaps://ann%40example.com@imap.example.com/",
        ),
        (
            "  IMAP://m%C3%BCller@localhost:1143/ ",
            MailboxAddress("imap", "localhost", 1143, "müller"),
            "imap://m%C3%BCller@localhost:1143/",
        ),
        (
            "imap://ann@[::1]:143/",
            MailboxAddress("imap", "::1", 143, "ann"),
            "imap://ann@[::1]/",
        ),
        (
            "imaps://ann@bücher.example/",
            MailboxAddress("imaps", "xn--bcher-kva.example", 993, "ann"),
            "imaps://ann@xn--bcher-kva.example/",
        ),
        (
            "imaps://ann%3Ax@h/?ca=/etc/my%20ca.pem",
            MailboxAddress("imaps", "h", 993, "ann:x", None, "/etc/my ca.pem"),
            "imaps://ann%3Ax@h/?ca=/etc/my%20ca.pem",
        ),
        ("maildir:/home/ann/Mail", MailboxAddress("maildir", path="/home/ann/Mail"), "maildir:/home/ann/Mail"),
        ("mbox:/a b/c@d.mbox", MailboxAddress("mbox", path="/a b/c@d.mbox"), "mbox:/a b/c@d.mbox"),
    ],
)
def test_an_address_is_parsed_and_written_back(text: str, expected: MailboxAddress, canonical: str) -> None:
    """All spellings of a mailbox end in one canonical form."""
    parsed = parse_address(text)
    assert expected == parsed
    assert canonical == str(parsed)
    assert parsed == parse_address(str(parsed))


@given(st.text(st.characters(exclude_categories=["C"]), min_size=1), st.integers(1, 65535))
def test_any_user_name_survives(user: str, port: int) -> None:
    """Whatever is in a user name, the canonical form carries it."""
    address = MailboxAddress("imaps", "imap.example.com", port, user)
    assert address == parse_address(str(address))


def test_relative_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker starts elsewhere: paths are absolute, and `~` is the home directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ann")
    assert f"maildir:{tmp_path}/Mail" == str(parse_address("maildir:Mail"))
    assert str(parse_address("mbox:~/old.mbox")) == "mbox:/home/ann/old.mbox"


@pytest.mark.parametrize(
    "text",
    [
        "imaps://ann:s3cret@imap.example.com/",
        "imaps://ann@example.com:s3cret@imap.example.com/",
        "imaps://ann:s3/cr3t@imap.example.com/",
        "imaps://ann:s3cret@home?x@imap.example.com/",
        "imap://:s3cret@imap.example.com/",
        "imaps://ann:s3cret",
        "imaps://ann:s3cret?ca=/x",
        "imaps://ann@host/?password=s3cret",
        "imaps://ann@host/s3cret",
        "imaps://ann@host:s3cret/",
        "imaps:ann:s3cret@host",
        "ann:s3cret@host",
    ],
)
def test_a_password_is_refused_and_never_repeated(text: str) -> None:
    """Wherever a password stands in an address, the error does not show it."""
    with pytest.raises(UsageError) as caught:
        parse_address(text)
    assert "s3c" not in str(caught.value)
    assert "s3/c" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_refusal_of_a_password_says_where_it_belongs() -> None:
    """The error names the three ways to give a password."""
    with pytest.raises(UsageError, match=r"prompt.*--password-env.*--password-file"):
        parse_address("imaps://ann:s3cret@imap.example.com/")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "looks like"),
        ("ann@example.com", "looks like"),
        ("pop3://ann@host/", "looks like"),
        ("imaps:/ann@host", "begins with imaps://"),
        ("imaps://ann@", "names no host"),
        ("imaps://ann@/", "names no host"),
        ("imaps://host/", "names no user"),
        ("imaps://@host/", "names no user"),
        ("imaps://ann@ho st/", "not a host name"),
        ("imaps://ann@-x-/", "not a host name"),
        ("imaps://ann@[::1/", "not a host name"),
        ("imaps://ann@host:0/", "port"),
        ("imaps://ann@host:65536/", "port"),
        ("imaps://ann@host:٣/", "port"),
        ("imaps://ann@host:/", "port"),
        ("imaps://ann@host/INBOX", "whole mailbox"),
        ("imaps://ann@host/?starttls=no", "ca=PATH"),
        ("imaps://ann@host/?ca=", "ca=PATH"),
        ("imaps://%FF@host/", "user name is not text"),
        ("imaps://a%00b@host/", "user name is not text"),
        ("imaps://ann\n@host/", "control character"),
        ("maildir:", "needs a path"),
        ("mbox:  ", "needs a path"),
        ("maildir:~nobody-of-that-name/x", "home directory"),
    ],
)
def test_a_malformed_address_says_what_to_do(text: str, hint: str) -> None:
    """Each mistake has its own line."""
    with pytest.raises(UsageError, match=hint) as caught:
        parse_address(text)
    assert "\n" not in str(caught.value)


@given(st.text())
def test_any_text_is_an_address_or_a_usage_error(text: str) -> None:
    """No text makes parsing fail in another way."""
    for candidate in (text, f"imaps://{text}", f"imap://u@{text}", f"imaps://u@h/{text}"):
        try:
            parsed = parse_address(candidate)
        except UsageError:
            continue
        assert parsed == parse_address(str(parsed))


def test_what_is_there_passes_the_check(tmp_path: Path) -> None:
    """Maildirs, folders of Maildirs, mbox files (also empty ones) and folders of mbox files are taken."""
    for folder in ("m/cur", "m/new", "tree/Work/cur", "tree/Work/new", "boxes"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "a.mbox").write_bytes(b"From a@x Mon Jan  1 00:00:00 2024\n\nx\n")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "boxes" / "b.mbox").write_bytes(b"")
    (tmp_path / "ca.pem").write_text("x")
    for text in ("maildir:m", "maildir:tree", "mbox:a.mbox", "mbox:empty", "mbox:boxes"):
        scheme, _, name = text.partition(":")
        check_address(parse_address(f"{scheme}:{tmp_path / name}"))
    check_address(parse_address(f"imaps://ann@host/?ca={tmp_path / 'ca.pem'}"))


def test_what_is_not_there_fails_the_check(tmp_path: Path) -> None:
    """Missing paths, wrong kinds and missing certificates are one line each."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"Subject: no mbox\n\n")
    for address, hint in [
        (f"maildir:{tmp_path}/nothing", "nothing at this path"),
        (f"maildir:{tmp_path}/folder", "no Maildir"),
        (f"maildir:{tmp_path}/file", "for an mbox file say mbox:"),
        (f"mbox:{tmp_path}/nothing", "nothing at this path"),
        (f"mbox:{tmp_path}/file", "no mbox"),
        (f"mbox:{tmp_path}/folder", "no mbox"),
        (f"imaps://ann@host/?ca={tmp_path}/none.pem", "no such file"),
    ]:
        with pytest.raises(UsageError, match=hint) as caught:
            check_address(parse_address(address))
        assert "\n" not in str(caught.value)


def test_what_cannot_be_read_fails_the_check(tmp_path: Path) -> None:
    """A path without permission says so."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    with unprivileged(), pytest.raises(UsageError, match="cannot be read"):
        check_address(parse_address(f"maildir:{closed}"))


def test_imap_needs_a_password() -> None:
    """Opening an IMAP address without a password says how to give one."""
    with pytest.raises(UsageError, match="--password-env"):
        open_source(parse_address("imaps://ann@host/"), None, timeout=1, max_message_bytes=1)
