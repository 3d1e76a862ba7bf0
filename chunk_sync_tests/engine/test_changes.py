"""What changes at the source after it has landed: flags, deletions, moves, renamed and renumbered folders."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chunk_sync.domain.chunks import ChunkState
from chunk_sync.errors import ErrorCategory, ProviderError
from chunk_sync_tests.engine.world import World
from chunk_sync_tests.factory import job_row
from chunk_sync_tests.fake_source import START

SEEN = "\\Seen"
COUNTED = pytest.mark.parametrize("modseq", [0, 5], ids=["server does not count changes", "server counts changes"])


def live(world: World, folder: str = "INBOX") -> dict[int, list[str]]:
    """Read what should be in a folder now: flags by UID."""
    rows = world.database.execute(
        "SELECT l.uid, l.flags FROM message_locations AS l JOIN folders AS f ON f.id = l.folder_id"
        " WHERE f.path = %s AND l.vanished_at IS NULL AND l.uidvalidity = f.uidvalidity",
        (folder,),
    )
    return {row["uid"]: row["flags"] for row in rows}


def count(world: World, table: str) -> int:
    """Count a table's rows, or some of them."""
    return world.database.execute(f"SELECT count(*) AS n FROM {table}")[0]["n"]


def changes(world: World, job_id: int) -> tuple[int, int]:
    """Read what a job changed: flags, and messages that went or came back."""
    sums = "sum(flags_changed)::integer AS flags, sum(vanished)::integer AS vanished"
    row = world.database.execute(f"SELECT {sums} FROM sync_job_folders WHERE sync_job_id = %s", (job_id,))[0]
    return row["flags"], row["vanished"]


@COUNTED
def test_flags_and_deletions_follow_the_mailbox(world: World, modseq: int) -> None:
    """An incremental sync brings both up to date, next to what is new; nothing that landed is fetched again."""
    world.mail.modseq = modseq
    world.sync()
    world.mail.flag(3, SEEN)
    world.mail.expunge(10, 11, 50)
    new = world.mail.deliver(2)
    world.mail.fetched.clear()
    assert (1, 3) == changes(world, world.sync())
    landed = live(world)
    assert sorted(world.mail.folders["INBOX"]) == sorted(landed)
    assert {3} == {uid for uid, flags in landed.items() if flags == [SEEN]}
    assert new == world.mail.fetched
    assert 102 == count(world, "messages")
    assert (0, 0) == changes(world, world.sync())


def test_a_folder_whose_numbers_did_not_move_is_not_asked_about(world: World) -> None:
    """The server counts its changes: the same counts mean that nothing happened."""
    world.mail.modseq = 5
    world.sync()
    world.sync()
    assert [] == world.mail.asked


def test_only_changes_since_the_cursor_are_asked_for(world: World) -> None:
    """The cursor is where the last plan's snapshot was, taken before its listing."""
    world.mail.modseq = 5
    world.sync()
    world.mail.flag(3, SEEN)
    world.sync()
    world.mail.flag(4, SEEN)
    world.sync()
    assert ["changes since 5", "changes since 6"] == world.mail.asked


def test_a_server_that_lies_about_what_vanished_is_found_out(world: World) -> None:
    """What it says is checked against how many messages it has: then all are looked at."""
    world.mail.modseq = 5
    world.mail.vanished = [20, 21]
    world.sync()
    world.mail.expunge(20)
    world.mail.flag(1, SEEN)
    world.sync()
    assert set(world.mail.folders["INBOX"]) == set(live(world))
    assert ["changes since 5", "existing"] == world.mail.asked


def test_a_count_of_changes_that_began_anew_is_no_cursor(world: World) -> None:
    """A lower count than the last one says nothing: the flags of all messages are read."""
    world.mail.modseq = 500
    world.sync()
    world.mail.modseq = 3
    world.mail.flags[7] = (SEEN,)
    assert (1, 0) == changes(world, world.sync())


@COUNTED
def test_flags_that_change_between_plan_and_landing_are_right_in_the_end(world: World, modseq: int) -> None:
    """Whatever the moment: the next sync has the mailbox's flags."""
    world.mail.modseq = modseq
    job = world.request()
    world.plan(job)
    world.mail.flag(1, SEEN)
    world.run()
    world.mail.flag(2, SEEN)
    world.sync()
    assert {1, 2} == {uid for uid, flags in live(world).items() if flags}


def test_b28_a_moved_message_is_one_message_with_one_living_place(world: World) -> None:
    """Gone from one folder and new in another: fetched once more, stored once, and the old place is a tombstone."""
    world.mail.deliver(1, "Archive")
    world.sync()
    world.mail.folders["Archive"][2] = world.mail.folders["INBOX"].pop(40)
    world.sync()
    assert 101 == count(world, "messages")
    assert (99, {1, 2}) == (len(live(world)), set(live(world, "Archive")))


def test_b28_a_renumbered_folder_lands_again_without_doubling(world: World) -> None:
    """A new UIDVALIDITY voids all places: the same messages get new ones, and the old are tombstones afterwards."""
    world.sync()
    ids = {row["id"] for row in world.database.execute("SELECT id FROM messages")}
    world.mail.uidvalidity = 8
    job = world.request()
    world.plan(job)
    assert 100 == count(world, "message_locations WHERE vanished_at IS NULL")
    world.run()
    assert ("completed", 100) == (job_row(world.database, job)["status"], len(live(world)))
    assert ids == {row["id"] for row in world.database.execute("SELECT id FROM messages")}
    assert 100 == count(world, "message_locations WHERE uidvalidity = 7 AND vanished_at IS NOT NULL")


