"""What really happens to a mailbox while it is synced: new epochs, deletions, arrivals, moves, a server that dies.

After the next sync at the latest the database equals the mailbox.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chunk_sync_tests.faults.world import BODIES, TOTAL, World, letters
from chunk_sync_tests.servers.client import quoted
from chunk_sync_tests.servers.fault_script import BODY, Fault, Place, meanwhile


def during(world: World, event: Callable[[], object], place: Place = Place.COMMAND, nth: int = 2) -> Fault:
    """Let an event happen when the bodies of the nth chunk are asked for, or at the nth body."""
    pattern = BODY if place is Place.REPLY else BODIES
    world.proxy.faults = [fault] = [Fault(place, meanwhile(event), pattern, nth=nth)]
    return fault


def move(world: World, source: str, target: str, uids: list[int]) -> list[str]:
    """Move messages as a mail program does; returns their hashes."""
    moved = [sha256 for uid, sha256 in world.server.by_uid(source, user=world.user).items() if uid in uids]
    with world.server.client(world.user) as client:
        client.select(source, writable=True)
        client.command(b"UID MOVE " + ",".join(map(str, uids)).encode() + b" " + quoted(target))
    return moved


def test_b20_a_new_epoch_between_plan_and_fetch(own_world: World) -> None:
    """The folder's chunks end as `data_conflict` without a second try, the next sync has all."""
    job_id = own_world.planned()
    own_world.server.reset_uidvalidity("Work", user=own_world.user)
    job = own_world.settle(job_id)
    assert ("failed", 4, 2, TOTAL - 40) == tuple(
        job[name] for name in ("status", "completed_chunks", "failed_chunks", "emails_processed")
    )
    assert [("data_conflict", "UIDVALIDITY")] * 2 == [(f.category, f.code) for f in own_world.failures()]
    own_world.check(own_world.sync())


@pytest.mark.parametrize("nth", [1, 2], ids=["in the first chunk", "in the second chunk"])
def test_b20_a_new_epoch_between_chunks(own_world: World, nth: int) -> None:
    """The epoch ends while the folder is open: no message is taken for another; after the next sync all is there."""
    job_id = own_world.planned()
    fault = during(own_world, lambda: own_world.server.reset_uidvalidity("INBOX", user=own_world.user), nth=nth)
    own_world.settle(job_id)
    assert 1 == fault.hits
    own_world.check(own_world.sync())


@pytest.mark.parametrize("place", [Place.COMMAND, Place.REPLY], ids=["before the bodies", "between bodies"])
def test_b20_messages_deleted_in_mid_fetch(own_world: World, place: Place) -> None:
    """Deleted under our hands they are stored or absent, the others are stored once; nobody fails for it."""
    by_uid = own_world.server.by_uid("INBOX", user=own_world.user)
    gone = [3, 4, 20, 33, 34, 35, 58]
    job_id = own_world.planned()
    fault = during(
        own_world,
        lambda: own_world.server.expunge("INBOX", gone, user=own_world.user),
        place,
        nth=2 if place is Place.COMMAND else 30,
    )
    job = own_world.settle(job_id)
    assert 1 == fault.hits
    own_world.check(job, gone=[by_uid[uid] for uid in gone])
    own_world.check(own_world.sync(), gone=[by_uid[uid] for uid in gone])


def test_b20_mail_that_arrives_during_the_sync(own_world: World) -> None:
    """The plan is frozen: what arrives is not in it, shifts nothing, and lands with the next sync."""
    job_id = own_world.planned()

    def arrive() -> None:
        own_world.server.add_messages("INBOX", letters("INBOX", 7, start=500), user=own_world.user)
        own_world.server.add_messages("Fresh", letters("Fresh", 5), user=own_world.user)

    fault = during(own_world, arrive)
    job = own_world.settle(job_id)
    assert (1, "completed", TOTAL) == (fault.hits, job["status"], job["emails_processed"])
    after = own_world.sync()
    assert ("incremental", 12) == (after["sync_type"], after["emails_estimated"])
    own_world.check(after)


def test_b20_mail_that_arrives_during_the_plan(own_world: World) -> None:
    """Between the snapshot of a folder and its listing mail arrives: it is in this sync or in the next, once."""
    fault = Fault(
        Place.COMMAND,
        meanwhile(
            lambda: own_world.server.add_messages("INBOX", letters("INBOX", 7, start=500), user=own_world.user),
        ),
        rb"FETCH",
    )
    own_world.proxy.faults = [fault]
    job = own_world.sync()
    assert (1, "completed") == (fault.hits, job["status"])
    after = own_world.sync()
    assert TOTAL + 7 == job["emails_estimated"] + after["emails_estimated"]
    own_world.check(after)


