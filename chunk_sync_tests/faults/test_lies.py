"""A server, or something before it, says what is not so: wrong sizes, floods, doubled and missing answers."""

from __future__ import annotations

import pytest

from chunk_sync.mail.imap_wire import ImapWire
from chunk_sync_tests.faults.world import BODIES, CHUNK, LIST, LISTING, OPEN, World
from chunk_sync_tests.servers.fault_script import (
    BODY,
    Act,
    Fault,
    Place,
    Steps,
    answer,
    before,
    doubled,
    drip,
    edited,
    resized,
    say,
    unclosed,
)

_STRANGER = b"* 1 FETCH (UID 4711 FLAGS () BODY[] {13}\r\nSubject: x\r\n\r)\r\n"
_FLOOD = (
    b"* 99999 EXISTS\r\n* 0 RECENT\r\n"
    + b"".join(b"* %d FETCH (FLAGS (\\Seen \\Deleted) UID %d)\r\n" % (n, n) for n in range(1, 41))
    + b"* OK still here\r\n* 60 EXPUNGE\r\n* 59 EXPUNGE\r\n* 57 EXISTS\r\n"
)
_GARBAGE = b"\x00\xff garbage from a middlebox\r\n"
_MIDDLE, _LAST = CHUNK + 12, 2 * CHUNK


@pytest.mark.parametrize(
    ("act", "nth", "categories"),
    [
        (resized(-7), _MIDDLE, {"processing_error"}),
        (resized(-1), _MIDDLE, {"processing_error"}),
        (resized(1), _MIDDLE, {"processing_error"}),
        (resized(7), _MIDDLE, {"processing_error"}),
        (resized(7), _LAST, {"processing_error"}),
        (resized(2_147_000_000), _MIDDLE, {"processing_error"}),
        (unclosed, _MIDDLE, {"processing_error"}),
        (unclosed, _LAST, {"processing_error"}),
        (before(_GARBAGE), _MIDDLE, {"processing_error"}),
        (before(b"* 7 FETCH (UID\r\n"), _MIDDLE, {"processing_error"}),
    ],
    ids=[
        "7 too small",
        "1 too small",
        "1 too large",
        "7 too large",
        "7 too large, the last",
        "2 GB",
        "unclosed",
        "unclosed, the last",
        "garbage",
        "half a reply",
    ],
)
def test_a_broken_reply_is_found_out(world: World, act: Act, nth: int, categories: set[str]) -> None:
    """The attempt fails as `processing_error`, code PROTOCOL; no message is stored with other bytes than it has."""
    job_id = world.planned()
    world.proxy.faults = [fault] = [Fault(Place.REPLY, act, BODY, nth=nth)]
    world.check(world.settle(job_id))
    assert 1 == fault.hits
    (failure,) = world.failures()
    assert failure.category in categories
    assert "PROTOCOL" == failure.code
    assert failure.wait is not None
    assert 1.0 <= failure.wait <= 1.1


@pytest.mark.parametrize(
    ("place", "act", "pattern"),
    [
        (Place.REPLY, before(_FLOOD), BODY),
        (Place.REPLY, before(_STRANGER), BODY),
        (Place.REPLY, doubled, BODY),
        (Place.COMPLETION, before(_FLOOD + _STRANGER), BODIES),
        (Place.COMPLETION, before(_FLOOD), LISTING),
    ],
    ids=["flood", "a UID nobody asked for", "doubled", "flood at the end", "flood into the sizes"],
)
def test_what_nobody_asked_for_is_passed_over(world: World, place: Place, act: Act, pattern: bytes) -> None:
    """Said before every reply, it costs no attempt and stores nothing."""
    job_id = world.planned()
    world.proxy.faults = [fault] = [Fault(place, act, pattern, times=None)]
    world.check(world.settle(job_id))
    assert fault.hits
    assert [] == world.failures()


@pytest.mark.parametrize(
    ("place", "act", "pattern"),
    [
        (Place.REPLY, before(b"* 1 FETCH (FLAGS (\\Seen))\r\n* OK noise\r\n"), rb"FETCH"),
        (Place.REPLY, doubled, rb"FETCH"),
        (Place.REPLY, doubled, rb"^\* LIST"),
        (Place.REPLY, before(b"* 1 FETCH (UID 4711 RFC822.SIZE 99)\r\n"), rb"FETCH"),
    ],
    ids=["flood", "doubled sizes", "doubled folders", "a UID nobody asked for"],
)
def test_a_plan_takes_what_was_asked_for(world: World, place: Place, act: Act, pattern: bytes) -> None:
    """Doubled and foreign answers to the listing plan nothing twice."""
    world.proxy.faults = [fault] = [Fault(place, act, pattern, times=None)]
    job_id = world.planned()
    assert fault.hits
    world.proxy.faults = []
    job = world.settle(job_id)
    world.check(job)
    assert (6, 120) == (job["total_chunks"], job["emails_estimated"])
    assert [] == world.failures()


@pytest.mark.parametrize("command", [BODIES, LISTING], ids=["bodies", "sizes"])
def test_ok_without_data_is_no_empty_span(world: World, command: bytes) -> None:
    """Messages that the server has and does not deliver are its failure (`temporary`), never an absence."""
    job_id = world.planned()
    world.proxy.faults = [fault] = [Fault(Place.COMMAND, answer(b"OK Fetch completed"), command)]
    world.check(world.settle(job_id))
    assert 1 == fault.hits
    absent = world.database.execute("SELECT sum(emails_absent)::integer AS n FROM chunk_processing_queue")
    assert [{"n": 0}] == absent
    assert {"temporary"} >= {failure.category for failure in world.failures()}


