"""What could not be read or stored: listed with its place and its reasons, as long as it is there."""

from __future__ import annotations

import pytest

from chunk_sync.store.database import Database
from chunk_sync.store.isolation import TENANT_ROLE
from chunk_sync.store.mailboxes import Mailbox
from chunk_sync.store.reading import MailProblem, mail_problems, problem_counts
from chunk_sync_tests.landed_mail import RECEIVED, land_mail
from chunk_sync_tests.two_tenants import World

GOOD = b"From: a@example.com\r\nSubject: fine\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\nx\r\n"
BAD_DATE = b"From: a@example.com\r\nSubject: odd\r\nDate: 32 Foo\r\nMessage-ID: <1@x>\r\nMessage-ID: <2@x>\r\n\r\nx\r\n"
NO_HEADER = b"\r\nno header\r\n"
TOO_LARGE = "larger than CHUNK_SYNC_MAX_MESSAGE_BYTES"


@pytest.fixture
def box(database: Database) -> Mailbox:
    """A mailbox of a good message, a defective, an unparsable and a too large one."""
    return land_mail(database, [GOOD, BAD_DATE, NO_HEADER, None])


def uids(database: Database) -> dict[int, str]:
    """The kinds of what is listed, by UID."""
    return {one.uid: one.kind for one in mail_problems(database)}


def test_each_kind_is_listed_with_where_it_is_and_why(database: Database, box: Mailbox) -> None:
    """A row per message, and what is fine is none of them."""
    found = {one.uid: one for one in mail_problems(database)}
    rows = database.execute("SELECT id, parse_status, defects, created_at, size FROM messages ORDER BY id")
    of_status = {row["parse_status"]: row for row in rows}
    (quarantined,) = database.execute("SELECT created_at FROM quarantined_messages")
    (folder,) = database.execute("SELECT id FROM folders")
    place = (box.tenant_id, box.id, "box", folder["id"], "INBOX")
    expected = {
        uid: MailProblem(*place, uid, kind, row["defects"], row["size"], RECEIVED, row["created_at"], row["id"])
        for uid, kind, row in ((2, "defective", of_status["defective"]), (3, "unparsable", of_status["unparsable"]))
    }
    expected[4] = MailProblem(*place, 4, "quarantined", [TOO_LARGE], 10**9, None, quarantined["created_at"], None)
    assert expected == found
    assert ["several-message-ids", "bad-date"] == found[2].reasons


def test_what_is_gone_from_its_mailbox_is_left_out(database: Database, box: Mailbox) -> None:
    """Tombstones are no problem any more."""
    assert {2: "defective", 3: "unparsable", 4: "quarantined"} == uids(database)
    database.execute("UPDATE message_locations SET vanished_at = clock() WHERE uid IN (1, 2)")
    assert {3: "unparsable", 4: "quarantined"} == uids(database)
    database.execute("UPDATE quarantined_messages SET vanished_at = clock()")
    assert {3: "unparsable"} == uids(database)


def test_a_message_in_two_places_is_one_row(database: Database) -> None:
    """It is listed at the first place that it still has."""
    land_mail(database, [BAD_DATE, BAD_DATE])
    assert {1: "defective"} == uids(database)
    database.execute("UPDATE message_locations SET vanished_at = clock() WHERE uid = 1")
    assert {2: "defective"} == uids(database)


def test_what_landed_after_all_is_left_out(database: Database, box: Mailbox) -> None:
    """With a higher limit a message that was in quarantine lands: then it is not said to be missing."""
    database.execute(
        "INSERT INTO message_locations (folder_id, uidvalidity, uid, tenant_id, message_id)"
        " SELECT folder_id, uidvalidity, 4, tenant_id, message_id FROM message_locations WHERE uid = 1"
    )
    assert {2: "defective", 3: "unparsable"} == uids(database)


def test_a_folder_that_is_numbered_anew_forgets_the_old_numbers(database: Database, box: Mailbox) -> None:
    """What was in quarantine under a number that is void will be seen again, or is gone."""
    database.execute("UPDATE folders SET uidvalidity = 2")
    assert {2: "defective", 3: "unparsable"} == uids(database)


def test_counts_and_lists_of_one_mailbox(database: Database, box: Mailbox) -> None:
    """Counted by what they have in common; the newest first, and no more than wanted."""
    other = land_mail(database, [BAD_DATE, BAD_DATE + b"y", None, None], name="other")
    counts = {(row["kind"], *row["reasons"]): row["messages"] for row in problem_counts(database, other.id)}
    assert {("defective", "several-message-ids", "bad-date"): 2, ("quarantined", TOO_LARGE): 2} == counts
    assert 4 + 3 == sum(row["messages"] for row in problem_counts(database))
    assert 4 == len(mail_problems(database, mailbox_id=other.id))
    newest = mail_problems(database, limit=4)
    assert ["other"] * 4 == [one.mailbox for one in newest]
    assert [one.noticed_at for one in newest] == sorted((one.noticed_at for one in newest), reverse=True)


def test_the_few_are_found_without_reading_the_many(database: Database, owner: Database) -> None:
    """The view goes by an index of messages with problems, not by all messages."""
    box = land_mail(database, [BAD_DATE])
    database.execute(
        "INSERT INTO messages (tenant_id, mailbox_id, raw_sha256, size, parse_status)"
        " SELECT %s, %s, sha256(n::text::bytea), 1, 'ok' FROM generate_series(1, 5000) AS n",
        (box.tenant_id, box.id),
    )
    owner.execute("ANALYZE messages")
    plan = str(database.execute("EXPLAIN SELECT * FROM mail_problems"))
    assert "messages_problems" in plan
    assert "Seq Scan on messages " not in plan


def test_b40_a_tenant_sees_its_own_problems(world: World) -> None:
    """The view reads with its caller's rights."""
    with world.acting(TENANT_ROLE, world.bob) as conn:
        rows = conn.execute("SELECT mailbox, kind FROM chunk_sync.mail_problems").fetchall()
        assert [("box of bob", "quarantined")] == rows
    with world.acting(TENANT_ROLE) as conn:
        assert [] == conn.execute("SELECT * FROM chunk_sync.mail_problems").fetchall()