def test_messages_deleted_during_the_plan(own_world: World) -> None:
    """Between the snapshot of a folder and its listing messages vanish: the plan looks again and is made."""
    fault = Fault(
        Place.COMMAND,
        meanwhile(lambda: own_world.server.expunge("INBOX", [1, 2, 60], user=own_world.user)),
        rb"FETCH",
    )
    own_world.proxy.faults = [fault]
    own_world.check(own_world.sync())
    assert (1, []) == (fault.hits, own_world.failures())


@pytest.mark.parametrize(
    ("source", "target", "uids"),
    [("Work", "INBOX", [1, 2, 16, 40]), ("INBOX", "Work", [60, 59, 36, 1])],
    ids=["from a folder still to come", "from one that was begun"],
)
def test_b28_messages_moved_during_the_sync(own_world: World, source: str, target: str, uids: list[int]) -> None:
    """Moved between folders in mid-sync they are one message each, where they are now; none is lost or doubled."""
    moved: list[str] = []
    job_id = own_world.planned()
    fault = during(own_world, lambda: moved.extend(move(own_world, source, target, uids)))
    own_world.settle(job_id)
    assert (1, 4) == (fault.hits, len(moved))
    own_world.check(own_world.sync(), gone=moved)
    assert [{"n": TOTAL}] == own_world.database.execute("SELECT count(*) AS n FROM messages")


def test_b28_the_same_message_in_two_folders_is_one(own_world: World) -> None:
    """Copied in mid-sync, a message has two locations and is stored once."""

    def copy() -> None:
        with own_world.server.client(own_world.user) as client:
            client.copy_all("Sent", "Work")

    job_id = own_world.planned()
    during(own_world, copy)
    own_world.settle(job_id)
    own_world.check(own_world.sync())
    assert [{"n": TOTAL}] == own_world.database.execute("SELECT count(*) AS n FROM messages")
    assert [{"n": TOTAL + 20}] == own_world.database.execute("SELECT count(*) AS n FROM message_locations")


def test_a_folder_deleted_during_the_sync(own_world: World) -> None:
    """Its chunks are dead letters (`not_found`), the others land; the next sync is complete without it."""
    gone = list(own_world.server.by_uid("Work", user=own_world.user).values())

    def delete() -> None:
        with own_world.server.client(own_world.user) as client:
            client.delete("Work")

    job_id = own_world.planned()
    during(own_world, delete)
    job = own_world.settle(job_id)
    assert ("failed", 2) == (job["status"], job["failed_chunks"])
    assert {"not_found"} == {failure.category for failure in own_world.failures()}
    own_world.check(own_world.sync(), gone=gone)


def test_a_folder_renamed_during_the_sync(own_world: World) -> None:
    """Under its new name it is synced next time; every message of it is one message."""

    def rename() -> None:
        with own_world.server.client(own_world.user) as client:
            client.rename("Work", "Renamed")

    job_id = own_world.planned()
    during(own_world, rename)
    own_world.settle(job_id)
    own_world.check(own_world.sync())
    assert [{"n": TOTAL}] == own_world.database.execute("SELECT count(*) AS n FROM messages")


def test_b47_without_any_notification_the_next_sync_restores_equality(own_world: World) -> None:
    """Arrivals, deletions, a new folder and a new epoch, of which nobody told us: one sync later all is as served."""
    own_world.check(own_world.sync())
    server, user = own_world.server, own_world.user
    by_uid = server.by_uid("Sent", user=user)
    server.expunge("Sent", [2, 3], user=user)
    gone = [by_uid[2], by_uid[3]]
    server.add_messages("INBOX", letters("INBOX", 30, start=900), user=user)
    server.add_messages("New/Deep", letters("Deep", 3), user=user)
    server.reset_uidvalidity("Work", user=user)
    own_world.check(own_world.sync(), gone=gone)


def test_the_server_dies_in_mid_fetch_and_comes_back(own_world: World) -> None:
    """Killed between two bodies and started again: one attempt is lost, and no message."""
    job_id = own_world.planned()

    def crash() -> None:
        own_world.server.kill()
        own_world.server.start()

    fault = during(own_world, crash, Place.REPLY, nth=30)
    own_world.check(own_world.settle(job_id))
    assert 1 == fault.hits
    assert {"network"} >= {failure.category for failure in own_world.failures()}


def test_the_server_is_away_for_a_while(own_world: World) -> None:
    """Away over several attempts, the mailbox waits longer and longer, and then everything lands."""
    job_id = own_world.planned()
    own_world.server.kill()
    try:
        own_world.run()
        first = own_world.due_in(job_id)
    finally:
        own_world.server.start()
    assert {"network"} == {failure.category for failure in own_world.failures()}
    assert 0.5 < first
    own_world.check(own_world.settle(job_id))
