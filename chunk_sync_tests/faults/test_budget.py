"""What a sync asks of the server, counted on the line: nothing is fetched twice but what a fault has cost."""

from __future__ import annotations

import pytest

from chunk_sync_tests.faults.world import BODIES, CHUNKS, FOLDERS, TOTAL, World, bodies_asked, letters
from chunk_sync_tests.servers.fault_script import BODY, Fault, Place, Step, answer, cut


def test_b23_a_sync_asks_for_every_message_once(world: World) -> None:
    """120 messages in 3 folders and 6 chunks: each body once, and a handful of commands a chunk and folder."""
    world.check(world.sync())
    world.proxy.hear_out()
    asked = bodies_asked(world.proxy.commands)
    assert {(folder, uid): 1 for folder, n in FOLDERS.items() for uid in range(1, n + 1)} == asked
    assert len(world.proxy.commands) <= 2 * CHUNKS + 4 * len(FOLDERS) + 12
    assert world.proxy.connections <= 2


def test_b23_a_sync_of_nothing_new_fetches_nothing(world: World) -> None:
    """The second sync looks at the folders and asks for no message's bytes."""
    world.sync()
    world.hear_out()
    world.check(world.sync())
    world.proxy.hear_out()
    assert not bodies_asked(world.proxy.commands)
    assert len(world.proxy.commands) <= 2 * len(FOLDERS) + 8


def test_b23_an_incremental_sync_asks_for_what_is_new(own_world: World) -> None:
    """Seven arrivals are seven bodies."""
    own_world.sync()
    own_world.server.add_messages("Work", letters("Work", 7, start=700), user=own_world.user)
    own_world.hear_out()
    own_world.check(own_world.sync())
    own_world.proxy.hear_out()
    assert {("Work", uid): 1 for uid in range(41, 48)} == bodies_asked(own_world.proxy.commands)


@pytest.mark.parametrize("end", [Step.FIN, Step.RST], ids=["FIN", "RST"])
def test_b45_a_cut_costs_what_had_not_arrived(world: World, end: Step) -> None:
    """Cut at the 40th message, the 15th of the second chunk: 14 stay, and only the other 11 are asked for again.

    A reset makes the kernel throw away what nobody had read yet: then there may be fewer that stay.
    """
    job_id = world.planned()
    world.hear_out()
    world.proxy.faults = [Fault(Place.REPLY, cut(end), BODY, nth=40)]
    world.run()
    rows = world.database.execute("SELECT count(*) AS n FROM message_locations")
    world.check(world.settle(job_id))
    world.proxy.hear_out()
    asked = bodies_asked(world.proxy.commands)
    again = {message for message, count in asked.items() if count > 1}
    assert (TOTAL, TOTAL - len(again)) == (len(asked), rows[0]["n"])
    chunk = [("INBOX", uid) for uid in range(11, 36)]
    assert set(chunk[14:]) <= again <= set(chunk[14:] if end is Step.FIN else chunk)


def test_b45_a_throttle_frees_the_worker(world: World) -> None:
    """Told to come back in ten minutes, a run ends at once instead of waiting, and asks nothing more."""
    job_id = world.planned()
    world.hear_out()
    throttled = answer(b"NO [LIMIT] Rate limit hit. Try again in 10 minutes")
    world.proxy.faults = [Fault(Place.COMMAND, throttled, BODIES)]
    world.run()
    world.proxy.hear_out()
    assert 590 < world.due_in(job_id) < 670
    assert not [command for command in world.proxy.commands if "BODY" in command][1:]
    world.check(world.settle(job_id))