def test_a_folder_that_goes_and_comes_back(world: World) -> None:
    """Its messages are tombstones meanwhile, and there again without being fetched."""
    world.mail.deliver(5, "Old")
    world.sync()
    kept = world.mail.folders.pop("Old")
    assert (0, 0) == changes(world, world.sync())
    assert {} == live(world, "Old")
    world.mail.folders["Old"] = kept
    world.mail.fetched.clear()
    world.sync()
    assert (set(kept), []) == (set(live(world, "Old")), world.mail.fetched)


def test_a_renamed_folder_keeps_what_landed(world: World) -> None:
    """The server's own name for it is the same: one folder, nothing fetched, nothing gone."""
    world.mail.ids["Old"] = world.mail.ids["New"] = "F1"
    world.mail.deliver(5, "Old")
    world.sync()
    world.mail.folders["New"] = world.mail.folders.pop("Old")
    world.mail.fetched.clear()
    world.sync()
    assert ([], 2, 5) == (world.mail.fetched, count(world, "folders"), len(live(world, "New")))


def test_a_range_of_dates_changes_nothing_else(world: World) -> None:
    """Such a job looks at a part: it neither buries what it did not look at nor moves the cursor of changes."""
    world.mail.modseq = 5
    world.sync()
    world.mail.flag(1, SEEN)
    world.mail.expunge(2)
    world.sync(sync_type="manual", sync_from=START + timedelta(hours=50), sync_to=START + timedelta(hours=60))
    assert 100 == len(live(world))
    world.sync()
    assert (99, [SEEN]) == (len(live(world)), live(world)[1])


def test_archives_tell_deletions_and_flags_by_their_listing(world: World) -> None:
    """A source without UIDs: files that are gone are tombstones, new flags are taken over."""
    world.mail.provider_ids = True
    world.sync()
    world.mail.expunge(5)
    world.mail.flags[6] = (SEEN,)
    world.mail.fetched.clear()
    assert (1, 1) == changes(world, world.sync())
    assert ([], 99) == (world.mail.fetched, len(live(world)))


def test_b45_a_cut_keeps_what_had_arrived(world: World) -> None:
    """The connection breaks at the last message of a chunk: the next attempt fetches that one and no other."""
    left = [1]

    def cut(uid: int) -> None:
        if uid == 50 and left.pop():
            left.append(0)
            raise ProviderError("the line was cut", ErrorCategory.NETWORK)
        if uid == 50:
            left.append(0)

    world.mail.on_fetch = cut
    world.configure(run_threads=1)
    job = job_row(world.database, world.sync())
    assert ("completed", 100) == (job["status"], job["emails_processed"])
    assert sorted(range(1, 101)) == sorted(world.mail.fetched)


def test_b45_a_large_chunk_lands_page_by_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are committed before the chunk is complete: a fault costs what was not on one, here a message."""
    monkeypatch.setattr("chunk_sync.engine.landing.PAGE_MESSAGES", 10)
    seen: list[int] = []

    def count_landed(uid: int) -> None:
        seen.append(count(world, "message_locations"))
        if uid == 22 and len(seen) < 24:
            raise KeyError("a fault of ours, in mid-chunk")

    world.mail.on_fetch = count_landed
    world.configure(run_threads=1)
    world.mail.expunge(*range(26, 101))
    outcomes = world.sync()
    assert [0] * 10 + [10] * 10 + [20] * 2 == seen[:22]
    assert ("completed", 25) == (job_row(world.database, outcomes)["status"], count(world, "message_locations"))
    assert sorted([*range(1, 26), 21]) == sorted(world.mail.fetched)


def test_b26_a_second_run_of_a_chunk_fetches_no_bytes(world: World) -> None:
    """What has landed is asked for its flags only."""
    world.sync()
    world.mail.flag(1, SEEN)
    world.mail.fetched.clear()
    job = job_row(world.database, world.sync(sync_type="manual"))
    assert ([], [SEEN]) == (world.mail.fetched, live(world)[1])
    assert ("completed", 100) == (job["status"], job["emails_processed"])


def test_a_chunk_buries_what_it_finds_gone(world: World) -> None:
    """Deleted between plan and fetch: a tombstone, counted as absent."""
    world.sync()
    job = world.request(sync_type="manual")
    world.plan(job)
    world.mail.expunge(9)
    outcomes = world.run()
    assert [ChunkState.COMPLETED] * 4 == [outcome.state for outcome in outcomes]
    assert 1 == sum(outcome.counts.absent for outcome in outcomes if outcome.counts)
    assert 9 not in live(world)


@pytest.mark.parametrize("provider_ids", [False, True], ids=["by UID", "by name"])
def test_a_quarantined_message_stays_one(world: World, provider_ids: bool) -> None:
    """Too large: quarantined once, however often it is looked at; landed and free when the limit allows it."""
    world.mail.provider_ids = provider_ids
    world.mail.too_large = {7}
    for _ in range(3):
        world.sync()
    assert (1, 99) == (count(world, "quarantined_messages WHERE vanished_at IS NULL"), len(live(world)))
    world.mail.too_large.clear()
    world.sync(sync_type="manual")
    assert (0, 100) == (count(world, "quarantined_messages"), len(live(world)))
    assert world.verdict().ok


def test_a_renumbered_folder_voids_its_quarantine(world: World) -> None:
    """What was too large under its old UID is listed under the new one only."""
    world.mail.too_large = {7}
    world.sync()
    world.mail.uidvalidity = 8
    world.sync()
    rows = world.database.execute("SELECT uidvalidity FROM quarantined_messages WHERE vanished_at IS NULL")
    assert [8] == [row["uidvalidity"] for row in rows]
