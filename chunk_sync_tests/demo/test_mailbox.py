"""The demo mailbox: the same everywhere, like real mail in shape, wrong now and then as real mail is."""

from __future__ import annotations

import email
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC
from email.message import Message
from itertools import islice

import pytest

from chunk_sync.demo.mailbox import INBOX, GeneratedMessage, iter_messages
from chunk_sync.demo.profiles import ProfileName
from chunk_sync.errors import UsageError

_FOLDERS = {INBOX, "Sent", "Archive/2024", "Lists/postgresql", "Вхідні", "Junk"}


@pytest.fixture(scope="module")
def mailbox() -> list[GeneratedMessage]:
    """Make the default demo mailbox."""
    return list(iter_messages())


@pytest.fixture(scope="module")
def parsed(mailbox: list[GeneratedMessage]) -> list[Message]:
    """Parse the first 800 messages."""
    return [email.message_from_bytes(message.raw) for message in mailbox[:800]]


def _digest(messages: Iterable[GeneratedMessage]) -> str:
    whole = hashlib.sha256()
    for message in messages:
        whole.update(repr((message.folder, message.received_at.isoformat(), message.flags)).encode())
        whole.update(message.raw)
    return whole.hexdigest()


@pytest.mark.parametrize(
    ("profile", "count", "expected"),
    [
        ("demo", 300, "3c6489c71794a75e7ea3ea60d4801f42aa594842469945a14ee534b832776fae"),
        ("real", 60, "e957fdfcf6f8aaf066b17e4a4fb76d507c496454f373db9572b4cf6b624801c2"),
        ("small", 100, "82604a0286a5d1554a1dacaea510a8e9879e571c8714bce6f0b0c32299670e70"),
    ],
)
def test_the_same_seed_gives_the_same_bytes(profile: ProfileName, count: int, expected: str) -> None:
    """On every machine and Python, for ever; whoever changes this raises maildir.GENERATION."""
    assert expected == _digest(iter_messages(count, 1, profile))


def test_another_seed_gives_other_mail() -> None:
    """The seed is what decides."""
    assert _digest(iter_messages(20, 1)) != _digest(iter_messages(20, 2))


def test_a_larger_count_begins_the_same(mailbox: list[GeneratedMessage]) -> None:
    """Fifty new messages are the next fifty of the same stream."""
    assert mailbox[:350] == list(iter_messages(350))
    assert mailbox[300:350] == list(islice(iter_messages(10**9), 300, 350))


def test_time_only_moves_on(mailbox: list[GeneratedMessage]) -> None:
    """Messages arrive one after another, in UTC."""
    moments = [message.received_at for message in mailbox]
    assert {UTC} == {moment.tzinfo for moment in moments}
    assert sorted(set(moments)) == moments


def test_every_folder_has_mail(mailbox: list[GeneratedMessage]) -> None:
    """Six folders, the inbox with about 60 %, already in the first few hundred messages."""
    folders = Counter(message.folder for message in mailbox)
    assert set(folders) == _FOLDERS
    assert {message.folder for message in mailbox[:300]} == _FOLDERS
    assert pytest.approx(0.6, abs=0.03) == folders[INBOX] / len(mailbox)


def test_the_demo_is_of_a_handy_size(mailbox: list[GeneratedMessage]) -> None:
    """5,000 messages are 60 to 100 MB, most small and a few large."""
    sizes = sorted(len(message.raw) for message in mailbox)
    assert 5000 == len(sizes)
    assert 60e6 < sum(sizes) < 100e6
    assert 4_000 < _share(sizes, 0.5) < 12_000
    assert 80_000 < _share(sizes, 0.99) < 400_000


def test_real_sizes() -> None:
    """`real` has the sizes of measured mailboxes: half below 16 KB, one in a hundred around 1 MB."""
    sizes = sorted(len(message.raw) for message in iter_messages(1500, 5, "real"))
    assert 10_000 < _share(sizes, 0.5) < 24_000
    assert 50_000 < sum(sizes) / len(sizes) < 120_000
    assert 500_000 < _share(sizes, 0.99) < 3_000_000


def test_small_is_plain_text() -> None:
    """`small` is a list archive: short, no MIME tree, nothing broken."""
    messages = list(iter_messages(300, 5, "small"))
    assert 1_000 < _share(sorted(len(message.raw) for message in messages), 0.5) < 5_000
    kinds = Counter(email.message_from_bytes(message.raw).get_content_type() for message in messages)
    assert {"text/plain": 300} == kinds


def test_an_unknown_profile_is_refused() -> None:
    """The error names the profiles that there are."""
    with pytest.raises(UsageError, match="choose one of demo, real, small"):
        iter_messages(1, 1, "huge")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_threads_hold_together(parsed: list[Message]) -> None:
    """Half of the mail replies, nearly always to a message that came before."""
    seen: set[str] = set()
    replies, known = 0, 0
    for message in parsed:
        if message["In-Reply-To"]:
            replies += 1
            known += str(message["In-Reply-To"]) in seen
        seen.add(str(message["Message-ID"]))
    assert 0.3 * len(parsed) < replies < 0.7 * len(parsed)
    assert known > 0.95 * replies