@pytest.mark.parametrize(
    ("place", "act", "pattern"),
    [
        (Place.COMMAND, answer(b"OK Fetch completed"), LISTING),
        (Place.REPLY, say(b""), rb"FETCH"),
        (Place.COMMAND, answer(b"OK List completed"), LIST),
        (Place.REPLY, say(b""), rb"UIDVALIDITY"),
        (Place.REPLY, say(b""), rb"EXISTS"),
        (Place.REPLY, before(_GARBAGE), rb"FETCH"),
    ],
    ids=["no listing", "one is not listed", "no folder", "no UIDVALIDITY", "no EXISTS", "garbage"],
)
def test_a_plan_that_hears_too_little_is_no_plan(world: World, place: Place, act: Act, pattern: bytes) -> None:
    """An answer that lacks what must be in it plans nothing and completes nothing: the plan is tried again."""
    world.proxy.faults = [fault] = [Fault(place, act, pattern, times=3)]
    job_id = world.request()
    outcome = world.plan(job_id)
    assert outcome is not None
    assert fault.hits
    assert "requested" == outcome.status
    assert outcome.category in {"temporary", "processing_error"}
    world.proxy.faults = []
    world.check(world.settle(job_id))


@pytest.mark.parametrize("count", [0, 1, 30, 120])
def test_b21_a_wrong_number_of_messages_loses_none(world: World, count: int) -> None:
    """INBOX once seems to hold 0, 1, half or twice its 60 messages: the sync after it has them all."""
    edit = edited(rb"^\* \d+ EXISTS", b"* %d EXISTS" % count)
    world.proxy.faults = [fault] = [Fault(Place.REPLY, edit, rb"EXISTS")]
    world.sync()
    assert 1 == fault.hits
    world.check(world.sync())


def test_b20_another_uidvalidity_in_the_answer(world: World) -> None:
    """A folder that seems to be numbered anew: its chunks end as `data_conflict` at once, the next sync has all."""
    job_id = world.planned()
    fault = Fault(Place.REPLY, edited(rb"UIDVALIDITY (\d+)", rb"UIDVALIDITY 1\1"), rb"UIDVALIDITY", times=2)
    world.proxy.faults = [fault]
    job = world.settle(job_id)
    assert 2 == fault.hits
    assert ("failed", 2) == (job["status"], job["failed_chunks"])
    assert [("data_conflict", "UIDVALIDITY", None)] * 2 == [
        (failure.category, failure.code, failure.wait) for failure in world.failures()
    ]
    world.check(world.sync())


def test_b20_another_uidvalidity_while_planning(world: World) -> None:
    """A plan in an epoch that is not there fetches nothing under it; the next sync plans the folder again."""
    edit = edited(rb"UIDVALIDITY (\d+)", rb"UIDVALIDITY 1\1")
    world.proxy.faults = [Fault(Place.REPLY, edit, rb"UIDVALIDITY")]
    job_id = world.planned()
    world.proxy.faults = []
    job = world.settle(job_id)
    assert ("failed", 3) == (job["status"], job["failed_chunks"])
    assert {"data_conflict"} == {failure.category for failure in world.failures()}
    world.check(world.sync())


def test_a_server_that_drips_runs_into_the_deadline(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No single wait is long, but all together: `timeout`, and the next attempt, on a good line, is whole."""
    wires: list[ImapWire] = []
    allow = ImapWire.allow

    def note(wire: ImapWire, seconds: float) -> None:
        wires.append(wire)
        allow(wire, seconds)

    def drip_on_the_impatient(tag: bytes, truth: bytes) -> Steps:
        """What comes before has time enough, and the drip would last a minute."""
        return [lambda: allow(wires[-1], 0.5), *drip(50)(tag, truth)]

    monkeypatch.setattr(ImapWire, "allow", note)
    job_id = world.planned()
    world.proxy.faults = [fault] = [Fault(Place.REPLY, drip_on_the_impatient, BODY, nth=_MIDDLE)]
    world.check(world.settle(job_id))
    assert 1 == fault.hits
    assert ["timeout"] == [failure.category for failure in world.failures()]


def test_a_folder_that_seems_closed_is_opened_again(world: World) -> None:
    """`BAD No mailbox selected` to a fetch is a passing state of the session."""
    job_id = world.planned()
    world.proxy.faults = [fault] = [Fault(Place.COMMAND, answer(b"BAD No mailbox selected."), BODIES)]
    world.check(world.settle(job_id))
    assert 1 == fault.hits
    assert 1 == len(world.failures())


def test_a_wrong_answer_to_opening_fails_the_folder_only(world: World) -> None:
    """`NO [NONEXISTENT]` for a folder that is there: its chunks are dead letters, the others land, later all is."""
    job_id = world.planned()
    refused = answer(b"NO [NONEXISTENT] Unknown Mailbox: Work (Failure)")
    world.proxy.faults = [fault] = [Fault(Place.COMMAND, refused, OPEN + b".*Work", times=2)]
    job = world.settle(job_id)
    assert 2 == fault.hits
    assert ("failed", 4, 2) == (job["status"], job["completed_chunks"], job["failed_chunks"])
    assert [("not_found", "NONEXISTENT", None)] * 2 == [
        (failure.category, failure.code, failure.wait) for failure in world.failures()
    ]
    world.check(world.sync())