def test_many_charsets_in_every_encoding(mailbox: list[GeneratedMessage], parsed: list[Message]) -> None:
    """At least fifteen charsets, and each transfer encoding."""
    parts = [part for message in parsed for part in message.walk() if part.get_content_maintype() == "text"]
    assert len({part.get_content_charset() for part in parts}) >= 15
    encodings = {str(part["Content-Transfer-Encoding"]) for part in parts}
    assert {"7bit", "8bit", "base64", "quoted-printable"} <= encodings
    subjects = b"".join(message.raw[:4000] for message in mailbox[:800])
    assert {b"B", b"Q"} <= set(re.findall(rb"Subject: .*?=\?[\w-]+\?([BQ])\?", subjects))


def test_attachments_have_every_kind_of_name(parsed: list[Message]) -> None:
    """Plain, RFC 2231 whole and split and in another charset, RFC 2047."""
    dispositions = "\n".join(
        str(part["Content-Disposition"]) for message in parsed for part in message.walk() if part.get_filename()
    )
    for spelling in (
        'filename="',
        "filename*=utf-8''",
        "filename*0*=utf-8''",
        "filename*=iso-8859-1'de'",
        "=?utf-8?B?",
    ):
        assert spelling in dispositions


def test_logos_repeat_under_fresh_content_ids(parsed: list[Message]) -> None:
    """The same image comes again in other messages, each time with a content id that the HTML shows."""
    seen: Counter[bytes] = Counter()
    content_ids: list[str] = []
    for message in parsed:
        parts = list(message.walk())
        html = b"".join(_payload(part) for part in parts if part.get_content_type() == "text/html")
        for part in parts:
            if part.get_content_type() == "image/png":
                seen[_payload(part)] += 1
                content_ids.append(str(part["Content-ID"]).strip("<>"))
                assert b"cid:" + content_ids[-1].encode() in html
    assert seen.most_common(1)[0][1] >= 3
    assert len(set(content_ids)) > 0.97 * len(content_ids)


def test_bulk_mail_has_list_headers(mailbox: list[GeneratedMessage]) -> None:
    """Everything on the list says so, and some of the inbox is newsletters."""
    lists = [message for message in mailbox if message.folder == "Lists/postgresql"]
    assert sum(b"List-Id: <postgresql." in message.raw for message in lists) > 0.97 * len(lists)
    newsletters = sum(b"List-Unsubscribe:" in message.raw for message in mailbox if message.folder == INBOX)
    assert newsletters > 200


def test_duplicates_within_and_across_folders(mailbox: list[GeneratedMessage]) -> None:
    """About one message in a hundred is the same bytes again, in the same folder or in another."""
    places: dict[bytes, list[str]] = {}
    for message in mailbox:
        places.setdefault(message.raw, []).append(message.folder)
    again = [folders for folders in places.values() if len(folders) > 1]
    assert 0.005 * len(mailbox) < len(mailbox) - len(places) < 0.02 * len(mailbox)
    assert any(len(folders) > len(set(folders)) for folders in again)
    assert any(len(set(folders)) > 1 for folders in again)


@pytest.mark.parametrize(
    ("trace", "name"),
    [
        (b"\nX-No-MID:", "no Message-ID"),
        (b"\nX-No-Date:", "no Date"),
        (b"Subject: \xe4\xf6\xfc \xc0\xff", "raw bytes in the subject"),
        (b"utf-8bogus", "unknown charset"),
        (b"\x00NUL\x00", "NUL"),
        (b"Encoding: x-uuencode", "unknown encoding"),
        (b"Foo, 99 Bar 20xx", "impossible date"),
        (b">From nobody", "mbox line"),
    ],
)
def test_broken_mail_is_among_it(mailbox: list[GeneratedMessage], trace: bytes, name: str) -> None:
    """Every way of being wrong occurs, and none often."""
    found = sum(trace in message.raw for message in mailbox)
    assert 1 <= found < 40, name


def test_some_mail_is_truncated(mailbox: list[GeneratedMessage]) -> None:
    """Now and then the closing boundary is missing."""
    broken = 0
    for message in mailbox:
        boundary = re.search(rb'multipart/\w+;\r\n\tboundary="([^"]+)"', message.raw)
        broken += bool(boundary and b"--" + boundary[1] + b"--" not in message.raw)
    assert 1 <= broken < 40


def test_flags_are_those_of_imap(mailbox: list[GeneratedMessage]) -> None:
    """Sent mail is read; the rest is read, unread, answered or flagged."""
    flags = {flag for message in mailbox for flag in message.flags}
    assert {"\\Seen", "\\Answered", "\\Flagged"} == flags
    assert {("\\Seen",)} == {message.flags for message in mailbox if message.folder == "Sent"}
    unread = sum("\\Seen" not in message.flags for message in mailbox)
    assert 0.05 * len(mailbox) < unread < 0.25 * len(mailbox)


def _share(ordered: Sequence[int], part: float) -> int:
    return ordered[int(part * (len(ordered) - 1))]


def _payload(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload
